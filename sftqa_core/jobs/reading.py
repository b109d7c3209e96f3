"""How jobs stand, for pages and the command line: plain functions, cheap enough to be called on every redraw."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from sftqa_core.jobs.folder import JobFolder
from sftqa_core.jobs.lease import Lease, lease_holder
from sftqa_core.jobs.recovery import reconcile
from sftqa_core.jobs.store import OVER, JobStore
from sftqa_core.progress import Progress
from sftqa_core.records import Job
from sftqa_core.workspace import Workspace


def jobs_list(limit: int | None = None, workspace: Workspace | None = None) -> list[Job]:
    """Jobs, the newest first; one whose process died is shown as failed."""
    place = workspace or Workspace.current()
    if not JobStore(place).path.exists():
        return []  # looking must not create a state folder
    reconcile(place)
    return JobStore(place).jobs(limit)


def log_tail(job_id: str, lines: int = 200, workspace: Workspace | None = None) -> list[str]:
    """The last lines of a job's log; empty before there are any. Raises `NotFound` for what is no job's name."""
    return _folder(job_id, workspace).log_tail(lines)


def latest_progress(job_id: str, workspace: Workspace | None = None) -> Progress | None:
    """The job's last word on how far it has come; None before the first."""
    return _folder(job_id, workspace).latest_progress()


def progress_since(job_id: str, offset: int = 0, workspace: Workspace | None = None) -> tuple[list[Progress], int]:
    """Progress after `offset` bytes and the next offset: a chart reads each line once. At most 1 MiB a call."""
    return _folder(job_id, workspace).progress_since(offset)


def queue_position(job_id: str, workspace: Workspace | None = None) -> int | None:
    """1 for the job that starts next on its device; None when it is not queued."""
    return JobStore(workspace or Workspace.current()).position(job_id)


def blocked_by(job_id: str, workspace: Workspace | None = None) -> Lease | None:
    """Who has the device that a job waits for; None when nobody has, or when the job has it itself."""
    place = workspace or Workspace.current()
    lease = lease_holder(JobStore(place).device(job_id), place)
    return None if lease is not None and lease.holder == f"job {job_id}" else lease


def remove_jobs(ids: Iterable[str] | None = None, workspace: Workspace | None = None) -> list[str]:
    """Forget jobs that are over (all of them without `ids`) with their folders; results stay. The ids removed."""
    place = workspace or Workspace.current()
    store = JobStore(place)
    wanted = [job.id for job in jobs_list(workspace=place) if job.state in OVER] if ids is None else list(ids)
    removed = [job_id for job_id in wanted if store.remove(job_id)]
    for job_id in removed:
        shutil.rmtree(JobFolder(place, job_id).path, ignore_errors=True)
    return removed


def _folder(job_id: str, workspace: Workspace | None) -> JobFolder:
    return JobFolder(workspace or Workspace.current(), job_id)
