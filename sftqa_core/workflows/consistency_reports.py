"""How consistently a model answers (METHOD 10.1): what pages and `sftqa consistency` show of memory/consistency.py. Runs no model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sftqa_core.records import LevelScheme

if TYPE_CHECKING:
    import pandas as pd

LEAST = 30  # facts that were probed twice before they stand for the noise of a probe
_FACTS = ("fact_id", "relation", "subject", "contested", "rival", "level", "score")


@dataclass(frozen=True, eq=False)  # known by identity
class Consistency:
    """How consistently a model answers about some facts. Only those with a level and stored completions count."""

    of: int  # facts of the split and domain that have a level
    table: pd.DataFrame  # CONSISTENCY of those that have completions too, and the columns of _FACTS that there are
    named: float | None  # share of their completions that name a known object
    silent: float | None  # and that have no answer; the others count by their first clause
    levels: pd.DataFrame  # consistency_tables.by_level
    reliability: pd.DataFrame  # consistency_tables.reliability
    rivals: pd.DataFrame | None  # consistency_tables.rivals


def consistency(model: str, source: str, split: str = "test", domain: str = "all", scheme: LevelScheme | None = None) -> Consistency:
    """From completions of the full probe by statements; `scheme` says the levels. Raises `SettingsError` for SliCK's."""
    from sftqa_core.knowledge.aliases import load_aliases
    from sftqa_core.memory import consistency_tables as tables
    from sftqa_core.memory.consistency import standing_for, stored_consistency
    from sftqa_core.memory.profiles import profile

    stored = stored_consistency(model, source, scheme)
    scheme = replace(scheme or LevelScheme(), method="sampling")
    facts = profile(model, source, split, domain, scheme)
    known = facts.take(facts.rows, [name for name in _FACTS if name in facts.level_table.table])
    known = known[known["level"].notna()]
    table = known.merge(stored, on="fact_id")
    aliases, completions = load_aliases(), int(table["answered"].sum() + table["silent"].sum())
    named, silent = (int(table[name].sum()) / completions if completions else None for name in ("named", "silent"))
    return Consistency(
        len(known),
        table,
        named,
        silent,
        tables.by_level(table, scheme.labels),
        tables.reliability(table),
        tables.rivals(table, scheme.labels, lambda name: standing_for(name, aliases)),
    )


@dataclass(frozen=True, eq=False)
class ConsistencyChange:
    """A tuned model's consistency beside that of the model it was tuned from."""

    both: pd.DataFrame  # consistency_tables.changes
    noise: pd.DataFrame | None  # the same for the base probed again with the next seed: chance alone; None where too few facts were


def consistency_change(
    model: str, base: str, source: str, split: str = "test", domain: str = "all", scheme: LevelScheme | None = None
) -> ConsistencyChange:
    """On the facts of which both have completions."""
    from sftqa_core.memory.consistency_tables import changes

    scheme = replace(scheme or LevelScheme(), method="sampling")
    again = replace(scheme, sampling=replace(scheme.sampling, seed=scheme.sampling.seed + 1))
    before, after = (consistency(name, source, split, domain, scheme).table for name in (base, model))
    noise = changes(before, consistency(base, source, split, domain, again).table)
    return ConsistencyChange(changes(before, after), noise if noise["facts"].min() >= LEAST else None)


def fact_consistency(model: str, source: str, scheme: LevelScheme | None = None) -> pd.DataFrame:
    """CONSISTENCY of all facts of a source that have completions; shared, so it must not be changed."""
    from sftqa_core.memory.consistency import stored_consistency

    return stored_consistency(model, source, scheme)


def fact_answers(model: str, source: str, fact_id: str, scheme: LevelScheme | None = None) -> Any:
    """What a model answers about one fact (memory.consistency.FactAnswers); None without completions."""
    from sftqa_core.memory.consistency import fact_answers as answers_of

    return answers_of(model, source, fact_id, scheme)
