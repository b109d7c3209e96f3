"""Progress for people at a terminal."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from sftqa_core.progress import Progress

EVERY_S = 10.0  # between lines where standard error is a file


@dataclass
class Console:
    """Progress as one rewritten line on standard error; where that is not a terminal, a whole line now and then."""

    phase: str = ""
    told_s: float = 0.0

    def progress(self, update: Progress) -> None:
        left = f", {update.left_s:.0f} s left" if update.left_s is not None else ""
        values = "".join(f", {name} {value:.3g}" for name, value in update.values.items())
        line = f"{update.phase}: {update.done:,} of {update.total:,} {update.unit}, {update.rate or 0:.1f}/s{left}{values}"
        if sys.stderr.isatty():
            print(f"\r\x1b[2K{line}", end="\n" if update.done >= update.total else "", file=sys.stderr, flush=True)
        elif update.done >= update.total or update.phase != self.phase or time.monotonic() - self.told_s > EVERY_S:
            print(line, file=sys.stderr, flush=True)
            self.told_s = time.monotonic()
        self.phase = update.phase

    def log(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def check(self) -> None:
        pass  # Ctrl-C arrives as KeyboardInterrupt
