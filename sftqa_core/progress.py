"""How long work reports its progress: to a terminal, to a job's folder, or to nobody."""

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from sftqa_core.errors import Stopped
from sftqa_core.jsonrecord import Record

WARM_S = 60.0  # no time left is reported before that, or a twentieth of the work, is behind
LIBRARIES, MODEL = "loading the libraries", "loading the model"  # what work begins with


@dataclass(frozen=True)
class Progress(Record):
    """How far one phase of a job has come."""

    phase: str
    done: int
    total: int  # 0: what can't be counted, such as loading a model
    unit: str  # what is counted: facts, steps
    rate: float | None = None  # units a second
    left_s: float | None = None  # seconds to the end of the phase
    values: dict[str, float] = field(default_factory=dict)  # loss and the like


def uncounted(reporter: "Reporter", phase: str) -> None:
    """Report what the work does now where nothing can be counted."""
    reporter.progress(Progress(phase, 0, 0, ""))


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
    _begun_s: float = field(default_factory=lambda: time.monotonic())
    _recent: deque[tuple[float, int]] = field(default_factory=deque)  # when so many were done, of the second half of the time

    def __post_init__(self) -> None:
        self._first = self.done  # before this start

    def resume(self, done: int) -> None:
        """So many were done before this start, and cost no time now."""
        self.done = self._first = done

    def advance(self, pieces: int, **values: float) -> None:
        """`tell`, then give the person a chance to stop. Raises `Stopped` through the reporter's check."""
        self.tell(pieces, **values)
        self.reporter.check()

    def tell(self, pieces: int, **values: float) -> None:
        """Report `pieces` more as done; `values` (a loss, say) go along."""
        self.done += pieces
        now_s = time.monotonic()
        rate = self.done / max(now_s - self.started_s, 1e-9)
        self.reporter.progress(Progress(self.name, self.done, self.total, self.unit, rate, self._left_s(now_s), dict(values)))

    def _left_s(self, now_s: float) -> float | None:
        """Seconds to the end at the rate of the second half of the time so far: the first pieces pay for the start, and would forecast
        hours. None until enough is behind."""
        if not self._recent:
            self._recent.append((self._begun_s, self._first))
        self._recent.append((now_s, self.done))
        half_s = (now_s + self._begun_s) / 2
        while len(self._recent) > 2 and self._recent[1][0] <= half_s:
            self._recent.popleft()
        since_s, since = self._recent[0]
        done = self.done - self._first
        warm = now_s - self._begun_s >= WARM_S or done * 20 >= self.total - self._first
        pieces = self.done - since
        return (self.total - self.done) * max(now_s - since_s, 1e-9) / pieces if warm and pieces > 0 else None
