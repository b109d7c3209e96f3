"""A job's folder: what the job tells while it runs, as files that only grow, and the request to stop.

settings.json (as submitted), end.json (how it ended), progress.jsonl (one `Progress` a line), log.txt (all output), `stop`
(exists once the person asked to stop), `alive` (touched every few seconds by the job's process).
"""

import contextlib
import json
import time

from sftqa_core.errors import NotFound, SettingsError, Stopped
from sftqa_core.jobs.queue import named_rightly
from sftqa_core.progress import Progress
from sftqa_core.workspace import Workspace

_TAIL_BYTES = 256 * 1024  # of a log: enough for any page, little enough for a log of gigabytes
_CURSOR_BYTES = 1024 * 1024  # of progress handed over in one call


class JobFolder:
    """Paths of one job's files, and how to read them while they grow."""

    def __init__(self, workspace: Workspace, job_id: str):
        if not named_rightly(job_id):
            raise NotFound(f"There is no job {job_id[:80]!r}. 'sftqa jobs' lists those that exist.")
        self.path = workspace.jobs / job_id
        self.settings = self.path / "settings.json"
        self.end = self.path / "end.json"
        self.progress = self.path / "progress.jsonl"
        self.log = self.path / "log.txt"
        self.stop = self.path / "stop"
        self.alive = self.path / "alive"

    def ask_to_stop(self) -> None:
        """Leave the request that `FolderReporter.check` finds."""
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
        """Append a line to the log, between whatever the process prints."""
        self._folder.note(line)

    def check(self) -> None:
        """Raise `Stopped` once the person asked to stop."""
        if self._folder.stop.exists():
            raise Stopped("Stopped on request.")
