"""What can't be done with a model on a server: preflight says it before, and the work refuses by the same rule."""

from sftqa_core.errors import SettingsError
from sftqa_core.models.serving.addresses import KIND
from sftqa_core.records import ModelCard, PretrainSettings, ProbeSettings, TrainSettings


def refuse_on_server(card: ModelCard, settings: ProbeSettings | TrainSettings | PretrainSettings) -> None:
    """Raise `SettingsError` for settings that a server can't fulfil; nothing for a model of this machine."""
    if card.kind != KIND:
        return
    name = card.name
    if isinstance(settings, PretrainSettings):
        raise SettingsError(
            f"{name} is on a server, which does not give its weights, so no model can go on from it. Choose one of this machine."
        )
    scheme = settings.scheme
    if isinstance(settings, TrainSettings) and settings.n != 0:
        raise SettingsError(
            f"{name} is on a server, which does not give its weights, so it can't be tuned here. It can be tested: choose 0 examples "
            "(--n 0)."
        )
    if settings.gpus > 1:
        raise SettingsError(f"{name} is on a server, which has its own devices, got {settings.gpus} gpus. Choose 1.")
    if settings.quantization != "none":
        raise SettingsError(f"{name} is on a server, in the number format that the server has. Choose quantization none.")
    if scheme.method == "adaptive":
        raise SettingsError(f"{name} is on a server, where levels are not measured adaptively. Choose the method sampling or likelihood.")
    if scheme.method == "likelihood":
        if scheme.sampling.temperature != 1:
            raise SettingsError(
                f"{name} is on a server, which gives probabilities at temperature 1 alone, got {scheme.sampling.temperature:g}. Choose "
                "temperature 1 (--temperature 1), or the method sampling."
            )
        require_tokenizer(card, "The likelihood of answers")
    if isinstance(settings, TrainSettings) and settings.prompt.chat:
        require_tokenizer(card, "A chat template")


def require_tokenizer(card: ModelCard, what: str) -> None:
    """Raise `SettingsError` where nobody named a served model's tokenizer, which `what` needs."""
    if not card.details.get("served", {}).get("tokenizer"):
        raise SettingsError(why_no_tokenizer(card, what))


def why_no_tokenizer(card: ModelCard, what: str) -> str:
    """What is missing, and what to do."""
    return (
        f"{what} needs the tokenizer of {card.name}, which a server does not give. Name a folder or a model on this machine that has the "
        f"same: sftqa models --add {card.name} --tokenizer NAME"
    )
