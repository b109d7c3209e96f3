"""How long work reports its progress: to a terminal, to a job's folder, or to nobody."""

import time
from dataclasses import dataclass, field
from typing import Protocol

from sftqa_core.errors import Stopped
from sftqa_core.jsonrecord import Record

WARM_S = 10.0  # before that, or a twentieth of the work, no time left is reported


@dataclass(frozen=True)
class Progress(Record):
    """How far one phase of a job has come."""

    phase: str
    done: int
    total: int
    unit: str  # what is counted: facts, steps
    rate: float | None = None  # units a second
    left_s: float | None = None  # seconds to the end of the phase
    values: dict[str, float] = field(default_factory=dict)  # loss and the like


class Reporter(Protocol):
    """What every workflow is handed; the console, the job folder and the tests each implement it."""

    def progress(self, update: Progress) -> None:
        """Report how far a phase has come."""

    def log(self, line: str) -> None:
        """Keep one line of text."""

    def check(self) -> None:
        """Raise `Stopped` if the person asked the work to stop; called between pieces of work."""


class Silent:
    """A reporter that keeps nothing: the default of every workflow."""

    def progress(self, update: Progress) -> None:
        pass

    def log(self, line: str) -> None:
        pass

    def check(self) -> None:
        pass


class Recorder:
    """A reporter that keeps everything in RAM; `check` stops the work after so many updates."""

    def __init__(self, stop_after: int | None = None):
        self.updates: list[Progress] = []
        self.lines: list[str] = []
        self._stop_after = stop_after

    def progress(self, update: Progress) -> None:
        self.updates.append(update)

    def log(self, line: str) -> None:
        self.lines.append(line)

    def check(self) -> None:
        if self._stop_after is not None and len(self.updates) >= self._stop_after:
            raise Stopped("Stopped on request.")


@dataclass
class Phase:
    """Counts one phase's pieces and turns them into `Progress` with a rate and the time left."""

    reporter: Reporter
    name: str
    total: int
    unit: str
    done: int = 0
    started_s: float = field(default_factory=time.monotonic)

    def advance(self, pieces: int, **values: float) -> None:
        """`tell`, then give the person a chance to stop. Raises `Stopped` through the reporter's check."""
        self.tell(pieces, **values)
        self.reporter.check()

    def tell(self, pieces: int, **values: float) -> None:
        """Report `pieces` more as done; `values` (a loss, say) go along."""
        self.done += pieces
        elapsed_s = max(time.monotonic() - self.started_s, 1e-9)
        rate = self.done / elapsed_s
        warm = elapsed_s >= WARM_S or self.done * 20 >= self.total  # the first pieces pay for the start: they would forecast hours
        left_s = (self.total - self.done) / rate if rate > 0 and warm else None
        self.reporter.progress(Progress(self.name, self.done, self.total, self.unit, rate, left_s, dict(values)))
