"""Two apps on one cache: many processes write the same result at once, all succeed, and a whole one stays."""

import subprocess
import sys
from pathlib import Path

import pytest

from sftqa_core.artifacts import read_kept
from sftqa_core.studies.cells import Cells
from sftqa_core.workspace import Workspace
from tests.studies.test_cells import IDS, RUN, TABLE

WRITERS, WRITES = 6, 15
FOLDER = """
import sys
from pathlib import Path
from sftqa_core.artifacts import disk, write_folder
if sys.argv[3] == "renames":
    disk.exchange = lambda one, other: False
def fill(folder):
    for name in "abc":
        (folder / name).write_text(sys.argv[2] * 5000)
for _ in range(int(sys.argv[4])):
    write_folder(Path(sys.argv[1]), fill, {"kind": "test", "settings": 1})
"""
FILE = """
import sys
from pathlib import Path
from sftqa_core.artifacts import write_bytes
for _ in range(int(sys.argv[4])):
    write_bytes(Path(sys.argv[1]), sys.argv[2].encode() * 50000)
"""
CELL = """
import sys
from pathlib import Path
from sftqa_core.workspace import Workspace
from tests.studies.test_cells import IDS, RUN, TABLE, Cells
cells = Cells.of(Workspace(Path(sys.argv[1]), Path(sys.argv[1]) / "shipped"), {"weights": "w"}, "s", "a", IDS, 4e-4)
for _ in range(int(sys.argv[4])):
    cells.write(RUN, TABLE, int(sys.argv[2]), {}, {})
    assert cells.read(RUN) is not None
"""


def race(code: str, target: Path, mode: str = "exchange", writes: int = WRITES) -> list[subprocess.Popen]:
    root = str(Path(__file__).parents[2])
    return [
        subprocess.Popen([sys.executable, "-c", code, str(target), str(n), mode, str(writes)], stderr=subprocess.PIPE, text=True, cwd=root)
        for n in range(WRITERS)
    ]


def all_succeeded(writers: list[subprocess.Popen]) -> None:
    for writer in writers:
        _, told = writer.communicate(timeout=300)
        assert writer.returncode == 0, told[-2000:]


def whole(manifest: dict, content: bytes) -> str:
    assert len(set(content.decode())) == 1
    return content.decode()


@pytest.mark.parametrize("mode", ["exchange", "renames"])
def test_racing_writers_of_one_folder_all_succeed(tmp_path, mode):
    """Where the file system can exchange, a reader finds one writer's whole result at every moment from the first write on;
    where it can't, at the end. Nothing else is left in the folder."""
    target, seen = tmp_path / "result", []
    writers = race(FOLDER, target, mode)
    while any(writer.poll() is None for writer in writers):
        found = read_kept(target, 1, "b", whole, own=True)
        if mode == "exchange" and (seen or found):
            assert found is not None
            seen.append(found)
    all_succeeded(writers)
    assert read_kept(target, 1, "b", whole, own=True)[0] in "012345"
    assert [path.name for path in tmp_path.iterdir()] == ["result"]
    assert mode == "renames" or len(seen) > 10


def test_racing_writers_of_one_file_all_succeed(tmp_path):
    """A reader sees one writer's whole content at every moment from the first write on."""
    target = tmp_path / "result"
    writers = race(FILE, target)
    while any(writer.poll() is None for writer in writers):
        if target.exists():
            assert len(set(target.read_bytes())) == 1
            assert target.stat().st_size == 50_000
    all_succeeded(writers)
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_racing_studies_make_the_same_cell(tmp_path):
    """Six processes write and read one cell of a study: each reads a whole one after its own write, and one stays."""
    all_succeeded(race(CELL, tmp_path, writes=4))
    cells = Cells.of(Workspace(tmp_path, tmp_path / "shipped"), {"weights": "w"}, "s", "a", IDS, 4e-4)
    assert cells.read(RUN).table["correct"].tolist() == TABLE["correct"].tolist()
    assert [path.name for path in (tmp_path / "cells").iterdir()] == [cells.folder(RUN).name]
