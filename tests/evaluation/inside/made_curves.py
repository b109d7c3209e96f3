"""Looks at trainings that never took place: tables made by a rule, for tests of tables, words, figures and the panel."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from sftqa_core.evaluation.inside.curves import tables
from sftqa_core.evaluation.inside.look import Look
from sftqa_core.records import TrainSettings

LABELS = ("L0", "L1", "L2")
Rule = Callable[[str, int, str, int, int], tuple[float, bool]]  # part, level, domain, number of the fact, step -> log P, whether it fits


def learned(part: str, level: int, domain: str, at: int, step: int) -> tuple[float, bool]:
    """Known facts fit from step 10 on, every second unknown example from step 20 on, unknown dev facts never; log P grows by 0.1 a step."""
    fits = step >= 10 if level else part == "train" and step >= 20 and at % 2 == 0
    return -8.0 + 2 * level + 0.1 * step, fits


def look_of(
    rule: Rule = learned, seed: int = 0, steps: Sequence[int] = (0, 10, 20, 30), each: int = 40, levels: Sequence[int | None] = (0, 1, 2),
    **settings: object,
) -> Look:  # fmt: skip
    """`each` dev facts of every level and domain, the same for all seeds, and `each` training examples a level, of each seed its own."""
    rows = [(f"train {seed} {level} {at}", "train", "in", level, at) for level in levels for at in range(each)]
    rows += [(f"dev {domain} {level} {at}", "dev", domain, level, at) for level in levels for domain in ("in", "out") for at in range(each)]
    facts = pd.DataFrame(rows, columns=["fact_id", "part", "domain", "level", "at"]).assign(relation="P17")
    facts["level"] = facts["level"].astype("Int64")
    said = {step: [rule(part, 0 if level is None else level, domain, at, step) for _, part, domain, level, at in rows] for step in steps}
    seen = {step: [*(logprob for logprob, _ in values), *(float(fits) for _, fits in values)] for step, values in said.items()}
    run = TrainSettings(**{"model": "base", "source": "made", "n": 120, "seed": seed} | settings)
    name = f"run {seed} {run.n} {run.levels} {run.epochs}"
    return Look(name, run, LABELS, pd.DataFrame(), {"curves": tables(seen, facts, [2] * len(facts))})
