"""Looks inside tuned models (evaluation/inside/): which there are, what they say, and what one would be made of. Loads no torch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sftqa_core.errors import SettingsError, SftqaError
from sftqa_core.evaluation.inside import kept_looks
from sftqa_core.evaluation.inside.kept_looks import KeptLook
from sftqa_core.knowledge.sources import open_source
from sftqa_core.models.serving.addresses import is_server
from sftqa_core.records import DOMAIN_NAMES, MEASURES, InsideSettings
from sftqa_core.workflows.tested.remaking import settings_again
from sftqa_core.workflows.tested.tested_models import Tested, tested
from sftqa_core.workspace import Workspace

_MODELS = {"before": "base", "after": "tuned"}
_ANSWERED = {"before": "base_correct", "after": "correct"}

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.evaluation.inside.look import Look


def looks() -> list[KeptLook]:
    """Every run that was looked at, the person's first; of two with one name the newer first."""
    return kept_looks.kept_looks(Workspace.current())


def read_look(kept: KeptLook, measures: Sequence[str] = tuple(MEASURES)) -> Look:
    """What was seen inside one run, as far as it was looked at. Raises `NotFound`, and what opening its facts raises."""
    return kept_looks.read(kept, open_source(kept.settings.source), measures)


def read_looks(some: Sequence[KeptLook], measures: Sequence[str] = tuple(MEASURES)) -> list[Look]:
    """The same of several; those that can't be read any more are left out."""
    found = []
    for one in some:
        with contextlib.suppress(SftqaError):  # its facts have changed, or it is damaged: its own page says so
            found.append(read_look(one, measures))
    return found


def beside(kept: KeptLook, measure: str) -> list[KeptLook]:
    """All looks on the same base model and facts, this one among them, that took this measure with the same settings."""
    own = kept.pieces[measure].own
    return [look for look in looks() if look.base == kept.base and measure in look.pieces and look.pieces[measure].own == own]


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


def inside_words(chosen: Sequence[Look], others: Sequence[Look], measure: str) -> dict[str, list[str]]:
    """What may be said of one measure at the seeds of one setting, beside all looks on the same base model: measure -> sentences; nothing
    where it was not taken."""
    from sftqa_core.evaluation.inside import curves_tables, drift_tables, drift_words, knowledge_tables, restoration_tables

    said: dict[str, Callable[[], list[str]]] = {
        "drift": lambda: drift_words.words(drift_tables.Drift(chosen, drift_tables.looked_at(others))),
        "restoration": lambda: restoration_tables.words(chosen),
        "knowledge": lambda: knowledge_tables.words(chosen, knowledge_tables.stored(others)),
        "curves": lambda: curves_tables.words(chosen, others),
    }
    return {measure: said[measure]()} if all(measure in look.tables for look in chosen) else {}


def inside_summary(chosen: Sequence[Look]) -> list[dict[str, Any]]:
    """The headline of the seeds of one setting, a row a domain: domain, and as far as they were measured facts, kl, kl_low, kl_high (KL
    after the question), asked, known_before, known_after, known_change with its low and high (facts whose right answer ranks first in the
    fixed set, which no model's answers touch), and activated with its low, high and starts (share of the facts known and not said before
    that are said now) beside control with its own (share of those neither known nor said before that are said now)."""
    from sftqa_core.evaluation.inside import drift_tables, knowledge_tables

    rows: dict[str, dict[str, Any]] = {domain: {"domain": domain} for domain in DOMAIN_NAMES}
    if all("drift" in look.tables for look in chosen):
        table = drift_tables.Drift(chosen, chosen).by_level
        for row in table[(table["kind"] == drift_tables.QUESTIONS) & (table["level"] == drift_tables.EVERY)].to_dict("records"):
            rows[row["domain"]] |= {"facts": row["facts"], "kl": row["kl"], "kl_low": row["low"], "kl_high": row["high"]}
    if all("knowledge" in look.tables for look in chosen):
        table = knowledge_tables.changes(chosen)
        for row in table[(table["share"] == "fixed") & table["domain"].isin(rows)].to_dict("records"):
            known = {"known_before": row["before"], "known_after": row["after"], "known_change": row["difference"]}
            rows[row["domain"]] |= {"asked": row["facts"], **known, "known_low": row["low"], "known_high": row["high"]}
        table = knowledge_tables.named_moves(chosen)
        for row in table[table["move"].isin(["activated", "control"]) & table["domain"].isin(rows)].to_dict("records"):
            ends = {"": row["share"], "_low": row["low"], "_high": row["high"], "_starts": row["facts"]}
            rows[row["domain"]] |= {f"{row['move']}{end}": value for end, value in ends.items()}
    return [row for row in rows.values() if len(row) > 1]


def fact_inside(source: str, fact_id: str) -> list[dict[str, Any]]:
    """One fact in every run on this source that was looked at: run, settings, before, after (answered rightly), and as far as they were
    measured kl (after the question), logprob_before, logprob_after (of the answer's first token), k_before, k_after, wrong (answers that
    the right one is ranked among). Runs that were not tested on it are left out."""
    from sftqa_core.evaluation.inside import drift_tables, knowledge_tables

    rows = []
    for look in read_looks([kept for kept in looks() if kept.settings.source == source], ("drift", "knowledge")):
        found = look.facts[look.facts["fact_id"] == fact_id]
        if found.empty:
            continue
        row = {"run": look.name, "settings": look.settings, **{name: bool(found[was].iloc[0]) for name, was in _ANSWERED.items()}}
        if "drift" in look.tables:
            (moved,) = _of_fact(drift_tables.facts_of(look, drift_tables.QUESTIONS), fact_id)
            row |= {"kl": moved["kl"]} | {f"logprob_{name}": moved[f"logprob_{model}"] for name, model in _MODELS.items()}
        for ranked in _of_fact(knowledge_tables.facts_by_seed(knowledge_tables.stored([look])), fact_id):  # not every fact is
            row |= {f"k_{name}": ranked[f"{model}_k"] for name, model in _MODELS.items()} | {"wrong": int(ranked["base_m"])}
        rows.append(row)
    return rows


def _of_fact(table: pd.DataFrame, fact_id: str) -> list[dict[Any, Any]]:
    return table[table["fact_id"] == fact_id].to_dict("records")


def refuse(model: Tested, measures: Sequence[str] = ()) -> None:
    """Raise `SettingsError` where nothing can be seen inside a tested model, or not by one of these measures."""
    if model.bundle:
        raise SettingsError(
            f"{model.name} was imported, so nothing can be looked at inside it: results from elsewhere are read and compared, and no work "
            "starts from them. Make it again here (Compare, or sftqa compare --remade), and look inside that run."
        )
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
