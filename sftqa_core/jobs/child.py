"""One job's own process: leases what it needs, runs the workflow, writes how it ended.

    python -m sftqa_core.jobs.child JOB ATTEMPT

SFTQA_JOB_MODULE names another module with `run_job(kind, settings, reporter, token) -> str` and `preload()` than
sftqa_core.workflows.
"""

from __future__ import annotations

import errno
import faulthandler
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from sftqa_core.artifacts import refusal
from sftqa_core.errors import SftqaError, Stopped
from sftqa_core.jobs.job_folder import FolderReporter, JobFolder
from sftqa_core.jobs.lease import device_lease
from sftqa_core.jobs.queue import JobStore
from sftqa_core.jobs.recovery import kept
from sftqa_core.processes import BEAT_S, ProcessId
from sftqa_core.records import DEVICELESS, Job, Resources
from sftqa_core.workspace import Workspace


def main(arguments: list[str]) -> int:
    """Run one attempt of one job."""
    signal.signal(signal.SIGTERM, _terminated)
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
    reporter = FolderReporter(folder)
    with _beating(folder), ExitStack() as held:  # the lease is kept until the end is written
        end = _work(job, store.needs(job_id), reporter, folder, held)
        on_end()
        reporter.flush()
        store.finish(job_id, attempt, **vars(end))


@dataclass(frozen=True)
class _End:
    """How a job ended: the columns of the queue that say so."""

    state: str
    result: str | None = None
    error: str | None = None
    reason: str | None = None


def _work(job: Job, needs: Resources, reporter: FolderReporter, folder: JobFolder, held: ExitStack) -> _End:
    def waiting(holder: str) -> None:
        reporter.log(f"Waiting: device in use by {holder}.")

    try:
        if job.kind not in DEVICELESS:
            held.enter_context(device_lease(needs, f"job {job.id}", waiting, reporter.check))
        reporter.check()
        workflows = importlib.import_module(os.environ.get("SFTQA_JOB_MODULE", "sftqa_core.workflows"))
        return _End("done", str(workflows.run_job(job.kind, job.settings, reporter, job.id)))
    except Stopped as error:
        asked = folder.stop.exists()
        return _End("cancelled" if asked else "failed", error=kept(str(error), job.kind))
    except SftqaError as error:
        reporter.log(str(error))
        reason = _reason(error)
        return _End("failed", error=kept(str(error), job.kind) if reason else str(error), reason=reason)
    except Exception as error:
        reporter.log(traceback.format_exc())
        return _End("failed", error=_sentence(error, job), reason=_reason(error))


def _reason(error: BaseException) -> str | None:
    """One of `records.jobs.REASONS`, or None. Knows torch's errors by name only."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"MemoryError", "OutOfMemoryError", "OutOfMemory"} or "can't allocate memory" in str(error):
        return "memory"
    return "disk" if refusal(error) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else None


def _sentence(error: Exception, job: Job) -> str:
    """What a person reads of an exception that nothing below has put into words."""
    reason = _reason(error)
    if reason == "memory":
        return "Memory ran out. Use a smaller batch size or model, or train with LoRA."
    if reason == "disk":
        return kept(f"The disk is full ({error}). Free some space.", job.kind)
    return f"{type(error).__name__}: {error}"


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped("The job's process was told to end (SIGTERM).")


@contextmanager
def _beating(folder: JobFolder) -> Iterator[None]:
    """Touch the job's beat file now and then inside the block."""
    ended = threading.Event()

    def beat() -> None:
        folder.alive.touch()
        while not ended.wait(BEAT_S):
            folder.alive.touch()

    threading.Thread(target=beat, name="beat", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
