"""Jobs on this machine: a queue in the workspace's state folder and a worker process that outlives the page."""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sftqa_core.artifacts import write_json
from sftqa_core.errors import ArtifactDamaged, SftqaError, reason
from sftqa_core.jobs.executor import RESUMABLE, Executor, Waiting, waiting_jobs
from sftqa_core.jobs.job_folder import JobFolder, reconcile
from sftqa_core.jobs.lease import CPU, leases, needs_of_device, slot_of
from sftqa_core.jobs.queue import JobStore, asked_device, asked_work, new_job
from sftqa_core.jobs.worker import Timing, ensure_worker
from sftqa_core.models.devices import numbered
from sftqa_core.progress import Progress
from sftqa_core.records import DEVICELESS, OVER, Job, Resources
from sftqa_core.records.probes import held_as
from sftqa_core.workspace import Workspace

T = TypeVar("T")
_LOOK_S = 1.0  # how often to look for jobs whose process died without writing how it ended
_reconciled: dict[Path, float] = {}  # state folder -> when


class LocalExecutor(Executor):
    """Runs jobs by a worker on this machine. One with another kind of worker on the same queue overrides `work_on`."""

    def __init__(self, workspace: Workspace | None = None, timing: Timing | None = None):
        self.workspace = workspace or Workspace.current()
        self.timing = timing or Timing()
        self.store = JobStore(self.workspace)

    def work_on(self) -> bool:
        """Start a worker unless one lives; True when one was started. Raises `SftqaError` when that fails."""
        return ensure_worker(self.workspace, self.timing)

    def needs(self, job: Job) -> Resources:
        """What a job takes. Its settings name the device ('auto' if not) and how many GPUs (one if not)."""
        asked_for, device = asked_work(job.settings), asked_device(job.kind, job.settings)
        gpus = asked_for.get("gpus", 1)  # the record that the settings become refuses what is no number
        gpus = gpus if isinstance(gpus, int) and gpus > 1 else 1
        return needs_of_device(device, gpus, held_as(asked_for))

    def submit(self, kind: str, settings: dict[str, Any], key: str | None = None, expected_s: Sequence[float] = ()) -> Job:
        """See `Executor`."""
        job = new_job(kind, settings, expected_s)
        needs = self.needs(job)
        folder = JobFolder(self.workspace, job.id)
        reconcile(self.workspace)
        try:
            asked = {"kind": kind, "settings": job.settings, "created": job.created, "gpus": needs.gpus, "cluster": needs.cluster}
            write_json(folder.settings, asked)  # before the row: the worker may be quick
        except OSError as error:
            why = f"The job could not be written to {folder.path}: {reason(error)}."
            raise SftqaError(f"{why} Check the disk's free space and rights.") from error
        queued = None
        try:
            queued = self.store.insert(job, needs, os.getcwd(), key)
        finally:
            if queued is None or queued.id != job.id:  # not queued, or the same key was used before
                shutil.rmtree(folder.path, ignore_errors=True)
        self.work_on()
        return self.status(queued.id)

    def status(self, job_id: str) -> Job:
        reconcile(self.workspace)
        return self.store.get(job_id)

    def jobs(self, limit: int | None = None, kind: str | None = None, states: Sequence[str] | None = None) -> list[Job]:
        return self._asked(lambda: self.store.jobs(limit, kind, states), [])

    def counts(self) -> dict[str, int]:
        return self._asked(self.store.counts, {})

    def stamp(self) -> str:
        return self._asked(self.store.stamp, "")

    def queue(self) -> list[Waiting]:
        held = leases(self.workspace)

        def holder(job: Job) -> str | None:
            gpu = numbered(asked_device(job.kind, job.settings))[1]

            def in_its_way(slot: str) -> bool:
                return slot == slot_of(gpu) if gpu and job.gpus else (slot == CPU) == (not job.gpus)

            others = [lease.holder for lease in held if in_its_way(lease.slot) and lease.holder != f"job {job.id}"]
            return others[0] if others and job.kind not in DEVICELESS and not job.cluster else None

        return waiting_jobs(self.jobs(states=("running", "stopping")), self._asked(self.store.queued, []), holder)

    def log(self, job_id: str, lines: int = 200) -> list[str]:
        return JobFolder(self.workspace, job_id).log_tail(lines)

    def progress_since(self, job_id: str, offset: int = 0) -> tuple[list[Progress], int]:
        """See `Executor`. Offsets are bytes; a call returns at most 1 MiB."""
        return JobFolder(self.workspace, job_id).progress_since(offset)

    def cancel(self, job_id: str, turn: int | None = None) -> Job:
        job = self.store.cancel(job_id, turn)
        if job.state == "stopping":
            JobFolder(self.workspace, job_id).ask_to_stop()
            self.work_on()  # someone must terminate what does not listen
        return job

    def resume(self, job_id: str) -> Job:
        reconcile(self.workspace)
        if self.store.get(job_id).state in RESUMABLE:
            JobFolder(self.workspace, job_id).forget_stop()
            self.store.resume(job_id)
            self.work_on()
        return self.store.get(job_id)

    def move(self, job_id: str, where: str) -> bool:
        return self.store.move(job_id, where)

    def empty(self) -> list[str]:
        return self.store.empty()

    def remove(self, ids: Iterable[str] | None = None) -> list[str]:
        wanted = [job.id for job in self.jobs(states=OVER)] if ids is None else ids
        removed = [job_id for job_id in wanted if self.store.remove(job_id)]
        for job_id in removed:
            shutil.rmtree(JobFolder(self.workspace, job_id).path, ignore_errors=True)
        return removed

    def wake(self) -> bool:
        """See `Executor`. The app calls it when it starts, the Jobs page whenever it draws."""
        if not self.store.path.exists():
            return False
        reconcile(self.workspace)
        return bool(self.store.active() or self.store.waiting()) and self.work_on()

    def _asked(self, question: Callable[[], T], without: T) -> T:
        """What the queue answers, after the jobs of dead processes are settled; a damaged queue is rebuilt and asked again.

        `without` is the answer where there is no queue: looking must not create a state folder.
        """
        place = self.workspace.state
        if not self.store.path.exists():
            return without
        if time.monotonic() - _reconciled.get(place, -_LOOK_S) >= _LOOK_S:
            reconcile(self.workspace)
            _reconciled[place] = time.monotonic()
        try:
            return question()
        except ArtifactDamaged:
            reconcile(self.workspace)
            return question()
