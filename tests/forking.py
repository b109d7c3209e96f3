"""Processes forked from one that has imported what they need, which costs each of them up to twelve seconds of a core otherwise.

    python -m tests.forking SOCKET MODULE...   imports the modules, then forks for everyone who is connected to the socket

What a process is asked and answers goes over the pipes, files and limits that it would have; only the start of Python and the importing
are left out. A worker that was forked forks its jobs' warm process from itself.
"""

import contextlib
import ctypes
import fcntl
import gc
import inspect
import json
import multiprocessing
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from multiprocessing import connection, forkserver, resource_tracker
from pathlib import Path
from typing import IO, Any, NoReturn

from filelock import FileLock

from sftqa_core import processes

ROOT = Path(__file__).parents[1]
# Forking is safe only from a process with a single thread, and these libraries start some when they are imported.
SINGLE_THREAD = {"JE_ARROW_MALLOC_CONF": "background_thread:false", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
READ_AT_IMPORT = ("HF_", "HUGGINGFACE_", "TRANSFORMERS_")  # how the variables begin that libraries read when they are imported
EVERYTHING = ("sftqa_core.workflows", "sftqa_core.cli.main")  # what commands and jobs work with
ANSWERING = {  # module that answers -> what it imports besides, without what reads the environment
    "sftqa_core.models.chat_child": ("transformers.utils.chat_template_utils",),
    "sftqa_core.models.hub.fetch_child": ("sftqa_core.artifacts", "httpx2", "tqdm.auto", "yaml", "filelock"),
}
CONSTANTS = ("CPU_S", "WALL_S", "MEMORY_BYTES")  # of a module that answers, which a test may have set
TOGETHER = multiprocessing.get_context("forkserver")  # the standard library's own, for processes that train together
NEW_USER, NEW_NET = 0x10000000, 0x40000000

Status = Callable[[float | None], int | None]  # waits so many seconds (None: for ever) for a process's exit status; None: it still runs


class Parent:
    """A process to fork from, one for all that give the same `place`, a path for its socket. It imports `modules` (and calls their
    `preload`) in `environment` when it is first needed, and ends after all that asked it."""

    def __init__(self, place: Path, *modules: str, environment: Mapping[str, str]):
        self.environment = {**environment, **SINGLE_THREAD}
        self._place, self._modules = place, modules

    def fits(self, environment: Mapping[str, str]) -> bool:
        """Whether a process with this environment would have imported the same."""
        ours, theirs = (
            {name: value for name, value in which.items() if name.startswith(READ_AT_IMPORT)} for which in (self.environment, environment)
        )
        return ours == theirs and _site(environment) == _site(self.environment)

    def start(self, module: str, arguments: Sequence[str], environment: Mapping[str, str], **how: Any) -> Any:
        """Call `main` of a module with its arguments in a new process; `how` as in `Forked`. It starts as ever but on Linux."""
        if sys.platform != "linux":
            code = f"import sys; from {module} import main; sys.exit(main(sys.argv[1:]))"
            return subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT, env=environment, text=True, **how)
        return Forked(self._ask, module, arguments, environment, **how)

    def run(self, module: str, *arguments: str, environment: Mapping[str, str], limit_s: float, **how: Any) -> subprocess.CompletedProcess:
        """The same, waited for, with its output as text. Raises `subprocess.TimeoutExpired`."""
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            process = self.start(module, arguments, environment, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, **how)
            try:
                status = process.wait(limit_s)
            finally:
                process.kill()
            output.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess([module, *arguments], status, output.read(), errors.read())

    def _ask(self, order: dict[str, Any], files: Sequence[int]) -> tuple[int, Status]:
        talk, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._socket, [b"."], [theirs.fileno(), *files])
        talk.sendall(json.dumps(order).encode() + b"\n")

        def status(limit_s: float | None) -> int | None:
            talk.settimeout(limit_s)
            with contextlib.suppress(BlockingIOError, TimeoutError):
                return int(_line(talk))
            return None

        return int(_line(talk)), status

    @cached_property
    def _socket(self) -> socket.socket:
        """Where it is asked."""
        ours = socket.socket(socket.AF_UNIX)
        with FileLock(f"{self._place}.lock"):
            try:
                ours.connect(str(self._place))
            except OSError:  # there is none yet, or it has ended
                self._place.unlink(missing_ok=True)
                with socket.socket(socket.AF_UNIX) as listening:
                    listening.bind(str(self._place))
                    listening.listen()
                    ours.connect(str(self._place))
                    command = [sys.executable, "-m", "tests.forking", str(listening.fileno()), *self._modules]
                    subprocess.Popen(command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, pass_fds=[listening.fileno()])
        return ours


