"""Drawing facts anew, the same ones for all settings that are compared (METHOD 8.9)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from sftqa_core.artifacts.kept import Kept

DRAWS = 2_000  # bootstrap resamples
CELLS_AT_ONCE = 4_000_000  # resampling weights held in memory at a time (32 MB)

KEPT_FACTS = 2_000  # draws of up to so many facts are kept, 8 MB each at most
KEPT_BYTES = 100_000_000  # of all of them


def resampled(scores: np.ndarray, seed: int = 0, draws: int = DRAWS) -> np.ndarray:
    """Mean scores of facts drawn anew: [facts, settings] -> [draws, settings]. The same facts for all settings."""
    facts = len(scores)
    drawn: Iterable[np.ndarray] = _drawing(facts, seed, draws)
    if facts <= KEPT_FACTS:  # a study asks for the same draws hundreds of times, and drawing takes longer than all that is done with them
        drawn = _drawn.get((facts, seed, draws), lambda: [weights.astype(np.uint16) for weights in _drawing(facts, seed, draws)])
    return np.concatenate([weights.astype(np.int64) @ scores / facts for weights in drawn])


def _drawing(facts: int, seed: int, draws: int) -> Iterator[np.ndarray]:
    """How often each resample has each fact: [draws, facts], in pieces."""
    rng = np.random.default_rng(seed)
    step = max(1, CELLS_AT_ONCE // max(facts, 1))
    for start in range(0, draws, step):
        yield rng.multinomial(facts, np.full(facts, 1 / facts), size=min(step, draws - start))


_drawn: Kept[list[np.ndarray]] = Kept(KEPT_BYTES, lambda pieces: sum(piece.nbytes for piece in pieces))


def by_level(scores: np.ndarray, levels: np.ndarray, count: int) -> list[np.ndarray]:
    """Scores [facts, settings] of each level's facts."""
    return [scores[levels == level] for level in range(count)]


def macro_resampled(strata: Sequence[np.ndarray], seed: int = 0, draws: int = DRAWS) -> np.ndarray:
    """Means over levels [draws, settings], facts drawn anew within each level."""
    return np.mean([resampled(group, seed + at, draws) for at, group in enumerate(strata)], axis=0)
