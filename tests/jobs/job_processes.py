"""Waiting for jobs, and ending what a test started."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sftqa_core.jobs.executor import Waiting
from sftqa_core.jobs.lease import Lease, leases
from sftqa_core.jobs.local import LocalExecutor
from sftqa_core.jobs.queue import JobStore
from sftqa_core.jobs.worker import Timing, _started
from sftqa_core.processes import ProcessId
from sftqa_core.records import OVER, Job
from sftqa_core.workspace import Workspace

FAST = Timing(poll_s=0.03, idle_s=20.0, ask_s=0.4, terminate_s=0.4)
CPU = {"device": "cpu"}


def until(condition: Callable[[], object], limit_s: float = 120.0, every_s: float = 0.02) -> None:
    """Wait for a condition; fail after `limit_s`, which is long, since a busy machine takes its time over a process that loads torch.

    The longer it takes, the more seldom it is looked for (every 5 x `every_s` at most): looking takes what is waited for its processor."""
    end_s, pause_s = time.monotonic() + limit_s, every_s
    while not condition():
        assert time.monotonic() < end_s, f"did not happen within {limit_s} s"
        time.sleep(pause_s)
        pause_s = min(1.1 * pause_s, 5 * every_s)


def ended(executor: LocalExecutor, job: Job) -> Job:
    """The job once it is over."""
    until(lambda: executor.status(job.id).state in OVER)
    return executor.status(job.id)


def logged(job: Job, words: str) -> None:
    """Wait until the job's log holds `words`."""
    log = Path(job.folder) / "log.txt"
    until(lambda: log.exists() and words in log.read_text())


def job_process(executor: LocalExecutor, job: Job) -> ProcessId:
    """The process of a running job, once it has reported."""
    until(lambda: any(claim.id == job.id and claim.begun for claim in executor.store.active()))
    return next(claim.process for claim in executor.store.active() if claim.id == job.id)


def waiting(executor: LocalExecutor, job: Job) -> Waiting | None:
    """How a queued job waits; None when it is not queued."""
    return next((queued for queued in executor.queue() if queued.job.id == job.id), None)


def lease_holder(slot: str) -> Lease | None:
    """Who holds a slot now; None when it is free or its holder died."""
    return next((lease for lease in leases() if lease.slot == slot), None)


def kill(process: ProcessId | None) -> None:
    """kill -9, and wait until it is dead."""
    if process is not None and process.alive():
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        until(lambda: not process.alive())


def end_processes(workspace: Workspace) -> None:
    """Kill the workspace's worker and those of this process that have not registered yet, then the processes of its jobs."""
    store = JobStore(workspace)
    kill(store.worker())
    for process in _started:
        process.kill()
    for claim in store.active():
        kill(claim.process)
