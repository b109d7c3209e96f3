"""Processes that answer (sftqa_core/processes.py), forked from one that has imported what they need, which takes each a second otherwise.

    python -m tests.zygote SOCKET MODULE...   imports the modules, then forks for everyone who asks at the socket

What is asked for and answered goes over the same pipes as ever, under the same limits; only the start of the interpreter is left out.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

CONSTANTS = ("CPU_S", "WALL_S", "MEMORY_BYTES")  # of a module that answers, which a test may have set
IMPORTED = {  # module that answers -> what it imports by itself or at work, without what reads the environment
    "sftqa_core.models.chat_child": ("sftqa_core.models.chat_child", "transformers.utils.chat_template_utils"),
    "sftqa_core.models.hub.fetch_child": (
        "sftqa_core.models.hub.fetch_child",
        "sftqa_core.artifacts",
        "httpx2",
        "tqdm.auto",
        "yaml",
        "filelock",
    ),
}


class Forked:
    """Like the `subprocess.Popen` of `processes.start`; the module has the `CONSTANTS` that it has here."""

    def __init__(self, module: str, environment: Mapping[str, str], stderr: Any):
        self._talk, theirs = socket.socketpair()
        (stdin, self_stdin), (self_stdout, stdout) = os.pipe(), os.pipe()
        socket.send_fds(_zygote(module), [b"."], [theirs.fileno(), stdin, stdout, stderr.fileno()])
        theirs.close()
        for end in (stdin, stdout):
            os.close(end)
        here = vars(sys.modules[module]) if module in sys.modules else {}
        constants = {name: here[name] for name in CONSTANTS if name in here}
        order = {"module": module, "environment": dict(environment), "constants": constants, "folder": os.getcwd()}
        self._talk.sendall(json.dumps(order).encode() + b"\n")
        self._said = self._talk.makefile("rb")
        self.stdin = open(self_stdin, "w", encoding="utf-8", errors="replace")  # noqa: SIM115
        self.stdout = open(self_stdout, encoding="utf-8", errors="replace")  # noqa: SIM115
        self.pid = int(self._said.readline())
        self.returncode: int | None = None

    def kill(self) -> None:
        """kill -9, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended."""
        if self.returncode is None:
            self._talk.settimeout(timeout)
            self.returncode = int(self._said.readline())
            self._said.close()
            self._talk.close()
        return self.returncode


@cache
def _zygote(module: str) -> socket.socket:
    """The end of a socket at which it is asked; it ends when this process does."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "tests.zygote", str(theirs.fileno()), *IMPORTED[module]]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "USE_TORCH": "0", "PYTHONIOENCODING": "utf-8"}
    root = Path(__file__).parent.parent
    subprocess.Popen(command, cwd=root, env=environment, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
    theirs.close()
    return ours


def main(arguments: Sequence[str]) -> None:
    """Fork for everyone who asks, until the other end of the socket is gone."""
    control = socket.socket(fileno=int(arguments[0]))
    for module in arguments[1:]:
        import_module(module)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    while True:
        mark, ends, *_ = socket.recv_fds(control, 1, 4)
        if not mark:
            return
        if os.fork() == 0:
            control.close()
            _wait_for_one(*ends)
        for end in ends:
            os.close(end)


def _wait_for_one(talk: int, stdin: int, stdout: int, stderr: int) -> None:
    """Fork once more, and tell the number of that process and how it ended. Does not return."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    told = socket.socket(fileno=talk)
    order = json.loads(told.makefile("rb").readline())
    pid = os.fork()
    if pid == 0:
        told.close()
        for number, end in enumerate((stdin, stdout, stderr)):
            os.dup2(end, number)
            os.close(end)
        os._exit(_run(**order))
    for end in (stdin, stdout, stderr):
        os.close(end)
    with contextlib.suppress(OSError):
        told.sendall(b"%d\n" % pid)
        told.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    os._exit(0)


def _run(module: str, environment: dict[str, str], constants: dict[str, Any], folder: str) -> int:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    try:
        found = import_module(module)
        for name, value in constants.items():
            setattr(found, name, value)
        found.main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    main(sys.argv[1:])
