"""How the worker has a job's process started: forked by a warm process where that is possible, else directly."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from sftqa_core.jobs.launcher import places, start, start_job, worker_log
from sftqa_core.jobs.process import ProcessId
from sftqa_core.jobs.rows import Claim
from sftqa_core.jobs.warm import ENVIRONMENT
from sftqa_core.workspace import Workspace

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
