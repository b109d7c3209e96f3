"""Processes that begin with everything a training imports, which takes seconds otherwise: forked from one that does nothing else."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from multiprocessing.connection import Connection

START = "forkserver"
CONTEXT = multiprocessing.get_context(START)
CONTEXT.set_forkserver_preload(["sftqa_core.training.distributed", "sftqa_core.training.fine_tuning", "tests.tiny"])


class Forked:
    """Like `subprocess.Popen` of a command `python -m MODULE ARGUMENTS`, whose `main` is called in a forked process."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], **_: object):
        theirs, self.stdin = CONTEXT.Pipe(duplex=False)
        self._process = CONTEXT.Process(target=_run, args=(theirs, dict(env), command[2], command[3:]))
        self._process.start()
        theirs.close()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""
        return self._process.exitcode

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int | None:
        """Its exit status, once it has ended."""
        self._process.join(timeout)
        return self.poll()


def _run(stdin: Connection, env: Mapping[str, str], module: str, arguments: list[str]) -> None:
    os.dup2(stdin.fileno(), 0)
    os.environ |= env
    gc.freeze()
    raise SystemExit(import_module(module).main(arguments))
