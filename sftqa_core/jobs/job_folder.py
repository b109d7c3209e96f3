"""A job's folder: what the job reports while it runs, as files that only grow; and what is made of it after a death.

settings.json (as submitted), end.json (how it ended), progress.jsonl (one `Progress` a line), log.txt (all output), `stop`
(exists once the person asked to stop), `alive` (touched every few seconds by the job's process).

It also decides what becomes of a job whose process died before it wrote how it ended. A damaged queue is
set aside and rebuilt from the jobs' folders: settings.json, and end.json of those that ended.
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

from sftqa_core.errors import ArtifactDamaged, NotFound, SettingsError, Stopped
from sftqa_core.jobs.database import reading
from sftqa_core.jobs.queue import Claim, JobStore, is_job_id
from sftqa_core.progress import Progress
from sftqa_core.records import KEPT, Job, Resources
from sftqa_core.workspace import Workspace

_TAIL_BYTES = 256 * 1024  # of a log: enough for any page, little enough for a log of gigabytes
_CURSOR_BYTES = 1024 * 1024  # of progress handed over in one call


class JobFolder:
    """Paths of one job's files, and how to read them while they grow."""

    def __init__(self, workspace: Workspace, job_id: str):
        if not is_job_id(job_id):
            raise NotFound(f"There is no job {job_id[:80]!r}. 'sftqa jobs' lists those that exist.")
        self.path = workspace.jobs / job_id
        self.settings = self.path / "settings.json"
        self.end = self.path / "end.json"
        self.progress = self.path / "progress.jsonl"
        self.log = self.path / "log.txt"
        self.stop = self.path / "stop"
        self.alive = self.path / "alive"

    def ask_to_stop(self) -> None:
        """Leave the stop request that `FolderReporter.check` looks for."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.stop.touch()

    def forget_stop(self) -> None:
        """Take the request back: the job is to run again."""
        self.stop.unlink(missing_ok=True)

    def note(self, line: str) -> None:
        """Append a line to the job's log."""
        with contextlib.suppress(OSError):  # a full disk must not end the work
            self.path.mkdir(parents=True, exist_ok=True)
            with self.log.open("a", encoding="utf-8") as handle:
                handle.write(line.rstrip("\n") + "\n")

    def log_tail(self, lines: int = 200) -> list[str]:
        """The log's last lines; of a progress bar that rewrote its line, what it showed last."""
        if lines < 1:
            return []
        try:
            with self.log.open("rb") as handle:
                handle.seek(max(handle.seek(0, 2) - _TAIL_BYTES, 0))
                text = handle.read().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return [line.rstrip("\r").rpartition("\r")[2] for line in text.rstrip("\n").split("\n")][-lines:] if text.strip() else []

    def progress_since(self, offset: int) -> tuple[list[Progress], int]:
        """Progress written after byte `offset` (0 at first), and the offset for the next call."""
        try:
            with self.progress.open("rb") as handle:
                handle.seek(offset)
                content = handle.read(_CURSOR_BYTES)
        except FileNotFoundError:
            return [], offset
        whole = content[: content.rfind(b"\n") + 1]  # a line that is still being written waits for the next call
        updates = []
        for line in whole.splitlines():
            with contextlib.suppress(ValueError, SettingsError):  # a line cut short by a crash
                updates.append(Progress.from_dict(json.loads(line)))
        return updates, offset + len(whole)