class Parents:
    """One for each kind of process that the package starts, in the environment that it is made with."""

    def __init__(self, folder: Path, environment: Mapping[str, str]):
        light = {**environment, "HF_HUB_OFFLINE": "1", "USE_TORCH": "0", "PYTHONIOENCODING": "utf-8"}
        self.everything = Parent(folder / "everything", *EVERYTHING, environment=environment)  # for real work
        self._worker = Parent(folder / "worker", "sftqa_core.jobs.worker", "sftqa_core.jobs.child", environment=environment)
        self._light = {module: Parent(folder / module, module, *more, environment=light) for module, more in ANSWERING.items()}

    def start(self, module: str, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None, **how: Any) -> Any:
        """In place of `processes.start`: forks where that comes to the same."""
        wanted = processes.our_environment() if environment is None else environment
        parent = self._light.get(module)
        if module == "sftqa_core.jobs.worker":
            parent = self.everything if wanted.get("SFTQA_JOB_MODULE", "eager_workflows") == "eager_workflows" else self._worker
        elif module in ("sftqa_core.models.gguf.gguf_child", "sftqa_core.jobs.asker"):  # they work with torch
            parent = self.everything
        if parent is None or (parent not in self._light.values() and not parent.fits(wanted)):
            return start_anew(module, arguments, environment, **how)
        here = vars(sys.modules[module]) if module in sys.modules else {}
        constants = {name: here[name] for name in CONSTANTS if name in here}
        return parent.start(module, arguments, wanted, constants=constants, **how)


