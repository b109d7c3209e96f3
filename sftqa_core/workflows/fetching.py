"""Fetch a model of the hub now, before anything needs it. Takes no device and never loads torch."""

from __future__ import annotations

from sftqa_core.errors import ModelUnavailable, SettingsError
from sftqa_core.models.catalogue import base_card, find_model
from sftqa_core.models.download import download
from sftqa_core.models.hub_cache import hub_name
from sftqa_core.progress import Reporter, Silent
from sftqa_core.records import FetchSettings, ModelCard


def fetch(settings: FetchSettings, reporter: Reporter | None = None) -> ModelCard:
    """The model's card, with its files on this machine; under an adapter its base model, too.

    A branch or tag is brought to the commit that it points to now, where the hub can be asked; what is here already stays usable.
    Raises `SettingsError` for a model that is not of the hub, else what `download` raises.
    """
    reporter = reporter or Silent()
    card = find_model(settings.model)
    if card.kind != "hub":
        raise SettingsError(f"{settings.model} is on this machine already ({card.kind}). Only models of the hub are fetched: owner/name.")
    card = _present(card, reporter)
    base = base_card(card)
    if base is not None and base.kind == "hub":
        _present(base, reporter)
    return card


def _present(card: ModelCard, reporter: Reporter) -> ModelCard:
    hub = hub_name(card.name)
    if card.path is not None and hub is not None and hub.commit:
        return card  # a commit never changes
    try:
        download(card.name, reporter)
    except ModelUnavailable as error:
        if card.path is None:
            raise
        reporter.log(f"{card.name} is here at commit {card.revision}; whether the hub has a newer one is not known. {error}")
    return find_model(card.name)
