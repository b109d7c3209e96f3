"""Models of the hub that the program knows without asking it: the paper's families, their successors, small open ones. No torch."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from sftqa_core.jsonrecord import Record
from sftqa_core.models.hub_cache import without_revision
from sftqa_core.models.shape import Shape

TABLE = Path(__file__).with_name("hub_models.toml")


@dataclass(frozen=True)
class HubModel(Record):
    """A row of the table. Its revision is not in it: none could be looked up, and it is resolved at the first download."""

    name: str  # hub id
    family: str
    parameters: int  # tied embeddings count once
    licence: str  # the hub's word
    gated: bool  # an account has to accept its terms first
    chat: bool  # tuned to follow instructions; else a base model
    config: dict[str, Any] = field(default_factory=dict)  # settings of its config.json that decide its size

    @property
    def shape(self) -> Shape:
        """Its widths, which memory is counted from."""
        found = Shape.of(self.config, self.parameters)
        assert found is not None, self.name  # tests/models/test_hub_models.py builds them all
        return found

    @property
    def context(self) -> int:
        """Tokens that it can read at once."""
        return int(self.config.get("max_position_embeddings") or self.config["n_positions"])

    @property
    def size_bytes(self) -> int:
        """Of its weights on the hub, about."""
        return self.parameters * self.shape.stored_bytes


@cache
def hub_models() -> dict[str, HubModel]:
    """The table, by hub id, in its own order."""
    rows = tomllib.loads(TABLE.read_text(encoding="utf-8"))["model"]
    return {row["name"]: HubModel.from_dict(row) for row in rows}


def known_model(name: str) -> HubModel | None:
    """The row of a hub id, whatever revision it names; None where the table has none."""
    return hub_models().get(without_revision(name))
