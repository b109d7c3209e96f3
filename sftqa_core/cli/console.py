"""Progress for people at a terminal."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from sftqa_core.artifacts import in_words
from sftqa_core.errors import Stopped
from sftqa_core.progress import Progress

EVERY_S = 10.0  # between lines where standard error is a file


@dataclass
class Console:
    """Progress as one rewritten line on standard error; where that is not a terminal, a whole line now and then."""

    phase: str = ""
    stopping: bool = False
    told_s: float = 0.0

    def progress(self, update: Progress) -> None:
        left = f", {update.left_s:.0f} s left" if update.left_s is not None else ""
        values = "".join(f", {name} {value:.3g}" for name, value in update.values.items())
        done, total, rate = f"{update.done:,}", f"{update.total:,} {update.unit}", f"{update.rate or 0:.1f}"
        if update.unit == "bytes":
            done, total, rate = (in_words(number) for number in (update.done, update.total, update.rate or 0))
        line = f"{update.phase}: {done} of {total}, {rate}/s{left}{values}"
        if sys.stderr.isatty():
            print(f"\r\x1b[2K{line}", end="\n" if update.done >= update.total else "", file=sys.stderr, flush=True)
        elif update.done >= update.total or update.phase != self.phase or time.monotonic() - self.told_s > EVERY_S:
            print(line, file=sys.stderr, flush=True)
            self.told_s = time.monotonic()
        self.phase = update.phase

    def log(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def check(self) -> None:
        if self.stopping:
            raise Stopped("Stopped. What was done is kept; the same command goes on from there.")

    @contextmanager
    def gentle(self) -> Iterator[None]:
        """Within it a first Ctrl-C ends the work at its next step, so that its state is saved; a second one ends it at once.

        Elsewhere Ctrl-C arrives as KeyboardInterrupt, wherever the work stands.
        """

        def ask(number: int, frame: FrameType | None) -> None:
            self.stopping = True
            signal.signal(signal.SIGINT, before)
            self.log("Stopping at the next step. Press Ctrl-C again to stop at once.")

        before = signal.signal(signal.SIGINT, ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