class Forked:
    """A forked process, with what the callers of `processes.start` use of `subprocess.Popen`.

    `stdin`, `stdout`, `stderr`, `cwd`, `start_new_session` and `pass_fds` as there; `constants` of its module are set before `main`;
    `apart`: in a network of its own with nothing in it.
    """

    def __init__(
        self,
        fork: Callable[[dict[str, Any], Sequence[int]], tuple[int, Status]],
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        stdin: Any = None,
        stdout: Any = None,
        stderr: Any = None,
        cwd: str | os.PathLike[str] | None = None,
        start_new_session: bool = False,
        pass_fds: Sequence[int] = (),
        constants: Mapping[str, Any] | None = None,
        apart: bool = False,
        encoding: str = "utf-8",
        errors: str = "strict",
    ):
        self.stdin: IO[str] | None = None
        self.stdout: IO[str] | None = None
        self.stderr: IO[str] | None = None
        self.returncode: int | None = None
        ends: list[int] = []
        with contextlib.ExitStack() as theirs:
            for name, what in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
                if what == subprocess.PIPE:
                    pipe = os.pipe()
                    end, ours = pipe if name == "stdin" else reversed(pipe)
                    setattr(self, name, open(ours, "w" if name == "stdin" else "r", encoding=encoding, errors=errors))  # noqa: SIM115
                elif what == subprocess.STDOUT:
                    end = os.dup(ends[1])
                elif what == subprocess.DEVNULL:
                    end = os.open(os.devnull, os.O_RDWR)
                else:
                    end = os.dup(len(ends) if what is None else what if isinstance(what, int) else what.fileno())
                theirs.callback(os.close, end)
                ends.append(end)
            order = {
                "module": module,
                "arguments": list(arguments),
                "environment": dict(environment),
                "folder": os.fspath(cwd or os.getcwd()),
                "session": start_new_session,
                "numbers": [0, 1, 2, *pass_fds],
                "constants": dict(constants or {}),
                "apart": apart,
            }
            self.pid, self._status = fork(order, [*ends, *pass_fds])

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""
        if self.returncode is None:
            self.returncode = self._status(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended. Raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            self.returncode = self._status(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("a forked process", timeout or 0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """A signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9, unless it has ended."""
        self.send_signal(signal.SIGKILL)


def fork_here(order: dict[str, Any], files: Sequence[int]) -> tuple[int, Status]:
    """Fork this process."""
    pid = os.fork()
    if pid == 0:
        _become(order, files)

    def status(limit_s: float | None) -> int | None:
        end_s = None if limit_s is None else time.monotonic() + limit_s
        while not (ended := os.waitpid(pid, 0 if end_s is None else os.WNOHANG))[0]:
            if end_s is not None and time.monotonic() >= end_s:
                return None
            time.sleep(0.01)
        return os.waitstatus_to_exitcode(ended[1])

    return pid, status


def _become(order: dict[str, Any], files: Sequence[int]) -> NoReturn:
    """In a process that was just forked: be the one that was asked for, with these open files under their numbers."""
    status = 1
    try:
        if order["session"]:
            os.setsid()
        moved = [fcntl.fcntl(file, fcntl.F_DUPFD, 512) for file in files]  # out of the way of the numbers that are wanted
        for file in [int(name) for name in os.listdir("/proc/self/fd")]:
            if file not in moved:
                with contextlib.suppress(OSError):
                    os.close(file)
        for number, file in zip(order["numbers"], moved, strict=True):
            os.dup2(file, number)
            os.close(file)
        sys.stdin, sys.stdout, sys.stderr = (open(n, "w" if n else "r", 1, "utf-8", closefd=False) for n in range(3))  # noqa: SIM115
        os.chdir(order["folder"])
        os.environ.clear()
        os.environ.update(order["environment"])
        sys.path[:0] = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place and place not in sys.path]
        sys.argv = [order["module"], *order["arguments"]]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        processes.start = _start
        if order["apart"]:
            part()
        module = import_module(order["module"])
        for name, value in order["constants"].items():
            setattr(module, name, value)
        answer = module.main(order["arguments"]) if inspect.signature(module.main).parameters else module.main()
        status = answer if isinstance(answer, int) else 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


start_anew = processes.start


def fork_together(parent: Parent) -> None:
    """From here on the standard library's server of forks is itself forked from `parent`, and imports next to nothing."""
    server: Any = forkserver._forkserver

    def ensure_running() -> None:
        with server._lock:
            resource_tracker.ensure_running()
            if server._forkserver_address is not None:
                return
            with socket.socket(socket.AF_UNIX) as listening:
                address = connection.arbitrary_address("AF_UNIX")
                listening.bind(address)
                listening.listen()
                needed, server._forkserver_alive_fd = os.pipe()  # closed when nobody needs it any more
                files = [listening.fileno(), needed]
                parent.start("tests.forking", [str(file) for file in files], os.environ, pass_fds=files)
                os.close(needed)
            server._forkserver_address = address

    server.ensure_running = ensure_running


def main(arguments: list[str]) -> None:
    """That server, with the numbers of its open files."""
    forkserver.main(*map(int, arguments), ["sftqa_core.training.distributed", "sftqa_core.training.fine_tuning", "tests.tiny"])


def _start(module: str, arguments: Sequence[str] = (), environment: Mapping[str, str] | None = None, **how: Any) -> Any:
    """In a forked process: a worker's warm process is forked from it, which has a single thread; whatever else is started as ever."""
    if module == "sftqa_core.jobs.child" and environment is not None:
        return Forked(fork_here, module, arguments, environment, **how)
    return start_anew(module, arguments, environment, **how)


def part() -> None:
    """From here on this process is in a network of its own with nothing in it. Raises OSError where this machine refuses that."""
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_NET if os.geteuid() == 0 else NEW_NET | NEW_USER):
        raise OSError(ctypes.get_errno(), "unshare")


def _site(environment: Mapping[str, str]) -> list[str]:
    """The folders of this environment whose sitecustomize.py changes every process at its start."""
    places = environment.get("PYTHONPATH", "").split(os.pathsep)
    return [place for place in places if place and Path(place, "sitecustomize.py").exists()]


def _line(talk: socket.socket) -> bytes:
    """One line, and not a byte more. Raises OSError when the other end is gone or nothing comes in time."""
    line = b""
    while not line.endswith(b"\n"):
        byte = talk.recv(1)
        if not byte:
            raise ConnectionResetError("the process to fork from is gone")
        line += byte
    return line


def serve(descriptor: int, modules: Sequence[str]) -> None:
    """Import, then fork for everyone who asks, until the last one that was connected is gone."""
    listening = socket.socket(fileno=descriptor)
    for name in modules:
        getattr(import_module(name), "preload", gc.collect)()
    gc.freeze()
    assert len(os.listdir("/proc/self/task")) == 1, "forking is safe only from a single thread"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    asking = [listening.accept()[0]]
    while asking:
        readable, _, _ = select.select([listening, *asking], [], [])
        if listening in readable:
            asking.append(listening.accept()[0])
        for one in {*readable} - {listening}:
            mark, files, *_ = socket.recv_fds(one, 1, 16)
            if not mark:
                asking.remove(one)
            elif os.fork() == 0:
                _fork_and_tell(*files)
            for file in files:
                os.close(file)


def _fork_and_tell(talk: int, *files: int) -> NoReturn:
    """Fork once more, and tell the number of that process and how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    told = socket.socket(fileno=talk)
    order = json.loads(told.makefile("rb").readline())
    pid, status = fork_here(order, files)
    for file in files:
        os.close(file)
    with contextlib.suppress(OSError):  # nobody is left who wants to know
        told.sendall(b"%d\n" % pid)
        told.sendall(b"%d\n" % (status(None) or 0))
    os._exit(0)


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2:])
