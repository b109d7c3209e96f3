"""One process has imported what commands need; each command is forked from it, and so starts with everything but a cold start.

    python tests/offline/forking.py

Reads requests, a JSON object a line: {"module", "arguments"}, {"environment"} in place of its own, {"apart"}: in a network of its own
with nothing in it, {"output", "errors"}: files, {"limit_s"}. Answers each with its exit status, or null where the limit ended it.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parents[2]
NEW_USER, NEW_NET = 0x10000000, 0x40000000
SINGLE_THREAD = {"JE_ARROW_MALLOC_CONF": "background_thread:false", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class Forking:
    """Starts commands by forking; `environment` is what the process imports in."""

    def __init__(self, environment: dict[str, str]):
        command = [sys.executable, str(Path(__file__))]
        environment = {**environment, **SINGLE_THREAD}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)

    def run(
        self, module: str, *arguments: str, environment: dict[str, str], limit_s: float, apart: bool = False
    ) -> subprocess.CompletedProcess:
        """Run a module with its arguments; what it printed comes as text. Raises `subprocess.TimeoutExpired`."""
        with tempfile.TemporaryDirectory() as folder:
            output, errors = Path(folder, "output"), Path(folder, "errors")
            request = {"module": module, "arguments": arguments, "environment": environment, "apart": apart, "limit_s": limit_s}
            print(json.dumps({**request, "output": str(output), "errors": str(errors)}), file=self._process.stdin, flush=True)
            status = json.loads(self._process.stdout.readline())
            if status is None:
                raise subprocess.TimeoutExpired([module, *arguments], limit_s)
            return subprocess.CompletedProcess([module, *arguments], status, output.read_text(), errors.read_text())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def serve() -> None:
    """Import, then fork for each request."""
    from sftqa_core import workflows
    from sftqa_core.cli import main  # noqa: F401

    workflows.preload()
    gc.collect()
    gc.freeze()
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "forking is safe only from a single thread"
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if not pid:
            _work(request)
        print(json.dumps(_status(pid, request["limit_s"])), flush=True)


def _status(pid: int, limit_s: float) -> int | None:
    end_s = time.monotonic() + limit_s
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > end_s:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None
        time.sleep(0.01)
    return os.waitstatus_to_exitcode(ended[1])


def _work(request: dict) -> NoReturn:
    status = 1
    try:
        for number, place in enumerate(("/dev/null", request["output"], request["errors"])):
            opened = os.open(place, os.O_RDWR | os.O_CREAT)
            os.dup2(opened, number)
            os.close(opened)
        os.environ.clear()
        os.environ.update(request["environment"])
        if request["apart"]:
            part()
        sys.argv = ["", *request["arguments"]]
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def part() -> None:
    """From here on this process is in a network of its own with nothing in it. Raises OSError where this machine refuses that."""
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_NET if os.geteuid() == 0 else NEW_NET | NEW_USER):
        raise OSError(ctypes.get_errno(), "unshare")


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    serve()
