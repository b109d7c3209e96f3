"""The worker: claims queued jobs, starts a process for each, watches over them, and leaves when there is no work.

    python -m sftqa_core.jobs.worker ['{"poll_s": 0.25, ...}']

One lives per state folder. It never imports torch. Jobs do not depend on it: their processes hold the device's lease,
write their own end, and go on when the worker dies; the next worker watches over those it finds running.

A job's process is forked by a warm process (child.py) where that is possible, else started directly. All of them, and the worker, write
to files, never to a pipe that somebody must drain, and stand in sessions of their own, so that neither a closed terminal nor Ctrl-C
reaches them.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sftqa_core import processes
from sftqa_core.errors import ArtifactDamaged, SftqaError
from sftqa_core.jobs.job_folder import JobFolder, beat_of, rebuild, settle
from sftqa_core.jobs.lease import CPU, leases, slot_of
from sftqa_core.jobs.queue import NETWORK, Claim, JobStore, pool_of
from sftqa_core.jsonrecord import Record
from sftqa_core.models.devices import visible_gpus
from sftqa_core.processes import BEAT_S, ProcessId, our_environment
from sftqa_core.workspace import Workspace

_MOST_FAILURES = 200  # rounds in a row that may fail (a full disk, say) before the worker gives up
_LONGEST_S = 5.0  # between two rounds when they fail
_WARMING_S = 180.0  # importing may take so long, from a cold network disk say; then jobs are started directly
_LOG_BYTES = 1024 * 1024
# pyarrow's second allocator starts a thread when it is loaded, and OpenBLAS one a core; the warm process needs neither.
_SINGLE_THREAD = {"JE_ARROW_MALLOC_CONF": "background_thread:false", "OPENBLAS_NUM_THREADS": "1"}
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
        _started.append(_start("worker", arguments, workspace, _worker_log(workspace), workspace.state))
    except OSError as error:
        raise SftqaError(f"The worker could not be started: {error}. Queued jobs wait; try again.") from error
    return True


def _start(name: str, arguments: Sequence[str], workspace: Workspace, log: Path, cwd: Path, files: Sequence[int] = ()) -> subprocess.Popen:
    """One of the programs of this folder, with its output in `log`; `files`: open descriptors that it gets. Raises OSError."""
    log.parent.mkdir(parents=True, exist_ok=True)
    place = {"SFTQA_CACHE": str(workspace.root), "SFTQA_STATE": str(workspace.state), "PYTHONUNBUFFERED": "1"}
    environment = {**our_environment(), **place, **(_SINGLE_THREAD if arguments[0] == "warm" else {})}
    with log.open("ab") as output:
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT}
        module = f"sftqa_core.jobs.{name}"
        return processes.start(module, arguments, environment, **streams, cwd=cwd, start_new_session=True, pass_fds=files)


def _start_job(claim: Claim, workspace: Workspace) -> subprocess.Popen:
    """The process of a claimed job. Raises OSError."""
    return _start("child", [claim.id, str(claim.attempt)], workspace, *_places(claim, workspace))


def _places(claim: Claim, workspace: Workspace) -> tuple[Path, Path]:
    """A job's log, and the folder that its process works in: where it was submitted, as long as that is there."""
    folder = JobFolder(workspace, claim.id)
    folder.path.mkdir(parents=True, exist_ok=True)
    return folder.log, Path(claim.cwd) if Path(claim.cwd).is_dir() else folder.path


def _worker_log(workspace: Workspace) -> Path:
    """The log of the worker and its warm process; a new one is begun when it has grown."""
    path = workspace.state / "worker.log"
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.unlink()
    return path


