"""One job's own process: leases what it needs, runs the workflow, writes how it ended. And the warm process that forks such processes.

    python -m sftqa_core.jobs.child JOB ATTEMPT
    python -m sftqa_core.jobs.child warm FD

SFTQA_JOB_MODULE names another module with `run_job(kind, settings, reporter, token) -> str` and `preload()` than
sftqa_core.workflows.

The warm process has imported what takes long (torch, transformers) and forks one process for each job. It talks with its worker
over the socket FD, a JSON object a line: {"job", "attempt", "log", "cwd"} asks for a job's process; {"ready": true},
{"job", "attempt", "pid"} and {"pid", "status"} answer. It never computes and holds no GPU: each job has its own process, so that a
crash, a cancel or a leak takes that job alone, and its memory goes back when it ends. It leaves when the worker closes the
socket; the jobs it started go on.

Forking is safe only from a process with a single thread. So it says {"ready": false} and leaves where importing started one.
"""

import contextlib
import errno
import faulthandler
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from sftqa_core.artifacts import refusal
from sftqa_core.errors import SftqaError, Stopped
from sftqa_core.jobs.job_folder import FolderReporter, JobFolder, kept
from sftqa_core.jobs.lease import device_lease
from sftqa_core.jobs.queue import JobStore, asked_work
from sftqa_core.processes import BEAT_S, ProcessId
from sftqa_core.progress import LIBRARIES, uncounted
from sftqa_core.records import DEVICELESS, Job, Resources
from sftqa_core.workspace import Workspace

_POLL_S = 0.05  # how often the warm process looks at its children


def main(arguments: list[str]) -> int:
    """Run one attempt of one job, or, after "warm", fork the processes of many."""
    if arguments[0] == "warm":
        return serve_worker(int(arguments[1]))

    def terminated(number: int, frame: object) -> NoReturn:
        raise Stopped("The job's process was told to end (SIGTERM).")

    signal.signal(signal.SIGTERM, terminated)
    faulthandler.enable()
    run_attempt(Workspace.current(), arguments[0], int(arguments[1]), lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN))
    return 0


def run_attempt(workspace: Workspace, job_id: str, attempt: int, on_end: Callable[[], object] = lambda: None) -> None:
    """Begin one attempt of a claimed job, do its work in this thread, and write how it ended; `on_end` is called before that."""
    store, folder = JobStore(workspace), JobFolder(workspace, job_id)
    job = store.begin(job_id, attempt, ProcessId.current())
    if job is None:
        print(f"Attempt {attempt} of {job_id} is no longer wanted.")
        return
    ended = threading.Event()

    def beat() -> None:
        folder.alive.touch()
        while not ended.wait(BEAT_S):
            folder.alive.touch()

    threading.Thread(target=beat, name="beat", daemon=True).start()
    reporter = FolderReporter(folder)
    try:
        with contextlib.ExitStack() as held:  # the lease is kept until the end is written
            end = _work(job, store.needs(job_id), reporter, folder, held)
            on_end()
            reporter.flush()
            store.finish(job_id, attempt, **vars(end))
    finally:
        ended.set()


@dataclass(frozen=True)
class _End:
    """How a job ended: the columns of the queue that say so."""

    state: str
    result: str | None = None
    error: str | None = None
    reason: str | None = None


def _work(job: Job, needs: Resources, reporter: FolderReporter, folder: JobFolder, held: contextlib.ExitStack) -> _End:
    def waiting(holder: str) -> None:
        reporter.log(f"Waiting: device in use by {holder}.")

    try:
        if needs.cluster:
            from sftqa_core.jobs.cluster.ray_mapper import on_cluster  # it is imported where there is one

            work = asked_work(job.settings)
            held.enter_context(on_cluster(needs.cluster, str(work.get("device", "auto")), int(work.get("gpus", 1)), reporter))
        elif job.kind not in DEVICELESS:
            held.enter_context(device_lease(needs, f"job {job.id}", waiting, reporter.check))
        reporter.check()
        if job.kind not in DEVICELESS and "torch" not in sys.modules:  # else the warm process has brought it
            uncounted(reporter, LIBRARIES)
        return _End("done", str(_workflows().run_job(job.kind, job.settings, reporter, job.id)))
    except Stopped as error:
        asked = folder.stop.exists()
        return _End("cancelled" if asked else "failed", error=kept(str(error), job.kind))
    except SftqaError as error:
        reporter.log(str(error))
        reason = _reason(error)
        return _End("failed", error=kept(str(error), job.kind) if reason else str(error), reason=reason)
    except Exception as error:  # nothing below has put it into words
        reporter.log(traceback.format_exc())
        reason, sentence = _reason(error), f"{type(error).__name__}: {error}"
        if reason == "memory":
            sentence = "Memory ran out. Use a smaller batch size or model, or train with LoRA."
        elif reason == "disk":
            sentence = kept(f"The disk is full ({error}). Free some space.", job.kind)
        return _End("failed", error=sentence, reason=reason)


def _workflows() -> Any:
    return importlib.import_module(os.environ.get("SFTQA_JOB_MODULE", "sftqa_core.workflows"))


def _reason(error: BaseException) -> str | None:
    """One of `records.job.REASONS`, or None. Knows torch's errors by name only."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"MemoryError", "OutOfMemoryError", "OutOfMemory"} or "can't allocate memory" in str(error):
        return "memory"
    return "disk" if refusal(error) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else None


def serve_worker(descriptor: int) -> int:
    """Import, then fork a process for each job that is asked for over this socket, until the worker leaves."""
    with socket.socket(fileno=descriptor) as worker:
        _workflows().preload()
        gc.freeze()  # what is imported stays: no job's collections walk through it (accelerate makes two a training) or copy its pages
        ready, waiting = len(list(Path("/proc/self/task").iterdir())) == 1, b""
        _say(worker, {"ready": ready})
        while ready:
            with contextlib.suppress(ChildProcessError):  # none are left
                while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                    _say(worker, {"pid": ended[0], "status": os.waitstatus_to_exitcode(ended[1])})
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
    return 1


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
        status = main([request["job"], str(request["attempt"])])
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)  # whatever this process would do at its end belongs to the one it was forked from


def _say(worker: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # a worker that died is noticed by the next reading
        worker.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
