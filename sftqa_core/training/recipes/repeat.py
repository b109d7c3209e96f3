"""Repeat: the same examples in several passes, with dropout or without (arXiv 2305.13230).

One training, whose epochs are the passes. With one pass and no dropout it is plain fine-tuning, bit for bit. How much of the training
facts is recalled afterwards is told fact by fact: what passes buy there they may cost elsewhere.
"""

from __future__ import annotations

from dataclasses import replace

from sftqa_core.records import TrainSettings
from sftqa_core.records.recipes import Repeat
from sftqa_core.training.recipes.stages import Made, StageCost, Stages


def cost(settings: TrainSettings, examples: int) -> list[StageCost]:
    """The passes, and the training questions asked afterwards."""
    assert isinstance(settings.recipe, Repeat)
    return [StageCost("passes", examples, settings.recipe.passes), StageCost("recall", answers=examples)]


def run(stages: Stages, recipe: Repeat) -> Made:
    """The tuned model; table `recall`: fact_id, level, text, correct of each training fact."""
    settings = replace(stages.settings, epochs=recipe.passes)
    if recipe.dropout and recipe.dropout_in == "lora":
        settings = replace(settings, lora_dropout=recipe.dropout, lora_dropout_from=recipe.dropout_from)
    elif recipe.dropout:
        settings = replace(settings, dropout=recipe.dropout, dropout_from=recipe.dropout_from)
    tuned = stages.tune("passes", stages.examples, settings=settings, last=True)
    recall = stages.answers("training questions", tuned.loaded, stages.examples)
    recall.insert(1, "level", stages.examples["level"].tolist())
    passes = "one pass" if recipe.passes == 1 else f"{recipe.passes:,} passes"
    note = f"{int(recall['correct'].sum()):,} of {len(recall):,} training facts are answered rightly after {passes}."
    return Made(tuned, stages.examples, {"recall": recall.astype({"level": "Int64"})}, (note,))
