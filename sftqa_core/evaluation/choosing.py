"""Which facts a model is tested on.

The same ones for every seed, size and method of a study: METHOD 8.9 averages each fact over seeds first, so the draw has
a seed of its own. A larger limit only adds facts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sftqa_core.artifacts.kept import Kept
from sftqa_core.knowledge.facts import FactSource, pick_facts
from sftqa_core.records import TrainSettings

if TYPE_CHECKING:
    import pandas as pd

FACTS_SEED = 0


def held_out_facts(source: FactSource, settings: TrainSettings, split: str = "test") -> pd.DataFrame:
    """Held-out facts of both domains: `settings.test_limit` a relation, else all of a small source and 100 of a large one.

    `split="dev"` is for tuning (METHOD 8.5). Relations take turns in the order of the rows.
    """
    limit = settings.test_limit if settings.test_limit is not None else source.test_limit

    def make() -> tuple[pd.DataFrame, pd.DataFrame]:
        return source.facts, pick_facts(source.facts, split, None, seed=FACTS_SEED, per_relation=limit)

    return _chosen.get((id(source.facts), split, limit), make)[1]


# The same for every run of a source. The facts are kept beside it, so that no other table gets their identity.
_chosen: Kept[tuple[pd.DataFrame, pd.DataFrame]] = Kept(8)
