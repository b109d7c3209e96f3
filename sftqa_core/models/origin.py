"""Where a model came from, for the papers of a result: beside its key, never in it. What decides numbers is the weights' fingerprint."""

from __future__ import annotations

from typing import Any

from sftqa_core.models.catalogue import base_card
from sftqa_core.models.hub_cache import hub_name
from sftqa_core.records import ModelCard


def origin(card: ModelCard) -> dict[str, Any]:
    """name, kind and revision (the hub's commit, None where it is not known) of a model; of an adapter its base's too, as "base"."""
    base = base_card(card)
    told = {"name": card.name, "kind": card.kind, "revision": card.revision}
    return told if base is None else {**told, "base": origin(base)}


def repository(name: str, kind: str | None) -> str:
    """A model's name for other tools, which have the revision in a field of its own: of a hub model without @revision."""
    hub = hub_name(name) if kind == "hub" else None
    return hub.repository if hub else name
