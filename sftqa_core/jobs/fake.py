"""An executor without processes, for tests of whatever hands work over; it keeps the same contract."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from sftqa_core.errors import NotFound, SftqaError, Stopped
from sftqa_core.jobs.executor import RESUMABLE, new_job
from sftqa_core.jobs.store import moved_ids, now
from sftqa_core.progress import Reporter, Silent
from sftqa_core.records import Job


class FakeExecutor:
    """Keeps jobs in memory; nothing runs until `run_all` is called."""

    def __init__(self, run_job: Callable[[str, dict[str, Any], Reporter, str], str] = lambda *arguments: "result"):
        self.jobs: dict[str, Job] = {}
        self._keys: dict[str, str] = {}
        self._run_job = run_job

    def submit(self, kind: str, settings: dict[str, Any], key: str | None = None, expected_s: Sequence[float] = ()) -> Job:
        """See `Executor`."""
        if key is not None and key in self._keys:
            return self.jobs[self._keys[key]]
        job = new_job(kind, settings, expected_s)
        self.jobs[job.id] = job
        if key is not None:
            self._keys[key] = job.id
        return job

    def status(self, job_id: str) -> Job:
        """See `Executor`."""
        if job_id not in self.jobs:
            raise NotFound(f"There is no job {job_id!r}. 'sftqa jobs' lists those that exist.")
        return self.jobs[job_id]

    def cancel(self, job_id: str, turn: int | None = None) -> Job:
        """See `Executor`."""
        job = self.status(job_id)
        mine = turn is None or turn == job.turn
        return self._set(job, state="cancelled", finished=now()) if mine and job.state == "queued" else job

    def resume(self, job_id: str) -> Job:
        """See `Executor`."""
        job = self.status(job_id)
        if job.state not in RESUMABLE:
            return job
        self.jobs[job_id] = self.jobs.pop(job_id)  # the queue's end
        return self._set(job, state="queued", turn=job.turn + 1, started=None, finished=None, error=None, reason=None)

    def move(self, job_id: str, where: str) -> bool:
        """See `Executor`."""
        queued = [job.id for job in self.jobs.values() if job.state == "queued"]
        moved = moved_ids(queued, job_id, where)
        taken = {name: self.jobs.pop(name) for name in queued}
        self.jobs |= {name: taken[name] for name in moved}
        return moved != queued

    def empty(self) -> list[str]:
        """See `Executor`."""
        return [self.cancel(job.id).id for job in list(self.jobs.values()) if job.state == "queued"]

    def run_all(self) -> None:
        """Run what is queued, in order, in this thread."""
        for job in [job for job in self.jobs.values() if job.state == "queued"]:
            running = self._set(job, state="running", started=now())
            try:
                result = self._run_job(job.kind, job.settings, Silent(), job.id)
                self._set(running, state="done", result=result, finished=now())
            except Stopped as error:
                self._set(running, state="cancelled", error=str(error), finished=now())
            except SftqaError as error:
                self._set(running, state="failed", error=str(error), finished=now())
            except Exception as error:
                self._set(running, state="failed", error=f"{type(error).__name__}: {error}", finished=now())

    def _set(self, job: Job, **changes: Any) -> Job:
        self.jobs[job.id] = dataclasses.replace(job, **changes)
        return self.jobs[job.id]
