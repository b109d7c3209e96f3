"""Outcomes of studies built by hand: so many facts a level, so large a share of them answered rightly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from sftqa_core.records import LevelScheme, TrainSettings
from sftqa_core.studies.cells import Cell
from sftqa_core.studies.statistics import Outcomes

FOUR = LevelScheme("four", ("A", "B", "C", "D"), (0.0, 0.3, 0.6))
TWO = LevelScheme("two", ("low", "high"), (0.5,))


def facts_of(sizes: Sequence[int] = (40,) * 5, domains: Sequence[str] = ("in",)) -> pd.DataFrame:
    """Test facts with so many at each level in each domain, level after level; scores lie in the middle of the level."""
    rows = [
        (f"{domain}-{level}-{i}", domain, f"P{1 + i % 2}", f"Subject {domain} {level} {i}", ["Object"], level, (level + 0.5) / len(sizes))
        for domain in domains
        for level, size in enumerate(sizes)
        for i in range(size)
    ]
    table = pd.DataFrame(rows, columns=["fact_id", "domain", "relation", "subject", "answers", "level", "score"])
    return table.astype({"level": "Int64", "score": "float64"}).assign(seen_score=table["score"], unseen_score=table["score"])


def right(facts: pd.DataFrame, shares: Sequence[float] | float, start: int = 0) -> np.ndarray:
    """Answers with that share of each level's facts (in each domain) right, counted round from the `start`-th fact: bool [facts]."""
    chosen = np.zeros(len(facts), dtype=bool)
    for (_, level), group in facts.reset_index(drop=True).groupby(["domain", "level"]):
        share = shares if isinstance(shares, float) else shares[int(level)]
        chosen[np.roll(group.index.to_numpy(), -start)[: round(share * len(group))]] = True
    return chosen


def run(n: int = 60, seed: int = 0, level: int | None = None, scheme: LevelScheme | None = None) -> TrainSettings:
    """One cell's settings; with a level, a run of the level study."""
    same = {"model": "m", "n": n, "seed": seed, "shots": 0, "save_model": False, "scheme": scheme or LevelScheme()}
    return TrainSettings(**same, **({} if level is None else {"levels": (level,), "balance": "matched"}))


def answers(correct: np.ndarray, n: int, counts: Mapping[str, Mapping[str, int]] | None = None) -> Cell:
    """A finished cell of answers."""
    table = pd.DataFrame({"correct": np.asarray(correct, dtype=bool), "rival": np.zeros(len(correct), dtype=bool)})
    return Cell(table, n, {name: dict(row) for name, row in (counts or {}).items()}, {})


def levels_cell(levels: Sequence[int], n: int, **numbers: float) -> Cell:
    """A finished cell of levels afterwards."""
    return Cell(pd.DataFrame({"score": np.zeros(len(levels)), "level": np.asarray(levels, dtype=np.int64)}), n, {}, numbers)


def outcomes_of(
    facts: pd.DataFrame,
    runs: Mapping[TrainSettings, np.ndarray | Cell] | None = None,
    model: str = "m",
    scheme: LevelScheme | None = None,
    again: Sequence[int] | None = None,
    shifts: Mapping[TrainSettings, Cell] | None = None,
) -> Outcomes:
    """Outcomes of these runs (answers, or whole cells); `again`: the levels that a second probe of all facts gave."""
    cells = {one: found if isinstance(found, Cell) else answers(found, one.n) for one, found in (runs or {}).items()}
    retest = None if again is None else pd.DataFrame({"fact_id": facts["fact_id"], "level": again, "score": 0.0})
    return Outcomes(model, scheme or LevelScheme(), facts, cells, 10, retest, shifts or {}, "It read sentences.")


def only(table: pd.DataFrame, **wanted: object) -> dict:
    """The one row of a table with these values."""
    chosen = table
    for name, value in wanted.items():
        chosen = chosen[chosen[name] == value]
    assert len(chosen) == 1, f"{len(chosen)} rows with {wanted}"
    return chosen.to_dict("records")[0]
