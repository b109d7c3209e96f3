"""Clocks that jump, and beat files of another time: nobody alive is taken for dead, nobody dead for alive."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.amount import in_full
from tests.faults.test_kills import check, kill, settled, start, victims
from tests.jobs.job_processes import until


@pytest.fixture
def jumping(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clocks of worker, warm process and jobs jump."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent / "jumping_clock"), os.environ["PYTHONPATH"]]))


def test_clocks_that_jump(jumping, executor, tmp_path, harm, often, chance):
    """Every process's clock jumps at every look, files are dated years ahead and back, and now and then the worker is killed."""
    row = harm("clock jumps of up to a year in every process")
    ids = []
    for number in range(often(40, least=4)):
        ids += start(executor, tmp_path, 2)
        for path in (executor.store.beat, *executor.workspace.jobs.glob("*/alive")):
            moment = time.time() + chance.choice((-3e7, 3e7))
            with suppress(OSError):
                os.utime(path, (moment, moment))
        time.sleep(chance.random() * 0.05)
        if number % 4 == 3:
            kill(victims(executor, "worker"))
        row.done("every job done once, in the order of the queue")
    settled(executor, ids)
    check(executor, tmp_path, ids)


@in_full
def test_a_job_is_not_taken_for_dead_while_the_clock_stands_elsewhere(jumping, executor, tmp_path):
    """One long job under a jumping clock is never settled by anyone but itself."""
    job = executor.submit("work", {"device": "cpu", "place": str(tmp_path), "steps": 60})
    seen = set()

    def over() -> bool:
        executor.wake()
        seen.add(executor.status(job.id).state)
        return "done" in seen

    until(over)
    assert seen <= {"queued", "running", "done"}
    assert executor.store.get(job.id).turn == 1
