"""What is known of models and of fact sources."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sftqa_core.jsonrecord import Record


@dataclass(frozen=True)
class ModelCard(Record):
    """What is known of a model without loading it."""

    name: str  # what a person types to pick it
    kind: str  # "built-in" (shipped), "pretrained" (made here), "folder" or "hub"
    path: str | None  # its folder, when its files are on this machine
    available: bool  # can be loaded now, without the network
    architecture: str | None = None
    parameters: int | None = None
    weights_sha256: str | None = None
    revision: str | None = None  # the hub's commit; empty when it could not be looked up
    note: str = ""  # one sentence for people
    details: dict[str, Any] = field(default_factory=dict)  # a built-in model's manifest


@dataclass(frozen=True)
class FetchSettings(Record):
    """A model of the hub that is to be brought to this machine."""

    model: str  # owner/name, or owner/name@revision: a branch, a tag or a commit of 40 digits

    def problems(self) -> list[str]:
        return [] if "/" in self.model else [f"model must be a hub id (owner/name, owner/name@revision), got {self.model!r}."]


@dataclass(frozen=True)
class SourceReport(Record):
    """What a fact source holds; `sftqa facts --json` prints it."""

    source: str
    facts: int  # rows of the fact table
    relations: dict[str, dict[str, int]]  # relation -> split -> rows in the files (for atlas: facts)
    unparsed: int  # rows whose question did not fit the relation's form
    unique: int  # distinct (relation, subject) keys
    merged: int  # rows that joined another row of the same key
    excluded_from_train: int  # train rows whose key or question stands in dev or test
    echo: int  # facts with an answer inside the subject's own text
