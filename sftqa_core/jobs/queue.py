"""The queue: which jobs there are, in which order, and how each one stands. Progress and logs are files (job_folder.py).

Every change is one immediate transaction and names the state it starts from, so that a page, a worker and a job's own process can all
write without undoing each other. Reading any row gives a record, even a damaged one: one bad row must not hide the others.
"""

import contextlib
import json
import logging
import re
import secrets
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sftqa_core.artifacts import write_json
from sftqa_core.errors import NotFound, SettingsError, SftqaError
from sftqa_core.jobs.database import changing, reading
from sftqa_core.models.devices import numbered
from sftqa_core.models.serving.addresses import device_for
from sftqa_core.processes import ProcessId
from sftqa_core.records import ACTIVE, DEVICELESS, MOVES, OVER, Job, Resources
from sftqa_core.workspace import Workspace

STATES = (*ACTIVE, *OVER)
_ID = re.compile(r"[a-z][a-z0-9_]*-\d{8}-\d{6}-[0-9a-f]{8}")  # what `new_job` makes; nothing else may become a path
_PLAIN = ("id", "kind", "state", "created", "started", "finished", "result", "error", "turn", "gpus", "reason")
_UNREADABLE = (ValueError, TypeError, RecursionError, SettingsError)
CLUSTER = "cluster "  # before a cluster's address in the column `device`
NETWORK = 3  # jobs of DEVICELESS at once: more would only share the line
_END = ("state", "started", "finished", "result", "error", "reason", "turn")  # columns that say how a job ended
_AT_THE_END = "(SELECT coalesce(max(place), 0) + 1 FROM jobs)"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claim:
    """A job that is running or stopping, as the worker sees it."""

    id: str
    kind: str
    state: str
    needs: Resources
    cwd: str  # where it was submitted: what a relative path in its settings is relative to
    attempt: int  # how often it was claimed; a process of an earlier attempt may not write
    tries: int  # how often in this turn
    begun: bool  # its own process has reported; until then `process` is the worker that claimed it
    process: ProcessId


def is_job_id(job_id: Any) -> bool:
    """Whether this is a name that the program gives to jobs; rows with other names are ignored."""
    return isinstance(job_id, str) and _ID.fullmatch(job_id) is not None


@lru_cache(maxsize=2_000)
def _job(plain: tuple[Any, ...], settings: str, expected: str, folder: str, cluster: str) -> Job:
    """An unchanged row is not parsed again: pages look at the whole queue every other second."""
    columns: dict[str, Any] = dict(zip(_PLAIN, plain, strict=True)) | {"folder": folder, "cluster": cluster}
    return Job.from_dict({**columns, "settings": json.loads(settings), "expected_s": json.loads(expected)})


def claim_of(row: sqlite3.Row) -> Claim:
    """A row as the worker sees it."""
    attempt = (row["attempt"], row["tries"], bool(row["begun"]), process_of(row["process"]))
    return Claim(row["id"], row["kind"], row["state"], needs_of(row), str(row["cwd"]), *attempt)


def pool_of(kind: str, gpus: int, cluster: str = "") -> str:
    """What a job waits for: "cpu", "gpu", "cluster" (one job at a time, on all of its devices), or "network" for work that takes none."""
    return "network" if kind in DEVICELESS else "cluster" if cluster else "gpu" if gpus else "cpu"


def asked_device(kind: str, settings: Mapping[str, Any]) -> str:
    """The device setting of a job: auto where it names none, the processor's where it takes none, or its models are on servers."""
    work = asked_work(settings)
    several = work.get("models")
    models = [work.get("model"), *(several if isinstance(several, (list, tuple)) else ())]
    device = device_for(str(work.get("device", "auto")), [name for name in models if isinstance(name, str)])
    return "cpu" if kind in DEVICELESS else device


