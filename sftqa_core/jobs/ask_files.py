"""The queue of questions and their replies as files, and how the process that answers them (asker.py) is started.

    <state>/asks/queue/      one ticket a question: its columns; the name says its place in the queue. Who removes a ticket cancels it
                 replies/    one file a column, named by its key: the reply, or why there is none; kept for a day
                 service.json    the process that answers, what it does and what it has loaded; `door.lock` guards its coming and going
                 log.txt     its output

Every file is written whole (renamed into place) and lost without harm, so nothing waits for the disk.
"""

import contextlib
import itertools
import json
import os
import secrets
import subprocess
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from sftqa_core import processes
from sftqa_core.artifacts import read_json, storing
from sftqa_core.errors import SettingsError, SftqaError
from sftqa_core.jobs.ask_service import AskService, ServiceState, Standing
from sftqa_core.jsonrecord import Record
from sftqa_core.processes import ProcessId, our_environment
from sftqa_core.records import Column, Reply
from sftqa_core.records.asking import Warm
from sftqa_core.workspace import Workspace

MOST_WAITING = 50  # questions in the queue: nobody waits for the fifty-first
KEPT_S, MOST_KEPT = 24 * 3600.0, 1000  # replies are kept so long, and so many of them
TICKET_S = 3600.0  # a question that nobody answered by then is dropped
_LOG_BYTES = 1024 * 1024
_LOCK_S = 10.0
_MOST_BYTES = 4_000_000  # of one of these files
_started: list[subprocess.Popen] = []  # kept so that a finished process is reaped and does not stay a zombie
_numbers = itertools.count()
T = TypeVar("T", bound=Record)


@dataclass(frozen=True)
class AskTiming(Record):
    """The asking process's clock, in seconds; tests make it short."""

    poll_s: float = 0.02
    idle_s: float = 300.0  # without a question for so long it leaves, and what it has loaded with it


@dataclass(frozen=True)
class Ticket(Record):
    """One question in the queue."""

    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Doing(Record):
    """What the asking process does now."""

    ticket: str = ""  # the ticket's name; empty while there is none
    key: str = ""  # the column's
    said: str = ""
    holder: str = ""  # who has the device that it waits for
    over: tuple[str, ...] = ()  # keys of the ticket's columns that have ended


@dataclass(frozen=True)
class Service(Record):
    """service.json."""

    process: ProcessId
    doing: Doing = field(default_factory=Doing)
    held: tuple[Warm, ...] = ()
    ram_bytes: int = 0
    cut_off: str = ""  # ticket that the process before this one was answering when it died


@dataclass(frozen=True)
class KeptReply(Record):
    """replies/KEY.json."""

    reply: Reply | None = None
    error: str = ""  # why there is no reply, for people


