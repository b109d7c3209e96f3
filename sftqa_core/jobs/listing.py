"""How jobs stand, for pages and the command line: plain functions, cheap enough to be called on every redraw."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from sftqa_core.errors import ArtifactDamaged
from sftqa_core.jobs.job_folder import JobFolder
from sftqa_core.jobs.lease import CPU, Lease, leases
from sftqa_core.jobs.queue import OVER, JobStore, pool_of
from sftqa_core.jobs.recovery import reconcile
from sftqa_core.progress import Progress
from sftqa_core.records import DEVICELESS, Job
from sftqa_core.workspace import Workspace

T = TypeVar("T")


@dataclass(frozen=True)
class Waiting:
    """A queued job."""

    job: Job
    starts_in_s: tuple[float, float] | None  # at best and at worst, as if one device did all; None when not known


def jobs_list(
    limit: int | None = None, workspace: Workspace | None = None, kind: str | None = None, states: Sequence[str] | None = None
) -> list[Job]:
    """Jobs, the newest first, with `kind` or `states` only those; what became of dead processes is settled first."""
    return _asked(workspace, lambda store: store.jobs(limit, kind, states), [])


def job_counts(workspace: Workspace | None = None) -> dict[str, int]:
    """How many jobs are in each state."""
    return _asked(workspace, lambda store: store.counts(), {})


def job_stamp(workspace: Workspace | None = None) -> str:
    """Changes whenever a job ends: part of the key of everything a job can change."""
    return _asked(workspace, lambda store: store.stamp(), "")


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
    """Who has the kind of device that a job waits for; None when nobody has, or when the job has it itself."""
    place = workspace or Workspace.current()
    job = JobStore(place).get(job_id)
    if job.kind in DEVICELESS:
        return None
    wants_gpu = job.gpus > 0
    others = [lease for lease in leases(place) if (lease.slot != CPU) == wants_gpu and lease.holder != f"job {job_id}"]
    return others[0] if others else None


def queue(workspace: Workspace | None = None) -> list[Waiting]:
    """Queued jobs in the order in which they start, with the time until then as far as it is known."""
    place = workspace or Workspace.current()
    store = JobStore(place)
    if not store.path.exists():
        return []
    left: dict[str, tuple[float, float] | None] = dict.fromkeys(("cpu", "gpu", "network"), (0.0, 0.0))
    for claim in store.active():
        job = store.get(claim.id)
        pool = pool_of(job.kind, job.gpus)
        left[pool] = _plus(left[pool], _still(job))
    found = []
    for job in store.queued():
        pool = pool_of(job.kind, job.gpus)
        found.append(Waiting(job, left[pool]))
        left[pool] = _plus(left[pool], _span(job))
    return found


def _span(job: Job) -> tuple[float, float] | None:
    return (job.expected_s[0], job.expected_s[1]) if len(job.expected_s) == 2 else None


def _still(job: Job) -> tuple[float, float] | None:
    """What is left of a running job by its forecast; never less than nothing."""
    expected = _span(job)
    if expected is None or job.started is None:
        return None
    spent = (datetime.now(UTC) - datetime.fromisoformat(job.started)).total_seconds()
    return (max(expected[0] - spent, 0.0), max(expected[1] - spent, 0.0))


def _plus(one: tuple[float, float] | None, other: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if one is None or other is None else (one[0] + other[0], one[1] + other[1])


def remove_jobs(ids: Iterable[str] | None = None, workspace: Workspace | None = None) -> list[str]:
    """Forget jobs that are over (all of them without `ids`) with their folders; results stay. The ids removed."""
    place = workspace or Workspace.current()
    store = JobStore(place)
    wanted = [job.id for job in jobs_list(workspace=place) if job.state in OVER] if ids is None else list(ids)
    removed = [job_id for job_id in wanted if store.remove(job_id)]
    for job_id in removed:
        shutil.rmtree(JobFolder(place, job_id).path, ignore_errors=True)
    return removed


def _asked(workspace: Workspace | None, question: Callable[[JobStore], T], without: T) -> T:
    """What the queue answers; `without` where there is none. One that proves damaged is made anew and asked again."""
    place = workspace or Workspace.current()
    store = _settled(place)
    if store is None:
        return without
    try:
        return question(store)
    except ArtifactDamaged:
        reconcile(place)
        return question(store)


def _settled(place: Workspace) -> JobStore | None:
    """The queue, with dead processes' jobs settled; None where there is none: looking must not create a state folder."""
    store = JobStore(place)
    if not store.path.exists():
        return None
    if time.monotonic() - _reconciled.get(place.state, -_LOOK_S) >= _LOOK_S:
        reconcile(place)
        _reconciled[place.state] = time.monotonic()
    return store


_LOOK_S = 1.0  # how often is looked for jobs whose process died without a word
_reconciled: dict[Path, float] = {}


def _folder(job_id: str, workspace: Workspace | None) -> JobFolder:
    return JobFolder(workspace or Workspace.current(), job_id)
