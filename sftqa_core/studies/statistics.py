"""What every analysis of a study starts from: the outcomes so far, and intervals and tests.

Facts are resampled, the same ones for all settings that are compared (METHOD 8.9).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sftqa_core.evaluation.intervals import CELLS_AT_ONCE
from sftqa_core.records import DOMAINS, LevelScheme, TrainSettings
from sftqa_core.studies.cells import Cell

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Outcomes:
    """One model's part of a study, as far as it is done."""

    model: str
    scheme: LevelScheme
    facts: pd.DataFrame  # the test facts (fact table) with the levels table's columns; level is null where a fact was not probed
    runs: Mapping[TrainSettings, Cell]  # answers of the finished runs, rows as `facts`
    planned: int  # runs of the grid
    retest: pd.DataFrame | None = None  # fact_id, level, score of some test facts, probed again untouched
    shifts: Mapping[TrainSettings, Cell] = field(default_factory=dict)  # levels after tuning, rows as `retest`
    mixture: str = ""  # a sentence on what the model read, where that is known
    done: int = 0  # runs of which everything that the study wants is there

    def domains(self) -> Iterator[tuple[str, np.ndarray]]:
        """Each domain that has test facts, and which ones: bool [facts]."""
        for domain in DOMAINS:
            inside = (self.facts["domain"] == domain).to_numpy()
            if inside.any():
                yield domain, inside

    def levels(self) -> np.ndarray:
        """Level index of each test fact, -1 where it is not known: int [facts]."""
        return self.facts["level"].fillna(-1).to_numpy(dtype=np.int64)

    def correct(self, run: TrainSettings) -> np.ndarray:
        """1 where the run answered a fact rightly: float [facts]."""
        return self.runs[run].table["correct"].to_numpy(dtype=float)

    def over_seeds(self, runs: list[TrainSettings]) -> np.ndarray:
        """Share of these runs (seeds of one setting) in which each fact was answered rightly: float [facts] (METHOD 8.9)."""
        return np.mean([self.correct(run) for run in runs], axis=0)


def by_setting(outcomes: Outcomes) -> dict[tuple[int, tuple[int, ...] | None], list[TrainSettings]]:
    """Finished runs with their seeds together: (n that was asked for, training levels) -> runs in the order of seeds.

    The untouched model (n = 0) needs no seeds: its one run stands for all.
    """
    found: dict[tuple[int, tuple[int, ...] | None], list[TrainSettings]] = {}
    for run in outcomes.runs:
        if not run.more_shots:  # what the untouched model answered with examples in front is no tuned model's
            found.setdefault((run.n, run.levels), []).append(run)
    return found


PERMUTATIONS = 5_000


def sign_flip(differences: np.ndarray, seed: int = 0) -> float:
    """Two-sided p of a mean paired difference [facts] being 0, by flipping signs; 1.0 where nothing differs."""
    from scipy.stats import permutation_test

    moved = differences[differences != 0]  # zeros do not change under a flip
    if len(moved) < 2:
        return 1.0  # both signs of one fact are as far from 0
    test = permutation_test(
        (moved,), np.sum, permutation_type="samples", n_resamples=PERMUTATIONS, vectorized=True,
        batch=max(1, CELLS_AT_ONCE // (8 * len(moved))), rng=np.random.default_rng(seed),
    )  # fmt: skip
    return float(test.pvalue)


def bootstrap_p(difference: float, draws: np.ndarray) -> float:
    """Two-sided p of a difference being 0, from the bootstrap's standard error and the normal distribution.

    Counting resamples beyond 0 could not tell p-values below 2 / draws apart, which Holm's correction needs.
    """
    from scipy.stats import norm

    spread = float(draws.std(ddof=1))
    if spread == 0:
        return 1.0 if difference == 0 else 0.0
    return float(2 * norm.sf(abs(difference) / spread))


def winners(means: np.ndarray) -> np.ndarray:
    """Share of resamples [draws, settings] in which each setting is the best; a tie is shared out among those that tie."""
    best = means == means.max(axis=1, keepdims=True)
    return (best / best.sum(axis=1, keepdims=True)).mean(axis=0)


def holm(pvalues: Sequence[float]) -> list[float]:
    """p-values after Holm's correction for all of them together."""
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(list(pvalues), method="holm")[1]] if len(pvalues) else []
