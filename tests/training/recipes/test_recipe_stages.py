"""Stages of any recipe: what they keep, what a kill costs, what the last one alone is given, what the run's folder holds."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import pandas as pd
import pytest

from sftqa_core.errors import OutOfTime, Stopped
from sftqa_core.jsonrecord import setting
from sftqa_core.progress import Recorder
from sftqa_core.records.recipes.recipe_base import RECIPES, Recipe
from sftqa_core.training import checkpoints, recipes, runs
from sftqa_core.training import time_limit as limits
from sftqa_core.training.fine_tuning import fine_tune
from sftqa_core.training.recipes import carry_out, costs
from sftqa_core.training.recipes.stages import Made, StageCost, Stages
from sftqa_core.training.time_limit import TimeLimit
from sftqa_core.training.watching import Observer
from sftqa_core.workspace import Workspace
from tests.amount import spread
from tests.recipe_runs import SETTINGS, made_of, same_weights, stages_of

MADE: list[str] = []  # tables that were really made


@dataclass(frozen=True, kw_only=True)
class Twice(Recipe):
    """Asks a first model, then tunes a second one on what it was asked."""

    name: str = "twice"
    title: ClassVar[str] = "Twice"
    knob: ClassVar[str] = "share"
    share: float = setting(0.5, label="Share", flag="--share", low=0, high=1)


def run(stages: Stages, recipe: Twice) -> Made:
    """Stages `first` and `second`, the second on the examples that a kept table names, beginning with the first one's weights."""
    first = stages.tune("first", stages.examples)

    def labels() -> pd.DataFrame:
        MADE.append("labels")
        answers = stages.answers("labels", first.loaded, stages.examples)
        return answers.assign(answers=[[text or "none"] for text in answers["text"]])

    kept = stages.table("labels", labels)
    examples = stages.examples.assign(answers=kept["answers"].tolist()).head(round(recipe.share * len(kept)))
    second = stages.tune("second", examples, start=first.loaded, last=True)
    return Made(second, examples, {"labels": kept}, ("It was done twice.",))


RECIPES.pop("twice")  # known from its definition on: other files' tests must not meet it


@pytest.fixture(scope="module", autouse=True)
def registered():
    """The recipe is known to the program while this file's tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "twice", Twice)
        patch.setitem(recipes._MODULES, "twice", SimpleNamespace(run=run))
        yield


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What the recipe makes without a kill, its folder and what was reported."""
    folder, recorder = tmp_path_factory.mktemp("undisturbed"), Recorder()
    return made_of(folder, Twice(), reporter=recorder), folder, recorder


def test_plain_runs_are_fine_tuned_as_ever(tmp_path):
    """Without a recipe the same weights come out, and nothing else lies in the folder."""
    stages = stages_of(tmp_path / "plain", None)
    made, tuned = carry_out(stages), fine_tune(stages.loaded, stages.examples, SETTINGS, tmp_path / "other")
    assert same_weights(made.tuned.loaded, tuned.loaded)
    assert {path.name for path in (tmp_path / "plain").iterdir()} == {"curve.jsonl"}
    assert (made.tables, made.notes, made.stages) == ({}, (), ())
    assert costs(SETTINGS, 20) == [StageCost("train", 20, 1)]


def test_the_folder_holds_every_stage(undisturbed):
    """Settings, examples and curve of each, the tables, and the last one's curve as the run's own."""
    made, folder, _ = undisturbed
    done = [(stage.name, stage.examples, stage.steps, stage.planned_steps) for stage in made.stages]
    assert done == [("first", 20, 3, 3), ("second", 10, 2, 2)]
    for name in ("first", "second"):
        assert json.loads((folder / "recipe" / name / "settings.json").read_text())["learning_rate"] == 1e-2
    taught = runs.table_of((folder / "recipe" / "second" / "examples.parquet").read_bytes())
    assert taught["answers"].tolist() == made.tables["labels"]["answers"].tolist()[:10]
    assert runs.table_of((folder / "recipe" / "tables" / "labels.parquet").read_bytes())["correct"].dtype == bool
    assert (folder / "curve.jsonl").read_text() == (folder / "recipe" / "second" / "curve.jsonl").read_text()
    assert made.told()["tables"] == {"labels": 20}
    assert made.told()["notes"] == ["It was done twice."]
    assert made.tuned.seconds >= sum(stage.seconds for stage in made.stages)