class AskFolder:
    """Reads and writes the files of one workspace's questions."""

    def __init__(self, workspace: Workspace):
        self.path = workspace.state / "asks"
        self.queue, self.replies, self.log = self.path / "queue", self.path / "replies", self.path / "log.txt"
        self._service = self.path / "service.json"

    @contextmanager
    def door(self) -> Iterator[None]:
        """Inside, no asking process comes or goes. Raises `SftqaError` where somebody stays inside."""
        with storing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(self.path / "door.lock").acquire(timeout=_LOCK_S)
        except TimeoutError:
            raise SftqaError(f"{self.path / 'door.lock'} is held by another process. Try again.") from None
        with lock:
            yield

    def service(self) -> Service | None:
        """What service.json says; whether its process lives is another question."""
        return _read(self._service, Service)

    def living(self) -> Service | None:
        """The asking process, if it lives."""
        service = self.service()
        return service if service is not None and service.process.alive() else None

    def tell(self, service: Service) -> None:
        """Write service.json."""
        _write(self._service, service)

    def retire(self) -> None:
        """Take service.json away: the process leaves in peace."""
        self._service.unlink(missing_ok=True)

    def tickets(self) -> list[str]:
        """Names of the questions in the queue, the oldest first."""
        with contextlib.suppress(OSError):
            return sorted(entry.name for entry in os.scandir(self.queue) if entry.name.endswith(".json"))
        return []

    def ticket(self, name: str) -> Ticket | None:
        """A question of the queue; None where it was cancelled, or can't be read."""
        return _read(self.queue / name, Ticket)

    def put(self, columns: Sequence[Column]) -> str:
        """Queue a question; its ticket's name."""
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(_numbers):06d}-{secrets.token_hex(3)}.json"
        _write(self.queue / name, Ticket(tuple(columns)))
        return name

    def wanted(self, name: str) -> bool:
        """Whether a question still stands in the queue."""
        return (self.queue / name).exists()

    def remove(self, name: str) -> None:
        """Take a question out of the queue."""
        (self.queue / name).unlink(missing_ok=True)

    def kept(self, key: str) -> KeptReply | None:
        """What is kept of a column; None where it was never answered, or too long ago."""
        path = self.replies / f"{key}.json"
        try:
            fresh = time.time() - path.stat().st_mtime < KEPT_S
        except OSError:
            return None
        return _read(path, KeptReply) if fresh else None

    def keep(self, key: str, kept: KeptReply) -> None:
        """Keep how a column ended."""
        _write(self.replies / f"{key}.json", kept)

    def forget(self, key: str) -> None:
        """Ask this column anew."""
        (self.replies / f"{key}.json").unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove old replies, questions that nobody answered, and what was left half written."""
        now = time.time()
        files = [(path, _changed(path)) for folder in (self.replies, self.queue, self.path) for path in folder.glob("*")]
        replies = sorted((pair for pair in files if pair[0].parent == self.replies), key=lambda pair: pair[1], reverse=True)
        old = [path for at, (path, changed) in enumerate(replies) if at >= MOST_KEPT or now - changed > KEPT_S]
        old += [path for path, changed in files if path.parent == self.queue and now - changed > TICKET_S]
        old += [path for path, changed in files if path.suffix == ".tmp" and now - changed > TICKET_S]
        for path in old:
            path.unlink(missing_ok=True)

    def last_words(self) -> str:
        """The last line of the log."""
        with contextlib.suppress(OSError):
            lines = self.log.read_bytes()[-4096:].decode(errors="replace").strip().splitlines()
            return lines[-1][:300] if lines else ""
        return ""


class LocalAskService:
    """Questions that a process on this machine answers; it is started by the first one, or before it by `ensure`."""

    def __init__(self, workspace: Workspace | None = None, timing: AskTiming | None = None):
        self.workspace, self.timing = workspace or Workspace.current(), timing or AskTiming()
        self.folder = AskFolder(self.workspace)

    def ask(self, columns: Sequence[Column]) -> None:
        """See `AskService`."""
        wanted = {column.fingerprint(): column for column in columns}
        service, dead = self.folder.living(), self.folder.service()
        places = self._places(wanted, service)
        # what a process that died was answering is not tried again unasked; what stood behind it still waits
        cut_off = "" if service or dead is None else dead.doing.ticket or dead.cut_off
        stands = {key for key, (_, name) in places.items() if name != cut_off}
        asked = [column for key, column in wanted.items() if key not in stands and not self._is_done(key)]
        if len(self.folder.tickets()) >= MOST_WAITING and asked:
            raise SettingsError(f"{MOST_WAITING} questions wait already. Try again in a while.")
        with storing(self.folder.queue):
            for column in asked:
                self.folder.forget(column.fingerprint())
            if asked:
                self.folder.put(asked)
        if asked or stands:
            self.ensure()

    def _is_done(self, key: str) -> bool:
        kept = self.folder.kept(key)
        return kept is not None and kept.reply is not None

    def look(self, columns: Sequence[Column]) -> tuple[Standing, ...]:
        """See `AskService`."""
        keys = [column.fingerprint() for column in columns]
        service = self.folder.living()
        places = self._places(keys, service)
        return tuple(self._standing(key, places.get(key), service) for key in keys)

    def _standing(self, key: str, place: tuple[int, str] | None, service: Service | None) -> Standing:
        kept = self.folder.kept(key)
        if kept is not None and kept.reply is not None:
            return Standing("done", reply=kept.reply)
        if place is None:
            return Standing("new") if kept is None else Standing("failed", kept.error)
        if service is None:
            words = self.folder.last_words()
            why = f"Its last words: {words.rstrip('.')}. " if words else "Perhaps it was ended, or memory ran out. "
            return Standing("failed", f"The process that answers questions has ended. {why}Ask again: it starts anew.")
        (ahead, ticket), doing = place, service.doing
        if doing.key == key and doing.ticket == ticket:
            return Standing("answering", doing.said, doing.holder)
        return Standing("queued", "" if ahead else doing.said, "" if ahead else doing.holder, ahead)

    def _places(self, keys: Collection[str], service: Service | None) -> dict[str, tuple[int, str]]:
        """Of each column that stands in the queue and is not over: questions before it, and the ticket."""
        wanted, places = set(keys), dict[str, tuple[int, str]]()
        for ahead, name in enumerate(self.folder.tickets()):
            ticket = self.folder.ticket(name)
            over = service.doing.over if service is not None and service.doing.ticket == name else ()
            for key in (column.fingerprint() for column in ticket.columns) if ticket else ():
                if key in wanted and key not in over:
                    places.setdefault(key, (ahead, name))
        return places

    def cancel(self, columns: Sequence[Column]) -> None:
        """See `AskService`."""
        for _, name in self._places([column.fingerprint() for column in columns], self.folder.living()).values():
            self.folder.remove(name)

    def pending(self) -> tuple[Column, ...]:
        """See `AskService`."""
        tickets = [ticket for name in self.folder.tickets() if (ticket := self.folder.ticket(name))]
        return tuple(column for ticket in tickets for column in ticket.columns)

    def state(self) -> ServiceState:
        """See `AskService`."""
        service, waiting = self.folder.living(), len(self.folder.tickets())
        if service is None:
            return ServiceState(False, waiting=waiting)
        return ServiceState(True, service.doing.said, service.held, service.ram_bytes, waiting)

    def ensure(self) -> bool:
        """See `AskService`."""
        _started[:] = [process for process in _started if process.poll() is None]
        with self.folder.door():
            if self.folder.living() is not None:
                return False
            before = self.folder.service()
            cut_off = before.doing.ticket or before.cut_off if before else ""
            try:
                process = self._start()
            except OSError as error:
                raise SftqaError(f"The asking process could not be started: {error}. Try again.") from error
            _started.append(process)
            self.folder.tell(
                Service(ProcessId.of(process.pid), Doing(said="Starting, which takes a few seconds the first time"), cut_off=cut_off)
            )
            return True

    def _start(self) -> subprocess.Popen:
        """With its output in the log, in a session of its own, so that neither a closed terminal nor Ctrl-C reaches it. Raises OSError."""
        log = self.folder.log
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.unlink()
        place = {"SFTQA_CACHE": str(self.workspace.root), "SFTQA_STATE": str(self.workspace.state), "PYTHONUNBUFFERED": "1"}
        place["TOKENIZERS_PARALLELISM"] = "false"  # a few short texts at a time
        with log.open("ab") as output:
            streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT}
            timing = json.dumps(self.timing.to_dict())
            environment = {**our_environment(), **place}
            return processes.start("sftqa_core.jobs.asker", [timing], environment, **streams, cwd=self.folder.path, start_new_session=True)


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        return kind.from_dict(read_json(path))
    except (OSError, SettingsError):  # cancelled meanwhile, of another version, or damaged
        return None


def _write(path: Path, record: Record) -> None:
    """Whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}-{os.getpid()}-{next(_numbers)}.tmp")
    try:
        half.write_text(json.dumps(record.to_dict(), ensure_ascii=False), encoding="utf-8")
        os.replace(half, path)
    except OSError:
        half.unlink(missing_ok=True)
        raise


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


_used: AskService | None = None
AnAskService = TypeVar("AnAskService", bound=AskService)


def current_ask_service() -> AskService:
    """The one in use, else that of the current workspace."""
    return _used or LocalAskService()


@contextmanager
def use_ask_service(service: AnAskService) -> Iterator[AnAskService]:
    """Inside, all threads of this process ask this one: a `FakeAskService`, say."""
    global _used
    before, _used = _used, service
    try:
        yield service
    finally:
        _used = before
