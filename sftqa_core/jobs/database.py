"""The queue's SQLite file: opened per call, migrated by number, changed only in immediate transactions."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from sftqa_core.errors import ArtifactDamaged, SftqaError, reason

BUSY_S = 15.0  # how long a writer waits for another one
_whole: dict[Path, tuple[int, int, int]] = {}  # queue -> the state of its file that was checked and is intact
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE jobs (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, submission TEXT UNIQUE, kind TEXT NOT NULL,
            settings TEXT NOT NULL, device TEXT NOT NULL, cwd TEXT NOT NULL, state TEXT NOT NULL, created TEXT NOT NULL,
            started TEXT, finished TEXT, result TEXT, error TEXT,
            attempt INTEGER NOT NULL DEFAULT 0, begun INTEGER NOT NULL DEFAULT 0, process TEXT,
            CHECK (state IN ('queued', 'running', 'stopping', 'done', 'failed', 'cancelled')))""",
        "CREATE INDEX jobs_by_state ON jobs (state, seq)",
        "CREATE TABLE worker (only INTEGER PRIMARY KEY CHECK (only = 1), process TEXT NOT NULL)",
    ),
    (  # the queue's order apart from the order of submission, resources in place of one device, turns
        "ALTER TABLE jobs ADD COLUMN place REAL NOT NULL DEFAULT 0",
        "ALTER TABLE jobs ADD COLUMN gpus INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE jobs ADD COLUMN turn INTEGER NOT NULL DEFAULT 1",
        "ALTER TABLE jobs ADD COLUMN tries INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE jobs ADD COLUMN reason TEXT",
        "ALTER TABLE jobs ADD COLUMN expected TEXT NOT NULL DEFAULT '[]'",
        "UPDATE jobs SET place = seq, gpus = device LIKE 'cuda%', tries = attempt",
        "CREATE INDEX jobs_by_place ON jobs (state, place)",
    ),
)


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for one call. SQLite's errors leave as `SftqaError` or, for a broken file, `ArtifactDamaged`."""
    db = None
    try:
        db = _open(path)
        yield db
    except (sqlite3.OperationalError, OSError) as error:
        advice = "Check the disk's free space and the folder's rights."
        if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            advice = f"Another process has held it for {BUSY_S:.0f} seconds: wake or end one that is suspended (T in ps), then try again."
        raise SftqaError(f"The job queue {path} cannot be used now: {reason(error)}. {advice}") from error
    except sqlite3.DatabaseError as error:
        raise ArtifactDamaged(f"The job queue {path} is damaged: {error}. Try again: it is rebuilt from the jobs' folders.") from error
    finally:
        if db is not None:
            db.close()


@contextmanager
def changing(path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction that locks out other writers from its start and is undone by any exception."""
    with reading(path) as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
        except BaseException:
            if db.in_transaction:  # some errors (a full disk) have undone it already
                db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    try:
        db.row_factory = sqlite3.Row
        _check(db, path)
        if _version(db) != len(MIGRATIONS):
            _migrate(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _check(db: sqlite3.Connection, path: Path) -> None:
    """Raise `sqlite3.DatabaseError` for a file that is damaged anywhere; each state of the file is checked once."""
    stat = path.stat()
    state = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
    if _whole.get(path) == state:
        return
    verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    _whole[path] = state


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    with FileLock(path.with_suffix(".lock")):  # SQLite does not wait when two change the journal mode at once
        if _version(db) > len(MIGRATIONS):
            raise SftqaError(f"The job queue {path} was written by a newer version. Use that version or another SFTQA_STATE folder.")
        db.execute("PRAGMA journal_mode = WAL")
        for number in range(_version(db), len(MIGRATIONS)):
            db.execute("BEGIN IMMEDIATE")
            for statement in MIGRATIONS[number]:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number + 1}")
            db.execute("COMMIT")


def _version(db: sqlite3.Connection) -> int:
    return db.execute("PRAGMA user_version").fetchone()[0]
