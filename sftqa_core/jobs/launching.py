"""Starts processes that outlive whoever starts them: the worker, and one process a job.

They write to files, never to a pipe that somebody must drain, and stand in sessions of their own, so that neither a
closed terminal nor Ctrl-C reaches them.

How the worker has a job's process started: forked by a warm process where that is possible, else directly.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sftqa_core.errors import SftqaError
from sftqa_core.jobs.job_folder import JobFolder
from sftqa_core.jobs.process_id import ProcessId
from sftqa_core.jobs.queue import Claim, JobStore
from sftqa_core.jobs.warm import ENVIRONMENT
from sftqa_core.jsonrecord import Record
from sftqa_core.workspace import PACKAGE, Workspace

_LOG_BYTES = 1024 * 1024
_SERVERS_OWN = ("SFTQA_TOKEN", "SFTQA_LOGIN")  # who may see the explorer: no job needs that
_started: list[subprocess.Popen] = []  # kept so that a finished worker is reaped and does not stay a zombie


@dataclass(frozen=True)
class Timing(Record):
    """The worker's clock, in seconds; tests make it short."""

    poll_s: float = 0.25
    idle_s: float = 300.0  # without work for so long, the worker leaves, and what it keeps warm with it
    ask_s: float = 30.0  # from the request to stop until SIGTERM
    terminate_s: float = 10.0  # from SIGTERM until SIGKILL
    warm: bool = True  # keep torch imported between jobs, where that is possible


def ensure_worker(workspace: Workspace, timing: Timing | None = None) -> bool:
    """Start the worker unless it lives; True when one was started. Raises `SftqaError` when that fails."""
    _started[:] = [process for process in _started if process.poll() is None]
    if JobStore(workspace).worker() is not None:
        return False
    arguments = [json.dumps((timing or Timing()).to_dict())]
    try:
        _started.append(start("sftqa_core.jobs.worker", arguments, workspace, worker_log(workspace), workspace.state))
    except OSError as error:
        raise SftqaError(f"The worker could not be started: {error}. Queued jobs wait; try again.") from error
    return True


def start_job(claim: Claim, workspace: Workspace) -> subprocess.Popen:
    """Start the process of a claimed job. Raises OSError."""
    return start("sftqa_core.jobs.child", [claim.id, str(claim.attempt)], workspace, *places(claim, workspace))


def places(claim: Claim, workspace: Workspace) -> tuple[Path, Path]:
    """A job's log, and the folder that its process works in: where it was submitted, as long as that is there."""
    folder = JobFolder(workspace, claim.id)
    folder.path.mkdir(parents=True, exist_ok=True)
    return folder.log, Path(claim.cwd) if Path(claim.cwd).is_dir() else folder.path


def start(
    module: str,
    arguments: list[str],
    workspace: Workspace,
    log: Path,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    files: Sequence[int] = (),
) -> subprocess.Popen:
    """A process of ours with its output in `log`; `files`: open descriptors that it gets. Raises OSError."""
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-P", "-m", module, *arguments]  # -P: a random.py in the person's folder is not imported
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**_environment(workspace), **(environment or {})},
            start_new_session=True,
            pass_fds=files,
        )


def worker_log(workspace: Workspace) -> Path:
    """Where the worker, and what it keeps warm, write; begun anew when it has grown."""
    path = workspace.state / "worker.log"
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.unlink()
    return path


def _environment(workspace: Workspace) -> dict[str, str]:
    found = {**os.environ, "SFTQA_CACHE": str(workspace.root), "SFTQA_STATE": str(workspace.state), "PYTHONUNBUFFERED": "1"}
    for name in _SERVERS_OWN:
        found.pop(name, None)
    if (PACKAGE.parent / "app.py").exists():  # a checkout may run without being installed
        found["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]))
    return found


WARMING_S = 180.0  # importing may take so long, from a cold network disk say; then jobs are started directly


@dataclass
class Started:
    """A job's process, asked for by this worker."""

    claim: Claim
    direct: subprocess.Popen | None = None
    forked: ProcessId | None = None  # None until the warm process has said so
    status: int | None = None  # exit status; None while it runs, or when nobody saw how it ended
    orphan: bool = False  # the warm process is gone, so nobody will tell the status

    @property
    def pid(self) -> int:
        """0 until the process is there."""
        return self.direct.pid if self.direct else self.forked.pid if self.forked else 0

    def over(self) -> bool:
        """Whether the process is gone."""
        if self.direct:
            self.status = self.direct.poll()
        return self.status is not None or (self.orphan and self.forked is not None and not self.forked.alive())


@dataclass
class Starter:
    """Starts jobs' processes. `warm` False: each one imports everything itself."""

    workspace: Workspace
    warm: bool
    _process: subprocess.Popen | None = None
    _socket: socket.socket | None = None
    _since_s: float = 0.0
    _ready: bool = False
    _received: bytes = b""
    _asked: list[Started] = field(default_factory=list)  # not forked yet
    _forked: dict[int, Started] = field(default_factory=dict)

    def start(self, claim: Claim) -> Started:
        """Start the process of a claimed job, or ask for it. Raises OSError."""
        if self.warm and sys.platform == "linux" and self._warmed():
            log, cwd = places(claim, self.workspace)
            with contextlib.suppress(OSError):
                self._say({"job": claim.id, "attempt": claim.attempt, "log": str(log), "cwd": str(cwd)})
                self._asked.append(Started(claim))
                return self._asked[-1]
            self._give_up()
        return Started(claim, direct=start_job(claim, self.workspace))

    def listen(self) -> None:
        """Hear what the warm process has said since; start directly what it can't start."""
        if self._socket is None:
            return
        try:
            while content := self._socket.recv(65536):
                *lines, self._received = (self._received + content).split(b"\n")
                for line in lines:
                    self._hear(json.loads(line))
            self._give_up()  # it has closed its end
        except BlockingIOError:
            if not self._ready and time.monotonic() - self._since_s > WARMING_S:
                self._give_up()
        except OSError:
            self._give_up()

    def _hear(self, told: dict[str, Any]) -> None:
        if "ready" in told:
            self._ready = told["ready"]
        elif "job" in told:
            asked = next((one for one in self._asked if (one.claim.id, one.claim.attempt) == (told["job"], told["attempt"])), None)
            if asked:
                self._asked.remove(asked)
                asked.forked = ProcessId.of(told["pid"])
                self._forked[told["pid"]] = asked
        elif told["pid"] in self._forked:
            self._forked.pop(told["pid"]).status = told["status"]

    def _warmed(self) -> bool:
        """Whether there is a warm process, or one that warms up."""
        if self._process is None:
            self._socket, theirs = socket.socketpair()
            self._socket.setblocking(False)
            self._since_s = time.monotonic()
            with theirs:
                place = (self.workspace, worker_log(self.workspace), self.workspace.state)
                self._process = start("sftqa_core.jobs.warm", [str(theirs.fileno())], *place, ENVIRONMENT, (theirs.fileno(),))
        return self._process.poll() is None

    def _say(self, request: dict[str, Any]) -> None:
        assert self._socket is not None
        self._socket.sendall(json.dumps(request).encode() + b"\n")

    def _give_up(self) -> None:
        """Start directly from now on, and what was asked for too; a process that was forked after all finds itself unwanted."""
        self.warm = False
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        for forked in self._forked.values():
            forked.orphan = True
        for asked in self._asked:
            asked.direct = start_job(asked.claim, self.workspace)
        self._asked.clear()
