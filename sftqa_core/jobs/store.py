"""The queue: which jobs there are, in which order, and how each one stands. Progress and logs are files.

Every change is one immediate transaction and names the state it starts from, so that a page, a worker and a job's
own process can all write without undoing each other.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sftqa_core.errors import NotFound
from sftqa_core.jobs.database import changing, reading
from sftqa_core.jobs.process import ProcessId
from sftqa_core.records import Job
from sftqa_core.workspace import Workspace

OVER = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Claim:
    """A job that is running or stopping, as the worker sees it."""

    id: str
    state: str
    device: str
    cwd: str  # where it was submitted: what a relative path in its settings is relative to
    attempt: int  # how often it was claimed; a process of an earlier attempt may not write
    begun: bool  # its own process has reported; until then `process` is the worker that claimed it
    process: ProcessId


class JobStore:
    """The queue of one workspace. Every call opens its own connection, so threads and processes may share it."""

    def __init__(self, workspace: Workspace):
        self.path = workspace.state / "jobs.sqlite"
        self.beat = workspace.state / "worker.alive"  # the worker touches it while it lives
        self._jobs = workspace.jobs

    # --- what people do

    def insert(self, job: Job, device: str, cwd: str, key: str | None = None) -> Job:
        """Put a job at the queue's end, or return the one that was submitted with the same `key`."""
        values = (job.id, key, job.kind, json.dumps(job.settings), device, cwd, job.created)
        with changing(self.path) as db:
            known = db.execute("SELECT * FROM jobs WHERE submission = ?", (key,)).fetchone() if key else None
            if known is not None:
                return self._job(known)
            columns = "id, submission, kind, settings, device, cwd, created, state"
            db.execute(f"INSERT INTO jobs ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, 'queued')", values)
        return job

    def get(self, job_id: str) -> Job:
        """One job. Raises `NotFound`."""
        with reading(self.path) as db:
            row = db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise NotFound(f"There is no job {job_id!r}. 'sftqa jobs' lists those that exist.")
        return self._job(row)

    def jobs(self, limit: int | None = None) -> list[Job]:
        """Jobs, the newest first."""
        with reading(self.path) as db:
            rows = db.execute("SELECT * FROM jobs ORDER BY seq DESC LIMIT ?", (-1 if limit is None else limit,)).fetchall()
        return [self._job(row) for row in rows]

    def cancel(self, job_id: str) -> Job:
        """A queued job is cancelled, a running one is 'stopping', any other stays as it is. Raises `NotFound`."""
        with changing(self.path) as db:
            db.execute("UPDATE jobs SET state = 'cancelled', finished = ? WHERE id = ? AND state = 'queued'", (now(), job_id))
            db.execute("UPDATE jobs SET state = 'stopping' WHERE id = ? AND state = 'running'", (job_id,))
        return self.get(job_id)

    def position(self, job_id: str) -> int | None:
        """1 for the job that starts next on its device, 2 for the one after it; None when it is not queued."""
        with reading(self.path) as db:
            row = db.execute(
                """SELECT count(*) FROM jobs AS ahead, jobs AS mine WHERE mine.id = ? AND mine.state = 'queued'
                   AND ahead.state = 'queued' AND ahead.device = mine.device AND ahead.seq <= mine.seq""",
                (job_id,),
            ).fetchone()
        return row[0] or None

    def device(self, job_id: str) -> str:
        """The device a job has or waits for. Raises `NotFound`."""
        with reading(self.path) as db:
            row = db.execute("SELECT device FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise NotFound(f"There is no job {job_id!r}. 'sftqa jobs' lists those that exist.")
        return row[0]

    def remove(self, job_id: str) -> bool:
        """Forget a job that is over; False when it is not, or is not there."""
        with changing(self.path) as db:
            gone = db.execute("DELETE FROM jobs WHERE id = ? AND state IN ('done', 'failed', 'cancelled')", (job_id,))
        return gone.rowcount == 1

    # --- what the worker does

    def claim(self, worker: ProcessId, busy: Collection[str] = ()) -> Claim | None:
        """Make the oldest queued job running whose device no job has and `busy` does not name; None without one."""
        unwanted = ", ".join("?" * len(busy))
        with changing(self.path) as db:  # no RETURNING: SQLite before 3.35 does not know it
            row = db.execute(
                f"""SELECT id FROM jobs WHERE state = 'queued' AND device NOT IN ({unwanted})
                    AND device NOT IN (SELECT device FROM jobs WHERE state IN ('running', 'stopping')) ORDER BY seq LIMIT 1""",
                tuple(busy),
            ).fetchone()
            if row is None:
                return None
            db.execute(
                "UPDATE jobs SET state = 'running', started = ?, attempt = attempt + 1, begun = 0, process = ? WHERE id = ?",
                (now(), _text(worker), row["id"]),
            )
            return _claim(db.execute("SELECT * FROM jobs WHERE id = ?", (row["id"],)).fetchone())

    def active(self) -> list[Claim]:
        """Jobs that are running or stopping, the oldest first."""
        with reading(self.path) as db:
            return [_claim(row) for row in db.execute("SELECT * FROM jobs WHERE state IN ('running', 'stopping') ORDER BY seq")]

    def queued_devices(self) -> list[str]:
        """Devices that queued jobs wait for."""
        with reading(self.path) as db:
            return [row[0] for row in db.execute("SELECT DISTINCT device FROM jobs WHERE state = 'queued' ORDER BY device")]

    def requeue(self, claim: Claim) -> bool:
        """Put a claimed job whose own process never reported back in its old place."""
        with changing(self.path) as db:
            done = db.execute(
                """UPDATE jobs SET state = 'queued', started = NULL, process = NULL
                   WHERE id = ? AND attempt = ? AND begun = 0 AND state = 'running'""",
                (claim.id, claim.attempt),
            )
        return done.rowcount == 1

    def register(self, worker: ProcessId) -> bool:
        """Become the workspace's one worker; False when another one lives."""
        with changing(self.path) as db:
            known = _worker(db)
            if known is not None and known != worker and known.alive(self.beat):
                return False
            db.execute("INSERT OR REPLACE INTO worker (only, process) VALUES (1, ?)", (_text(worker),))
        return True

    def retire(self, worker: ProcessId) -> bool:
        """Stop being the worker, unless there is work: then False.

        A job is inserted either before this (and seen here) or after it (and its submitter sees no worker).
        """
        with changing(self.path) as db:
            if db.execute("SELECT 1 FROM jobs WHERE state IN ('queued', 'running', 'stopping') LIMIT 1").fetchone():
                return False
            db.execute("DELETE FROM worker WHERE process = ?", (_text(worker),))
        return True

    def worker(self) -> ProcessId | None:
        """The registered worker if it lives."""
        with reading(self.path) as db:
            known = _worker(db)
        return known if known is not None and known.alive(self.beat) else None

    # --- what a job's own process does

    def begin(self, job_id: str, attempt: int, process: ProcessId) -> Job | None:
        """Report the job's own process; None when this attempt is no longer wanted."""
        with changing(self.path) as db:
            done = db.execute(
                """UPDATE jobs SET process = ?, begun = 1 WHERE id = ? AND attempt = ? AND begun = 0
                   AND state IN ('running', 'stopping')""",
                (_text(process), job_id, attempt),
            )
        return self.get(job_id) if done.rowcount == 1 else None

    def finish(self, job_id: str, attempt: int, state: str, result: str | None = None, error: str | None = None) -> bool:
        """Write how this attempt ended (one of `OVER`); False when that was already written."""
        with changing(self.path) as db:
            done = db.execute(
                """UPDATE jobs SET state = ?, result = ?, error = ?, finished = ?
                   WHERE id = ? AND attempt = ? AND state IN ('running', 'stopping')""",
                (state, result, error, now(), job_id, attempt),
            )
        return done.rowcount == 1

    def _job(self, row: sqlite3.Row) -> Job:
        fields: dict[str, Any] = {name: row[name] for name in ("id", "kind", "state", "created", "started", "finished", "result", "error")}
        return Job(settings=json.loads(row["settings"]), folder=str(self._jobs / row["id"]), **fields)


def now() -> str:
    """The time as ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _text(process: ProcessId) -> str:
    return json.dumps(process.to_dict())


def _worker(db: sqlite3.Connection) -> ProcessId | None:
    row = db.execute("SELECT process FROM worker").fetchone()
    return None if row is None else ProcessId.from_dict(json.loads(row[0]))


def _claim(row: sqlite3.Row) -> Claim:
    process = ProcessId.from_dict(json.loads(row["process"]))
    return Claim(row["id"], row["state"], row["device"], row["cwd"], row["attempt"], bool(row["begun"]), process)
