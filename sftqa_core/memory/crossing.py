"""Two level schemes side by side: how many facts of each level of one are on each level of the other, and how far the orders agree.

Kendall's tau-b, which allows for ties and for different numbers of levels: of all pairs of facts, those that both schemes order
alike less those that they order the other way round, over the geometric mean of the pairs that each scheme orders at all.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sftqa_core.records import CrossTable, LevelScheme

RESAMPLES = 2000


def cross_table(first: pd.DataFrame, second: pd.DataFrame, rows: LevelScheme, columns: LevelScheme, seed: int = 0) -> CrossTable:
    """Two tables with `fact_id` and `level`, of the first scheme and of the second, on the facts that both hold."""
    both = first[["fact_id", "level"]].merge(second[["fact_id", "level"]], on="fact_id", suffixes=("", "_other"), validate="one_to_one")
    shape = (len(rows.labels), len(columns.labels))
    cells = np.ravel_multi_index((both["level"].to_numpy(dtype=int), both["level_other"].to_numpy(dtype=int)), shape)
    counts = np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)
    tau, (low, high) = float(tau_b(counts)), _interval(counts, np.random.default_rng(seed))
    told = tuple(tuple(row) for row in counts.tolist())
    return CrossTable(rows.labels, columns.labels, len(both), told, *(value if np.isfinite(value) else None for value in (tau, low, high)))


def tau_b(counts: ArrayLike) -> NDArray[np.float64]:
    """Kendall's tau-b of counts [..., rows, columns] -> [...]; NaN where all facts are on one level of either scheme."""
    n = np.asarray(counts, dtype=np.float64)
    below = n[..., ::-1, :].cumsum(-2)[..., ::-1, :] - n  # facts on higher rows, column by column
    more = below.sum(-1, keepdims=True) - below.cumsum(-1)  # of those on higher columns, too
    fewer = below.cumsum(-1) - below
    agreeing = (n * (more - fewer)).sum((-2, -1))
    pairs = [_pairs(n.sum((-2, -1))) - _pairs(n.sum(axis)).sum(-1) for axis in (-1, -2)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return agreeing / np.sqrt(pairs[0] * pairs[1])


def _pairs(count: NDArray[np.float64]) -> NDArray[np.float64]:
    return count * (count - 1) / 2


def _interval(counts: NDArray[np.int64], rng: np.random.Generator) -> tuple[float, float]:
    """95% percentile bootstrap over facts: as multinomial draws of the cells; NaN without facts."""
    total, filled = counts.sum(), np.flatnonzero(counts)
    if not total:
        return float("nan"), float("nan")
    drawn = np.zeros((RESAMPLES, counts.size), dtype=np.int64)
    drawn[:, filled] = rng.multinomial(total, counts.ravel()[filled] / total, size=RESAMPLES)
    values = tau_b(drawn.reshape(RESAMPLES, *counts.shape))
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, [0.025, 0.975]) if len(values) else (float("nan"), float("nan"))
    return float(low), float(high)
