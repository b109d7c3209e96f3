"""Where work is handed over: submit, ask how it stands, cancel. Local first; a cluster would be another `Executor`.

An executor without processes, for tests of whatever hands work over; it keeps the same contract.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from sftqa_core.artifacts import write_json
from sftqa_core.errors import NotFound, SettingsError, SftqaError, Stopped
from sftqa_core.jobs.job_folder import JobFolder
from sftqa_core.jobs.launching import Timing, ensure_worker
from sftqa_core.jobs.lease import needs_of_device
from sftqa_core.jobs.queue import JobStore, moved_ids, now
from sftqa_core.jobs.recovery import reconcile
from sftqa_core.progress import Reporter, Silent
from sftqa_core.records import DEVICELESS, Job
from sftqa_core.workspace import Workspace

RESUMABLE = ("failed", "cancelled")


class Executor(Protocol):
    """Runs jobs somewhere, one after the other on each device. tests/jobs holds the contract."""

    def submit(self, kind: str, settings: dict[str, Any], key: str | None = None, expected_s: Sequence[float] = ()) -> Job:
        """Queue a job; with a `key` that was used before, return that job instead. Raises `SettingsError`.

        `expected_s`: the seconds it is forecast to take, at best and at worst.
        """

    def status(self, job_id: str) -> Job:
        """How a job stands. Raises `NotFound`."""

    def cancel(self, job_id: str, turn: int | None = None) -> Job:
        """Take a job out of the queue, or ask it to stop; one that is over stays as it is. Raises `NotFound`.

        With `turn`, only while the job is in that turn.
        """

    def resume(self, job_id: str) -> Job:
        """Queue a failed or cancelled job again, to go on from what is kept; any other stays as it is. Raises `NotFound`."""

    def move(self, job_id: str, where: str) -> bool:
        """Move a queued job "first", "up", "down" or "last"; whether its place changed."""

    def empty(self) -> list[str]:
        """Cancel every queued job; their ids."""


class LocalExecutor:
    """Jobs on this machine: a queue in the workspace's state folder and a worker process that outlives the page."""

    def __init__(self, workspace: Workspace | None = None, timing: Timing | None = None):
        self.workspace = workspace or Workspace.current()
        self.timing = timing or Timing()
        self.store = JobStore(self.workspace)

    def submit(self, kind: str, settings: dict[str, Any], key: str | None = None, expected_s: Sequence[float] = ()) -> Job:
        """See `Executor`. The job runs on the device, and so many GPUs, as its settings name ('auto', and one)."""
        job = new_job(kind, settings, expected_s)
        device = "cpu" if kind in DEVICELESS else str(job.settings.get("device", "auto"))
        needs = needs_of_device(device, _gpus(job.settings), str(job.settings.get("quantization", "none")))
        folder = JobFolder(self.workspace, job.id)
        reconcile(self.workspace)
        try:
            told = {"kind": kind, "settings": job.settings, "created": job.created, "gpus": needs.gpus}
            write_json(folder.settings, told)  # before the row: the worker may be quick
        except OSError as error:
            raise SftqaError(f"The job could not be written to {folder.path}: {error}. Check the disk's free space and rights.") from error
        known = None
        try:
            known = self.store.insert(job, needs, os.getcwd(), key)
        finally:
            if known is None or known.id != job.id:
                shutil.rmtree(folder.path, ignore_errors=True)
        ensure_worker(self.workspace, self.timing)
        return self.status(known.id)

    def status(self, job_id: str) -> Job:
        """See `Executor`."""
        reconcile(self.workspace)
        return self.store.get(job_id)

    def resume(self, job_id: str) -> Job:
        """See `Executor`."""
        reconcile(self.workspace)
        if self.store.get(job_id).state in RESUMABLE:
            JobFolder(self.workspace, job_id).forget_stop()
            self.store.resume(job_id)
            ensure_worker(self.workspace, self.timing)
        return self.store.get(job_id)

    def move(self, job_id: str, where: str) -> bool:
        """See `Executor`."""
        return self.store.move(job_id, where)

    def empty(self) -> list[str]:
        """See `Executor`."""
        return self.store.empty()

    def cancel(self, job_id: str, turn: int | None = None) -> Job:
        """See `Executor`."""
        job = self.store.cancel(job_id, turn)
        if job.state == "stopping":
            JobFolder(self.workspace, job_id).ask_to_stop()
            ensure_worker(self.workspace, self.timing)  # someone must terminate what does not listen
        return job

    def wake(self) -> bool:
        """Settle what died and go on with the queue, as after a restart; whether a worker was started.

        Cheap where there is nothing to do: the app calls it when it starts, the Jobs page whenever it draws.
        """
        if not self.store.path.exists():
            return False
        reconcile(self.workspace)
        if not (self.store.active() or self.store.waiting()):
            return False
        return ensure_worker(self.workspace, self.timing)


def _gpus(settings: dict[str, Any]) -> int:
    """How many GPUs the settings ask for; the record that they become refuses what is no number."""
    asked = settings.get("gpus", 1)
    return asked if isinstance(asked, int) and asked > 1 else 1


def new_job(kind: str, settings: dict[str, Any], expected_s: Sequence[float] = ()) -> Job:
    """A queued job with a fresh id and a frozen copy of `settings`. Raises `SettingsError` when it is not JSON."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", kind):
        raise SettingsError(f"A job's kind must be a lower-case word, got {kind!r}.")
    try:
        frozen = json.loads(json.dumps(settings, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise SettingsError(f"The settings of a job must be plain JSON values: {error}.") from error
    job_id = f"{kind}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
    return Job(id=job_id, kind=kind, settings=frozen, state="queued", created=now(), expected_s=tuple(expected_s))


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
