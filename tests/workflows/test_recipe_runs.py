"""Runs with a recipe go the whole way: run folder, cells, forecast, a kill between stages, and what is cleared of them."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace

import pytest

from sftqa_core import workflows
from sftqa_core.cli.arguments import parse
from sftqa_core.cli.typed_records import train_settings
from sftqa_core.errors import NotFound, Stopped
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.loading import load_model
from sftqa_core.planning.fit import smaller_footprint
from sftqa_core.progress import Recorder, Silent
from sftqa_core.records import LevelScheme, SamplerSettings, StudySettings, TrainSettings
from sftqa_core.records.recipes import RECIPES, Federated, Keep, Llm2Llm, Preprocess, Repeat, SelfGuide, SftMix
from sftqa_core.studies.model_study import ModelStudy
from sftqa_core.training import checkpoints
from sftqa_core.workflows.study_runs import StudyRuns
from sftqa_core.workflows.upkeep import KEPT_S, removable
from tests.amount import few

SCHEME = LevelScheme(sampling=SamplerSettings(samples=2, max_new_tokens=4))
WORKABLE = {  # a model that knows nothing leaves enough of 16 examples, and few rounds are as good as many
    SelfGuide: {"least_share": 0.01},
    Preprocess: {"margin": 100.0},
    Llm2Llm: {"rounds": 3},
    Federated: {"rounds": 2},
}


def settings(world: str, recipe, **changes) -> TrainSettings:
    base = {"n": 8, "scheme": SCHEME, "shots": 0, "max_answer_tokens": 4, "test_limit": 2, "save_model": False, "device": "cpu"}
    return TrainSettings("tiny", world, recipe=recipe, **{**base, **changes})


class StopsIn(Recorder):
    """Stops the work in the first step of that phase."""

    def __init__(self, phase: str):
        super().__init__()
        self.phase = phase

    def check(self) -> None:
        if self.updates and self.updates[-1].phase == self.phase:
            raise Stopped("Stopped on request.")


@pytest.mark.parametrize("kind", few(RECIPES.values(), Keep, SelfGuide), ids=lambda kind: kind.name)
def test_a_run_holds_all_that_its_recipe_did(kind, world, workspace):
    """Every stage with its settings, examples and curve, every table, the notes; the stored command asks for the same run."""
    wanted = settings(world, kind(**WORKABLE.get(kind, {})), n=16, **kind.needs)
    run = workflows.run(workflows.train(wanted).run)
    assert f"-{kind.name}-" in run.id
    assert replace(run.settings, learning_rate=None) == wanted
    command = train_settings(parse(shlex.split(run.manifest["command"])[1:]))
    assert command.recipe == wanted.recipe
    assert run.stages
    assert run.notes
    for stage in run.stages:
        assert len(run.stage_examples(stage["name"])) == stage["examples"]
        assert len(run.stage_curve(stage["name"])) == stage["steps"] > 0
        assert run.stage_settings(stage["name"]).recipe is None
    assert run.tables
    assert {name: len(run.recipe_table(name)) for name in run.tables} == run.manifest["recipe"]["tables"]
    with pytest.raises(NotFound, match="has no table 'nothing' of a recipe"):
        run.recipe_table("nothing")
    assert run.manifest["training"]["planned_steps"] == run.stages[-1]["planned_steps"]
    assert len(run.examples()) == run.summary.n
    assert workflows.runs()[0].settings.recipe == wanted.recipe
    assert not list(workspace.unfinished.iterdir())


def test_a_plain_run_has_nothing_of_a_recipe(world, workspace):
    """Neither folder nor manifest."""
    run = workflows.run(workflows.train(settings(world, None)).run)
    assert (run.stages, run.tables, run.notes) == ([], (), ())
    assert "recipe" not in run.manifest
    assert not (run.folder / "recipe").exists()


def test_the_tuned_model_is_kept_as_ever(world, workspace):
    """It loads as a run's model does."""
    run = workflows.run(workflows.train(settings(world, SftMix(), save_model=True)).run)
    assert load_model(find_model(f"run:{run.id}"), "cpu").model.num_parameters() > 0


