"""Recipes, a file each, and what carries out a run: plain fine-tuning or its recipe. Loads torch only when it does.

A recipe's settings, source and controls are in records/recipes/; stages.py says what its file here holds. To add one: its record
there, its file here, its line in `_MODULES`.
"""

from __future__ import annotations

import time
from types import ModuleType

from sftqa_core.errors import SettingsError
from sftqa_core.models.footprint import Shape, TuningStep
from sftqa_core.records import TrainSettings
from sftqa_core.records.recipes import Recipe
from sftqa_core.training import objectives
from sftqa_core.training.recipes import continued, federated, keep, llm2llm, off_task, preprocess, repeat, restore, self_guide, sftmix
from sftqa_core.training.recipes.stages import Made, StageCost, Stages

_MODULES: dict[str, ModuleType] = {
    "repeat": repeat,
    "sftmix": sftmix,
    "keep": keep,
    "self-guide": self_guide,
    "off-task": off_task,
    "restore": restore,
    "federated": federated,
    "llm2llm": llm2llm,
    "continue": continued,
    "preprocess": preprocess,
}


def carry_out(stages: Stages) -> Made:
    """Tune as the run says, and write curve.jsonl, model/ and, of a recipe, recipe/ into the stages' folder.

    Raises what `fine_tune` raises, and `SettingsError` or `NotEnoughFacts` where a recipe finds that it can't work.
    """
    from sftqa_core.training.adapters import save_tuned
    from sftqa_core.training.fine_tuning import MODEL, Part, fine_tune

    run, began_s = stages.run, time.monotonic()
    if run.recipe is None:
        part = Part("train", stages.observer.identity, observer=stages.observer) if stages.observer else None
        tuned = fine_tune(stages.loaded, stages.examples, run, stages.folder, stages.reporter, stages.look, limit=stages.limit, part=part)
        return Made(tuned, stages.examples, settle=tuned.settle)
    if stages.observer:
        raise SettingsError(f"Recipe {run.recipe.name} is more than one training: it can't be observed as one.")
    with stages.kept():
        made = stages.finished(_module(run.recipe).run(stages, run.recipe), began_s)
    if run.save_model:
        save_tuned(made.tuned.loaded, stages.folder / MODEL)
    for note in made.notes:
        stages.log(note)
    return made


def costs(settings: TrainSettings, examples: int) -> list[StageCost]:
    """What a run on so many examples is made of; plain fine-tuning is one stage."""
    if settings.recipe is None or not examples:
        return [StageCost("train", examples, settings.epochs, objective=objectives.objective_of(settings))]
    stages: list[StageCost] = _module(settings.recipe).cost(settings, examples)
    return stages


def memory(settings: TrainSettings, shape: Shape, device: str, step: TuningStep, examples: int) -> int:
    """Bytes on each device at the peak beside those of plain fine-tuning, in the stage that needs most."""
    return max((stage.objective.memory(shape, device, step) for stage in costs(settings, examples)), default=0)


def _module(recipe: Recipe) -> ModuleType:
    return _MODULES[recipe.name]
