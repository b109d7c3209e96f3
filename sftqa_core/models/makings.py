"""Whether a model that was pre-trained here is the one that some settings would make."""

from dataclasses import replace

from sftqa_core.errors import SettingsError, SftqaError
from sftqa_core.models import measured
from sftqa_core.models.catalogue import find_model, model_fingerprint
from sftqa_core.models.lists import MADE
from sftqa_core.models.serving.server_limits import refuse_on_server
from sftqa_core.records import ModelCard, PretrainSettings
from sftqa_core.workspace import Workspace


def same_making(card: ModelCard, settings: PretrainSettings, source_fingerprint: str) -> bool:
    """Whether a model was made with these settings from these facts, and from the same weights where it goes on from another; its name,
    its device and the facts' place don't count."""
    try:
        made = PretrainSettings.from_dict(card.details["settings"])
        facts = card.details["source"]["fingerprint"]
    except (KeyError, TypeError, SettingsError):
        return False
    if settings.base is not None:
        try:
            known = model_fingerprint(find_model(settings.base), "", "")
        except SftqaError:  # gone: nothing can go on from it
            return False
        begun = card.details.get("base", {})
        if (begun.get("weights"), begun.get("adapter")) != (known.weights, known.adapter):
            return False
    return facts == source_fingerprint and replace(made, name=settings.name, device=settings.device, source=settings.source) == settings


def refuse_other_making(settings: PretrainSettings, source_fingerprint: str, workspace: Workspace | None = None) -> None:
    """Raises `SettingsError` when `settings.name` is a model, made here or built in, of other settings or facts: pre-training would replace
    or hide it. A damaged one may be made again. Raises it, too, for a model to go on from that is on a server."""
    if settings.base is not None:
        refuse_on_server(find_model(settings.base, workspace), settings)
    try:
        card = find_model(settings.name, workspace)
    except SftqaError:
        return
    ships = settings.name in measured.measured_models(workspace)  # also where its file was read here
    if (card.kind in MADE or ships) and not same_making(card, settings, source_fingerprint):
        where = "is a built-in model" if card.kind == "built-in" else f"already exists in {card.path}"
        where = "is a model whose results come with the program" if ships else where
        raise SettingsError(f"{settings.name} {where} and was made with other settings or facts. Choose another name.")
