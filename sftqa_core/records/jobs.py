"""Work in the background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sftqa_core.jsonrecord import Record, at_least

KEPT = {  # kind of work -> what a person still has when it ends before its time
    "probe": "The facts that were finished are kept.",
    "train": "What was probed, the base model's answers and the training's last checkpoint, if there was one, are kept.",
    "study": "Every finished run is kept, and the last checkpoint, if there was one, of the run at hand.",
    "pretrain": "The last checkpoint, if there was one, is kept.",
    "select": "What was probed is kept.",
    "fetch": "Files that were fetched whole are kept.",
}
DEVICELESS = ("fetch",)  # kinds of work that wait for the network: they take no device, and none has to be free for them
MOVES = ("first", "up", "down", "last")  # ways to change a queued job's place
REASONS = ("memory", "disk")  # why a job failed, where the program knows what to offer


@dataclass(frozen=True)
class Resources(Record):
    """What work needs of the machine; it starts when all of it is free at once. Memory is forecast, not leased."""

    gpus: int = 0  # 0: the processor

    def problems(self) -> list[str]:
        return at_least("gpus", self.gpus, 0)


@dataclass(frozen=True)
class Job(Record):
    """One row of the queue. Progress and log are files in `folder`, not here."""

    id: str
    kind: str  # probe, train, study, pretrain or fetch
    settings: dict[str, Any]  # the settings record as JSON, frozen at submission
    state: str  # queued, running, stopping, done, failed or cancelled
    created: str  # ISO 8601, UTC
    started: str | None = None
    finished: str | None = None
    folder: str = ""
    result: str | None = None  # run id, artefact or model name
    error: str | None = None  # one sentence for people
    turn: int = 1  # how often it was put into the queue: a page that shows an earlier turn must not cancel this one
    gpus: int = 0  # how many it asks for; 0: the processor
    reason: str | None = None  # one of REASONS, of a failed job
    expected_s: tuple[float, ...] = ()  # seconds it was forecast to take at submission, at best and at worst
