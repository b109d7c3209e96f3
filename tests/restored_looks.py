"""Made looks at what putting weights back does: two levels, the first facts of each are answered rightly."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from sftqa_core.evaluation.inside.look import Look
from sftqa_core.records import TrainSettings

LABELS = ("L0", "L1")
Counts = tuple[int, int]  # facts answered rightly at each level, the same in both domains
Right = dict[tuple[str, float, int], Counts]  # by way, share and draw
RIGHT: Right = {
    ("none", 0.0, 0): (10, 30),
    ("relative", 0.01, 0): (10, 30),
    ("relative", 0.1, 0): (20, 38),
    ("relative", 0.6, 0): (0, 0),
    ("absolute", 0.1, 0): (8, 30),
    ("random", 0.1, 0): (20, 38),
    ("random", 0.1, 1): (20, 36),
    ("random-update", 0.2, 0): (2, 30),
}
BEST = {"relative": 0.1, "absolute": 0.0, "random": 0.1, "random-update": 0.2}
BLOCKS: dict[str, Counts] = {"other": (10, 30), "0-1": (0, 2), "2": (10, 29)}


def made_look(seed: int = 0, each: int = 40, right: Right = RIGHT, best: Mapping[str, float] = BEST, **changes: object) -> Look:
    """A look with `each` facts at each level and domain. `changes` are of the run's settings."""
    rows = [(f"{domain}{level}-{at}", domain, level) for domain in ("in", "out") for level in (0, 1) for at in range(each)]
    facts = pd.DataFrame(rows, columns=["fact_id", "domain", "level"]).astype({"level": "Int64"})

    def bits(counts: Counts) -> bytes:
        return np.packbits([at < counts[level] for _, level, at in ((d, lv, int(i.rpartition("-")[2])) for i, d, lv in rows)]).tobytes()

    undone = {"relative": 1.5, "absolute": 2.5, "random": 1.0, "random-update": 1.0}
    answers = [
        (way, share, draw, int(1000 * share), min(1.0, undone.get(way, 0) * share), bits(n)) for (way, share, draw), n in right.items()
    ]
    chosen = [
        (way, share, 0.5 + 0.1 * (share == best[way]), 60, True, share == best[way])
        for way in best for share in sorted({0.0, *(share for other, share, _ in right if other == way)})
    ]  # fmt: skip
    own = [(share, level, 40, right) for share in (0.0, 0.05) for level, right in ((0, 4), (1, 36))] + [(0.0, None, 5, 5)]
    made = {
        "facts": facts[["fact_id"]],
        "answers": pd.DataFrame(answers, columns=["way", "share", "draw", "restored", "undone", "correct"]).astype({"share": "float32"}),
        "chosen": pd.DataFrame(chosen, columns=["way", "share", "accuracy", "facts", "by_level", "chosen"]).astype({"share": "float32"}),
        "blocks": pd.DataFrame(
            [(name, 10, 0.3, bits(n)) for name, n in BLOCKS.items()], columns=["block", "restored", "undone", "correct"]
        ),
        "own": pd.DataFrame(own, columns=["share", "level", "facts", "correct"]).astype({"share": "float32", "level": "Int8"}),
    }
    settings = TrainSettings("atlas-llama", **{"source": "atlas", "n": 240, "seed": seed, "shots": 0, **changes})  # type: ignore[arg-type]
    return Look(f"run-{seed}", settings, LABELS, facts, {"restoration": made})
