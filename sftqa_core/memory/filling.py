"""Finding training facts of wanted levels: probe in seeded random order until each quota is met (METHOD 8.7)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.memory.probing import probe_facts
from sftqa_core.memory.sampling import Sampler
from sftqa_core.memory.tables import LEVELS
from sftqa_core.models.loading import LoadedModel
from sftqa_core.progress import Reporter, Silent
from sftqa_core.records import ProbeSettings
from sftqa_core.workspace import Workspace

_ROUND = (8, 128)  # fewest and most facts of a relation probed before looking again


@dataclass(frozen=True)
class Quota:
    """So many facts of one relation at any of these levels."""

    relation: str
    levels: frozenset[int]
    count: int


@dataclass(frozen=True)
class Filled:
    """What was found. The first `count` rows of a quota's relation and levels are the facts to take."""

    levels: pd.DataFrame  # LEVELS and `relation` of every fact probed, each relation in its seeded order
    probed: int  # facts whose level was measured to fill the quotas, stored ones included
    missing: dict[Quota, int]  # quotas the facts could not fill, and how many they lack


def fill_levels(
    loaded: LoadedModel,
    source: FactSource,
    facts: pd.DataFrame,
    settings: ProbeSettings,
    quotas: Sequence[Quota],
    seed: int,
    aliases: Aliases | None = None,
    workspace: Workspace | None = None,
    reporter: Reporter | None = None,
    sampler: Sampler | None = None,
) -> Filled:
    """Probe candidates (`facts`) relation by relation in seeded random order until every quota is met or they run out.

    The order depends on the seed and the facts only, so taking the first facts of a level is a fair draw from it.
    """
    reporter = reporter or Silent()
    order = {relation: seeded_order(facts[facts["relation"] == relation], seed) for relation in dict.fromkeys(q.relation for q in quotas)}
    seen = dict.fromkeys(order, 0)
    table = pd.DataFrame(columns=[*LEVELS, "relation"])
    while True:
        lacking = _lacking(table, quotas)
        more = {r: min(len(order[r]), seen[r] + _round(lacking, r, seen[r])) for r in {q.relation for q in lacking}}
        batch = [order[r].iloc[seen[r] : more[r]] for r in order if r in more and more[r] > seen[r]]
        if not batch:
            return Filled(table, len(table), lacking)
        for quota, left in lacking.items():
            reporter.log(f"{quota.relation}: {left} more facts wanted at levels {sorted(quota.levels)}, {seen[quota.relation]} probed.")
        found = probe_facts(loaded, source, pd.concat(batch), settings, aliases, workspace, reporter, sampler)
        found = found.merge(facts[["fact_id", "relation"]], on="fact_id")
        table = pd.concat([table, found], ignore_index=True) if len(table) else found
        seen |= more


def seeded_order(facts: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The facts in a random order that stays as it is when others are added or left out."""
    rank = [hashlib.sha256(f"{seed}\x1f{fact_id}".encode()).hexdigest() for fact_id in facts["fact_id"]]
    return facts.iloc[sorted(range(len(facts)), key=rank.__getitem__)]


def _lacking(table: pd.DataFrame, quotas: Sequence[Quota]) -> dict[Quota, int]:
    counts = table.groupby(["relation", "level"]).size().to_dict()
    have = {quota: sum(counts.get((quota.relation, level), 0) for level in quota.levels) for quota in quotas}
    return {quota: quota.count - have[quota] for quota in quotas if have[quota] < quota.count}


def _round(lacking: dict[Quota, int], relation: str, seen: int) -> int:
    """How many facts to probe next: what the rarest wanted level needs at the share met so far, within bounds."""
    least, most = _ROUND
    wanted = [(quota.count, left) for quota, left in lacking.items() if quota.relation == relation]
    estimate = max(left / max((count - left) / seen, 0.05) if seen else 2.0 * left for count, left in wanted)
    return min(most, max(least, math.ceil(estimate)))