def test_progress_is_told_under_the_stages_names(undisturbed):
    """A phase a stage, and one for the questions between them."""
    _, _, recorder = undisturbed
    assert list(dict.fromkeys(update.phase for update in recorder.updates)) == ["train: first", "answers: labels", "train: second"]
    assert recorder.lines[-1] == "It was done twice."


def test_nothing_is_left_once_it_is_settled(undisturbed, tmp_path):
    """Kept stages and tables, and their locks, are gone."""
    made_of(tmp_path, Twice())
    assert list(Workspace.current().unfinished.iterdir()) == []


@pytest.mark.parametrize(("stage_killed", "every_s"), spread(["first", "second"], [60.0, 0.0]))  # of no stage, of each step a checkpoint
def test_a_kill_in_any_stage_leaves_the_result_as_it_is(stage_killed, every_s, undisturbed, tmp_path, monkeypatch):
    """Stopped and started again: the same weights, tables and curves; the table is not made again, with checkpoints or without."""
    monkeypatch.setattr(checkpoints, "EVERY_S", every_s)
    MADE.clear()
    whole, folder, recorder = undisturbed
    before = [update.phase for update in recorder.updates].index(f"train: {stage_killed}")
    with pytest.raises(Stopped):
        made_of(tmp_path / "killed", Twice(), reporter=Recorder(stop_after=before + 1))
    rest = Recorder()
    made = made_of(tmp_path / "again", Twice(), reporter=rest)
    assert same_weights(made.tuned.loaded, whole.tuned.loaded)
    pd.testing.assert_frame_equal(made.tables["labels"], whole.tables["labels"])
    assert MADE == ["labels"]
    for stage in ("first", "second"):
        name = f"recipe/{stage}/curve.jsonl"
        assert (tmp_path / "again" / name).read_text() == (folder / name).read_text()
    steps = sum(update.phase == "train: first" for update in rest.updates)
    assert steps == (2 if stage_killed == "first" else 3 if every_s else 0)  # a stop is always kept; a short stage is done again
    assert list(Workspace.current().unfinished.iterdir()) == []


def test_other_recipes_and_settings_never_go_on_from_it(tmp_path, monkeypatch):
    """Keys of stages and of their checkpoints differ between values of a setting, and from plain fine-tuning."""
    monkeypatch.setattr(checkpoints, "EVERY_S", 0.0)
    with pytest.raises(Stopped):
        made_of(tmp_path / "killed", Twice(), reporter=Recorder(stop_after=2))
    for number, recipe in enumerate((Twice(share=0.25), None)):
        other = Recorder()
        made_of(tmp_path / str(number), recipe, reporter=other)
        assert other.updates[0].done == 1
    assert runs_left() == 1


def runs_left() -> int:
    """Trainings of which a checkpoint is kept."""
    return len({path.parent for path in Workspace.current().unfinished.glob("*/checkpoint-*")})


def test_the_last_stage_alone_is_looked_at_and_cut(tmp_path, monkeypatch):
    """Dev facts are asked about in the last stage only; the limit cuts it, and counts the stages before."""
    now = [0.0]
    monkeypatch.setattr(limits, "clock", lambda: now[0])
    asked: list[int] = []

    def look(model: Any) -> dict[str, tuple[int, int]]:
        asked.append(1)
        now[0] += 61
        return {"in": (4, len(asked)), "out": (0, 0)}

    made = made_of(tmp_path, Twice(share=1.0), look=look, limit=TimeLimit(1, stages=True), eval_every=1, time_limit_min=1)
    assert (made.tuned.cut, made.tuned.steps, made.stages[-1].planned_steps, len(asked)) == (True, 1, 3, 1)
    assert json.loads((tmp_path / "dev.jsonl").read_text()) == {"step": 1, "in": {"n": 4, "correct": 1}, "out": {"n": 0, "correct": 0}}


