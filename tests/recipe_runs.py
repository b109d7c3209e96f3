"""What tests of recipes need: a run's stages on a tiny model and few facts, and whether two tuned models are the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from sftqa_core.errors import Stopped
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.models.loading import LoadedModel
from sftqa_core.progress import Recorder
from sftqa_core.records import TrainSettings
from sftqa_core.records.recipes import Recipe
from sftqa_core.training.recipes import carry_out
from sftqa_core.training.recipes.stages import Made, Stages
from sftqa_core.training.selection import select_examples
from tests.small import level_table, small_source
from tests.tiny import tiny_loaded

SETTINGS = TrainSettings("tiny", n=20, learning_rate=1e-2, device="cpu", save_model=False, max_answer_tokens=12)
SOURCE = small_source()


def levels_of(facts: pd.DataFrame) -> pd.DataFrame:
    """A levels table: the number at the end of a fact's subject says its level."""
    return level_table(facts, [int(subject.rpartition(" ")[2]) % 5 for subject in facts["subject"]])


def stages_of(folder: Path, recipe: Recipe | None, loaded: LoadedModel | None = None, reporter: Any = None, **changes: Any) -> Stages:
    """The stages of a run of `recipe` on the small source; its chosen facts have levels if the recipe needs them. `changes` are of the
    run's settings, or of what `Stages` has beside (look, limit, observer)."""
    own = {name: changes.pop(name) for name in ("look", "limit", "observer") if name in changes}
    run = dataclasses.replace(SETTINGS, recipe=recipe, **changes)
    examples = select_examples(SOURCE, None, run).facts
    if recipe is not None and recipe.needs_levels:
        examples = select_examples(SOURCE, levels_of(examples), run).facts
    reporter = reporter or Recorder()
    return Stages(loaded or tiny_loaded(), run, examples, SOURCE, Aliases(()), levels_of, folder, reporter, **own)


def made_of(folder: Path, recipe: Recipe | None, **changes: Any) -> Made:
    """What such a run makes."""
    made = carry_out(stages_of(folder, recipe, **changes))
    made.settle()
    return made


def same_weights(first: Any, second: Any) -> bool:
    """Whether two tuned models, or models as they are, are equal bit by bit."""
    states = [getattr(one, "model", one).state_dict() for one in (first, second)]
    return states[0].keys() == states[1].keys() and all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def made_after_a_kill(folder: Path, recipe: Recipe, phase: str, **changes: Any) -> tuple[Made, Made]:
    """What a run makes undisturbed, and what it makes when it is started again after a kill at the first progress of `phase`."""
    recorder = Recorder()
    whole = made_of(folder / "whole", recipe, reporter=recorder, **changes)
    before = [update.phase for update in recorder.updates].index(phase)
    with pytest.raises(Stopped):
        made_of(folder / "killed", recipe, reporter=Recorder(stop_after=before + 1), **changes)
    return whole, made_of(folder / "again", recipe, **changes)
