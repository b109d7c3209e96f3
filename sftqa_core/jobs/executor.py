"""What every executor does: take work, say how it stands, change the queue. And a fake without processes, for tests of what uses one.

tests/jobs holds the contract that all executors keep. The first one, local.py, runs jobs on this machine.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from sftqa_core.errors import NotFound, SftqaError, Stopped
from sftqa_core.jobs.queue import moved_ids, new_job, now, pool_of
from sftqa_core.progress import Progress, Recorder, Reporter
from sftqa_core.records import ACTIVE, OVER, Job

RESUMABLE = ("failed", "cancelled")
Span = tuple[float, float]  # seconds at best and at worst


@dataclass(frozen=True)
class Waiting:
    """A queued job."""

    job: Job
    position: int  # 1: starts next of those that wait for the same kind of device
    starts_in_s: Span | None  # as if one device did all; None when not known
    holder: str | None = None  # who holds the kind of device that it waits for; None when nobody does, or when it needs none


class Executor(Protocol):
    """Runs jobs somewhere, one after the other on each device. Looking is cheap enough for every redraw of a page."""

    def submit(self, kind: str, settings: dict[str, Any], key: str | None = None, expected_s: Sequence[float] = ()) -> Job:
        """Queue a job; with a `key` that was used before, return that job instead. Raises `SettingsError`.

        `expected_s`: the seconds it is forecast to take, at best and at worst.
        """

    def status(self, job_id: str) -> Job:
        """How a job stands. Raises `NotFound`."""

    def jobs(self, limit: int | None = None, kind: str | None = None, states: Sequence[str] | None = None) -> list[Job]:
        """Jobs, the newest first; with `kind` or `states` only those."""

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state that any is in."""

    def stamp(self) -> str:
        """Changes whenever a job ends, is continued or is removed: part of the key of everything a job can change."""

    def queue(self) -> list[Waiting]:
        """Queued jobs in the order in which they start."""

    def log(self, job_id: str, lines: int = 200) -> list[str]:
        """The last lines of a job's log; empty before there are any. Raises `NotFound` for what is no job's name."""

    def progress_since(self, job_id: str, offset: int = 0) -> tuple[list[Progress], int]:
        """A job's progress after `offset` (0, or what the last call returned) and the next offset. Raises as `log` does."""

    def cancel(self, job_id: str, turn: int | None = None) -> Job:
        """Take a job out of the queue, or ask it to stop; one that is over stays as it is. Raises `NotFound`.

        With `turn`, only while the job is in that turn: a page left open since must not end what was started later.
        """

    def resume(self, job_id: str) -> Job:
        """Queue a failed or cancelled job again, to go on from what is kept; any other stays as it is. Raises `NotFound`."""

    def move(self, job_id: str, where: str) -> bool:
        """Move a queued job "first", "up", "down" or "last"; whether its place changed."""

    def empty(self) -> list[str]:
        """Cancel every queued job; their ids."""

    def remove(self, ids: Iterable[str] | None = None) -> list[str]:
        """Forget jobs that are over (all of them without `ids`) with their logs; results stay. The ids removed."""

    def wake(self) -> bool:
        """Resume a queue that has no worker, as after a restart; whether that was needed. Cheap where there is nothing to do."""


def waiting_jobs(running: Iterable[Job], queued: Iterable[Job], holder: Callable[[Job], str | None]) -> list[Waiting]:
    """Queued jobs with the time until they start, where the forecasts of the jobs before them give one."""
    until_s: dict[str, Span | None] = dict.fromkeys(("cpu", "gpu", "network", "cluster"), (0.0, 0.0))
    positions: Counter[str] = Counter()
    for job in running:
        pool = pool_of(job.kind, job.gpus, job.cluster)
        until_s[pool] = _sum(until_s[pool], left_s(job))
    waiting = []
    for job in queued:
        pool = pool_of(job.kind, job.gpus, job.cluster)
        positions[pool] += 1
        waiting.append(Waiting(job, positions[pool], until_s[pool], holder(job)))
        until_s[pool] = _sum(until_s[pool], _forecast_s(job))
    return waiting


def next_start(executor: Executor, kind: str, gpus: int = 0, cluster: str = "") -> tuple[int, int, Span | None]:
    """What a job of this kind would find if it were queued now (for the cluster at that address, if any): how many run on the device that
    it waits for, how many are queued before it, and in how many seconds it would start (None where that is not known)."""
    running, queued = executor.jobs(states=("running", "stopping")), [waiting.job for waiting in executor.queue()]
    mine = dataclasses.replace(new_job(kind, {}), gpus=gpus, cluster=cluster)
    waits = waiting_jobs(running, [*queued, mine], lambda job: None)[-1]
    beside = sum(pool_of(job.kind, job.gpus, job.cluster) == pool_of(kind, gpus, cluster) for job in running)
    return beside, waits.position - 1, waits.starts_in_s


def _forecast_s(job: Job) -> Span | None:
    return (job.expected_s[0], job.expected_s[1]) if len(job.expected_s) == 2 else None


