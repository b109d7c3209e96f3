"""Comparisons between runs on the same test facts: ratios of macro means, with paired intervals.

Rule (METHOD 8.9): each fact is first averaged over the seeds of a setting, then facts are resampled within their levels,
the same facts for every setting compared, so that the comparison is paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sftqa_core.evaluation.resampling import DRAWS, macro_resampled
from sftqa_core.records import LevelScheme

if TYPE_CHECKING:
    import pandas as pd

PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True)
class Ratio:
    """A ratio of two macro means with its paired bootstrap interval. All None when a level holds no fact."""

    value: float | None
    low: float | None
    high: float | None
    missing: tuple[str, ...] = ()  # levels without facts


def mean_over_seeds(predictions: Sequence[pd.DataFrame]) -> pd.Series:
    """fact_id -> share of the seeds' predictions tables (one stage each) in which it was right.

    Raises `ValueError` when the tables are not about the same facts.
    """
    import pandas as pd

    columns = [table.set_index("fact_id")["correct"].astype(float) for table in predictions]
    if any(len(column) != len(columns[0]) or set(column.index) != set(columns[0].index) for column in columns):
        raise ValueError("Runs can only be averaged over seeds when they were tested on the same facts.")
    return pd.concat(columns, axis=1).mean(axis=1)


def paired_ratio(
    numerator: pd.Series,
    denominators: pd.Series | Mapping[int, pd.Series],
    levels: pd.Series | None,
    scheme: LevelScheme,
    seed: int = 0,
    draws: int = DRAWS,
) -> Ratio:
    """Macro mean of `numerator` over that of `denominators`; of several, over the best one, found anew in each resample.

    Scores come from `mean_over_seeds`; `levels` is fact_id -> level index (None: the plain mean over all facts). For
    "n = 60 against the best of 60, 240 and 960" the denominators include the n = 60 scores. The value is None when a
    level is missing or the denominator is 0; resamples with a denominator of 0 are left out of the interval.
    """
    others = list(denominators.values()) if isinstance(denominators, Mapping) else [denominators]
    strata, missing = _strata([numerator, *others], levels, scheme)
    if missing:
        return Ratio(None, None, None, missing)
    observed = _observed(strata)
    drawn = macro_resampled(strata, seed, draws)
    best = drawn[:, 1:].max(axis=1)
    kept = drawn[best > 0, 0] / best[best > 0]
    if observed[1:].max() == 0 or not len(kept):
        return Ratio(None, None, None)
    low, high = np.percentile(kept, PERCENTILES)
    return Ratio(float(observed[0] / observed[1:].max()), float(low), float(high))


def _strata(scores: Sequence[pd.Series], levels: pd.Series | None, scheme: LevelScheme) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """One array (facts, settings) per level, and the labels of levels without facts. Facts without a level are left out."""
    import pandas as pd

    table = pd.concat(list(scores), axis=1, join="inner")
    if any(len(series) != len(table) for series in scores):
        raise ValueError("Runs can only be compared on the same test facts.")
    if levels is None:
        return [table.to_numpy()], () if len(table) else ("any",)
    at = table.index.to_series().map(levels).to_numpy()
    groups = [table.to_numpy()[at == index] for index in range(len(scheme.labels))]
    return groups, tuple(label for label, group in zip(scheme.labels, groups, strict=True) if not len(group))


def _observed(strata: Sequence[np.ndarray]) -> np.ndarray:
    return np.mean([group.mean(axis=0) for group in strata], axis=0)
