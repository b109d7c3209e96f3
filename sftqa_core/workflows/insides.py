"""Looks inside tuned models (evaluation/inside/): which there are, what they say, and what one would be made of. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sftqa_core.errors import SettingsError
from sftqa_core.evaluation.inside import kept_looks
from sftqa_core.evaluation.inside.kept_looks import KeptLook
from sftqa_core.knowledge.sources import open_source
from sftqa_core.models.serving.addresses import is_server
from sftqa_core.records import MEASURES, InsideSettings
from sftqa_core.workflows.remaking import settings_again
from sftqa_core.workflows.tested_models import Tested, tested
from sftqa_core.workspace import Workspace

if TYPE_CHECKING:
    from sftqa_core.evaluation.inside.look import Look


def looks() -> list[KeptLook]:
    """Every run that was looked at, the person's first."""
    return kept_looks.kept_looks(Workspace.current())


def read_look(kept: KeptLook, measures: Sequence[str] = tuple(MEASURES)) -> Look:
    """What was seen inside one run, as far as it was looked at. Raises `NotFound`, and what opening its facts raises."""
    return kept_looks.read(kept, open_source(kept.settings.source), measures)


def same_setting(kept: KeptLook) -> tuple[str, str]:
    """Equal for the seeds of one setting on the same base model and facts."""
    from sftqa_core.studies.cells import canonical

    return kept.base, replace(canonical(kept.settings), seed=0).fingerprint()


def inside_settings(name: str, measures: Sequence[str] | None = None, **own: int) -> InsideSettings:
    """How a run or a study's cell is looked at; a recipe's run has no learning curves, so they are left out unless asked for.

    Raises `NotFound`, and `SettingsError` for what can't be looked at.
    """
    model = tested(name)
    refuse(model, measures or ())
    wanted = tuple(measures) if measures else tuple(m for m in MEASURES if m != "curves" or model.settings.recipe is None)
    return InsideSettings(name, settings_again(model), wanted, **own)


def inside_words(looks: Sequence[Look]) -> dict[str, list[str]]:
    """What may be said of the seeds of one setting: measure -> sentences."""
    from sftqa_core.evaluation.inside import curves_tables, drift_tables, knowledge_tables, restoration_tables

    said: dict[str, Callable[[Sequence[Look]], list[str]]] = {
        "drift": drift_tables.words, "restoration": restoration_tables.words, "knowledge": knowledge_tables.words,
        "curves": curves_tables.words,
    }  # fmt: skip
    return {measure: words(looks) for measure, words in said.items() if all(measure in look.tables for look in looks)}


def refuse(model: Tested, measures: Sequence[str] = ()) -> None:
    """Raise `SettingsError` where nothing can be seen inside a tested model, or not by one of these measures."""
    settings = settings_again(model)
    if is_server(settings.model):
        raise SettingsError(f"{settings.model} is on a server, which gives out no weights. Look inside a model on this machine.")
    if settings.quantization != "none":
        raise SettingsError(
            f"{model.name} was tuned on a base model in {settings.quantization}, whose weights can't be compared one by one. "
            "Look inside a run without quantization."
        )
    if settings.gpus > 1:
        raise SettingsError(f"{model.name} was tuned on {settings.gpus} GPUs; a look inside holds both models on one. Choose another run.")
    if settings.recipe is not None and "curves" in measures:
        raise SettingsError(
            f"Learning curves follow one plain training, and {model.name} is of the recipe {settings.recipe.name}. Leave out curves."
        )
