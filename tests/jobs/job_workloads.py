"""Workflows for the job tests, picked with SFTQA_JOB_MODULE: they take no time and no torch."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from sftqa_core.errors import NotEnoughFacts
from sftqa_core.progress import Phase, Reporter


def preload() -> None:
    """Nothing takes long here."""


def run_job(kind: str, settings: dict[str, Any], reporter: Reporter, token: str) -> str:
    """Do what `kind` names; the answer of 'quick' is its settings' name."""
    return {
        "quick": _quick,
        "steps": _steps,
        "stubborn": _stubborn,
        "few": _few,
        "broken": _broken,
        "full": _full,
        "leaves": _leaves,
        "where": _where,
        "torchless": _torchless,
        "settles": _settles,
        "gpu": _gpu,
        "whose": _whose,
    }[kind](settings, reporter)


def _quick(settings: dict[str, Any], reporter: Reporter) -> str:
    print("printed by the work")
    reporter.log("said to the reporter")
    return str(settings.get("name", "answer"))


def _steps(settings: dict[str, Any], reporter: Reporter) -> str:
    """Steps of 20 ms, each a chance to stop; marks its start and end in `marks`."""
    _mark(settings, "start")
    phase = Phase(reporter, "training", int(settings["steps"]), "steps")
    for step in range(int(settings["steps"])):
        time.sleep(0.02)
        phase.advance(1, loss=1 / (step + 1))
        if step == 0:
            reporter.log("the first step is done")
    _mark(settings, "end")
    return "trained"


def _stubborn(settings: dict[str, Any], reporter: Reporter) -> str:
    """Ignores the request to stop, and SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    reporter.log("deaf")
    time.sleep(60)
    return "never"


def _settles(settings: dict[str, Any], reporter: Reporter) -> str:
    """Never asks whether to stop, but leaves on SIGTERM."""
    reporter.log("settled")
    try:
        time.sleep(60)
    finally:
        Path(settings["marks"]).write_text("cleaned up")
    return "never"


def _few(settings: dict[str, Any], reporter: Reporter) -> str:
    raise NotEnoughFacts("60 facts were asked for, the source has 12. Lower n.")


def _broken(settings: dict[str, Any], reporter: Reporter) -> str:
    raise KeyError("loss")


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


def _full(settings: dict[str, Any], reporter: Reporter) -> str:
    raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def _leaves(settings: dict[str, Any], reporter: Reporter) -> str:
    print("about to leave")
    sys.stdout.flush()
    os._exit(3)


def _where(settings: dict[str, Any], reporter: Reporter) -> str:
    return str(Path.cwd())


def _gpu(settings: dict[str, Any], reporter: Reporter) -> str:
    """Like steps; the answer is the GPUs it was shown."""
    _steps(settings, reporter)
    return os.environ["CUDA_VISIBLE_DEVICES"]


def _whose(settings: dict[str, Any], reporter: Reporter) -> str:
    return f"{os.getppid()} {os.getpid()}"


def _torchless(settings: dict[str, Any], reporter: Reporter) -> str:
    return ",".join(sorted({"torch", "streamlit", "pandas"} & set(sys.modules)))


def _mark(settings: dict[str, Any], word: str) -> None:
    if "marks" in settings:
        with open(settings["marks"], "a", encoding="utf-8") as handle:
            handle.write(f"{settings.get('name')} {word}\n")
