"""What a finished run says beyond its summary: a part of its test facts (METHOD 8.8), and dev facts while it was trained."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sftqa_core.errors import NotFound
from sftqa_core.records import RunSummary

if TYPE_CHECKING:
    import pandas as pd


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


def run_looks(run_id: str) -> pd.DataFrame:
    """`Run.looks` of run `run_id`, domains without dev facts left out, with accuracy and its Wilson interval (low, high).

    Raises `NotFound` when the run does not exist, `ArtifactDamaged` when the looks can't be read.
    """
    from sftqa_core.evaluation.accuracy import wilson
    from sftqa_core.training.runs import read_run

    looks = read_run(run_id).looks()
    looks = looks[looks["n"] > 0].reset_index(drop=True)
    bounds = [wilson(int(correct), int(n)) for correct, n in zip(looks["correct"], looks["n"], strict=True)]
    return looks.assign(accuracy=looks["correct"] / looks["n"], low=[low for low, _ in bounds], high=[high for _, high in bounds])
