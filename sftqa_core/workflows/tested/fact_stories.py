"""One fact through everything that is stored: its level in each model, its answer in each run, whether runs were trained on it.

Reads of each file only that fact's rows, so that it is quick where there are hundreds of runs. Loads no model.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sftqa_core.errors import NotFound, SftqaError
from sftqa_core.jsonrecord import shown
from sftqa_core.knowledge import aliases, sources
from sftqa_core.models import catalogue
from sftqa_core.models.tuned import is_tuned_name
from sftqa_core.records import METHODS, SLICK, LevelScheme, ModelCard, ProbeSettings
from sftqa_core.training import runs

if TYPE_CHECKING:
    import pandas as pd

MOST_MODELS = 60  # whose stores are looked through for one fact


@dataclass(frozen=True)
class FactInRun:
    """What a run has to do with one fact."""

    run: runs.RunInfo
    answers: dict[str, tuple[str, bool]]  # of each stage: the text, and whether it is right; empty where the fact was not tested
    trained_on: bool
    level: str | None  # the base model's, as the run knew it
    problem: str = ""  # why the run's files can't be read


def fact_levels(
    source: str, fact_id: str, scheme: LevelScheme | None = None, estimates: bool = False, models: Sequence[ModelCard] | None = None
) -> list[dict[str, Any]]:
    """A row for each model and each way of measuring that has a level of this fact: model, method, level, score, hits, completions,
    confidence and the ends of both intervals (None where there are none).

    By the full probe and by SliCK's prompts, and with `estimates` by the other methods; `scheme`: its cut-offs are used for levels by
    statements. `models`: those that there are, where that is known already. Raises `NotFound` where the source has no such fact.
    """
    opened = sources.open_source(source)
    fact = opened.facts[opened.facts["fact_id"] == fact_id]
    if not len(fact):
        raise NotFound(f"{source} has no fact {shown(fact_id)}.")
    here = [card for card in (catalogue.list_models() if models is None else models) if card.path]
    cards = sorted(here, key=lambda card: is_tuned_name(card.name))[:MOST_MODELS]  # base models first
    table = aliases.load_aliases()
    paper = scheme if scheme is not None and scheme.by_statements else LevelScheme()
    schemes = [replace(paper, method=method) for method in (METHODS if estimates else ("sampling",))] + [SLICK]
    rows: list[dict[str, Any]] = []
    for card in cards:
        with contextlib.suppress(SftqaError):  # gone since it was listed, or damaged: the Models page says so
            asked = [ProbeSettings(card.name, source, "all", scheme=one) for one in schemes]
            rows += [row for settings in asked for row in _level(card, opened, fact, settings, table)]
    return rows


def _level(card: ModelCard, opened: Any, fact: pd.DataFrame, settings: ProbeSettings, table: aliases.Aliases) -> Iterator[dict[str, Any]]:
    """What is known by one way of measuring: one row, or none."""
    from sftqa_core.memory.scores import holds_any
    from sftqa_core.memory.stored_levels import stored_levels, stores_of

    wanted = fact["fact_id"].tolist()
    stores = [store for store in stores_of(card, settings) if any(holds_any(path, wanted) for path in store.lists())]
    if not stores:
        return
    scheme = settings.scheme
    for row in stored_levels(card, opened, fact, settings, table, stores=stores).to_dict("records"):
        numbers = ("hits", "completions", "score", "low_samples", "high_samples", "low_templates", "high_templates", "confidence")
        named = {name: None if row[name] is None or row[name] != row[name] else row[name] for name in numbers}
        method = scheme.method if scheme.by_statements else scheme.name
        yield {"model": card.name, "method": method, "level": scheme.labels[int(row["level"])], **named}


def fact_in_runs(fact_id: str, run_ids: Sequence[str], infos: Sequence[runs.RunInfo] | None = None) -> list[FactInRun]:
    """What each of these runs has to do with a fact, in their order; unknown runs are left out. `infos`: the runs that there are, where
    that is known already."""
    known = {info.id: info for info in (runs.shown_runs() if infos is None else infos)}
    return [_in_run(known[name], fact_id) for name in run_ids if name in known]


def _in_run(info: runs.RunInfo, fact_id: str) -> FactInRun:
    import pyarrow
    import pyarrow.parquet as pq

    one = [("fact_id", "=", fact_id)]
    try:
        rows = pq.read_table(info.folder / "predictions.parquet", columns=["stage", "text", "correct"], filters=one).to_pylist()
        levels = pq.read_table(info.folder / runs.LEVELS, columns=["level"], filters=one).column("level").to_pylist()
        trained_on = _is_example(info, fact_id)
    except (OSError, ValueError, KeyError, pyarrow.ArrowException) as error:
        return FactInRun(info, {}, False, None, f"The files of run {info.id} can't be read ({error}).")
    answers = {str(row["stage"]): (str(row["text"] or "").strip(), bool(row["correct"])) for row in rows}
    level = next((info.settings.scheme.labels[int(at)] for at in levels if at is not None and at == at), None)
    return FactInRun(info, answers, trained_on, level)


def _is_example(info: runs.RunInfo, fact_id: str) -> bool:
    content = (info.folder / "examples.jsonl").read_bytes()
    sign = json.dumps(fact_id).encode()
    return sign in content and any(json.loads(line).get("fact_id") == fact_id for line in content.splitlines() if sign in line)
