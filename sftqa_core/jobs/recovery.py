"""After a death: what becomes of a job whose process is gone without having written how it ended, and of a queue whose file is damaged.

A damaged queue is set aside and made anew from the jobs' folders: settings.json, and end.json of those that ended.
"""

import contextlib
import json
import logging
import os
import signal
import time
from pathlib import Path
from typing import Any

from filelock import FileLock

from sftqa_core.errors import ArtifactDamaged, SettingsError
from sftqa_core.jobs.database import reading
from sftqa_core.jobs.job_folder import JobFolder
from sftqa_core.jobs.queue import Claim, JobStore, named_rightly
from sftqa_core.records import KEPT, Job, Resources
from sftqa_core.workspace import Workspace

TOLD = "The queue's file was damaged and set aside, and how this job stood is not known. What it had finished is kept. Resume it."
MOST_TRIES = 5  # a job that was interrupted so often in one turn is given up
CONTINUE = "Resume it, and it continues from there."
INTERRUPTED = "Interrupted: its process and the worker ended, as when the machine restarts. It will resume automatically."
_LAST_LINES = 5
_GIVEN_UP = f"Interrupted {MOST_TRIES} times, each time together with the worker. See worker.log in the state folder."
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, RecursionError, SettingsError)
_log = logging.getLogger(__name__)


def rebuild(workspace: Workspace) -> bool:
    """Make a damaged queue anew; False when it is whole, because another process was quicker.

    Jobs that ended are as they were; others have failed and can be continued: nothing starts that nobody asked for now.
    """
    store = JobStore(workspace)
    with FileLock(store.path.with_suffix(".rebuilding")):
        with contextlib.suppress(ArtifactDamaged), reading(store.path):
            return False
        moved = f"damaged-{time.time_ns():020d}"
        for path in sorted(store.path.parent.glob(f"{store.path.name}*")):
            if ".damaged-" not in path.name:
                os.replace(path, path.with_name(f"{path.name}.{moved}"))
        names = [path.name for path in workspace.jobs.glob("*") if named_rightly(path.name)]
        names.sort(key=lambda name: name.split("-", 1)[1])  # by the moment in a job's name
        found = [job for name in names if (job := _job(JobFolder(workspace, name)))]
        for job in found:
            store.insert(job, Resources(job.gpus), os.fspath(workspace.state))
            store.put(job)
    _log.warning("%s was damaged: set aside as %s.%s, and made anew with %d jobs.", store.path, store.path.name, moved, len(found))
    return True


def _job(folder: JobFolder) -> Job | None:
    """The job that a folder tells of; None where its settings can't be read."""
    try:
        asked = json.loads(folder.settings.read_text(encoding="utf-8"))
        known: dict[str, Any] = {"id": folder.path.name, **{name: asked[name] for name in ("kind", "settings", "created", "gpus")}}
        try:
            return Job.from_dict({**known, **json.loads(folder.end.read_text(encoding="utf-8"))})
        except _UNREADABLE:
            return Job.from_dict({**known, "state": "failed", "error": TOLD, "finished": asked["created"]})
    except _UNREADABLE:
        return None


def reconcile(workspace: Workspace) -> int:
    """Settle jobs whose process died while no worker lives, and make a damaged queue anew; how many were settled.

    A living worker does the first itself, and knows more: the exit status.
    """
    store = JobStore(workspace)
    try:
        active = store.active()
    except ArtifactDamaged:
        rebuild(workspace)
        return 0
    dead = [claim for claim in active if not claim.process.alive(beat_of(claim, workspace))]
    if not dead or store.worker() is not None:
        return 0
    return sum(settle(store, workspace, claim) for claim in dead)


def settle(store: JobStore, workspace: Workspace, claim: Claim, exit_status: int | None = None) -> bool:
    """Write the end of a job whose process is dead; False when the process had written it before it died.

    Asked to stop: cancelled. Nobody saw it end (the worker or the machine died with it): queued again, to go on. Else: failed.
    """
    if claim.state == "stopping":
        end = kept("Stopped on request; its process had to be killed.", claim.kind)
        return store.finish(claim.id, claim.attempt, "cancelled", error=end)
    if exit_status is None and claim.tries < MOST_TRIES:
        return store.requeue(claim, INTERRUPTED if claim.begun else None)
    lines = JobFolder(workspace, claim.id).log_tail(_LAST_LINES)
    last = "\n".join(["Last lines of its log:", *lines]) if lines else "It wrote no log."
    sentence = kept(_GIVEN_UP if exit_status is None else _sentence(exit_status), claim.kind)
    reason = "memory" if exit_status == -signal.SIGKILL else None
    return store.finish(claim.id, claim.attempt, "failed", error=f"{sentence}\n{last}", reason=reason)


def kept(sentence: str, kind: str) -> str:
    """How a job ended, what is kept of it, and what can be done."""
    return f"{sentence} {KEPT[kind]} {CONTINUE}" if kind in KEPT else sentence


def beat_of(claim: Claim, workspace: Workspace) -> Path:
    """The file whose age tells whether the claim's process lives, when it is on another host."""
    return JobFolder(workspace, claim.id).alive if claim.begun else JobStore(workspace).beat


def _sentence(exit_status: int) -> str:
    if exit_status >= 0:
        return f"The job's process ended with exit status {exit_status} before it wrote a result."
    if exit_status == -signal.SIGKILL:
        return "The job's process was killed (SIGKILL), often because memory ran out."
    known = -exit_status in set(signal.Signals)
    return f"The job's process was killed by {signal.Signals(-exit_status).name if known else f'signal {-exit_status}'}."
