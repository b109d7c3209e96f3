"""How far levels can be trusted: other ways of measuring, and smaller budgets, beside the full probe. Never loads torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sftqa_core.records import Agreement, LevelScheme

if TYPE_CHECKING:
    import pandas as pd

SECOND = "second probe"


@dataclass(frozen=True)
class Trust:
    """What is known of one model's levels on some facts. The full probe is the reference throughout."""

    facts: int  # with the full probe
    agreements: dict[str, Agreement]  # "second probe" (the full one with seed + 1), "adaptive", "likelihood": those that were made
    adaptive_loss: tuple[float, float, float] | None  # kappa(adaptive, full) - kappa(second, full) with its 95% interval
    budget: pd.DataFrame | None  # budget.budget_curve against the second probe, or against the full one itself where that is missing
    floor: float | None  # kappa of two full probes
    floor_measured: bool  # else simulated from the one there is


def trust(model: str, source: str, split: str = "test", domain: str = "all", scheme: LevelScheme | None = None) -> Trust:
    """Compares what was probed before; probes nothing. `sftqa probe --seed 1` makes the second probe."""
    import numpy as np

    from sftqa_core.memory.agreement import agreement, kappa_difference
    from sftqa_core.memory.budget import budget_curve, simulated_floor
    from sftqa_core.workflows.reading import profile

    full = replace(scheme or LevelScheme(), method="sampling")
    others = {
        SECOND: replace(full, sampling=replace(full.sampling, seed=full.sampling.seed + 1)),
        "adaptive": replace(full, method="adaptive"),
        "likelihood": replace(full, method="likelihood"),
    }
    reference = _known(profile(model, source, split, domain, full).table)
    tables = {name: _known(profile(model, source, split, domain, other).table) for name, other in others.items()}
    found = {name: agreement(reference, table, full) for name, table in tables.items() if reference["fact_id"].isin(table["fact_id"]).any()}
    second = tables[SECOND]
    both = reference.merge(second[["fact_id", "level"]], on="fact_id", suffixes=("", "_second")) if len(second) else reference[:0]
    alike = both if len(both) else reference
    alike = alike[alike["hits_per_template"].map(len) == alike["hits_per_template"].map(len).max()]
    if not len(alike):
        return Trust(len(reference), found, None, None, None, False)
    hits, samples = np.array(alike["hits_per_template"].tolist()).round().astype(int), full.sampling.samples
    levels = alike["level_second" if len(both) else "level"].to_numpy(dtype=int)
    three = both.merge(tables["adaptive"][["fact_id", "level"]], on="fact_id", suffixes=("", "_adaptive")) if len(both) else both
    loss = None
    if len(three) and "adaptive" in found:
        adaptive, first, again = (three[name].to_numpy(dtype=int) for name in ("level_adaptive", "level", "level_second"))
        loss = kappa_difference(adaptive, first, again, len(full.labels))
    measured = len(both) > 0
    floor = found[SECOND].kappa if measured else simulated_floor(hits, samples, full)
    return Trust(len(reference), found, loss, budget_curve(hits, samples, levels, full), floor, measured)


def _known(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["level"].notna()].astype({"level": "int64"})