def test_a_limit_that_passes_in_an_earlier_stage_says_so(tmp_path, monkeypatch):
    """Nothing could be evaluated: no last stage has begun."""
    now = [0.0]
    monkeypatch.setattr(limits, "clock", lambda: now[0])
    recorder = Recorder()
    recorder.check = lambda: now.__setitem__(0, now[0] + 31)  # type: ignore[method-assign]
    with pytest.raises(
        OutOfTime, match=r"passed before the first step of the last stage: 1\.0 minutes went into what comes before. No run"
    ):
        made_of(tmp_path, Twice(), reporter=recorder, limit=TimeLimit(1, stages=True), time_limit_min=1)


def test_stages_have_names_of_their_own(tmp_path):
    """A name that is taken, or is no name of a folder, is a mistake of the recipe's."""
    stages = stages_of(tmp_path, Twice())
    with stages.kept():
        stages.tune("one", stages.examples.head(2))
        for name in ("one", "tables", "a/b", ""):
            with pytest.raises(ValueError, match="A stage needs a name of its own"):
                stages.tune(name, stages.examples.head(2))


def test_what_a_model_says_in_the_middle_is_handed_over(tmp_path, monkeypatch):
    """The observer hears of evenly spaced steps; an interruption loses and doubles none, and weights are as without it."""
    monkeypatch.setattr(checkpoints, "EVERY_S", 0.0)

    def observed(folder: str, stop_after: int | None = None) -> tuple[dict[int, list[float]], Any]:
        stages = stages_of(tmp_path / folder, Twice(), reporter=Recorder(stop_after=stop_after), n=36, batch_size=4)
        observer = Observer(lambda model: [float(next(model.parameters()).sum()), float(model.training)], 3)
        with stages.kept():
            tuned = stages.tune("one", stages.examples, observer=observer)
        return observer.seen, tuned

    with pytest.raises(Stopped):
        observed("killed", stop_after=5)
    seen, tuned = observed("again")
    tuned.settle()
    whole, other = observed("whole")
    assert seen == whole
    assert list(seen) == [3, 6, 9]
    assert {training for _, training in seen.values()} == {0.0}
    assert same_weights(tuned.loaded, other.loaded)
    other.settle()


def test_the_pool_holds_the_other_train_facts(tmp_path):
    """16 of 36 are left, none of them an example."""
    stages = stages_of(tmp_path, Twice())
    assert len(stages.pool) == 16
    assert not set(stages.pool["fact_id"]) & set(stages.examples["fact_id"])
    assert stages.settings == dataclasses.replace(stages.run, recipe=None)


def test_answers_are_drawn_without_the_right_one(tmp_path):
    """Ten answers a question, the same again; which of them is right changes nothing about them."""
    stages = stages_of(tmp_path, Twice())
    asked = stages.examples.head(3)
    drawn = stages.samples("x", stages.loaded, asked, 10, 1.0, shots=2)
    assert drawn.groupby("fact_id")["count"].sum().tolist() == [10, 10, 10]
    wrong = stages.samples("x", stages.loaded, asked.assign(answers=[[text] for text in "abc"]), 10, 1.0, shots=2)
    pd.testing.assert_frame_equal(drawn.drop(columns="correct"), wrong.drop(columns="correct"))
    text = next(text for text in drawn["text"] if text.strip())
    told = stages.samples("x", stages.loaded, asked.assign(answers=[[text]] * 3), 10, 1.0, shots=2)
    assert told["correct"].any()
    assert told["text"].tolist() == drawn["text"].tolist()
    assert stages.samples("x", stages.loaded, asked.head(0), 10, 1.0).empty
    assert stages.answers("x", stages.loaded, asked.head(0)).empty
