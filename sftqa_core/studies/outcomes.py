"""What is known of a study so far: the tables that every analysis starts from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

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

    def domains(self) -> Iterator[tuple[str, np.ndarray]]:
        """Each domain that has test facts, and which ones: bool [facts]."""
        for domain in DOMAINS:
            inside = (self.facts["domain"] == domain).to_numpy()
            if inside.any():
                yield domain, inside

    def levels(self) -> np.ndarray:
        """Level index of each test fact, -1 where it is not known: int [facts]."""
        return self.facts["level"].fillna(-1).to_numpy(dtype=np.int64)

    def over_seeds(self, runs: list[TrainSettings]) -> np.ndarray:
        """Share of these runs (seeds of one setting) in which each fact was answered rightly: float [facts] (METHOD 8.9)."""
        return np.mean([self.runs[run].table["correct"].to_numpy(dtype=float) for run in runs], axis=0)


def by_setting(outcomes: Outcomes) -> dict[tuple[int, tuple[int, ...] | None], list[TrainSettings]]:
    """Finished runs with their seeds together: (n that was asked for, training levels) -> runs in the order of seeds.

    The untouched model (n = 0) needs no seeds: its one run stands for all.
    """
    found: dict[tuple[int, tuple[int, ...] | None], list[TrainSettings]] = {}
    for run in outcomes.runs:
        if not run.more_shots:  # what the untouched model answered with examples in front is no tuned model's
            found.setdefault((run.n, run.levels), []).append(run)
    return found
