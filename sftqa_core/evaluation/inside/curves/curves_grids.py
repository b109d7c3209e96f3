"""What was seen of one setting's trainings, its seeds together: what tables and words of learning curves are made of. Loads no model.

Each fact is first averaged over the seeds that watched it (METHOD 8.9): dev facts are the same in all of them, training examples mostly
others. Steps are those that every seed looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sftqa_core.artifacts import Kept
from sftqa_core.evaluation.inside.look import Look

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"
PARTS = {"train": "training examples", "dev": "dev facts"}


@dataclass(frozen=True, eq=False)
class Curves:
    """The watched facts of one setting, its seeds together."""

    labels: tuple[str, ...]
    seeds: int
    steps: tuple[int, ...]  # 0 is the base model
    facts: pd.DataFrame  # fact_id, part, domain, level (its label; None where it is not known), tokens, seeds that watched it
    logprob: np.ndarray  # [facts, steps] of the answer, mean over seeds
    fits: np.ndarray  # [facts, steps] share of the seeds in which the answer fits
    ever: np.ndarray  # [facts] share of the seeds in which it fits at some look after step 0
    lost: np.ndarray  # [facts] of the seeds in which it fits at some look but the last, the share in which a later look misses it; or NaN
    first: np.ndarray  # [facts, seeds] the step at which it fits first; infinite: never; NaN: a seed that did not watch it

    def where(self, part: str, level: str = ALL, domain: str = ALL) -> np.ndarray:
        """Which facts are of a part, a level and a domain: bool [facts]."""
        chosen = (self.facts["part"] == part).to_numpy()
        chosen = chosen if level == ALL else chosen & (self.facts["level"] == level).to_numpy()
        return chosen if domain == ALL else chosen & (self.facts["domain"] == domain).to_numpy()

    @cached_property
    def compared(self) -> str:
        """The domain of the training examples, which dev facts that they are compared with have, too; ALL where they are of several, or
        where there are none."""
        domains = set(self.facts.loc[self.where("train"), "domain"])
        return str(domains.pop()) if len(domains) == 1 else ALL

    def levels(self) -> tuple[str, ...]:
        """Levels that any watched fact has, then all facts together."""
        present = set(self.facts["level"].dropna())
        return (*(label for label in self.labels if label in present), ALL)


def watched_runs(looks: Sequence[Look]) -> list[Look]:
    """Those whose training was looked at, each once."""
    return list({look.name: look for look in looks if "curves" in look.tables and look.tables["curves"]["facts"]["step"].any()}.values())


def curves_of(looks: Sequence[Look]) -> Curves | None:
    """Seeds of one setting together; None where none of them was watched."""
    import pandas as pd

    runs = [grids_of(look) for look in watched_runs(looks)]
    if not runs:
        return None
    steps = sorted(set.intersection(*(set(run.steps) for run in runs)))
    facts = pd.concat([run.facts for run in runs]).drop_duplicates(["part", "fact_id"], ignore_index=True)
    index = pd.MultiIndex.from_frame(facts[["part", "fact_id"]])
    places = [index.get_indexer(pd.MultiIndex.from_frame(run.facts[["part", "fact_id"]])) for run in runs]

    def mean(values: Callable[[Grids], np.ndarray]) -> np.ndarray:
        stack = np.full((len(runs), len(facts), *values(runs[0]).shape[1:]), np.nan)
        for at, (run, place) in enumerate(zip(runs, places, strict=True)):
            stack[at, place] = values(run)
        known = ~np.isnan(stack)
        counts = known.sum(axis=0)
        return np.where(counts > 0, np.where(known, stack, 0).sum(axis=0) / np.maximum(counts, 1), np.nan)

    first = np.full((len(facts), len(runs)), np.nan)
    for at, (run, place) in enumerate(zip(runs, places, strict=True)):
        first[place, at] = run.first()
    facts["seeds"] = (~np.isnan(first)).sum(axis=1)
    grids = (mean(lambda run: run.at(run.logprob, steps)), mean(lambda run: run.at(run.fits.astype(float), steps)))
    ever, lost = mean(lambda run: run.fits[:, run.after].any(axis=1).astype(float)), mean(Grids.lost)
    return Curves(looks[0].labels, len(runs), tuple(steps), facts, *grids, ever, lost, first)


@dataclass(frozen=True, eq=False)
class Grids:
    """One run: its watched facts, and [facts, steps] of what was seen."""

    facts: pd.DataFrame
    steps: list[int]
    logprob: np.ndarray
    fits: np.ndarray

    @property
    def after(self) -> list[int]:
        """Places of the looks after step 0."""
        return [at for at, step in enumerate(self.steps) if step]

    def at(self, values: np.ndarray, steps: Sequence[int]) -> np.ndarray:
        """Columns of these steps."""
        chosen: np.ndarray = values[:, [self.steps.index(step) for step in steps]]
        return chosen

    def first(self) -> np.ndarray:
        """The first step at which each fact fits; infinite where there is none."""
        return np.where(self.fits.any(axis=1), np.array(self.steps, dtype=float)[self.fits.argmax(axis=1)], np.inf)

    def lost(self) -> np.ndarray:
        """1 where a fact fits at one look and misses at a later one, NaN where none but the last look could show it."""
        before = np.logical_or.accumulate(self.fits, axis=1)[:, :-1]  # at or before each look but the last
        missed = (before & ~self.fits[:, 1:]).any(axis=1)
        return np.where(before[:, -1] if before.shape[1] else np.zeros(len(self.fits), dtype=bool), missed.astype(float), np.nan)


_grids: Kept[Grids] = Kept(64)  # by look: words, charts and regression all begin with them


def grids_of(look: Look) -> Grids:
    """What was seen of a watched run. It is kept and shared: it must not be changed."""
    return _grids.get(look, lambda: _grids_of(look))


def _grids_of(look: Look) -> Grids:
    table, facts = look.tables["curves"]["facts"], look.tables["curves"]["watched"]
    ordered = table.sort_values(["fact", "step"])
    steps = sorted(int(step) for step in ordered["step"].unique())
    shape = (len(facts), len(steps))
    level = [None if code != code else look.labels[int(code)] for code in facts["level"].to_numpy(dtype=float, na_value=np.nan)]
    about = facts[["fact_id", "part", "domain"]].astype(str).assign(level=np.array(level, dtype=object), tokens=facts["tokens"].to_numpy())
    return Grids(
        about, steps, *(ordered[name].to_numpy().reshape(shape).astype(kind) for name, kind in (("logprob", float), ("fits", bool)))
    )
