"""A process that has imported what takes long (torch, transformers) and forks one process for each job.

    python -m sftqa_core.jobs.warm FD

It talks with its worker over the socket FD, a JSON object a line: {"job", "attempt", "log", "cwd"} asks for a job's process;
{"ready": true}, {"job", "attempt", "pid"} and {"pid", "status"} answer. It never computes and holds no GPU: each job has its own
process, so that a crash, a cancel or a leak takes that job alone, and its memory goes back when it ends. It leaves when the
worker closes the socket; the jobs it started go on.

Forking is safe only from a process with a single thread. So it says {"ready": false} and leaves where importing started one.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

from sftqa_core.jobs import child

_POLL_S = 0.05


def main(arguments: list[str]) -> int:
    """Import, then serve until the worker leaves."""
    with socket.socket(fileno=int(arguments[0])) as worker:
        workflows = importlib.import_module(os.environ.get("SFTQA_JOB_MODULE", "sftqa_core.workflows"))
        workflows.preload()
        gc.freeze()  # what is imported stays: no job's collections walk through it (accelerate makes two a training) or copy its pages
        ready = _threads() == 1
        _say(worker, {"ready": ready})
        return _serve(worker) if ready else 1


def _serve(worker: socket.socket) -> int:
    waiting = b""
    while True:
        _reap(worker)
        readable, _, _ = select.select([worker], [], [], _POLL_S)
        if not readable:
            continue
        content = worker.recv(65536)
        if not content:
            return 0
        *lines, waiting = (waiting + content).split(b"\n")
        for line in lines:
            request = json.loads(line)
            pid = _fork(worker, request)
            _say(worker, {"job": request["job"], "attempt": request["attempt"], "pid": pid})


def _fork(worker: socket.socket, request: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:  # the job's process
        os.setsid()
        worker.close()
        os.chdir(request["cwd"])
        log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        status = child.main([request["job"], str(request["attempt"])])
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)  # whatever this process would do at its end belongs to the one it was forked from


def _reap(worker: socket.socket) -> None:
    with contextlib.suppress(ChildProcessError):  # none are left
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _say(worker, {"pid": ended[0], "status": os.waitstatus_to_exitcode(ended[1])})


def _say(worker: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # a worker that died is noticed by the next reading
        worker.sendall(json.dumps(message).encode() + b"\n")


def _threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
