"""What examples are drawn from: a source's train facts in a seeded order, and what is known of their levels. Never loads torch.

Every relation has one seeded order of its train facts, and the relations take turns. Facts in no split (they carry the corpus's
QA text) are never among them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sftqa_core.artifacts.kept import Kept
from sftqa_core.errors import SettingsError
from sftqa_core.knowledge.facts import FactSource, pick_facts
from sftqa_core.records import TrainSettings

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Rows = NDArray[np.intp]  # positions in a pool, in its order
    Levels = NDArray[np.int8]

UNKNOWN = -1  # the level of a fact that was not probed


@dataclass(frozen=True, eq=False)
class Pool:
    """Train facts in the order of a draw."""

    drawn_from: pd.DataFrame  # held, so that no other table gets its identity
    facts: pd.DataFrame

    @cached_property
    def ids(self) -> pd.Index:
        import pandas as pd

        return pd.Index(self.facts["fact_id"].to_numpy(dtype=object))

    @cached_property
    def rows(self) -> dict[str, Rows]:
        """Each relation's, relations in order of appearance."""
        import pandas as pd

        codes, names = pd.factorize(self.facts["relation"])
        cuts = np.cumsum(np.bincount(codes, minlength=len(names)))[:-1]
        return dict(zip(map(str, names), np.split(codes.argsort(kind="stable"), cuts), strict=True)) if len(codes) else {}

    def under(self, levels: pd.DataFrame | None) -> Levelled:
        """The pool with what is known of its levels."""
        import pandas as pd

        level = np.full(len(self.facts), UNKNOWN, dtype=np.int8)
        if levels is not None and len(levels):
            known = levels.dropna(subset="level")
            at = self.ids.get_indexer(pd.Index(known["fact_id"].to_numpy(dtype=object)))
            level[at[at >= 0]] = known["level"].to_numpy(dtype=np.int8)[at >= 0]
        return Levelled(self.facts, self.rows, level)


@dataclass(frozen=True, eq=False)
class Levelled:
    """A pool and its levels."""

    facts: pd.DataFrame
    rows: dict[str, Rows]
    level: Levels  # a fact's level, `UNKNOWN` where it was not probed

    def counts(self, relation: str, levels: int) -> tuple[list[int], int]:
        """One relation's facts at each level, and those of no known level."""
        counted = np.bincount(self.level[self.rows[relation]] - UNKNOWN, minlength=levels + 1).tolist()
        return counted[1:], counted[0]

    def take(self, rows: Collection[int]) -> pd.DataFrame:
        """These facts, in the pool's order."""
        return self.facts.iloc[sorted(rows)].reset_index(drop=True)


def train_pool(source: FactSource, settings: TrainSettings) -> pd.DataFrame:
    """Train facts of the wanted topics in the seeded order in which they are probed and taken, relations in turns."""
    return pool_of(source, settings).facts


def pool_of(source: FactSource, settings: TrainSettings) -> Pool:
    """`train_pool` with its order looked up before. Raises `SettingsError` for topics that the source does not have."""
    if settings.relations is not None:
        known = source.facts["relation"].unique()
        strange = [name for name in settings.relations if name not in known]
        unknown = [f"{source.name} has no relation {name!r}; it has {', '.join(known)}." for name in strange]
        if unknown:
            raise SettingsError(unknown)

    def make() -> Pool:
        facts = pick_facts(source.facts, "train", None if settings.relations else "in", seed=settings.seed)
        return Pool(source.facts, facts if settings.relations is None else _of_relations(facts, settings.relations))

    return _pools.get((id(source.facts), settings.relations, settings.seed), make)


_pools: Kept[Pool] = Kept(3)  # a form asks for the same one at every change


def _of_relations(facts: pd.DataFrame, relations: Iterable[str]) -> pd.DataFrame:
    return facts[facts["relation"].isin(list(relations))].reset_index(drop=True)
