"""Restore: plain fine-tuning, then the share of the parameters that changed most as they were before (arXiv 2509.16596).

What is ranked and put back is in restoring.py. The model is saved whole, after LoRA too: merged, it is no adapter any more.
"""

from __future__ import annotations

from dataclasses import replace

from sftqa_core.records import TrainSettings
from sftqa_core.records.recipes import Restore
from sftqa_core.training.recipes.stages import Made, StageCost, Stages


def cost(settings: TrainSettings, examples: int) -> list[StageCost]:
    """Plain fine-tuning; comparing and ranking take next to no time beside it, and less memory than its optimizer."""
    return [StageCost("train", examples, settings.epochs)]


def run(stages: Stages, recipe: Restore) -> Made:
    """The restored model; tables `top` and `changes` (restoring.py)."""
    import numpy as np

    from sftqa_core.training.adapters import tuned_fingerprint
    from sftqa_core.training.recipes import restoring

    tuned = stages.tune("train", stages.examples, last=True)
    model = restoring.whole(tuned.loaded.model)
    changed = restoring.Changed.of(stages.loaded.model, model, "absolute" if recipe.ranked == "absolute" else "relative")
    draw = np.random.default_rng([stages.run.seed, recipe.draw])
    if recipe.ranked == "random":
        masks = changed.by_chance(recipe.share, draw)
    elif recipe.ranked == "random-update":
        masks = changed.as_much_by_chance(recipe.share, draw)
    else:
        masks = changed.first(recipe.share)
    tables = {"top": changed.top(recipe.share), "changes": changed.by_layer(masks)}
    restoring.put_back(model, stages.loaded.model, masks)
    model.to(stages.loaded.model.dtype)
    restored = replace(tuned.loaded, model=model, fingerprint=tuned_fingerprint(model, stages.loaded))
    undone = tables["changes"]
    back, parameters = int(undone["restored"].sum()), int(undone["parameters"].sum())
    notes = [
        f"{back:,} changed parameters of {parameters:,} went back to their values before tuning; they held "
        f"{float(undone['restored_squared_share'].sum()):.1%} of the squared update."
    ]
    if changed.from_zero:
        notes.append(f"{changed.from_zero:,} of the changed parameters were exactly 0 before: they rank first by relative change.")
    return Made(replace(tuned, loaded=restored), stages.examples, tables, tuple(notes))
