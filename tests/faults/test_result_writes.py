"""Writers of results, ended before each of their steps on the disk (tests/artifacts has the details, and damage of every kind)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sftqa_core.artifacts import damaged_files
from tests.amount import few, in_full
from tests.artifacts.test_racing import all_succeeded, race

KILLING = Path(__file__).parents[1] / "artifacts" / "killing.py"
HOW = {"folder": "a result's folder", "file": "a single file"}
MODES = {"kill": "kill -9", "cut": "power cut (what was not flushed is gone or half)"}
WRITES = [  # what is written, how it takes its place, and in how many steps at least; how it ends
    (*write, mode) for write in (("folder", "exchange", 28), ("folder", "renames", 28), ("file", "exchange", 5)) for mode in MODES
]


@pytest.mark.parametrize(("how", "swap", "least", "mode"), few(WRITES, ("folder", "exchange", 28, "cut"), ("file", "exchange", 5, "kill")))
def test_ended_inside_each_step_of_a_write(tmp_path: Path, harm, how: str, swap: str, least: int, mode: str):
    """A reader sees old or new, never nothing or half; once the new one is there it stays; then another write leaves its own result
    alone in the folder."""
    row = harm(f"{MODES[mode]} inside each step of writing {HOW[how]}")
    done = subprocess.run([sys.executable, str(KILLING), str(tmp_path), how, mode, swap], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads(done.stdout)
    for _, found, after, left in rows:
        assert found in ("old", "new")
        assert (after, left) == ("3rd", ["result"])
        row.done("old or new, never half; the next write worked")
    order = [found for _, found, _, _ in rows]
    assert set(order) == {"old", "new"}
    assert order == sorted(order, reverse=True)
    assert len(rows) >= least


@in_full
def test_racing_writers(tmp_path: Path, parents, harm, often):
    """Two apps on one cache that make the same result: all succeed, and a whole one stays."""
    row = harm("four processes write the same result at once")
    for number in range(often(20)):
        target = tmp_path / str(number) / "result"
        target.parent.mkdir()
        all_succeeded(race(parents, "folder", target, writes=5))
        assert damaged_files(target) == []
        row.done("all succeeded, a whole one stayed")
