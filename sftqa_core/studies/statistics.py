"""What every analysis of a study starts from: the outcomes so far, and intervals and tests.

Facts are resampled, the same ones for all settings that are compared (METHOD 8.9).

Findings are plain words, made from these numbers by fixed rules. A question is answered with yes or no only where an interval lies
wholly on one side, corrected for how often the study asks it (Bonferroni: the 5% shared out over models, domains and sizes), or
where a p-value after Holm's correction over the same is below 5%; else the finding is "cannot tell", and so it is with fewer than 30
facts and while runs are missing. The questions were fixed before the numbers were seen: the papers' findings and what each could be
mistaken for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from sftqa_core.evaluation.intervals import CELLS_AT_ONCE, LEAST
from sftqa_core.records import DOMAINS, Finding, LevelScheme, TrainSettings
from sftqa_core.records.amounts import points
from sftqa_core.studies.cells import Cell

MACRO, NATURAL = "mean over levels", "as facts come"


@dataclass(frozen=True)
class Trials:
    """Of a study that chooses a value on dev facts: what these said, and which runs it then compares on test facts."""

    facts: pd.DataFrame  # the dev facts (fact table) with their level, null where a fact was not probed
    runs: Mapping[str, list[TrainSettings]]  # value's name -> its runs, a seed each
    cells: Mapping[TrainSettings, Cell]  # answers of those that are finished, rows as `facts`
    chosen: str | None  # None before all of them are finished
    compared: Mapping[str, list[TrainSettings]]  # name -> its runs on test facts, in the order of seeds; empty before a value is chosen
    tables: Mapping[TrainSettings, Mapping[str, pd.DataFrame]]  # the recipe's own of its finished runs; those a row a fact have `level`


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
    judged_before: int = 0  # cells that the first version of the matching rule judged, though this one is another to their facts
    trials: Trials | None = None  # of a study that chooses on dev facts

    def domains(self) -> Iterator[tuple[str, np.ndarray]]:
        """Each domain that has test facts, and which ones: bool [facts]."""
        for domain in DOMAINS:
            inside = (self.facts["domain"] == domain).to_numpy()
            if inside.any():
                yield domain, inside

    def strata(self) -> Iterator[tuple[str, str, list[np.ndarray]]]:
        """Each domain by each level, then NATURAL and MACRO: the facts that count, bool [facts], of MACRO a level each."""
        levels = self.levels()
        for domain, inside in self.domains():
            by_level = [inside & (levels == level) for level in range(len(self.scheme.labels))]
            yield from ((domain, label, [chosen]) for label, chosen in zip(self.scheme.labels, by_level, strict=True))
            yield from ((domain, NATURAL, [inside]), (domain, MACRO, by_level))

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
    runs_of: dict[tuple[int, tuple[int, ...] | None], list[TrainSettings]] = {}
    for run in outcomes.runs:
        if not run.more_shots:  # what the untouched model answered with examples in front is no tuned model's
            runs_of.setdefault((run.n, run.levels), []).append(run)
    return runs_of


def macro(groups: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over groups (levels) of each group's mean over facts: scores [facts, settings] each -> [settings]."""
    return np.mean([group.mean(axis=0) for group in groups], axis=0)


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


def winners(means: np.ndarray) -> np.ndarray:
    """Share of resamples [draws, settings] in which each setting is the best; a tie is shared out among those that tie."""
    best = means == means.max(axis=1, keepdims=True)
    return (best / best.sum(axis=1, keepdims=True)).mean(axis=0)


YES, NO, OPEN = "yes", "no", "cannot tell"
Row = dict[str, Any]


def judged(about: str, question: str, verdict: str, text: str, facts: int) -> Finding:
    """Without enough facts nothing is claimed, whatever the interval."""
    if facts >= LEAST:
        return Finding(about, question, verdict, text)
    return Finding(about, question, OPEN, f"{text} With {facts} facts at the scarcest place that is too few to tell.")


def times_asked(outcomes: Sequence[Outcomes]) -> int:
    """How often a question is asked: models times domains."""
    return max(1, sum(len(list(part.domains())) for part in outcomes))


def rows_of(table: pd.DataFrame) -> list[Row]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def groups_of(table: pd.DataFrame, column: str) -> list[tuple[str, list[Row]]]:
    return [(str(name), rows_of(rows)) for name, rows in table.groupby(column, sort=False)]


def side(low: float, high: float, border: float) -> str:
    return YES if low > border else NO if high < border else OPEN


def change(value: float, low: float, high: float, p_holm: float | None = None, against: str = "") -> str:
    """A difference of shares in words: "+3.1 points (+1.0 to +5.2; Holm p = 0.012)"."""
    p = "" if p_holm is None else f"; Holm p = {p_holm:.3f}" if p_holm >= 0.001 else "; Holm p < 0.001"
    return f"{points(value)} points{against} ({points(low)} to {points(high)}{p})"
