"""Made looks inside runs, for tables, figures and panels of drift: no model has to be trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from sftqa_core.evaluation.inside.look import Look
from sftqa_core.records import TrainSettings
from tests.made_runs import facts_of

LABELS = ("L0", "L1")
SHARES = (0.01, 0.03, 0.05, 0.1, 0.2, 0.4, 0.6)


def drift_tables(kl: np.ndarray, stated: np.ndarray) -> dict[str, pd.DataFrame]:
    """Tables of drift.py for facts whose KL is `kl` at questions and 0.1 times that at statements, which the places `stated` have."""
    same = {"entropy_base": 2.0, "entropy_tuned": 1.0, "logprob_base": -3.0, "logprob_tuned": -1.0}
    questions = pd.DataFrame({"kl": kl, **same}).astype("float16").assign(changed=kl > 1, first_base=True, first_tuned=kl <= 1)
    statements = questions.iloc[stated].assign(kl=0.1 * kl[stated], kl10=0.05 * kl[stated]).reset_index(drop=True)
    statements.insert(0, "place", stated.astype("int16"))
    layers = [
        ("embed", None, 100, 100, 20, 0.25, 0.5), ("q_proj", 0, 100, 100, 40, 0.25, 0.1), ("down_proj", 0, 200, 200, 10, 0.25, 0.2),
        ("down_proj", 1, 200, 200, 30, 0.25, 0.2),
    ]  # fmt: skip
    names = ["module", "layer", "parameters", "changed", "top", "relative_share", "squared_share"]
    modules = pd.DataFrame(layers, columns=names).astype({"layer": "Int16", "module": "category"})
    held = [
        (measure, share, share**power) for measure, power in (("relative", 0.1), ("absolute", 0.8), ("shuffled", 0.12)) for share in SHARES
    ]
    return {
        "questions": questions,
        "statements": statements,
        "templates": pd.DataFrame({"relation": ["P19", "P26"], "template": [3, 0], "hits": [40, 0], "completions": [80, 0]}),
        "layers": modules,
        "top": pd.DataFrame(held, columns=["measure", "share", "held"]),
    }


def drift_look(n: int = 60, seed: int = 0, size: float = 1.0, count: int = 80, levels: tuple[int, ...] | None = None, **more: Any) -> Look:
    """A run on `count` facts in each domain: at L0 KL is 2 x `size`, at L1 it is `size`, and 2.5 x `size` where the fact was lost; every
    third fact of L1 was lost, and every fact of L0 is wrong before and after. Noise of 0.05 x `size` follows the seed."""
    facts = facts_of(count=count)
    level = np.array([at % 2 for at in range(len(facts))])
    order = np.arange(len(facts)) // 2
    lost = (level == 1) & (order % 3 == 0)
    facts = facts.assign(
        level=pd.array(level, dtype="Int64"), base_correct=level == 1, correct=(level == 1) & ~lost, echo=False
    )  # fmt: skip
    place = facts["fact_id"].argsort(kind="stable").to_numpy()
    kl = np.where(level == 0, 2.0, np.where(lost, 2.5, 1.0)) * size
    kl = kl + 0.05 * size * np.random.default_rng([n, seed]).standard_normal(len(kl))
    tables = drift_tables(kl[place], np.arange(len(facts)))
    settings = TrainSettings("tiny", n=n, seed=seed, levels=levels, **more)
    return Look(f"run-{n}-{levels}-{seed}", settings, LABELS, facts, {"drift": tables})