def asked_work(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where a job's settings say what it needs: a sweep is made of runs like its one."""
    run = settings.get("run")
    return run if isinstance(run, dict) else settings


def needs_of(row: sqlite3.Row) -> Resources:
    """What a row's job needs of the machine; which GPU, its settings say."""
    try:
        gpus = int(row["gpus"])
        if cluster := _cluster(row):
            return Resources(0, cluster=cluster)
        return Resources(gpus, numbered(asked_device(row["kind"], json.loads(row["settings"])))[1] if gpus == 1 else "")
    except _UNREADABLE:
        return Resources()


def _cluster(row: sqlite3.Row) -> str:
    """The address of the cluster that a row's job goes to: it stands where others have the kind of device."""
    return str(row["device"]).removeprefix(CLUSTER) if str(row["device"]).startswith(CLUSTER) else ""


def process_of(text: Any) -> ProcessId:
    """The process that a row names; one that never lived where that is damaged, so that its job is settled as dead."""
    try:
        return ProcessId.from_dict(json.loads(text))
    except _UNREADABLE:
        return ProcessId.nobody()


class JobStore:
    """The queue of one workspace. Every call opens its own connection, so threads and processes may share it."""

    def __init__(self, workspace: Workspace):
        self.path = workspace.state / "jobs.sqlite"
        self.beat = workspace.state / "worker.alive"  # the worker touches it while it lives
        self._jobs = workspace.jobs

    # --- what people do

    def insert(self, job: Job, needs: Resources, cwd: str, key: str | None = None) -> Job:
        """Put a job at the queue's end, or return the one that was submitted with the same `key`."""
        settings, expected = json.dumps(job.settings), json.dumps(job.expected_s)
        device = f"{CLUSTER}{needs.cluster}" if needs.cluster else pool_of(job.kind, needs.gpus)
        values = (job.id, key, job.kind, settings, device, cwd, job.created, expected, needs.gpus, job.state)
        with changing(self.path) as db:
            known = db.execute("SELECT * FROM jobs WHERE submission = ?", (key,)).fetchone() if key else None
            if known is not None:
                return self._job(known)
            columns = "id, submission, kind, settings, device, cwd, created, expected, gpus, state, place"
            db.execute(f"INSERT INTO jobs ({columns}) VALUES ({', '.join('?' * len(values))}, {_AT_THE_END})", values)
        return job

    def get(self, job_id: str) -> Job:
        """One job. Raises `NotFound`."""
        return self._job(self._row(job_id))

    def jobs(self, limit: int | None = None, kind: str | None = None, states: Sequence[str] | None = None) -> list[Job]:
        """Jobs, the newest first; with `kind` or `states` only those."""
        chosen = f"(? IS NULL OR kind = ?) AND state IN ({', '.join('?' * len(states or STATES))})"
        values = (kind, kind, *(states or STATES), -1 if limit is None else limit)
        with reading(self.path) as db:
            rows = db.execute(f"SELECT * FROM jobs WHERE {chosen} ORDER BY seq DESC LIMIT ?", values).fetchall()
        return [self._job(row) for row in rows if is_job_id(row["id"])]

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state that any is in."""
        with reading(self.path) as db:
            return {row["state"]: row["jobs"] for row in db.execute("SELECT state, count(*) AS jobs FROM jobs GROUP BY state")}

    def stamp(self) -> str:
        """Changes whenever a job ends, is continued or is removed."""
        with reading(self.path) as db:
            row = db.execute("SELECT count(*), coalesce(max(finished), ''), coalesce(sum(turn), 0) FROM jobs WHERE finished IS NOT NULL")
            return " ".join(map(str, row.fetchone()))

    def queued(self) -> list[Job]:
        """Queued jobs in the order in which they start."""
        with reading(self.path) as db:
            rows = db.execute("SELECT * FROM jobs WHERE state = 'queued' ORDER BY place").fetchall()
        return [self._job(row) for row in rows if is_job_id(row["id"])]

    def cancel(self, job_id: str, turn: int | None = None) -> Job:
        """A queued job is cancelled, a running one is 'stopping', any other stays as it is. Raises `NotFound`.

        With `turn`, only if the job is still in that turn: a page left open since must not end what was started later.
        """
        mine = "id = ? AND (? IS NULL OR turn = ?)"
        with changing(self.path) as db:
            db.execute(f"UPDATE jobs SET state = 'cancelled', finished = ? WHERE {mine} AND state = 'queued'", (now(), job_id, turn, turn))
            db.execute(f"UPDATE jobs SET state = 'stopping' WHERE {mine} AND state = 'running'", (job_id, turn, turn))
        return self.get(job_id)

    def resume(self, job_id: str) -> Job:
        """Put a failed or cancelled job at the queue's end again; any other stays as it is. Raises `NotFound`."""
        with changing(self.path) as db:
            db.execute(
                f"""UPDATE jobs SET state = 'queued', turn = turn + 1, tries = 0, place = {_AT_THE_END}, begun = 0, process = NULL,
                    started = NULL, finished = NULL, error = NULL, reason = NULL WHERE id = ? AND state IN ('failed', 'cancelled')""",
                (job_id,),
            )
        return self.get(job_id)

    def move(self, job_id: str, where: str) -> bool:
        """Change a queued job's place: `where` is one of `MOVES`; False when it is not queued any more, or there already."""
        with changing(self.path) as db:
            rows = db.execute("SELECT id, place FROM jobs WHERE state = 'queued' ORDER BY place").fetchall()
            ids = [row["id"] for row in rows]
            moved = moved_ids(ids, job_id, where)
            places = [(row["place"], name) for row, name in zip(rows, moved, strict=True)]
            db.executemany("UPDATE jobs SET place = ? WHERE id = ?", places)
        return moved != ids

    def empty(self) -> list[str]:
        """Cancel all queued jobs; their ids."""
        with changing(self.path) as db:
            ids = [row["id"] for row in db.execute("SELECT id FROM jobs WHERE state = 'queued'")]
            db.execute("UPDATE jobs SET state = 'cancelled', finished = ? WHERE state = 'queued'", (now(),))
        return ids

    def needs(self, job_id: str) -> Resources:
        """What a job needs of the machine. Raises `NotFound`."""
        return needs_of(self._row(job_id))

    def remove(self, job_id: str) -> bool:
        """Forget a job that is over; False when it is not, or is not there."""
        with changing(self.path) as db:
            gone = db.execute("DELETE FROM jobs WHERE id = ? AND state IN ('done', 'failed', 'cancelled')", (job_id,))
        return gone.rowcount == 1

    # --- what the worker does

    def claim(self, worker: ProcessId, free: dict[str, int], there: dict[str, int], held: Collection[str] = ()) -> Claim | None:
        """Make the first queued job running whose needs are free ("cpu", "gpu", "network", "cluster" -> how many, `held`: numbers of GPUs
        that are taken); None without one.

        A job that does not fit lets none of its kind pass: many small ones would keep a large one waiting for ever. One that
        needs more than is `there` at all is claimed, too: its process then says what is missing. One that waits for a GPU by its number
        lets others pass, but those that name the same.
        """
        left, awaited = dict(free), set(held)
        with changing(self.path) as db:  # no RETURNING: SQLite before 3.35 does not know it
            for row in db.execute("SELECT * FROM jobs WHERE state = 'queued' ORDER BY place").fetchall():
                needs = needs_of(row)
                pool = pool_of(row["kind"], needs.gpus, needs.cluster)
                if not is_job_id(row["id"]):
                    continue
                if needs.gpu and needs.gpu in awaited:
                    continue
                if left[pool] >= max(needs.gpus, 1) or needs.gpus > there["gpu"]:
                    db.execute(
                        """UPDATE jobs SET state = 'running', started = ?, attempt = attempt + 1, tries = tries + 1, begun = 0,
                           error = NULL, process = ? WHERE id = ?""",
                        (now(), _text(worker), row["id"]),
                    )
                    return claim_of(db.execute("SELECT * FROM jobs WHERE id = ?", (row["id"],)).fetchone())
                if needs.gpu:
                    awaited.add(needs.gpu)
                else:
                    left[pool] = 0
        return None

    def active(self) -> list[Claim]:
        """Jobs that are running or stopping, the oldest first."""
        with reading(self.path) as db:
            rows = db.execute("SELECT * FROM jobs WHERE state IN ('running', 'stopping') ORDER BY seq").fetchall()
        return [claim_of(row) for row in rows if is_job_id(row["id"])]

    def waiting(self) -> bool:
        """Whether any job is queued."""
        with reading(self.path) as db:
            return db.execute("SELECT 1 FROM jobs WHERE state = 'queued' LIMIT 1").fetchone() is not None

    def requeue(self, claim: Claim, why: str | None = None) -> bool:
        """Put a claimed job whose process is gone in its old place; `why` is shown to whoever looks."""
        with changing(self.path) as db:
            done = db.execute(
                """UPDATE jobs SET state = 'queued', started = NULL, process = NULL, begun = 0, error = ?
                   WHERE id = ? AND attempt = ? AND state = 'running'""",
                (why, claim.id, claim.attempt),
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

    def finish(
        self, job_id: str, attempt: int, state: str, result: str | None = None, error: str | None = None, reason: str | None = None
    ) -> bool:
        """Write how this attempt ended (one of `OVER`); False when that was already written.

        It is also written to the job's folder: job_folder.py rebuilds a lost queue from it.
        """
        with changing(self.path) as db:
            done = db.execute(
                """UPDATE jobs SET state = ?, result = ?, error = ?, reason = ?, finished = ?
                   WHERE id = ? AND attempt = ? AND state IN ('running', 'stopping')""",
                (state, result, error, reason, now(), job_id, attempt),
            )
        if done.rowcount == 1:
            end = {name: value for name, value in self.get(job_id).to_dict().items() if name in _END}
            with contextlib.suppress(OSError, SftqaError):  # the queue has it
                write_json(self._jobs / job_id / "end.json", end)
        return done.rowcount == 1

    def put(self, job: Job) -> None:
        """Make a job's row what `job` says of its end."""
        with changing(self.path) as db:
            columns = ", ".join(f"{name} = ?" for name in _END)
            db.execute(f"UPDATE jobs SET {columns} WHERE id = ?", (*(getattr(job, name) for name in _END), job.id))

    def _row(self, job_id: str) -> sqlite3.Row:
        with reading(self.path) as db:
            row = db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise NotFound(f"There is no job {job_id!r}. 'sftqa jobs' lists those that exist.")
        return row

    def _job(self, row: sqlite3.Row) -> Job:
        """A row as people see it."""
        try:
            plain = tuple(row[name] for name in _PLAIN)
            return _job(plain, row["settings"], row["expected"], str(self._jobs / row["id"]), _cluster(row))
        except _UNREADABLE as error:
            _log.warning("The queue's row of %s can't be read: %s", row["id"], error)
            state = row["state"] if row["state"] in OVER else "failed"
            return Job(row["id"], "unreadable", {}, state, str(row["created"]), error=f"This job's row in the queue is damaged: {error}")


def moved_ids(ids: list[str], job_id: str, where: str) -> list[str]:
    """The order after one is moved; unchanged when it is not among them. Raises `SettingsError` unless `where` is one of `MOVES`."""
    if where not in MOVES:
        raise SettingsError(f"A job can be moved {', '.join(MOVES)}, got {where!r}.")
    if job_id not in ids:
        return ids
    at, others = ids.index(job_id), [name for name in ids if name != job_id]
    to = {"first": 0, "up": max(at - 1, 0), "down": at + 1, "last": len(others)}[where]
    return [*others[:to], job_id, *others[to:]]


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


def now() -> str:
    """The time as ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _text(process: ProcessId) -> str:
    return json.dumps(process.to_dict())


def _worker(db: sqlite3.Connection) -> ProcessId | None:
    row = db.execute("SELECT process FROM worker").fetchone()
    return None if row is None else process_of(row[0])