def left_s(job: Job, reported_s: float | None = None) -> Span | None:
    """Seconds that are left of a running job by its forecast, and no fewer than it reports itself (`reported_s`, of its present phase)."""
    expected = _forecast_s(job)
    if expected is None or job.started is None:
        return None
    spent = (datetime.now(UTC) - datetime.fromisoformat(job.started)).total_seconds()
    least = reported_s or 0.0
    return (max(expected[0] - spent, least), max(expected[1] - spent, least))


def _sum(first: Span | None, second: Span | None) -> Span | None:
    return None if first is None or second is None else (first[0] + second[0], first[1] + second[1])


class FakeExecutor(Executor):
    """Keeps jobs in memory; nothing runs until `run_all` is called. Jobs that a test puts into `kept` stay as they are."""

    def __init__(self, run_job: Callable[[str, dict[str, Any], Reporter, str], str] = lambda *arguments: "result"):
        self.kept: dict[str, Job] = {}  # in the order in which they start
        self.reports: dict[str, Recorder] = {}  # job id -> what it reported
        self._keys: dict[str, str] = {}
        self._run_job = run_job

    def submit(self, kind: str, settings: dict[str, Any], key: str | None = None, expected_s: Sequence[float] = ()) -> Job:
        if key is not None and key in self._keys:
            return self.kept[self._keys[key]]
        job = new_job(kind, settings, expected_s)
        if key is not None:
            self._keys[key] = job.id
        return self.put(job)

    def put(self, job: Job, **changes: Any) -> Job:
        """Keep a job as it stands, with `changes`."""
        self.kept[job.id] = dataclasses.replace(job, **changes)
        return self.kept[job.id]

    def status(self, job_id: str) -> Job:
        if job_id not in self.kept:
            raise NotFound(f"There is no job {job_id!r}. 'sftqa jobs' lists those that exist.")
        return self.kept[job_id]

    def jobs(self, limit: int | None = None, kind: str | None = None, states: Sequence[str] | None = None) -> list[Job]:
        newest = sorted(self.kept.values(), key=lambda job: job.created)[::-1]
        return [job for job in newest if kind in (None, job.kind) and (states is None or job.state in states)][:limit]

    def counts(self) -> dict[str, int]:
        return dict(Counter(job.state for job in self.kept.values()))

    def stamp(self) -> str:
        return str([(job.id, job.turn) for job in self.kept.values() if job.finished])

    def queue(self) -> list[Waiting]:
        running = [job for job in self.kept.values() if job.state in ACTIVE and job.state != "queued"]
        return waiting_jobs(running, self._queued(), lambda job: None)

    def log(self, job_id: str, lines: int = 200) -> list[str]:
        return self._report(job_id).lines[-lines:]

    def progress_since(self, job_id: str, offset: int = 0) -> tuple[list[Progress], int]:
        updates = self._report(job_id).updates
        return updates[offset:], len(updates)

    def cancel(self, job_id: str, turn: int | None = None) -> Job:
        job = self.status(job_id)
        if turn not in (None, job.turn) or job.state not in ("queued", "running"):
            return job
        return self.put(job, state="cancelled", finished=now()) if job.state == "queued" else self.put(job, state="stopping")

    def resume(self, job_id: str) -> Job:
        job = self.status(job_id)
        if job.state not in RESUMABLE:
            return job
        del self.kept[job_id]  # it comes in again at the queue's end
        return self.put(job, state="queued", turn=job.turn + 1, started=None, finished=None, error=None, reason=None)

    def move(self, job_id: str, where: str) -> bool:
        ids = [job.id for job in self._queued()]
        moved = moved_ids(ids, job_id, where)
        taken = {name: self.kept.pop(name) for name in ids}
        self.kept |= {name: taken[name] for name in moved}
        return moved != ids

    def empty(self) -> list[str]:
        return [self.cancel(job.id).id for job in self._queued()]

    def remove(self, ids: Iterable[str] | None = None) -> list[str]:
        over = [job.id for job in self.jobs(states=OVER)]
        removed = over if ids is None else [job_id for job_id in ids if job_id in over]
        for job_id in removed:
            del self.kept[job_id]
            self.reports.pop(job_id, None)
        return removed

    def wake(self) -> bool:
        return False

    def run_all(self) -> None:
        """Run what is queued, in order, in this thread."""
        for job in self._queued():
            running = self.put(job, state="running", started=now())
            try:
                result = self._run_job(job.kind, job.settings, self.reports.setdefault(job.id, Recorder()), job.id)
                self.put(running, state="done", result=result, finished=now())
            except Stopped as error:
                self.put(running, state="cancelled", error=str(error), finished=now())
            except SftqaError as error:
                self.put(running, state="failed", error=str(error), finished=now())
            except Exception as error:
                self.put(running, state="failed", error=f"{type(error).__name__}: {error}", finished=now())

    def _queued(self) -> list[Job]:
        return [job for job in self.kept.values() if job.state == "queued"]

    def _report(self, job_id: str) -> Recorder:
        return self.reports.get(self.status(job_id).id, Recorder())
