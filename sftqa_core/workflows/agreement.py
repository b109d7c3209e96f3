"""How far levels can be trusted: other ways of measuring, and smaller budgets, beside the full probe. Never loads torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sftqa_core.errors import SettingsError
from sftqa_core.records import SLICK, Agreement, CrossTable, LevelScheme, ProbeSettings

if TYPE_CHECKING:
    import pandas as pd

SECOND, IN_4_BITS = "second probe", "4 bits"
LEAST = 30  # facts that were probed twice before they stand for the noise of a probe


@dataclass(frozen=True)
class Trust:
    """What is known of one model's levels on some facts. The full probe is the reference throughout."""

    facts: int  # with the full probe
    # "second probe" (the full one with seed + 1), "adaptive", "likelihood", "4 bits" (the same weights as NF4): those that were made
    agreements: dict[str, Agreement]
    adaptive_margin: tuple[float, float, float] | None  # kappa(adaptive, full) - kappa(second, full) with its 95% interval
    budget: pd.DataFrame | None  # budget.budget_curve against the second probe, or against the full one itself where that is missing
    floor: float | None  # kappa of two full probes
    floor_measured: bool  # else simulated from the one there is
    slick: CrossTable | None = None  # these levels beside SliCK's, where facts have both


def trust(model: str, source: str, split: str = "test", domain: str = "all", scheme: LevelScheme | None = None) -> Trust:
    """Compares what was probed before; probes nothing. `sftqa probe --seed 1` makes the second probe."""
    from sftqa_core.memory.agreement import agreement
    from sftqa_core.workflows.reading import chosen

    full = replace(scheme or LevelScheme(), method="sampling")
    if full.few_shot:
        raise SettingsError("What is compared are levels by statements, SliCK's levels among what is beside them. Leave the scheme out.")
    settings = ProbeSettings(model, source, split, domain, scheme=full)
    asked = chosen(settings)
    tables = {name: asked.levels(other) for name, other in _others(settings).items()}
    reference = asked.levels(settings)
    found = {name: agreement(reference, table, full) for name, table in tables.items() if reference["fact_id"].isin(table["fact_id"]).any()}
    measured = SECOND in found and found[SECOND].facts >= LEAST
    budget, floor = _budget(reference, tables[SECOND] if measured else reference[:0], full)
    floor = found[SECOND].kappa if measured else floor
    slick = _slick(reference, asked.levels(replace(settings, scheme=SLICK)), full)
    return Trust(len(reference), found, _margin(reference, tables, full), budget, floor, measured, slick)


def _slick(reference: pd.DataFrame, levels: pd.DataFrame, full: LevelScheme) -> CrossTable | None:
    from sftqa_core.memory.crossing import cross_table

    found = cross_table(reference, levels, full, SLICK)
    return found if found.facts else None


def _others(settings: ProbeSettings) -> dict[str, ProbeSettings]:
    full = settings.scheme
    again = replace(full, sampling=replace(full.sampling, seed=full.sampling.seed + 1))
    schemes = {SECOND: again, "adaptive": replace(full, method="adaptive"), "likelihood": replace(full, method="likelihood")}
    return {name: replace(settings, scheme=scheme) for name, scheme in schemes.items()} | {IN_4_BITS: replace(settings, quantization="nf4")}


def _margin(reference: pd.DataFrame, tables: dict[str, pd.DataFrame], full: LevelScheme) -> tuple[float, float, float] | None:
    """kappa(adaptive, full) - kappa(second, full): above 0 where stopping early costs less than chance does. None where one of the
    probes is missing, or a kappa undefined."""
    from sftqa_core.memory.agreement import kappa_difference

    shared = reference[["fact_id", "level"]]
    for name in (SECOND, "adaptive"):
        shared = shared.merge(tables[name][["fact_id", "level"]].rename(columns={"level": name}), on="fact_id")
    if not len(shared):
        return None
    adaptive, first, again = (shared[name].to_numpy(dtype=int) for name in ("adaptive", "level", SECOND))
    found = kappa_difference(adaptive, first, again, len(full.labels))
    return found if all(map(math.isfinite, found)) else None


def _budget(reference: pd.DataFrame, second: pd.DataFrame, full: LevelScheme) -> tuple[pd.DataFrame | None, float | None]:
    """The budget curve against the second probe's levels, or its own where there is none, and the simulated floor.

    Facts with another number of templates than most are left out: a budget would not be the same for them.
    """
    import numpy as np

    from sftqa_core.memory.budget import budget_curve, simulated_floor

    both = reference.merge(second[["fact_id", "level"]], on="fact_id", suffixes=("_own", ""))
    alike = both if len(both) else reference
    widths = alike["hits_per_template"].map(len)
    alike = alike[widths == widths.mode().max()]
    if not len(alike):
        return None, None
    hits, samples = np.array(alike["hits_per_template"].tolist()).round().astype(int), full.sampling.samples
    return budget_curve(hits, samples, alike["level"].to_numpy(dtype=int), full), simulated_floor(hits, samples, full)
