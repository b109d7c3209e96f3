"""Whatever moment a writer is killed at, the old result or the new one is there, and the next write works."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

KILLING = Path(__file__).with_name("killing.py")


@pytest.mark.parametrize("mode", ["kill", "cut"])
@pytest.mark.parametrize(("how", "swap", "least"), [("folder", "exchange", 28), ("folder", "renames", 28), ("file", "exchange", 5)])
def test_a_writer_that_ends_at_any_step_loses_nothing(tmp_path, how, swap, least, mode):
    """Ended before each of its steps on the disk by kill -9 or a power cut: a reader sees old or new, never nothing or half; then
    another write leaves its own result alone in the folder."""
    done = subprocess.run([sys.executable, str(KILLING), str(tmp_path), how, mode, swap], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads(done.stdout)
    assert len(rows) >= least
    assert {found for _, found, _, _ in rows} == {"old", "new"}
    assert {(after, tuple(left)) for _, _, after, left in rows} == {("3rd", ("result",))}
    order = [found for _, found, _, _ in rows]
    assert order == sorted(order, reverse=True)  # once the new one is there it stays
