"""What the Memory page reads of consistency, made up over the facts of standin.py."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pandas as pd

from sftqa_core.memory import consistency_tables
from sftqa_core.memory.consistency import FactAnswers
from sftqa_core.records import ANSWER_KINDS, LevelScheme
from sftqa_core.workflows.consistency_reports import Consistency, ConsistencyChange

NASTY = "[a](http://example.invalid) **b**"


def of_facts(facts: pd.DataFrame) -> pd.DataFrame:
    """CONSISTENCY of probed facts: kinds in turn, the rival named where one is known."""
    probed = facts[facts["level"].notna()].reset_index(drop=True)
    kinds = np.array(list(ANSWER_KINDS))[np.arange(len(probed)) % len(ANSWER_KINDS)]
    rival = probed["rival"].fillna("").to_numpy()
    share = np.where(np.isin(kinds, ["settled", "rival"]), 0.8, 0.4)
    return pd.DataFrame(
        {
            "fact_id": probed["fact_id"], "answered": 200, "silent": 10, "named": 180, "modal": np.where(kinds == "rival", rival, NASTY),
            "modal_share": share, "right": kinds == "settled", "second": "Other", "second_share": 0.1, "different": 5,
            "agreement": 0.5, "entropy": np.linspace(0, 3, len(probed)), "kind": kinds,
        }
    )  # fmt: skip


def add(module: ModuleType, facts: pd.DataFrame, known: bool) -> None:
    """Put it all into the module that stands in for the workflows; without `known` no completions are stored."""
    stored = of_facts(facts) if known else of_facts(facts)[:0]

    def consistency(model: str, source: str, split: str, domain: str, scheme: LevelScheme) -> Consistency:
        probed = facts[facts["level"].notna()]
        table = probed.merge(stored, on="fact_id")
        levels = consistency_tables.by_level(table, scheme.labels)
        rivals = consistency_tables.rivals(table, scheme.labels, str.casefold)
        return Consistency(len(probed) + 7, table, 0.9, 0.05, levels, consistency_tables.reliability(table), rivals)

    def consistency_change(model: str, base: str, source: str, split: str, domain: str, scheme: LevelScheme) -> ConsistencyChange:
        after = stored.assign(right=True, kind="settled")
        return ConsistencyChange(consistency_tables.changes(stored, after), None)

    def fact_answers(model: str, source: str, fact_id: str) -> FactAnswers | None:
        row = stored[stored["fact_id"] == fact_id]
        if not len(row):
            return None
        answers = [{"answer": f"word {at}", "count": 20 - at, "share": 0.1, "templates": 2, "right": at == 1} for at in range(9)]
        return FactAnswers({str(name): value for name, value in row.iloc[0].items()}, pd.DataFrame(), pd.DataFrame(answers))

    module.consistency, module.consistency_change = consistency, consistency_change  # type: ignore[attr-defined]
    module.fact_answers, module.fact_consistency = fact_answers, lambda *of: stored  # type: ignore[attr-defined]
