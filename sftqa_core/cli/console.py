"""Progress for people at a terminal."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from sftqa_core.progress import Progress


@dataclass
class Console:
    """Progress as one rewritten line on standard error (whole lines where that is not a terminal)."""

    last: str = ""

    def progress(self, update: Progress) -> None:
        left = f", {update.left_s:.0f} s left" if update.left_s is not None else ""
        values = "".join(f", {name} {value:.3g}" for name, value in update.values.items())
        line = f"{update.phase}: {update.done:,} of {update.total:,} {update.unit}, {update.rate or 0:.1f}/s{left}{values}"
        if sys.stderr.isatty():
            print(f"\r\x1b[2K{line}", end="\n" if update.done >= update.total else "", file=sys.stderr, flush=True)
        elif update.done >= update.total or update.phase != self.last:
            print(line, file=sys.stderr, flush=True)
        self.last = update.phase

    def log(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def check(self) -> None:
        pass  # Ctrl-C arrives as KeyboardInterrupt
