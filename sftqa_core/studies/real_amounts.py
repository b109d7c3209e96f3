"""What examples do to one real model, beside the model as it is, plainly asked and with examples in its prompt.

Tuning that brings out what a model knows is judged against examples in the prompt, which change no weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sftqa_core.evaluation.comparing import Difference, corrected, crossed_difference
from sftqa_core.evaluation.real_tables import PLAIN, SHOTS, SHOWN, Answers
from sftqa_core.records import TrainSettings
from sftqa_core.studies import amount, statistics
from sftqa_core.studies.cells import Cell
from sftqa_core.studies.statistics import Outcomes

BEFORE, COMMONEST = "before", "always the commonest object"
TUNED = ("model", "domain", "level", "stage", "n", "facts", "seeds", "accuracy", "low", "high", "per_seed")
BESIDE_SHOWN = ("model", "domain", "n", "facts", "seeds", "difference", "low", "high", "p_holm", "verdict")


def base_answers(outcomes: Sequence[Outcomes], more: Answers) -> dict[str, pd.DataFrame]:
    """What the model as it is answered in cells of studies, and in `more` where these did not ask: prompt -> a row a fact, a column a seed.

    The plain prompt needs no seed; examples in the prompt are drawn by one.
    """
    columns: dict[str, dict[int, list[pd.Series]]] = {PLAIN: {}, SHOWN: {}}
    for part in outcomes:
        for run, cell in part.runs.items():
            if run.n == 0 and run.recipe is None and run.more_shots in ((), (SHOTS,)):
                prompt, seed = (SHOWN, run.seed) if run.more_shots else (PLAIN, 0)
                correct = pd.Series(cell.table["correct"].to_numpy(dtype=float), index=part.facts["fact_id"].to_numpy())
                columns[prompt].setdefault(seed, []).append(correct)
    for prompt, table in more.items():
        for seed in map(int, table.columns.tolist()):
            columns[prompt].setdefault(seed, []).append(table[seed].dropna())
    return {prompt: pd.DataFrame({seed: _first_of_each(found) for seed, found in sorted(by_seed.items())})
            for prompt, by_seed in columns.items() if by_seed}  # fmt: skip


def _first_of_each(columns: list[pd.Series]) -> pd.Series:
    together = pd.concat(columns)
    return together[~together.index.duplicated()]


def in_context(outcomes: Outcomes, answers: Answers) -> pd.DataFrame:
    """Accuracy with examples in the prompt on the study's own facts, as studies.amount.in_context makes it; empty where not all were
    asked."""
    scores = shown_scores(outcomes, answers)
    if scores is None:
        return pd.DataFrame(columns=list(amount.IN_CONTEXT))
    base = next(iter(outcomes.runs))
    runs = {
        replace(base, n=0, seed=seed, levels=None, more_shots=(SHOTS,)): Cell(
            pd.DataFrame({"correct": scores[seed].to_numpy() > 0, "rival": False}), 0, {}, {}
        )
        for seed in map(int, scores.columns.tolist())
    }
    return amount.in_context(replace(outcomes, runs=runs))


def shown_scores(outcomes: Outcomes, answers: Answers) -> pd.DataFrame | None:
    """1 where a test fact was answered rightly with examples in the prompt, [facts, seeds], of the seeds (columns) with which all were
    asked; None where there is none."""
    asked = answers.get(SHOWN)
    if asked is None or not outcomes.runs:
        return None
    table = asked.reindex(outcomes.facts["fact_id"]).dropna(axis=1)
    return table if len(table.columns) else None


def tuned_stages(curve: pd.DataFrame, shown: pd.DataFrame, outcomes: Outcomes, common: pd.Series) -> pd.DataFrame:
    """TUNED: before, with examples in the prompt, always the commonest object, and each number of examples; for each domain, level and
    kind of mean."""
    tuned = curve.assign(stage=[BEFORE if n == 0 else f"{n:,} examples" for n in curve["n"]])
    cell = Cell(pd.DataFrame({"correct": common.loc[outcomes.facts["fact_id"]].to_numpy(dtype=bool), "rival": False}), 0, {}, {})
    says = amount.curve(replace(outcomes, runs={TrainSettings(outcomes.model, n=0): cell})).assign(stage=COMMONEST)
    parts = [tuned[tuned["n"] == 0], shown.assign(stage=SHOWN, n=0), says, tuned[tuned["n"] > 0]]
    return pd.concat([part[list(TUNED)] for part in parts if len(part)], ignore_index=True)


@dataclass(frozen=True)
class BesideShown:
    """A comparison of tuning with examples in the prompt, before it is corrected for all that are made together."""

    model: str
    domain: str
    n: int
    seeds: int
    difference: Difference


def beside_shown(outcomes: Outcomes, answers: Answers) -> list[BesideShown]:
    """Each number of examples less the same model with examples in its prompt, on the facts as they come, over facts and seeds.

    A seed is paired with the same seed's examples in the prompt, else with the mean of those that there are.
    """
    shown = shown_scores(outcomes, answers)
    if shown is None:
        return []
    columns, mean, rows = {int(seed): shown[seed].to_numpy(float) for seed in shown.columns.tolist()}, shown.mean(axis=1).to_numpy(), []
    for (n, levels), runs in statistics.by_setting(outcomes).items():
        if n == 0 or levels is not None:
            continue
        beside = [columns.get(run.seed, mean) for run in runs]
        apart = np.stack([outcomes.correct(run) - other for run, other in zip(runs, beside, strict=True)], axis=1)
        real = outcomes.runs[runs[0]].n
        rows += [BesideShown(outcomes.model, name, real, len(runs), crossed_difference([apart[inside]]))
                 for name, inside in outcomes.domains()]  # fmt: skip
    return sorted(rows, key=lambda row: (row.domain, row.n))


def told_together(rows: Sequence[BesideShown]) -> pd.DataFrame:
    """BESIDE_SHOWN with Holm's correction over all of them."""
    told = zip(rows, corrected([row.difference for row in rows]), strict=True) if rows else ()
    table = [
        (row.model, row.domain, row.n, one.facts, row.seeds, one.value, one.low, one.high, one.p_holm, one.verdict) for row, one in told
    ]
    return pd.DataFrame(table, columns=list(BESIDE_SHOWN))
