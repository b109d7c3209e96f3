"""A model's files, brought to this machine where they are not here yet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sftqa_core.errors import ModelUnavailable
from sftqa_core.models.download import download
from sftqa_core.models.folders import ModelFolder
from sftqa_core.models.hub_cache import commit_of
from sftqa_core.progress import Reporter
from sftqa_core.records import ModelCard


def present(card: ModelCard, reporter: Reporter | None) -> ModelCard:
    """`card` with its files on this machine, complete."""
    if card.path is None:
        folder = download(card.name, reporter)
        card = replace(card, path=str(folder), available=True, revision=commit_of(folder))
    ModelFolder(Path(card.path or "")).weights()
    return card


def present_base(card: ModelCard, base: ModelCard, reporter: Reporter | None) -> ModelCard:
    """The model under an adapter, at the revision that the adapter names."""
    try:
        return present(base, reporter)
    except ModelUnavailable as error:
        if base.path is not None:
            raise
        raise ModelUnavailable(f"{card.name} is an adapter on {base.name}, which is not on this machine. {error}") from error