class FolderReporter:
    """A `progress.Reporter` that writes into a job's folder; progress at most `per_s` times a second.

    A phase's first and last update are always written.
    """

    def __init__(self, folder: JobFolder, per_s: float = 5.0):
        self._folder = folder
        self._least_s = 1.0 / per_s
        self._written_s = -1e9
        self._phase: str | None = None
        self._held: Progress | None = None
        folder.path.mkdir(parents=True, exist_ok=True)

    def progress(self, update: Progress) -> None:
        """Append the update, or hold it until the next one is due."""
        if update.phase != self._phase:
            self.flush()
            self._phase, self._written_s = update.phase, -1e9
        self._held = update
        if update.done >= update.total or time.monotonic() - self._written_s >= self._least_s:
            self.flush()

    def flush(self) -> None:
        """Write what is held; called at a phase's end and at the job's."""
        if self._held is None:
            return
        values = {name: float(value) for name, value in self._held.values.items()}  # numpy's numbers are not JSON
        line = json.dumps({**self._held.to_dict(), "values": values})
        with contextlib.suppress(OSError), self._folder.progress.open("a", encoding="utf-8") as handle:  # a full disk must not end the work
            handle.write(line + "\n")
        self._held, self._written_s = None, time.monotonic()

    def log(self, line: str) -> None:
        """Append a line to the log, which also holds what the process prints."""
        self._folder.note(line)

    def check(self) -> None:
        """Raise `Stopped` once the person asked to stop."""
        if self._folder.stop.exists():
            raise Stopped("Stopped on request.")


END_UNKNOWN = "The queue's file was damaged and set aside, and this job's state was lost with it. What it finished is kept. Resume it."
MOST_TRIES = 5  # a job that was interrupted this often in one turn is given up
CONTINUE = "Resume it, and it continues from there."
INTERRUPTED = "Interrupted: its process and the worker ended, as when the machine restarts. It will resume automatically."
_LAST_LINES = 5
_GIVEN_UP = f"Interrupted {MOST_TRIES} times, each time together with the worker. See worker.log in the state folder."
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, RecursionError, SettingsError)
_log = logging.getLogger(__name__)


def rebuild(workspace: Workspace) -> bool:
    """Rebuild a damaged queue from the jobs' folders; False when it is intact, because another process was quicker.

    Jobs that ended keep their end; all others count as failed and can be resumed: nothing starts by itself.
    """
    store = JobStore(workspace)
    with FileLock(store.path.with_suffix(".rebuilding")):
        with contextlib.suppress(ArtifactDamaged), reading(store.path):
            return False
        moved = f"damaged-{time.time_ns():020d}"
        for path in sorted(store.path.parent.glob(f"{store.path.name}*")):
            if ".damaged-" not in path.name:
                os.replace(path, path.with_name(f"{path.name}.{moved}"))
        names = [path.name for path in workspace.jobs.glob("*") if is_job_id(path.name)]
        names.sort(key=lambda name: name.split("-", 1)[1])  # by the moment in a job's name
        jobs = [job for name in names if (job := _job(JobFolder(workspace, name)))]
        for job in jobs:
            store.insert(job, Resources(job.gpus, cluster=job.cluster), os.fspath(workspace.state))
            store.put(job)
    _log.warning("%s was damaged: set aside as %s.%s, and rebuilt with %d jobs.", store.path, store.path.name, moved, len(jobs))
    return True


def _job(folder: JobFolder) -> Job | None:
    """The job that a folder describes; None where its settings can't be read."""
    try:
        asked = json.loads(folder.settings.read_text(encoding="utf-8"))
        job: dict[str, Any] = {"id": folder.path.name, **{name: asked[name] for name in ("kind", "settings", "created", "gpus")}}
        job["cluster"] = asked.get("cluster", "")  # which earlier jobs did not have
        try:
            return Job.from_dict({**job, **json.loads(folder.end.read_text(encoding="utf-8"))})
        except _UNREADABLE:
            return Job.from_dict({**job, "state": "failed", "error": END_UNKNOWN, "finished": asked["created"]})
    except _UNREADABLE:
        return None


def reconcile(workspace: Workspace) -> int:
    """Settle jobs whose process died while no worker lives, and rebuild a damaged queue; how many were settled.

    A living worker settles jobs itself: it also knows the exit status.
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
    named = -exit_status in set(signal.Signals)
    return f"The job's process was killed by {signal.Signals(-exit_status).name if named else f'signal {-exit_status}'}."
