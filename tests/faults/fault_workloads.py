"""Work for the fault suite, picked with SFTQA_JOB_MODULE: it takes a moment, tells on itself, and can be harmed."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Any

from sftqa_core.artifacts import write_folder
from sftqa_core.progress import Phase, Reporter


def preload() -> None:
    """Nothing takes long here."""


def run_job(kind: str, settings: dict[str, Any], reporter: Reporter, token: str) -> str:
    """Work in 10 ms steps that goes on from its last step; leaves one result for each job, and says so if it is not alone."""
    place = Path(settings["place"])
    with (place / "device").open("w") as device:
        try:
            fcntl.flock(device, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _note(place / "double", token)
        return _work(place, int(settings["steps"]), reporter, token)


def _work(place: Path, steps: int, reporter: Reporter, token: str) -> str:
    checkpoint = place / f"{token}.step"
    first = int(checkpoint.read_text()) if checkpoint.exists() else 0
    phase = Phase(reporter, "working", steps, "steps", done=first)
    for step in range(first, steps):
        time.sleep(0.01)
        partial = checkpoint.with_suffix(".partial")
        partial.write_text(str(step + 1))
        os.replace(partial, checkpoint)
        phase.advance(1)
    write_folder(place / "results" / token, lambda folder: (folder / "text").write_text(f"{steps} steps") and None, {"kind": "test"})
    return token


def _note(path: Path, line: str) -> None:
    with path.open("a") as handle:
        handle.write(f"{line}\n")
