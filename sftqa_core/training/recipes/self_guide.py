"""Self-guide: the untouched model labels the training questions, and is tuned on its own labels (arXiv 2407.12874).

The labels are made of the questions and of answered questions of other facts alone: with other right answers they are the same, bit for
bit. The table says of every label whether it is right, and how many of the draws gave it, so that what the model does not know, and what
it is sure of all the same, can be seen by memory level.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sftqa_core.records import TrainSettings
from sftqa_core.records.recipes import SelfGuide
from sftqa_core.training.recipes.labelling import CONFIDENT, labelled, require_enough, teaching
from sftqa_core.training.recipes.stages import Made, StageCost, Stages

if TYPE_CHECKING:
    import pandas as pd


def cost(settings: TrainSettings, examples: int) -> list[StageCost]:
    """The drawn answers, and the passes over all questions: how many get a label is not known before."""
    assert isinstance(settings.recipe, SelfGuide)
    recipe = settings.recipe
    return [StageCost("labels", few_shot=examples, draws=recipe.draws), StageCost("train", examples, recipe.passes)]


def run(stages: Stages, recipe: SelfGuide) -> Made:
    """The tuned model; table `labels`: fact_id, level, label (null: none kept), share, kept, correct of each training question.

    Raises `NotEnoughFacts` where too few questions get a label.
    """
    table = stages.table("labels", lambda: _judged(stages, labelled(stages, "labels", stages.loaded, stages.examples, recipe)))
    kept, n = table["kept"], len(table)
    told = f"questions with an answer that at least {recipe.least_share:.0%} of {recipe.draws:,} draws gave"
    then = "Ask for more examples, or accept a smaller share (--least-share); a model that gives no such answers can't guide itself."
    require_enough(recipe.name, int(kept.sum()), n, told, then)
    examples = stages.examples[kept.to_numpy()].reset_index(drop=True)
    if recipe.labels == "own":
        examples = teaching(examples, table.loc[kept, "label"])
    tuned = stages.tune("train", examples, settings=replace(stages.settings, epochs=recipe.passes), last=True)
    right, sure = int(table["correct"].sum()), kept & (table["share"] >= CONFIDENT)
    wrong = int((sure & ~table["correct"]).sum())
    notes = (
        f"{int(kept.sum()):,} of {n:,} questions got a label; {right:,} of the labels are right.",
        f"{int(sure.sum()):,} labels were given by at least {CONFIDENT:.0%} of the draws; {wrong:,} of those are wrong all the same.",
    )
    return Made(tuned, examples, {"labels": table}, notes)


def _judged(stages: Stages, labels: pd.DataFrame) -> pd.DataFrame:
    """Which labels are right, told after all of them are made."""
    from sftqa_core.training.recipes.answering import judged

    kept = labels["label"].notna()
    right = judged(stages.examples, labels["label"].fillna("").tolist(), stages.run.match, stages.aliases)
    table = labels.assign(level=stages.examples["level"].astype("Int64").tolist(), kept=kept, correct=right)
    return table[["fact_id", "level", "label", "share", "kept", "correct"]].astype({"level": "Int64", "correct": bool})
