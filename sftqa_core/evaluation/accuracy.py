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


def wilson(correct: int, n: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share, within [0, 1]. (0, 1) when nothing was seen."""
    if n == 0:
        return 0.0, 1.0
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(correct, n, method="wilson")
    return (0.0 if correct == 0 else float(low)), (1.0 if correct == n else float(high))


def accuracy_by_level(
    predictions: pd.DataFrame,
    facts: pd.DataFrame,
    levels: pd.DataFrame | None,
    scheme: LevelScheme,
) -> dict[str, DomainAccuracy]:
    """Both domains' accuracy from one stage of predictions.

    `facts` gives the domain, `levels` (columns fact_id, level) the level: a fact without one counts in the natural
    accuracy only. A domain without facts has n = 0 everywhere.
    """
    if predictions["stage"].nunique() > 1:
        raise ValueError(f"Accuracy is of one stage at a time, got {', '.join(predictions['stage'].unique())}.")
    table = predictions[["fact_id", "correct"]].merge(facts[["fact_id", "domain"]], on="fact_id", validate="one_to_one")
    known = {} if levels is None else dict(zip(levels["fact_id"], levels["level"], strict=True))
    table["level"] = table["fact_id"].map(known)
    return {domain: _domain(table[table["domain"] == domain], scheme) for domain in DOMAINS}


def _domain(table: pd.DataFrame, scheme: LevelScheme) -> DomainAccuracy:
    groups = [table.loc[table["level"] == index, "correct"] for index in range(len(scheme.labels))]
    per_level = tuple(_level(label, len(group), int(group.sum())) for label, group in zip(scheme.labels, groups, strict=True))
    macro, low, high = _macro(per_level)
    n, correct = len(table), int(table["correct"].sum())
    natural_low, natural_high = wilson(correct, n) if n else (None, None)
    present = tuple(level.level for level in per_level if level.n)
    return DomainAccuracy(per_level, macro, low, high, present, correct / n if n else None, natural_low, natural_high, n)


def _level(label: str, n: int, correct: int) -> LevelAccuracy:
    if n == 0:
        return LevelAccuracy(label, 0, 0, None, None, None)
    low, high = wilson(correct, n)
    return LevelAccuracy(label, n, correct, correct / n, low, high)


def _macro(per_level: tuple[LevelAccuracy, ...]) -> tuple[float | None, float | None, float | None]:
    """The mean over levels and its 95% interval; three times None when a level holds no fact (METHOD 8.11).

    The interval is put together from the levels' Wilson intervals (MOVER, Zou and Donner 2008): each side's distances
    from the shares add up as squares. Unlike a bootstrap it does not shrink to a point when every level is all right or
    all wrong, and it always holds the mean.
    """
    if any(level.n == 0 for level in per_level):
        return None, None, None
    shares = np.array([level.correct / level.n for level in per_level])
    lows, highs = np.array([wilson(level.correct, level.n) for level in per_level]).T
    mean = float(shares.mean())
    below, above = (math.sqrt(((shares - side) ** 2).sum()) / len(shares) for side in (lows, highs))
    return mean, mean - below, mean + above
