"""One job's own process: takes the device's lease, runs the workflow, writes how it ended.

    python -m sftqa_core.jobs.child JOB ATTEMPT

SFTQA_JOB_MODULE names another module with `run_job(kind, settings, reporter) -> str` than sftqa_core.workflows.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import signal
import sys
import threading
import traceback
from contextlib import ExitStack
from types import FrameType
from typing import Any, NoReturn

from sftqa_core.errors import SftqaError, Stopped
from sftqa_core.jobs.folder import FolderReporter, JobFolder
from sftqa_core.jobs.lease import device_lease
from sftqa_core.jobs.process import BEAT_S, ProcessId
from sftqa_core.jobs.store import JobStore
from sftqa_core.records import Job
from sftqa_core.workspace import Workspace


def main(arguments: list[str]) -> int:
    """Run one attempt of one job."""
    job_id, attempt = arguments[0], int(arguments[1])
    workspace = Workspace.current()
    store, folder = JobStore(workspace), JobFolder(workspace, job_id)
    signal.signal(signal.SIGTERM, _terminated)
    faulthandler.enable()
    job = store.begin(job_id, attempt, ProcessId.current())
    if job is None:
        print(f"Attempt {attempt} of {job_id} is no longer wanted.")
        return 0
    _beat(folder)
    reporter = FolderReporter(folder)
    with ExitStack() as held:  # the lease is kept until the end is written
        state, result, error = _work(job, store.device(job_id), reporter, folder, held)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        reporter.flush()
        store.finish(job_id, attempt, state, result, error)
    return 0


def _work(job: Job, device: str, reporter: FolderReporter, folder: JobFolder, held: ExitStack) -> tuple[str, str | None, str | None]:
    """State, result and error of the job."""

    def waiting(holder: str) -> None:
        reporter.log(f"Waiting for {device}, which {holder} has.")

    try:
        held.enter_context(device_lease(device, f"job {job.id}", waiting, reporter.check))
        reporter.check()
        workflows = importlib.import_module(os.environ.get("SFTQA_JOB_MODULE", "sftqa_core.workflows"))
        return "done", str(workflows.run_job(job.kind, job.settings, reporter)), None
    except Stopped as error:
        return ("cancelled" if folder.stop.exists() else "failed"), None, str(error)
    except SftqaError as error:
        reporter.log(str(error))
        return "failed", None, str(error)
    except Exception as error:
        reporter.log(traceback.format_exc())
        return "failed", None, memory_sentence(error, job.settings) or f"{type(error).__name__}: {error}"


def memory_sentence(error: BaseException, settings: dict[str, Any]) -> str | None:
    """What to change when the device had no room; None when the error is another one. Knows torch's by name only."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if not names & {"MemoryError", "OutOfMemoryError"} and "can't allocate memory" not in str(error):
        return None
    advice = []
    if "batch_size" in settings:
        advice.append(f"lower batch_size (now {settings['batch_size']})")
    if settings.get("method") == "full":
        advice.append("use method lora instead of full")
    if settings.get("sequence_length"):
        advice.append(f"lower sequence_length (now {settings['sequence_length']})")
    return f"Memory ran out: {', or '.join([*advice, 'take a smaller model'])}."


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped("The job's process was told to end (SIGTERM).")


def _beat(folder: JobFolder) -> None:
    """Touch the job's beat file for as long as the process lives."""

    def beats() -> None:
        while True:
            folder.alive.touch()
            threading.Event().wait(BEAT_S)

    folder.path.mkdir(parents=True, exist_ok=True)
    threading.Thread(target=beats, name="beat", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