@pytest.mark.parametrize("recipe", few([Repeat(passes=2), SftMix(), Keep()], SftMix()), ids=str)
def test_a_cell_is_what_the_run_is(recipe, world, workspace):
    """The same answers, fact by fact, under a key of its own."""
    run = workflows.run(workflows.train(settings(world, recipe)).run)
    part = ModelStudy(StudySettings("amount", ("tiny",), world, device="cpu", scheme=SCHEME, max_answer_tokens=4, test_limit=2), "tiny")
    cell = replace(part.base, n=8, recipe=recipe)
    StudyRuns(part, Silent()).finish(cell)
    assert part.cells.read(cell).table["correct"].tolist() == run.predictions("after")["correct"].tolist()
    assert not part.cells.has(replace(cell, recipe=None))
    for name in run.tables:
        assert part.cells.recipe_table(cell, name).equals(run.recipe_table(name))
    assert part.cells.recipe_table(cell, "nothing") is part.cells.recipe_table(replace(cell, recipe=None), name) is None
    assert not list(workspace.unfinished.iterdir())


@pytest.mark.parametrize("recipe", few([SftMix(), Keep()], SftMix()), ids=str)
def test_a_kill_in_the_last_stage_changes_nothing(recipe, world, workspace, monkeypatch):
    """Started again, the run has the same answers, and the stages before are not trained again."""
    monkeypatch.setattr(checkpoints, "EVERY_S", 0.0)
    wanted, whole = settings(world, recipe, epochs=3), Recorder()
    first = workflows.run(workflows.train(wanted, whole).run)
    last = f"train: {first.stages[-1]['name']}"
    with pytest.raises(Stopped):
        workflows.train(wanted, StopsIn(last))
    rest = Recorder()
    again = workflows.run(workflows.train(wanted, rest).run)
    assert [update.phase for update in rest.updates if update.phase.startswith("train: ")] == [last] * 2
    assert again.predictions("after").equals(first.predictions("after"))
    assert again.stage_curve(first.stages[-1]["name"]).equals(first.stage_curve(first.stages[-1]["name"]))


def test_the_forecast_names_the_stages(world, workspace):
    """Their steps are added up, questions between them counted, levels that they need counted, too."""
    plain, sftmix, keep = (workflows.forecast(settings(world, recipe)) for recipe in (None, SftMix(), Keep()))
    assert (plain.steps, sftmix.steps, keep.steps) == (1, 2, 2)
    assert keep.probes_needed == plain.probes_needed + 8
    assert "Recipe sftmix. Reference: 8 examples. Mixed: 8 examples." in sftmix.notes
    assert "8 examples have no known level and are probed first." in keep.notes
    assert sftmix.seconds_high > plain.seconds_high
    assert workflows.preflight(settings(world, SftMix())).ok


def test_less_memory_is_offered_as_the_recipe_can_take_it():
    """Pairs need micro-batches of two; then activations are computed twice."""
    wanted = TrainSettings("tiny", batch_size=8, micro_batch=4, method="lora", recipe=SftMix()).to_dict()
    assert smaller_footprint("train", wanted) == {"micro_batch": 2}
    assert smaller_footprint("train", {**wanted, "micro_batch": 2}) == {"gradient_checkpointing": True}


def test_what_was_kept_of_a_recipe_is_cleared_when_nobody_goes_on(world, workspace):
    """A stage that is done, and its run that was stopped a week ago."""
    with pytest.raises(Stopped):
        workflows.train(settings(world, SftMix()), StopsIn("train: mixed"))
    kept = [path for path in workspace.unfinished.glob("*/") if any(path.glob("table-*"))]
    assert len(kept) == 1
    for path in (kept[0], *kept[0].rglob("*")):
        os.utime(path, (os.path.getmtime(path) - KEPT_S - 1,) * 2)
    listed = {item.path for item in removable(lambda kind, name, when: False, workspace)}
    assert str(kept[0]) in listed
