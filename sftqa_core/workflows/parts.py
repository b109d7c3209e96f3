"""A finished run's accuracies on a part of its test facts: contested facts apart from uncontested ones (METHOD 8.8)."""

from __future__ import annotations

from dataclasses import replace

from sftqa_core.errors import NotFound
from sftqa_core.records import RunSummary


def run_part(run_id: str, part: str) -> RunSummary:
    """The summary of run `run_id` with only its "contested" or "uncontested" test facts counted.

    Raises `NotFound` when the run does not exist, or its facts do not say whether they are contested.
    """
    from sftqa_core.evaluation.accuracy import accuracy_by_level
    from sftqa_core.training.runs import read_run

    run = read_run(run_id)
    facts, predictions = run.facts(), run.predictions()
    if "contested" not in facts:
        raise NotFound(f"The facts of run {run_id} do not say which ones are contested.")
    chosen = facts[facts["contested"].fillna(False).astype(bool) == (part == "contested")]
    levels = chosen[chosen["level"].notna()]
    stages = {
        str(name): accuracy_by_level(rows, chosen, levels, run.settings.scheme)
        for name, rows in predictions[predictions["fact_id"].isin(chosen["fact_id"])].groupby("stage")
    }
    baselines = {name: accuracy for name, accuracy in stages.items() if name not in ("before", "after")}
    return replace(run.summary, before=stages["before"], after=stages["after"], baselines=baselines, without_echo={})
