"""Drawing facts anew, the same ones for all settings that are compared (METHOD 8.9)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

DRAWS = 2_000  # bootstrap resamples
CELLS_AT_ONCE = 4_000_000  # resampling weights held in memory at a time (32 MB)


def resampled(scores: np.ndarray, seed: int = 0, draws: int = DRAWS) -> np.ndarray:
    """Mean scores of facts drawn anew: [facts, settings] -> [draws, settings]. The same facts for all settings."""
    rng, facts = np.random.default_rng(seed), len(scores)
    means = np.empty((draws, scores.shape[1]))
    step = max(1, CELLS_AT_ONCE // max(facts, 1))
    for start in range(0, draws, step):
        size = min(step, draws - start)
        means[start : start + size] = rng.multinomial(facts, np.full(facts, 1 / facts), size=size) @ scores / facts
    return means


def by_level(scores: np.ndarray, levels: np.ndarray, count: int) -> list[np.ndarray]:
    """Scores [facts, settings] of each level's facts."""
    return [scores[levels == level] for level in range(count)]


def macro_resampled(strata: Sequence[np.ndarray], seed: int = 0, draws: int = DRAWS) -> np.ndarray:
    """Means over levels [draws, settings], facts drawn anew within each level."""
    return np.mean([resampled(group, seed + at, draws) for at, group in enumerate(strata)], axis=0)
