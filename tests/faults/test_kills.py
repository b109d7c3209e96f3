"""kill -9 of whatever is running, at random moments: nothing is lost, nothing runs twice at once, the next job runs."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from sftqa_core.artifacts import damaged_files
from sftqa_core.errors import SftqaError
from sftqa_core.jobs.executor import RESUMABLE
from sftqa_core.jobs.local import LocalExecutor
from sftqa_core.jobs.worker import ensure_worker
from sftqa_core.records import OVER
from tests.amount import in_full
from tests.jobs.job_processes import FAST, until

pytestmark = pytest.mark.anew  # processes are told apart by their command lines
JOBS = 6  # queued before each harm


def victims(executor: LocalExecutor, kind: str) -> list[int]:
    """Processes of a kind that live now."""
    worker = executor.store.worker()
    if kind == "worker":
        return [worker.pid] if worker else []
    if kind == "job":
        return [claim.process.pid for claim in executor.store.active() if claim.begun and claim.process.alive()]
    children = psutil.Process(worker.pid).children() if worker else []
    return [child.pid for child in children if "sftqa_core.jobs.child warm" in " ".join(child.cmdline())]


def kill(pids: list[int]) -> int:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(pids)


def settled(executor: LocalExecutor, ids: list[str]) -> int:
    """Let the queue run empty, continuing what failed as a person would; how often that was needed."""
    continued = 0

    def over() -> bool:
        nonlocal continued
        executor.wake()
        for job_id in ids:
            if executor.status(job_id).state in RESUMABLE:
                executor.resume(job_id)
                continued += 1
        return all(executor.status(job_id).state == "done" for job_id in ids)

    until(over, 60)
    return continued


def check(executor: LocalExecutor, place: Path, ids: list[str]) -> None:
    """Every job is done, left exactly its one whole result, and never ran beside another."""
    assert [executor.status(job_id).result for job_id in ids] == ids
    assert sorted(path.name for path in (place / "results").iterdir() if not path.name.startswith(".")) == sorted(ids)
    assert [damaged_files(place / "results" / job_id) for job_id in ids] == [[]] * len(ids)
    assert not (place / "double").exists()


def start(executor: LocalExecutor, place: Path, count: int = JOBS) -> list[str]:
    return [executor.submit("work", {"device": "cpu", "place": str(place), "steps": 3}).id for _ in range(count)]


def test_killing_any_process_at_a_random_moment(executor, tmp_path, harm, often, chance):
    """Worker, job or warm process, one after the other, while jobs come and go."""
    ids = start(executor, tmp_path)
    for number in range(often(200, least=3)):
        kind = ("worker", "job", "warm process")[number % 3]
        row = harm(f"kill -9 of the {kind} at a random moment")
        while not (found := victims(executor, kind)):
            executor.wake()
            if executor.store.counts().get("queued", 0) < 2:
                ids += start(executor, tmp_path, 2)
            time.sleep(0.01)
        time.sleep(chance.random() * 0.08)
        kill(found)
        row.done("every job done once, none lost")
    settled(executor, ids)
    check(executor, tmp_path, ids)


@in_full
def test_killing_everything_at_once(executor, tmp_path, harm, often, chance):
    """As when the machine loses power: no process is left; opening the app goes on by itself, without anybody's click."""
    row = harm("kill -9 of worker, warm process and job together")
    for _ in range(often(30)):
        ids = start(executor, tmp_path, 2)
        time.sleep(chance.random() * 0.4)
        everything = victims(executor, "worker") + victims(executor, "warm") + victims(executor, "job")
        kill(everything)
        row.done("went on by itself, every job done once")
        until(lambda pids=everything: not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids))
        executor.wake()
        until(lambda ids=ids: all(executor.status(job_id).state == "done" for job_id in ids), 60)
        assert [executor.status(job_id).result for job_id in ids] == ids
    assert not (tmp_path / "double").exists()


@in_full
def test_two_workers_that_start_at_once(executor, tmp_path, harm, often):
    """Many processes that each find no worker and start one: one of them serves, and no job runs twice."""
    row = harm("five servers start a worker at the same moment")
    code = (
        "import sys; from sftqa_core.jobs.worker import Timing, ensure_worker; from sftqa_core.workspace import Workspace\n"
        "sys.stdin.read(1); ensure_worker(Workspace.current(), Timing(poll_s=0.03, idle_s=20.0))"
    )
    for _ in range(often(20)):
        ids = start(executor, tmp_path, 3)
        kill(victims(executor, "worker"))
        servers = [subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, env=os.environ.copy()) for _ in range(5)]
        time.sleep(0.3)
        for server in servers:
            server.communicate(b"x")
        row.done("one worker served, no job ran twice")
        settled(executor, ids)
        until(lambda: _workers(executor) <= 1, 20)
    assert not (tmp_path / "double").exists()


def _workers(executor: LocalExecutor) -> int:
    """Worker processes of this state folder that live."""
    found = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            ours = process.environ().get("SFTQA_STATE") == str(executor.workspace.state)
            found += ours and "sftqa_core.jobs.worker" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
    return found


@in_full
def test_a_worker_that_stops_for_a_while_and_wakes_up(executor, tmp_path, harm, often, chance):
    """SIGSTOP and SIGCONT, as a laptop that sleeps: what was running is done once."""
    row = harm("worker and job stopped for a moment (SIGSTOP)")
    for _ in range(often(20)):
        ids = start(executor, tmp_path, 2)
        until(lambda: victims(executor, "job"))
        pids = victims(executor, "worker") + victims(executor, "job")
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        refused = ""
        try:
            time.sleep(chance.random() * 0.2)
            ensure_worker(executor.workspace, FAST)
        except SftqaError as error:  # it was stopped in the midst of a change, so nobody else can make one
            refused = str(error)
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        assert not refused or "wake or end one that is suspended" in refused
        row.done("every job done once")
        settled(executor, ids)
    assert not (tmp_path / "double").exists()


def test_cancelling_at_random_moments(executor, tmp_path, harm, often, chance: random.Random):
    """A cancelled job is over within its limits, and what comes after it runs."""
    row = harm("cancel at a random moment")
    for _ in range(often(50)):
        first, second = start(executor, tmp_path, 2)
        time.sleep(chance.random() * 0.15)
        executor.cancel(first)
        until(lambda first=first: executor.status(first).state in OVER)
        assert executor.status(first).state in ("cancelled", "done")
        until(lambda second=second: executor.status(second).state == "done")
        row.done("over in time, the next one ran")
    assert not (tmp_path / "double").exists()
