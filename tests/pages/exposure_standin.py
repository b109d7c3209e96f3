"""What the Memory page reads of counts in a training corpus, made up over the facts of standin.py."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pandas as pd

from sftqa_core.evaluation.exposure_ranks import exposure_ranks
from sftqa_core.workflows.exposures import Exposures


def add(module: ModuleType, facts: pd.DataFrame, counted: int) -> None:
    """Put it into the module that stands in for the workflows: so many facts have counts; 0: nobody asked."""
    known = facts[facts["level"].notna()].head(counted).reset_index(drop=True)
    draw = np.random.default_rng(0)
    subject = np.exp(draw.normal(6, 2, len(known))).round()
    table = pd.DataFrame(
        {
            "fact_id": known["fact_id"], "relation": known["relation"], "subject": known["subject"], "score": known["score"],
            "level": [f"L{level}" for level in known["level"]], "count": (subject * known["score"] / 3).round(), "subject_count": subject,
            "object_count": 900, "estimated": np.arange(len(known)) % 4 == 0, "window": 100,
        }
    )  # fmt: skip
    found = Exposures(
        "the Pile", "v4_piletrain_llama", "https://api.infini-gram.io/", 100, "2026-11-29", "2026-11-30", table, exposure_ranks(table)
    )
    module.exposures = lambda *about: found if counted else None  # type: ignore[attr-defined]
    module.exposures_stamp = lambda: f"{counted}" if counted else ""  # type: ignore[attr-defined]
