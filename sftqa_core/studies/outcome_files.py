"""A study's outcomes of one model as files of JSON and plain Parquet, and back: what another explorer needs to count the study itself.

outcomes.json       the model, its level scheme, which runs are finished and what each reported
facts.parquet       the test facts with their levels
answers.parquet     `correct K` and `rival K` of the K-th run, rows as the facts
retest.parquet      facts that were probed again untouched; shifts.parquet: `score K` and `level K` after tuning, rows as those
dev.parquet, dev-answers.parquet, recipe/K-NAME.parquet    where the study chose a value on dev facts
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from sftqa_core.artifacts.plain_tables import plain_bytes, plain_table, refuse_columns
from sftqa_core.jsonrecord import parse_json
from sftqa_core.records import DOMAINS, LevelScheme, TrainSettings
from sftqa_core.studies.cells import TABLES, Cell
from sftqa_core.studies.statistics import Outcomes, Trials

OUTCOMES = "outcomes.json"
_NEEDED = ("fact_id", "relation", "subject", "question", "answers", "domain", "level")  # of the facts
FACT_TEXTS = ("fact_id", "source", "relation", "subject", "question", "split", "domain", "rival")
FACT_LISTS = ("answers", "hits_per_template")
Read = Callable[[str], bytes]


def outcome_files(outcomes: Outcomes, renamed: Callable[[Any], Any] = lambda value: value) -> dict[str, bytes]:
    """The files by name. `renamed` says what is told instead of a value of JSON, in which names of models and sources stand."""
    files = {"facts.parquet": _fact_bytes(outcomes.facts, renamed), "answers.parquet": _columns(outcomes.runs, "answers")}
    if outcomes.retest is not None:
        files["retest.parquet"] = plain_bytes(outcomes.retest)
    if outcomes.shifts:
        files["shifts.parquet"] = _columns(outcomes.shifts, "levels")
    about: dict[str, Any] = {
        "model": outcomes.model, "scheme": outcomes.scheme.to_dict(), "planned": outcomes.planned, "done": outcomes.done,
        "judged_before": outcomes.judged_before, "mixture": outcomes.mixture,
        "runs": _reported(outcomes.runs), "shifts": _reported(outcomes.shifts), "retest": outcomes.retest is not None, "trials": None,
    }  # fmt: skip
    if (trials := outcomes.trials) is not None:
        files |= {"dev.parquet": _fact_bytes(trials.facts, renamed), "dev-answers.parquet": _columns(trials.cells, "answers")}
        own = list(trials.tables.items())
        files |= {f"recipe/{at}-{name}.parquet": plain_bytes(table) for at, (_, some) in enumerate(own) for name, table in some.items()}
        about["trials"] = {
            "runs": _named(trials.runs), "cells": _reported(trials.cells), "chosen": trials.chosen, "compared": _named(trials.compared),
            "tables": [{"run": run.to_dict(), "names": list(some)} for run, some in own],
        }  # fmt: skip
    return {**files, OUTCOMES: json.dumps(renamed(about), ensure_ascii=False).encode()}


def outcomes_in(read: Read) -> Outcomes:
    """The outcomes whose files `read` gives by name. Raises ValueError, KeyError, TypeError or `SettingsError` for what are none."""
    about = parse_json(read(OUTCOMES).decode())
    scheme = LevelScheme.from_dict(about["scheme"])
    facts = _facts(read("facts.parquet"), scheme)
    runs = _cells(about["runs"], plain_table(read("answers.parquet")) if about["runs"] else None, "answers", len(facts), about["model"])
    retest = plain_table(read("retest.parquet")) if about["retest"] else None
    moved = plain_table(read("shifts.parquet")) if about["shifts"] else None
    shifts = _cells(about["shifts"], moved, "levels", 0 if retest is None else len(retest), about["model"])
    counts = [int(about[name]) for name in ("planned", "done", "judged_before")]
    trials = _trials(about["trials"], scheme, str(about["model"]), read) if about["trials"] else None
    planned, done, before = counts
    return Outcomes(str(about["model"]), scheme, facts, runs, planned, retest, shifts, str(about["mixture"]), done, before, trials)


def _trials(about: Mapping[str, Any], scheme: LevelScheme, model: str, read: Read) -> Trials:
    facts = _facts(read("dev.parquet"), scheme)
    answers = plain_table(read("dev-answers.parquet")) if about["cells"] else None
    tables = {
        TrainSettings.from_dict(own["run"]): {
            str(name): _with_level(plain_table(read(f"recipe/{at}-{name}.parquet"))) for name in own["names"]
        }
        for at, own in enumerate(about["tables"])
    }
    runs, compared = (
        {str(name): [TrainSettings.from_dict(run) for run in some] for name, some in about[part].items()} for part in ("runs", "compared")
    )
    chosen = None if about["chosen"] is None else str(about["chosen"])
    return Trials(facts, runs, _cells(about["cells"], answers, "answers", len(facts), model), chosen, compared, tables)


def _facts(content: bytes, scheme: LevelScheme) -> pd.DataFrame:
    """Facts with their levels, checked as far as every reader relies on it."""
    table = _with_level(plain_table(content))
    refuse_columns(table, _NEEDED, FACT_TEXTS, FACT_LISTS)
    if table["fact_id"].duplicated().any() or not set(table["domain"]) <= set(DOMAINS):
        raise ValueError("a fact stands in it twice, or in no domain")
    if not table["level"].dropna().between(0, len(scheme.labels) - 1).all():
        raise ValueError(f"a fact has a level beyond {', '.join(scheme.labels)}")
    return table


def _fact_bytes(facts: pd.DataFrame, renamed: Callable[[Any], Any]) -> bytes:
    return plain_bytes(facts.assign(source=facts["source"].map(renamed)) if "source" in facts else facts)


def _with_level(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype({"level": "Int64"}) if "level" in table else table


def _columns(cells: Mapping[TrainSettings, Cell], kind: str) -> bytes:
    """All cells side by side: a column of each for every column of one."""
    return plain_bytes(pd.DataFrame({f"{name} {at}": cell.table[name] for at, cell in enumerate(cells.values()) for name in TABLES[kind]}))


def _cells(told: Sequence[Mapping[str, Any]], table: pd.DataFrame | None, kind: str, rows: int, model: str) -> dict[TrainSettings, Cell]:
    cells = {}
    for at, one in enumerate(told):
        if table is None or len(table) != rows:
            raise ValueError(f"{kind} are not a row a fact: {0 if table is None else len(table):,} of {rows:,}")
        run = TrainSettings.from_dict(one["run"])
        if run.model != model:
            raise ValueError(f"a run of {run.model!r} stands among those of {model!r}")
        own = table[[f"{name} {at}" for name in TABLES[kind]]].set_axis(list(TABLES[kind]), axis=1).astype(TABLES[kind])
        counts = {str(relation): {str(level): int(n) for level, n in of.items()} for relation, of in one["counts"].items()}
        numbers = {str(name): float(value) for name, value in one["numbers"].items()}
        cells[run] = Cell(own, int(one["n"]), counts, numbers, int(one["matching"]))
    return cells


def _reported(cells: Mapping[TrainSettings, Cell]) -> list[dict[str, Any]]:
    return [
        {"run": run.to_dict(), "n": cell.n, "counts": cell.counts, "numbers": cell.numbers, "matching": cell.matching}
        for run, cell in cells.items()
    ]


def _named(runs: Mapping[str, Sequence[TrainSettings]]) -> dict[str, list[dict[str, Any]]]:
    return {name: [run.to_dict() for run in some] for name, some in runs.items()}
