"""How far two ways of measuring memory levels agree: Cohen's kappa with linear weights, and its bootstrap over facts.

A fact counts only through the cell it falls into (its level by either way), so drawing facts anew is drawing the cells'
counts from a multinomial: thousands of resamples cost no more than a small table each.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sftqa_core.records import Agreement, LevelScheme

RESAMPLES = 2000
_BOUNDS = (0.025, 0.975)


def agreement(reference: pd.DataFrame, other: pd.DataFrame, scheme: LevelScheme, seed: int = 0) -> Agreement:
    """How `other` agrees with `reference`, two LEVELS tables in `scheme`, on the facts that both hold.

    A number is None where it has no meaning: all of them with fewer than 2 facts, kappa where both ways put every fact on
    one and the same level, Spearman where one of them gives every fact the same score. Raises ValueError for a level that
    the scheme lacks, and pandas' MergeError if a table names a fact twice.
    """
    columns = ["fact_id", "score", "level"]
    both = reference[columns].merge(other[columns], on="fact_id", suffixes=("", "_other"), validate="one_to_one")
    confusion = confusion_of(both["level"], both["level_other"], len(scheme.labels))
    known = len(both) >= 2
    kappa = float(weighted_kappa(confusion)) if known else float("nan")
    low, high = kappa_interval(confusion, np.random.default_rng(seed)) if known else (float("nan"), float("nan"))
    return Agreement(
        labels=scheme.labels,
        facts=len(both),
        same=float(np.trace(confusion) / len(both)) if known else None,
        kappa=_or_none(kappa),
        kappa_low=_or_none(low),
        kappa_high=_or_none(high),
        spearman=_or_none(spearman(both["score"], both["score_other"])) if known else None,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
    )


def weighted_kappa(confusion: ArrayLike) -> NDArray[np.float64]:
    """Cohen's kappa with linear weights of counts [..., levels, levels] -> [...].

    1 - (mean distance in levels) / (mean distance if the two were independent). NaN where the latter is 0: no facts, or
    all of them on one and the same level by both ways. One level by one way and another by the other gives 0.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    distance = np.abs(np.subtract.outer(np.arange(counts.shape[-1]), np.arange(counts.shape[-1])))
    observed = (counts * distance).sum((-2, -1))
    expected = ((counts.sum(-1) @ distance) * counts.sum(-2)).sum(-1)  # times the number of facts
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - observed * counts.sum((-2, -1)) / expected


def confusion_of(first: ArrayLike, second: ArrayLike, levels: int) -> NDArray[np.int64]:
    """Facts in each cell: level indexes [facts] of both ways -> [levels, levels], rows `first`.

    Raises ValueError for an index outside 0 to `levels` - 1.
    """
    return _joint((first, second), levels)


def kappa_interval(confusion: NDArray[np.int64], rng: np.random.Generator, facts: int | None = None) -> tuple[float, float]:
    """95% percentile bootstrap over the facts of one confusion [levels, levels]: low, high; NaN without facts.

    `facts` are drawn in each resample: as many as there are, or fewer where a confusion holds each fact several times.
    Resamples that have no kappa are left out. No width where the two agree on every fact: such facts show no doubt.
    """
    return _interval(weighted_kappa(_resampled(confusion, RESAMPLES, rng, facts)))


def kappa_difference(
    first: ArrayLike, full: ArrayLike, second_full: ArrayLike, levels: int, seed: int = 0, draws: int = RESAMPLES
) -> tuple[float, float, float]:
    """kappa(first, full) - kappa(full, second_full), and its 95% bootstrap interval: value, low, high.

    Three arrays of level indexes [facts] of the same facts. Paired: both kappas are of the same resampled facts, as
    multinomial draws of the levels^3 cells. NaN with fewer than 2 facts and where one of the kappas is undefined. Raises
    ValueError for an index outside 0 to `levels` - 1.
    """
    joint = _joint((first, full, second_full), levels)
    low, high = _interval(_difference(_resampled(joint, draws, np.random.default_rng(seed))))
    value = float(_difference(joint)) if joint.sum() >= 2 else float("nan")
    return (value, low, high) if np.isfinite(value) else (value, value, value)


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Rank correlation of two arrays [facts], ties at their mean rank; NaN where one of them is constant or empty."""
    from scipy.stats import spearmanr

    one, two = (np.asarray(values, dtype=np.float64) for values in (first, second))
    if min(len(np.unique(one)), len(np.unique(two))) < 2:
        return float("nan")
    return float(spearmanr(one, two).statistic)


def _difference(joint: NDArray[np.int64]) -> NDArray[np.float64]:
    """Counts [..., first, full, second full] -> the kappas' difference [...]."""
    return weighted_kappa(joint.sum(-1)) - weighted_kappa(joint.sum(-3))


def _joint(ways: tuple[ArrayLike, ...], levels: int) -> NDArray[np.int64]:
    shape = (levels,) * len(ways)
    cells = np.ravel_multi_index(tuple(np.asarray(way, dtype=np.int64) for way in ways), shape)
    return np.bincount(cells, minlength=levels ** len(ways)).reshape(shape)


def _resampled(counts: NDArray[np.int64], draws: int, rng: np.random.Generator, facts: int | None = None) -> NDArray[np.int64]:
    """`facts` (None: as many as there are) drawn anew from the cells [...] -> [draws, ...]."""
    drawn = np.zeros((draws, counts.size), dtype=np.int64)
    total, filled = counts.sum(), np.flatnonzero(counts)  # numpy gives what rounding leaves over to the last cell: a filled one
    if total:
        drawn[:, filled] = rng.multinomial(total if facts is None else facts, counts.ravel()[filled] / total, size=draws)
    return drawn.reshape(draws, *counts.shape)


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    defined = values[np.isfinite(values)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, _BOUNDS)
    return float(low), float(high)


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None
