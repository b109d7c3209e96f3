"""Where work is handed over: submit, ask how it stands, cancel. Local first; a cluster would be another `Executor`."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from sftqa_core.artifacts import write_json
from sftqa_core.errors import SettingsError, SftqaError
from sftqa_core.jobs.folder import JobFolder
from sftqa_core.jobs.launcher import Timing, ensure_worker
from sftqa_core.jobs.lease import needs_of_device
from sftqa_core.jobs.recovery import reconcile
from sftqa_core.jobs.store import JobStore, now
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
