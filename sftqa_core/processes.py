"""Our own processes: their identity, their start, and how a child answers the process that started it.

A process is known by host, boot, pid and start time, so that a number that was given to another program is never taken for it: on Linux
by clock ticks since boot (which a changed clock does not move), elsewhere by the creation time.

A child that answers gets requests, a line of JSON each, on standard input, and writes lines of JSON on standard output. Its standard input
stays open while its starter lives: when that ends, in whatever way, the child ends, too.
"""

import contextlib
import json
import os
import platform
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

from sftqa_core.jsonrecord import Record
from sftqa_core.workspace import PACKAGE

BEAT_S = 10.0  # how often a process touches its beat file
BEAT_LIMIT_S = 90.0  # a process on another host whose beat is older than this is taken for dead
_SERVERS_OWN = ("SFTQA_TOKEN", "SFTQA_LOGIN")  # secrets of the explorer, which no working process needs
_saying = threading.Lock()


@dataclass(frozen=True)
class ProcessId(Record):
    """One process of one boot of one host."""

    host: str
    boot: str  # empty where the system has no boot id
    pid: int
    started: str

    def problems(self) -> list[str]:
        return [] if self.pid >= 1 else [f"pid must be 1 or more, got {self.pid}."]

    @classmethod
    def current(cls) -> "ProcessId":
        """This process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> "ProcessId":
        """The process of this host that has this number now."""
        return cls(platform.node(), boot_id(), pid, _started(pid) or "gone")

    @classmethod
    def nobody(cls) -> "ProcessId":
        """A process of this host that does not live."""
        return cls(platform.node(), boot_id(), os.getpid(), "never")

    def alive(self, beat: Path | None = None) -> bool:
        """Whether the process still runs; on another host, whether its `beat` file was touched lately."""
        if self.host == platform.node():
            return self.boot == boot_id() and _started(self.pid) == self.started
        try:
            return beat is not None and abs(time.time() - beat.stat().st_mtime) < BEAT_LIMIT_S
        except OSError:
            return False


@cache
def boot_id() -> str:
    """The id of this machine's boot; empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """The start time as text, None when there is no such process or only its corpse (a zombie)."""
    if not boot_id():
        import psutil

        try:
            process = psutil.Process(pid)
            return None if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
        except psutil.Error:
            return None
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the command's name before it may hold blanks and brackets
    return None if fields[0] in "ZX" else fields[19]


def start(module: str, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None, **how: Any) -> subprocess.Popen:
    """Start `python -m module arguments` in `environment` (None: `our_environment`); `how`: as in `subprocess.Popen`. Raises OSError."""
    command = [sys.executable, "-P", "-m", module, *arguments]  # -P: a random.py in the person's folder is not imported
    return subprocess.Popen(command, env=our_environment() if environment is None else environment, **how)


def our_environment() -> dict[str, str]:
    """This process's environment without what is the server's own; with it a child finds this package wherever it works."""
    environment = {name: value for name, value in os.environ.items() if name not in _SERVERS_OWN}
    if (PACKAGE.parent / "app.py").exists():  # a checkout may run without being installed
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]))
    return environment


class Talk:
    """A child that answers: `ask` it, and get what it says from `heard`, after the last message {"ended": the last line of its log}."""

    def __init__(self, process: subprocess.Popen):
        self.process = process
        self.heard: queue.Queue[dict[str, Any]] = queue.Queue()

    def ask(self, request: Mapping[str, Any]) -> None:
        """Hand it a request."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died; its log says why
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()


@contextlib.contextmanager
def talking(module: str, log: IO[bytes], environment: Mapping[str, str] | None = None) -> Iterator[Talk]:
    """Start a process that answers; what it writes to standard error goes into `log`, which can be read.

    The process ends with the block. The caller sets the deadlines: `heard.get(timeout=...)`. Raises OSError.
    """
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
    talk = Talk(process := start(module, (), environment, encoding="utf-8", errors="replace", **pipes))
    assert process.stdin is not None
    assert process.stdout is not None
    written: Any = process.stdout

    def pass_on() -> None:
        for line in written:
            with contextlib.suppress(ValueError):  # a library's, not ours
                message = json.loads(line)
                if isinstance(message, dict):
                    talk.heard.put(message)
        log.seek(0)
        talk.heard.put({"ended": (log.read().decode(errors="replace").strip().splitlines() or ["it wrote no log"])[-1]})

    reader = threading.Thread(target=pass_on, daemon=True)
    reader.start()
    try:
        yield talk
    finally:
        process.kill()
        process.wait()
        reader.join(timeout=5)
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()


@contextlib.contextmanager
def answers(module: str, request: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Iterator[queue.Queue[dict[str, Any]]]:
    """`talking` with one request: the queue of its answers."""
    with tempfile.TemporaryFile() as log, talking(module, log, environment) as talk:
        talk.ask(request)
        yield talk.heard


def requests() -> queue.Queue[dict[str, Any]]:
    """In a process that answers: what it is asked, as it comes. From now on this process ends with its starter."""
    heard: queue.Queue[dict[str, Any]] = queue.Queue()

    def listen() -> None:
        waiting = b""
        while content := os.read(0, 65536):  # not by sys.stdin, whose lock Python wants when it ends
            *lines, waiting = (waiting + content).split(b"\n")
            for line in lines:
                heard.put(json.loads(line))
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    return heard


def asked() -> dict[str, Any]:
    """In a process that answers one request: that. From now on this process ends with its starter."""
    return requests().get()


def say(message: Mapping[str, Any]) -> None:
    """In a process that answers: send one message, from any thread."""
    with _saying:
        print(json.dumps(message), flush=True)
