"""How long work reports its progress: to a terminal, to a job's folder, or to nobody."""

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from sftqa_core.errors import Stopped
from sftqa_core.jsonrecord import Record

WARM_S = 60.0  # no time left is reported before that, or a twentieth of the work, is behind
# The same where what is done of pieces in progress is told: at first all of them are at their beginning, which says little of the rest
WARM_WITHIN_S, WARM_WITHIN = 600.0, 10
SLOW = 0.05  # pieces a second: less would be shown as 0.0
LIBRARIES, MODEL = "loading the libraries", "loading the model"  # what work begins with


@dataclass(frozen=True)
class Counted(Record):
    """Something smaller than a phase's pieces, and how many of them are done."""

    done: int
    unit: str
    total: int = 0  # 0: not known

    @property
    def words(self) -> str:
        """ "37 of 84 prompts", "312 completions"."""
        if self.total:
            return f"{self.done:,} of {self.total:,} {self.unit}"
        return f"{self.done:,} {self.unit.removesuffix('s') if self.done == 1 else self.unit}"


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
    within: tuple[Counted, ...] = ()  # what pieces are made of that take long: prompts and completions of a probe's facts
    share: float | None = None  # of the phase's work that is done, with what is done of pieces in progress; None: done of total

    @property
    def portion(self) -> float:
        """0 to 1, for a bar; 0 where nothing is counted."""
        return self.share if self.share is not None else min(self.done / self.total, 1.0) if self.total else 0.0

    @property
    def details(self) -> str:
        """What a line says behind the pieces: ", 37 of 84 prompts, 312 completions"; empty where nothing is told."""
        return "".join(f", {counted.words}" for counted in self.within)


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
    _recent: deque[tuple[float, float]] = field(default_factory=deque)  # when so much was done, of the second half of the time

    def __post_init__(self) -> None:
        self._first = self.done  # before this start
        self._work, self._ahead = float(self.done), 0.0  # in pieces: all that is done, and what of it is done of pieces in progress
        self._within: tuple[Counted, ...] = ()
        self._fine = False  # what is done of pieces in progress is told

    def resume(self, done: int) -> None:
        """So many were done before this start, and cost no time now."""
        self.done = self._first = done
        self._work = float(done)

    def advance(self, pieces: int, **values: float) -> None:
        """`tell`, then give the person a chance to stop. Raises `Stopped` through the reporter's check."""
        self.tell(pieces, **values)
        self.reporter.check()

    def within(self, work: float) -> None:
        """`reach` where no more pieces are through, and nothing is told of what they are made of."""
        self.reach(self.done, self.done + work)

    def reach(self, done: int, work: float, *within: Counted) -> None:
        """Report that `done` pieces are through, and that with what is done of others it is the work of `work` pieces, which may go down
        where work has to begin again. For work whose pieces take long. Raises as `advance` does."""
        self._ahead, self._within, self._fine = max(work - done, 0.0), within, True
        self.advance(done - self.done)

    def tell(self, pieces: int, **values: float) -> None:
        """Report `pieces` more as done; `values` (a loss, say) go along."""
        self.done += pieces
        self._work = max(self._work, self.done + self._ahead)
        now_s = time.monotonic()
        rate = self._work / max(now_s - self.started_s, 1e-9)
        share = min(self._work / self.total, 1.0) if self.total else None
        left_s = self._left_s(now_s)
        self.reporter.progress(
            Progress(self.name, self.done, self.total, self.unit, rate, left_s, dict(values), self._within, share)
        )  # fmt: skip

    def _left_s(self, now_s: float) -> float | None:
        """Seconds to the end at the rate of the second half of the time so far: the first pieces pay for the start, and would forecast
        hours. None until enough is behind."""
        if not self._recent:
            self._recent.append((self._begun_s, self._first))
        self._recent.append((now_s, self._work))
        half_s = (now_s + self._begun_s) / 2
        while len(self._recent) > 2 and self._recent[1][0] <= half_s:
            self._recent.popleft()
        since_s, since = self._recent[0]
        enough_s, part = (WARM_WITHIN_S, WARM_WITHIN) if self._fine else (WARM_S, 20)
        warm = now_s - self._begun_s >= enough_s or (self._work - self._first) * part >= self.total - self._first
        pieces = self._work - since
        return (self.total - self._work) * max(now_s - since_s, 1e-9) / pieces if warm and pieces > 0 else None
