"""Our own processes: their identity, their start, and how a child answers the process that started it.

A process is known by host, boot, pid and start time, so that a number that was given to another program is never taken for it: on Linux
by clock ticks since boot (which a changed clock does not move), elsewhere by the creation time.

A child that answers gets a request, a line of JSON, on standard input, and writes lines of JSON on standard output. Its standard input
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
from typing import Any

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


@contextlib.contextmanager
def answers(module: str, request: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Iterator[queue.Queue[dict[str, Any]]]:
    """Start a process and hand it `request`: a queue of its answers, after the last one {"ended": the last line of its log}.

    The process ends with the block. The caller sets the deadline: `get(timeout=...)`. Raises OSError.
    """
    lines: queue.Queue[dict[str, Any]] = queue.Queue()
    with tempfile.TemporaryFile() as log:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
        process = start(module, (), environment, encoding="utf-8", errors="replace", **pipes)
        assert process.stdin is not None
        assert process.stdout is not None
        written: Any = process.stdout

        def pass_on() -> None:
            for line in written:
                with contextlib.suppress(ValueError):  # a library's, not ours
                    message = json.loads(line)
                    if isinstance(message, dict):
                        lines.put(message)
            log.seek(0)
            lines.put({"ended": (log.read().decode(errors="replace").strip().splitlines() or ["it wrote no log"])[-1]})

        reader = threading.Thread(target=pass_on, daemon=True)
        reader.start()
        try:
            with contextlib.suppress(BrokenPipeError):  # it died at once; its log says why
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
            yield lines
        finally:
            process.kill()
            process.wait()
            reader.join(timeout=5)
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()


def asked() -> dict[str, Any]:
    """In a process that answers: the request. From now on this process ends with its starter, which never writes there again."""
    request = json.loads(sys.stdin.readline())

    def end_with_starter() -> None:
        while os.read(0, 1):  # not by sys.stdin, whose lock Python wants when it ends
            pass
        os._exit(1)

    threading.Thread(target=end_with_starter, daemon=True).start()
    return request


def say(message: Mapping[str, Any]) -> None:
    """In a process that answers: send one message, from any thread."""
    with _saying:
        print(json.dumps(message), flush=True)
