"""Work in the background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sftqa_core.jsonrecord import Record


@dataclass(frozen=True)
class Job(Record):
    """One row of the queue. Progress and log are files in `folder`, not here."""

    id: str
    kind: str  # probe, train or pretrain
    settings: dict[str, Any]  # the settings record as JSON, frozen at submission
    state: str  # queued, running, stopping, done, failed or cancelled
    created: str  # ISO 8601, UTC
    started: str | None = None
    finished: str | None = None
    folder: str = ""
    result: str | None = None  # run id, artefact or model name
    error: str | None = None  # one sentence for people
