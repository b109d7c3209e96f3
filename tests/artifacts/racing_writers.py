"""Writers that race (test_racing.py forks them): WHAT TARGET NUMBER MODE TIMES."""

from pathlib import Path

from sftqa_core.artifacts import disk, write_bytes, write_folder
from sftqa_core.studies.cells import Cells
from sftqa_core.workspace import Workspace
from tests.studies.test_cells import IDS, RUN, TABLE


def folder(target: Path, number: str) -> None:
    """Three files that hold the writer's number."""

    def fill(place: Path) -> None:
        for name in "abc":
            (place / name).write_text(number * 5000)

    write_folder(target, fill, {"kind": "test", "settings": 1})


def file(target: Path, number: str) -> None:
    """One file that does."""
    write_bytes(target, number.encode() * 50000)


def cell(target: Path, number: str) -> None:
    """A study's cell, which is whole right after."""
    cells = Cells.of(Workspace(target, target / "shipped"), {"weights": "w"}, "s", "a", IDS, 4e-4)
    cells.write(RUN, TABLE, int(number), {}, {})
    assert cells.read(RUN) is not None


def main(arguments: list[str]) -> None:
    """Write so many times; `renames`: where the file system can't exchange two folders."""
    what, target, number, mode, times = arguments
    if mode == "renames":
        disk.exchange = lambda one, other: False
    for _ in range(int(times)):
        {"folder": folder, "file": file, "cell": cell}[what](Path(target), number)
