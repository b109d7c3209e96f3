"""Two apps on one cache: many processes write the same result at once, all succeed, and a whole one stays."""

import os
import subprocess
from pathlib import Path

import pytest

from sftqa_core.artifacts import read_kept
from sftqa_core.studies.cells import Cells
from sftqa_core.workspace import Workspace
from tests.amount import FULL
from tests.forking import Forked, Parents
from tests.studies.test_cells import IDS, RUN, TABLE

WRITERS, WRITES = 6, 15 if FULL else 5


def race(parents: Parents, what: str, target: Path, mode: str = "exchange", writes: int = WRITES) -> list[Forked]:
    """Writers of one kind (racing_writers.py), who have begun."""
    words = [[what, str(target), str(n), mode, str(writes)] for n in range(WRITERS)]
    return [parents.everything.start("tests.artifacts.racing_writers", mine, os.environ, stderr=subprocess.PIPE) for mine in words]


def all_succeeded(writers: list[Forked]) -> None:
    for writer in writers:
        told = writer.stderr.read()
        assert writer.wait(300) == 0, told[-2000:]


def whole(manifest: dict, content: bytes) -> str:
    assert len(set(content.decode())) == 1
    return content.decode()


@pytest.mark.parametrize("mode", ["exchange", "renames"])
def test_racing_writers_of_one_folder_all_succeed(tmp_path, mode, parents):
    """Where the file system can exchange, a reader finds one writer's whole result at every moment from the first write on;
    where it can't, at the end. Nothing else is left in the folder."""
    target, seen = tmp_path / "result", []
    writers = race(parents, "folder", target, mode)
    while any(writer.poll() is None for writer in writers):
        found = read_kept(target, 1, "b", whole, own=True)
        if mode == "exchange" and (seen or found):
            assert found is not None
            seen.append(found)
    all_succeeded(writers)
    assert read_kept(target, 1, "b", whole, own=True)[0] in "012345"
    assert [path.name for path in tmp_path.iterdir()] == ["result"]
    assert mode == "renames" or len(seen) > 10


def test_racing_writers_of_one_file_all_succeed(tmp_path, parents):
    """A reader sees one writer's whole content at every moment from the first write on."""
    target = tmp_path / "result"
    writers = race(parents, "file", target)
    while any(writer.poll() is None for writer in writers):
        if target.exists():
            assert len(set(target.read_bytes())) == 1
            assert target.stat().st_size == 50_000
    all_succeeded(writers)
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def test_racing_studies_make_the_same_cell(tmp_path, parents):
    """Six processes write and read one cell of a study: each reads a whole one after its own write, and one stays."""
    all_succeeded(race(parents, "cell", tmp_path, writes=4))
    cells = Cells.of(Workspace(tmp_path, tmp_path / "shipped"), {"weights": "w"}, "s", "a", IDS, 4e-4)
    assert cells.read(RUN).table["correct"].tolist() == TABLE["correct"].tolist()
    assert [path.name for path in (tmp_path / "cells").iterdir()] == [cells.folder(RUN).name]