@dataclass
class Started:
    """A job's process, asked for by this worker."""

    claim: Claim
    direct: subprocess.Popen | None = None
    forked: ProcessId | None = None  # None until the warm process has said so
    status: int | None = None  # exit status; None while it runs, or when nobody saw how it ended
    orphan: bool = False  # the warm process is gone, so the status stays unknown

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
            log, cwd = _places(claim, self.workspace)
            with contextlib.suppress(OSError):
                request = {"job": claim.id, "attempt": claim.attempt, "log": str(log), "cwd": str(cwd)}
                assert self._socket is not None
                self._socket.sendall(json.dumps(request).encode() + b"\n")
                self._asked.append(Started(claim))
                return self._asked[-1]
            self._give_up()
        return Started(claim, direct=_start_job(claim, self.workspace))

    def listen(self) -> None:
        """Read what the warm process has answered; start directly what it can't start."""
        if self._socket is None:
            return
        try:
            while content := self._socket.recv(65536):
                *lines, self._received = (self._received + content).split(b"\n")
                for line in lines:
                    self._hear(json.loads(line))
            self._give_up()  # it has closed its end
        except BlockingIOError:
            if not self._ready and time.monotonic() - self._since_s > _WARMING_S:
                self._give_up()
        except OSError:
            self._give_up()

    def _hear(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self._ready = message["ready"]
        elif "job" in message:
            asked = next((job for job in self._asked if (job.claim.id, job.claim.attempt) == (message["job"], message["attempt"])), None)
            if asked:
                self._asked.remove(asked)
                asked.forked = ProcessId.of(message["pid"])
                self._forked[message["pid"]] = asked
        elif message["pid"] in self._forked:
            self._forked.pop(message["pid"]).status = message["status"]

    def _warmed(self) -> bool:
        """Whether there is a warm process, or one that warms up."""
        if self._process is None:
            self._socket, theirs = socket.socketpair()
            self._socket.setblocking(False)
            self._since_s = time.monotonic()
            with theirs:
                place = (self.workspace, _worker_log(self.workspace), self.workspace.state)
                self._process = _start("child", ["warm", str(theirs.fileno())], *place, (theirs.fileno(),))
        return self._process.poll() is None

    def _give_up(self) -> None:
        """Start jobs directly from now on, those asked for too; if one was forked after all, it sees that its attempt is not wanted."""
        self.warm = False
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
        for forked in self._forked.values():
            forked.orphan = True
        for asked in self._asked:
            asked.direct = _start_job(asked.claim, self.workspace)
        self._asked.clear()


@dataclass
class _Request:
    """How far a stop request has been pressed."""

    since_s: float
    terminated: bool = False


class Worker:
    """One round a `tick`. All its knowledge can be read again, so another worker can take over at any time."""

    def __init__(self, workspace: Workspace, timing: Timing):
        self.workspace = workspace
        self.timing = timing
        self.store = JobStore(workspace)
        self.me = ProcessId.current()
        self.starter = Starter(workspace, timing.warm)
        self.own: dict[str, Started] = {}
        self.requests: dict[str, _Request] = {}
        self._beat_s = -1e9

    def run(self) -> None:
        """Work until there is none for `idle_s`, or another worker has taken over."""
        if not self.store.register(self.me):
            return
        idle_since_s, failures = time.monotonic(), 0
        while failures < _MOST_FAILURES:
            try:
                if not self._is_registered():
                    return
                if self.tick():
                    idle_since_s = time.monotonic()
                elif time.monotonic() - idle_since_s >= self.timing.idle_s and self.store.retire(self.me):
                    return
                failures = 0
            except Exception as error:  # whatever one round met must not end the queue
                traceback.print_exc()
                failures += 1
                if isinstance(error, ArtifactDamaged):
                    rebuild(self.workspace)
            time.sleep(min(self.timing.poll_s * 2 ** min(failures, 5), _LONGEST_S))

    def tick(self) -> bool:
        """Settle what ended, press stop requests, start what can start; whether there is any work."""
        self.starter.listen()
        self._settle_own()
        active = self.store.active()
        for claim in active:
            own = self.own.get(claim.id)
            if own is None and (claim.process == self.me or not claim.process.alive(beat_of(claim, self.workspace))):
                settle(self.store, self.workspace, claim)
            elif claim.state == "stopping":
                self._press_stop(claim, own.pid if own else claim.process.pid)
        waiting = self.store.waiting()
        there = {"cpu": 1, "gpu": len(visible_gpus()), "network": NETWORK, "cluster": 1} if waiting else {}
        if waiting and (new := self.store.claim(self.me, self._free(there), there, self._held_gpus())) is not None:
            try:
                self.own[new.id] = self.starter.start(new)
            except Exception as error:
                self.store.finish(new.id, new.attempt, "failed", error=f"The job's process could not be started: {error}.")
        return bool(active or self.own or waiting)

    def _settle_own(self) -> None:
        for job_id, own in list(self.own.items()):
            if own.over():
                _signal_group(own.pid, signal.SIGKILL)  # what it started and left behind
                claim = next((claim for claim in self.store.active() if (claim.id, claim.attempt) == (job_id, own.claim.attempt)), None)
                if claim is not None:
                    settle(self.store, self.workspace, claim, own.status)
                del self.own[job_id]
                self.requests.pop(job_id, None)

    def _press_stop(self, claim: Claim, pid: int) -> None:
        """Ask, after `ask_s` terminate, after `terminate_s` more kill."""
        request = self.requests.setdefault(claim.id, _Request(time.monotonic()))
        waited_s = time.monotonic() - request.since_s
        JobFolder(self.workspace, claim.id).ask_to_stop()
        if claim.process.host != self.me.host:
            return  # no process on this machine to signal
        if not pid:  # not forked yet; once forked it sees that its attempt is no longer wanted
            self.store.finish(claim.id, claim.attempt, "cancelled", error="Stopped on request before it began.")
        if waited_s >= self.timing.ask_s + self.timing.terminate_s:
            _signal_group(pid, signal.SIGKILL)
        elif waited_s >= self.timing.ask_s and not request.terminated:
            request.terminated = True
            _signal_group(pid, signal.SIGTERM)

    def _free(self, there: dict[str, int]) -> dict[str, int]:
        """Devices that neither a job, nor a job's process that has finished and may still hold memory, nor a command line has."""
        taken = {claim.id: claim for claim in (*self.store.active(), *(own.claim for own in self.own.values()))}
        left = dict(there)
        for claim in taken.values():
            left[pool_of(claim.kind, claim.needs.gpus, claim.needs.cluster)] -= max(claim.needs.gpus, 1)
        for lease in leases(self.workspace):
            if lease.holder.removeprefix("job ") not in taken:
                left["cpu" if lease.slot == CPU else "gpu"] -= 1
        return left

    def _held_gpus(self) -> set[str]:
        """GPUs that are leased, and those whose number a job named that has begun, and may still wait for them."""
        slots = {lease.slot for lease in leases(self.workspace)}
        named = {claim.needs.gpu for claim in (*self.store.active(), *(own.claim for own in self.own.values()))}
        return {gpu for gpu in visible_gpus() if gpu in named or slot_of(gpu) in slots}

    def _is_registered(self) -> bool:
        """Whether this is still the workspace's worker; the state folder may have been deleted."""
        if not self.store.path.exists():
            return False
        if time.monotonic() - self._beat_s < BEAT_S:
            return True
        if self.store.worker() not in (self.me, None):
            return False
        self.store.beat.touch()
        self._beat_s = time.monotonic()
        return True


def _signal_group(pid: int, number: signal.Signals) -> None:
    if pid > 1:  # 0 would be the worker's own group
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)


def main(arguments: list[str]) -> int:
    """Run the worker of the current workspace."""
    timing = Timing.from_dict(json.loads(arguments[0])) if arguments else Timing()
    Worker(Workspace.current(), timing).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
