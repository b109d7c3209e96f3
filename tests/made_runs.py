"""Finished runs made of answers alone: no model has to be trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from sftqa_core.evaluation.intervals import accuracy_by_level
from sftqa_core.knowledge.facts import fact_table
from sftqa_core.records import RunSummary, TrainSettings
from sftqa_core.training.runs import Run, RunContents, write_run
from sftqa_core.workspace import Workspace
from tests.small import level_table

EXAMPLES = pd.DataFrame(columns=["fact_id", "relation", "subject", "question", "answers", "domain", "echo", "level"])


def facts_of(source: str = "facts.csv", count: int = 40, answer: str = "Object") -> pd.DataFrame:
    """`count` in-domain test facts and as many out of domain."""
    rows = [
        {
            "relation": relation, "subject": f"Subject {at}", "answers": [f"{answer}{at % 5}"], "question": f"{relation} of subject {at}?",
            "split": "test", "domain": domain,
        }
        for relation, domain in (("P19", "in"), ("P26", "out")) for at in range(count)
    ]  # fmt: skip
    return fact_table(rows, source)


def levels_of(facts: pd.DataFrame) -> pd.DataFrame:
    """All five levels, in turns."""
    return level_table(facts, [at % 5 for at in range(len(facts))])


def answers(facts: pd.DataFrame, stage: str, correct: Sequence[bool]) -> pd.DataFrame:
    """A predictions table; wrong answers say "wrong"."""
    texts = [row[0] if right else "wrong" for row, right in zip(facts["answers"], correct, strict=True)]
    return pd.DataFrame(
        {
            "fact_id": facts["fact_id"], "stage": stage, "text": texts, "matched": None, "correct": list(correct), "rival": False,
            "mean_logprob": -0.1, "tokens": 1,
        }
    )  # fmt: skip


def made_run(
    name: str, correct: Sequence[bool], facts: pd.DataFrame | None = None, *, scratch: Any = None, manifest: Any = None, **settings: Any
) -> Run:
    """A run of that name in this test's workspace; the base model answered nothing rightly. `manifest` replaces parts of it."""
    facts = facts_of() if facts is None else facts
    source = str(facts["source"].iloc[0])
    chosen = TrainSettings(**{"model": "base", "source": source, "learning_rate": 1e-3, "save_model": False} | settings)
    stages = {"before": answers(facts, "before", [False] * len(facts)), "after": answers(facts, "after", correct)}
    accuracy = {stage: accuracy_by_level(table, facts, levels_of(facts), chosen.scheme) for stage, table in stages.items()}
    summary = RunSummary(name, chosen.n, accuracy["before"], accuracy["after"], {}, {"train": 1.0})
    usual = {
        "model": {"name": chosen.model, "weights": f"weights of {chosen.model}", "adapter": None, "dtype": "float32", "device": "cpu"},
        "source": {"name": source, "fingerprint": f"content of {source}"}, "aliases": "none", "matching": 2,
    }  # fmt: skip
    table = pd.concat(stages.values(), ignore_index=True)
    contents = RunContents(chosen, summary, table, facts, levels_of(facts), EXAMPLES, usual | (manifest or {}))
    return write_run(Workspace.current(), name, contents, scratch)
