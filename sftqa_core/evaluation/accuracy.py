"""Accuracy per memory level and domain, with intervals (METHOD sections 2, 8.9 and 8.11).

Levels come from a `LevelScheme`, so nothing here knows how many there are. The headline is the unweighted mean of the
per-level accuracies (macro); the accuracy on the facts as they come stands beside it (natural).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sftqa_core.records import DOMAINS, DomainAccuracy, LevelAccuracy, LevelScheme

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 2_000  # bootstrap resamples
PERCENTILES = (2.5, 97.5)
_Z = 1.959963984540054  # the normal distribution's 97.5% point


def wilson(correct: int, n: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share, within [0, 1]. (0, 1) when nothing was seen."""
    if n == 0:
        return 0.0, 1.0
    share, square = correct / n, _Z * _Z / n
    middle = (share + square / 2) / (1 + square)
    half = _Z / (1 + square) * math.sqrt(share * (1 - share) / n + square / (4 * n))
    return (0.0 if correct == 0 else middle - half), (1.0 if correct == n else middle + half)


def accuracy_by_level(
    predictions: pd.DataFrame,
    facts: pd.DataFrame,
    levels: pd.DataFrame | None,
    scheme: LevelScheme,
    seed: int = 0,
    draws: int = DRAWS,
) -> dict[str, DomainAccuracy]:
    """Both domains' accuracy from one stage of predictions.

    `facts` gives the domain, `levels` (columns fact_id, level) the level: a fact without one counts in the natural
    accuracy only. A domain without facts has n = 0 everywhere. The same seed gives the same interval.
    """
    if predictions["stage"].nunique() > 1:
        raise ValueError(f"Accuracy is of one stage at a time, got {', '.join(predictions['stage'].unique())}.")
    table = predictions[["fact_id", "correct"]].merge(facts[["fact_id", "domain"]], on="fact_id", validate="one_to_one")
    known = {} if levels is None else dict(zip(levels["fact_id"], levels["level"], strict=True))
    table["level"] = table["fact_id"].map(known)
    return {domain: _domain(table[table["domain"] == domain], scheme, seed, draws) for domain in DOMAINS}


def _domain(table: pd.DataFrame, scheme: LevelScheme, seed: int, draws: int) -> DomainAccuracy:
    groups = [table.loc[table["level"] == index, "correct"] for index in range(len(scheme.labels))]
    per_level = tuple(_level(label, len(group), int(group.sum())) for label, group in zip(scheme.labels, groups, strict=True))
    macro, low, high = _macro(per_level, seed, draws)
    n, correct = len(table), int(table["correct"].sum())
    natural_low, natural_high = wilson(correct, n) if n else (None, None)
    present = tuple(level.level for level in per_level if level.n)
    return DomainAccuracy(per_level, macro, low, high, present, correct / n if n else None, natural_low, natural_high, n)


def _level(label: str, n: int, correct: int) -> LevelAccuracy:
    if n == 0:
        return LevelAccuracy(label, 0, 0, None, None, None)
    low, high = wilson(correct, n)
    return LevelAccuracy(label, n, correct, correct / n, low, high)


def _macro(per_level: tuple[LevelAccuracy, ...], seed: int, draws: int) -> tuple[float | None, float | None, float | None]:
    """The mean over levels and its percentile bootstrap; three times None when a level holds no fact (METHOD 8.11).

    Drawing n facts with replacement from n of which k are right gives a binomial number of right ones, so the bootstrap
    over facts within levels is drawn from binomials directly.
    """
    if any(level.n == 0 for level in per_level):
        return None, None, None
    rng = np.random.default_rng(seed)
    drawn = [rng.binomial(level.n, level.correct / level.n, draws) / level.n for level in per_level]
    low, high = np.percentile(np.mean(drawn, axis=0), PERCENTILES)
    return float(np.mean([level.correct / level.n for level in per_level])), float(low), float(high)
