"""What is known of real models, as tables: levels, agreement of the ways of measuring, what is answered at a level, the commonest object.

Each function makes the rows of one model; workflows/real_reports.py gathers what they are made from. Shares have Wilson's 95% interval;
means over seeds are averaged fact by fact first (`intervals.mean_interval`). Nothing is said here in words: reports/real_words.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sftqa_core.evaluation.intervals import mean_interval, resampled
from sftqa_core.evaluation.predictions import majority_predictions
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.memory.shares import share_interval
from sftqa_core.records import Agreement, CrossTable

FULL, LIKELIHOOD, BOTH = "full probe", "likelihood", "both"  # ways of measuring; both: the two say the same level
SLICK_PROMPTS = "SliCK's prompts"
SHOTS = 4  # answered examples in front of a question, as a run's baseline has them
PLAIN, SHOWN = "plain prompt", f"{SHOTS} examples in the prompt"  # ways of asking the model as it is
ALL_FACTS, KNOWN, RIGHT = "all test facts", "above the lowest level, ", "right answers, "  # what MAJORITY is of

NONE = float("nan")  # a number that there is not; None would make its column one of any objects

LEVELS = ("model", "measured", "by", "group", "domain", "level", "facts", "of", "share", "low", "high")
AGREEMENT = (
    "model", "compared", "facts", "same_level", "low", "high", "kappa", "kappa_low", "kappa_high", "spearman", "same_known", "known_low",
    "known_high", "tau", "tau_low", "tau_high",
)  # fmt: skip
ASKED = ("model", "measured", "level", "prompt", "facts", "seeds", "right_answers", "common_answers", "accuracy", "low", "high")
MAJORITY = ("model", "of", "domain", "facts", "common_answers", "share", "low", "high")

Answers = Mapping[str, pd.DataFrame]  # prompt -> a row a fact (by its id), a column a seed: 1 where it was answered rightly


def level_shares(model: str, measured: str, facts: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Facts with a level (domain, relation, level) by level: LEVELS, for each domain and each relation; `of`: facts of that group."""
    rows = []
    for by in ("domain", "relation"):
        for group, part in facts.groupby(by, sort=True, observed=True):
            counts = np.bincount(part["level"].to_numpy(dtype=int), minlength=len(labels))
            for label, count in zip(labels, counts.tolist(), strict=True):
                about = (model, measured, by, str(group), str(part["domain"].iloc[0]), label)
                rows.append((*about, count, len(part), *_share(count, len(part))))
    return pd.DataFrame(rows, columns=list(LEVELS))


def agreement_row(model: str, compared: str, found: Agreement) -> pd.DataFrame:
    """How a way of measuring agrees with the full probe: AGREEMENT. `same_known`: share of the facts that both have on the lowest level or
    both above it."""
    same = _share(sum(row[at] for at, row in enumerate(found.confusion)), found.facts)
    kappa = (found.kappa, found.kappa_low, found.kappa_high, found.spearman)
    known = _share(_same_side(found.confusion), found.facts)
    return pd.DataFrame([(model, compared, found.facts, *same, *kappa, *known, *[NONE] * 3)], columns=list(AGREEMENT))


def slick_row(model: str, cross: CrossTable) -> pd.DataFrame:
    """The same for SliCK's levels, which are others: only the agreement of the orders, and of what is known at all."""
    known = _share(_same_side(cross.counts), cross.facts)
    taus = (cross.tau, cross.tau_low, cross.tau_high)
    return pd.DataFrame([(model, SLICK_PROMPTS, cross.facts, *[NONE] * 7, *known, *taus)], columns=list(AGREEMENT))


def asked_by_level(
    model: str, measured: str, levels: pd.Series, answers: Answers, common: pd.Series, labels: Sequence[str]
) -> pd.DataFrame:
    """What the model as it is answers to the facts of each level that holds some: ASKED, for each way of asking.

    `levels` and `common` (whether the relation's commonest object answers it) by fact id. `right_answers` of several seeds are their mean;
    `common_answers` are those of them whose fact the commonest object answers.
    """
    rows = []
    for prompt, table in answers.items():
        for at, label in enumerate(labels):
            ids = levels.index[levels == at].intersection(table.index)
            if not len(ids):
                continue
            scores = table.loc[ids].mean(axis=1).to_numpy(dtype=float)
            seeds = int(table.loc[ids].notna().sum(axis=1).min())  # of every fact
            draws = resampled(scores[:, None])[:, 0] if seeds > 1 else scores
            right = (float(scores.sum()), float(scores[common.loc[ids].to_numpy(dtype=bool)].sum()))
            rows.append((model, measured, label, prompt, len(ids), seeds, *right, *mean_interval(scores, seeds, draws)))
    return pd.DataFrame(rows, columns=list(ASKED))


def commonest(facts: pd.DataFrame, of_source: pd.DataFrame, match: str, aliases: Aliases) -> pd.Series:
    """Whether always saying the relation's commonest train object answers each of these facts, by their ids."""
    told = majority_predictions(facts, of_source, match, aliases)
    return pd.Series(told["correct"].to_numpy(dtype=bool), index=told["fact_id"])


def majority_shares(model: str, of: str, domains: pd.Series, common: pd.Series) -> pd.DataFrame:
    """How many of these facts (their domain by id) the commonest object answers: MAJORITY, for each domain and both together."""
    rows = []
    for domain in ("in", "out", "all"):
        ids = domains.index if domain == "all" else domains.index[domains == domain]
        said = int(common.loc[ids].sum())
        rows.append((model, of, domain, len(ids), said, *_share(said, len(ids))))
    return pd.DataFrame(rows, columns=list(MAJORITY))


def empty(columns: Sequence[str]) -> pd.DataFrame:
    """A table without rows."""
    return pd.DataFrame(columns=list(columns))


def _same_side(counts: Sequence[Sequence[int]]) -> int:
    """Facts that both ways have on the lowest level, and those that both have above it."""
    return counts[0][0] + sum(sum(row[1:]) for row in counts[1:])


def _share(count: int, of: int) -> tuple[float, float, float]:
    if not of:
        return NONE, NONE, NONE
    low, high = map(float, share_interval(count, of))
    return count / of, low, high
