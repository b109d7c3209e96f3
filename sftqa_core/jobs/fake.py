"""An executor without processes, for tests of whatever hands work over; it keeps the same contract."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from sftqa_core.errors import NotFound, SftqaError, Stopped
from sftqa_core.jobs.executor import new_job
from sftqa_core.jobs.store import now
from sftqa_core.progress import Reporter, Silent
from sftqa_core.records import Job


class FakeExecutor:
    """Keeps jobs in memory; nothing runs until `run_all` is called."""

    def __init__(self, run_job: Callable[[str, dict[str, Any], Reporter], str] = lambda kind, settings, reporter: "result"):
        self.jobs: dict[str, Job] = {}
        self._keys: dict[str, str] = {}
        self._run_job = run_job

    def submit(self, kind: str, settings: dict[str, Any], key: str | None = None) -> Job:
        """See `Executor`."""
        if key is not None and key in self._keys:
            return self.jobs[self._keys[key]]
        job = new_job(kind, settings)
        self.jobs[job.id] = job
        if key is not None:
            self._keys[key] = job.id
        return job

    def status(self, job_id: str) -> Job:
        """See `Executor`."""
        if job_id not in self.jobs:
            raise NotFound(f"There is no job {job_id!r}. 'sftqa jobs' lists those that exist.")
        return self.jobs[job_id]

    def cancel(self, job_id: str) -> Job:
        """See `Executor`."""
        job = self.status(job_id)
        return self._set(job, state="cancelled", finished=now()) if job.state == "queued" else job

    def run_all(self) -> None:
        """Run what is queued, in order, in this thread."""
        for job in [job for job in self.jobs.values() if job.state == "queued"]:
            running = self._set(job, state="running", started=now())
            try:
                result = self._run_job(job.kind, job.settings, Silent())
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
