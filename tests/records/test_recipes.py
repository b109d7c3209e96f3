"""Recipes as settings: JSON by name, what can't work is refused where a run is built, every recipe says what has to be said of it."""

from __future__ import annotations

import dataclasses

import pytest

from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import declared
from sftqa_core.records import TrainSettings
from sftqa_core.records.job import command_of
from sftqa_core.records.recipes import ALL, RECIPES, Recipe, Repeat
from sftqa_core.studies.cells import canonical
from sftqa_core.studies.config import run_of, run_yaml
from sftqa_core.training.recipes import costs

RUN = TrainSettings("m", n=240)


@pytest.mark.parametrize("kind", RECIPES.values(), ids=list(RECIPES))
def test_every_recipe_says_what_has_to_be_said(kind):
    """Source with its arXiv number, what differs here, a knob that is a setting, each value of it allowed; every setting has its words."""
    assert all((kind.title, kind.about.endswith("."), "arXiv" in kind.source, kind.differs.endswith(".")))
    assert kind.knob in declared(kind)
    assert [getattr(dataclasses.replace(kind(), **{kind.knob: value}), kind.knob) for value in kind.tried] == list(kind.tried)
    for name, about in declared(kind).items():
        assert name == "name" or (about.label and about.help and about.flag), name


@pytest.mark.parametrize("kind", RECIPES.values(), ids=list(RECIPES))
def test_every_recipe_has_controls_and_stages_that_a_run_can_have(kind):
    """Controls are runs of another setting; the stages of a run of 240 examples train, and their names differ."""
    run = dataclasses.replace(RUN, recipe=kind(), **kind.needs)
    controls = kind().controls(run)
    assert controls
    plain = dataclasses.replace(run, recipe=None)
    assert all(isinstance(control, TrainSettings) and control not in (run, plain) for control in controls.values())
    stages = costs(run, 240)
    assert sum(stage.examples for stage in stages) >= 240
    assert len({stage.name for stage in stages}) == len(stages)


@pytest.mark.parametrize("kind", RECIPES.values(), ids=list(RECIPES))
def test_json_tells_recipes_apart_by_name(kind):
    """There and back again; a file needs the name alone; the command and the YAML file hold what is changed, and nothing else."""
    run = dataclasses.replace(RUN, recipe=dataclasses.replace(kind(), **{kind.knob: kind.tried[0]}), **kind.needs)
    assert TrainSettings.from_dict(run.to_dict()) == run_of(run_yaml(run)) == run
    assert run.to_dict()["recipe"]["name"] == kind.name
    needed = "".join(f"{name}: {value}\n" for name, value in kind.needs.items())
    assert run_of(f"model: m\n{needed}recipe: {kind.name}") == TrainSettings("m", recipe=kind(), **kind.needs)
    assert f"--recipe {kind.name}" in command_of(run)
    plain = dataclasses.replace(RUN, recipe=kind(), **kind.needs)
    assert f"recipe: {kind.name}\n" in run_yaml(plain)
    assert str(kind()) == kind.title


def test_a_run_without_a_recipe_has_no_word_of_it():
    """Stored results keep their keys: JSON, command and file are those of before there were recipes."""
    assert "recipe" not in RUN.to_dict()
    assert "recipe" not in command_of(RUN) + run_yaml(RUN)
    assert run_of("model: m\nrecipe: plain") == TrainSettings("m")


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ({"name": "sftmax"}, f"recipe must be one of plain, {', '.join(RECIPES)}, got 'sftmax'."),
        ({"passes": 3}, f"A recipe needs 'name': one of {', '.join(RECIPES)}."),
        ({"name": 3}, f"A recipe needs 'name': one of {', '.join(RECIPES)}."),
        ({"name": "plain"}, "recipe plain has no settings of its own: leave the recipe out."),
        (
            {"name": "repeat", "pases": 3},
            "Repeat has no setting 'pases'; it knows name, passes, dropout, dropout_in, dropout_from. Did you mean passes?",
        ),
        ({"name": "repeat", "passes": 0}, "passes must be 1 to 10,000, got 0."),
        ("repeat", "Recipe must be a JSON object, got str."),
    ],
    ids=str,
)
def test_what_is_not_known_is_refused(stored, words):
    """In the words of any other setting."""
    with pytest.raises(SettingsError) as told:
        TrainSettings.from_dict({"model": "m", "recipe": stored})
    assert told.value.problems == [words]


def test_a_recipe_has_its_own_name():
    """Another one's is a mistake."""
    with pytest.raises(SettingsError, match="name must be repeat for this recipe, got 'plain'"):
        Repeat(name="plain")


def test_what_no_recipe_can_do_is_refused():
    """Every problem at once: no examples, several GPUs, what the recipe itself refuses."""
    with pytest.raises(SettingsError) as told:
        dataclasses.replace(RUN, n=0, gpus=2, epochs=2, dropout=0.1, recipe=Repeat(dropout=0.1, dropout_in="lora"))
    assert told.value.problems == [
        "A recipe needs examples: n must be 1 or more with recipe repeat, got 0.",
        "A recipe trains on one device: gpus must be 1 with recipe repeat, got 2.",
        "epochs must be 1 with recipe repeat, whose passes take their place, got 2.",
        "With recipe repeat, dropout is the recipe's own: leave the run's dropout and lora_dropout out.",
        "dropout_in lora needs method lora, got full.",
    ]


@pytest.mark.parametrize("kind", RECIPES.values(), ids=list(RECIPES))
def test_no_run_is_a_control_of_itself(kind):
    """Whatever is chosen in its recipe: a control that a person runs as a recipe has the others beside it."""
    for about in declared(kind).values():
        for value in about.choices:
            run = dataclasses.replace(RUN, recipe=kind(**{about.name: value}), **kind.needs)
            assert run not in run.recipe.controls(run).values()


def test_cells_of_recipes_are_cells_of_their_own():
    """Each recipe and each value of a setting; what has no effect on one makes no other."""
    runs = [
        RUN,
        *(dataclasses.replace(RUN, recipe=kind(), **kind.needs) for kind in RECIPES.values()),
        dataclasses.replace(RUN, recipe=Repeat(passes=4)),
    ]
    assert len({canonical(run).fingerprint() for run in runs}) == len(RECIPES) + 2


def test_repeating_keeps_the_product():
    """60 examples 32 times stand beside 1,920 once, and beside 240 in 8 passes; all facts have no control that has more."""
    run = dataclasses.replace(RUN, n=60, recipe=Repeat(passes=32))
    assert run.recipe.controls(run) == {"each example once": dataclasses.replace(RUN, n=1920)}
    assert run.recipe.at(run, 8) == dataclasses.replace(RUN, n=240, recipe=Repeat(passes=8))
    whole = dataclasses.replace(run, n=TrainSettings.ALL)
    assert whole.recipe.controls(whole) == {}
    assert whole.recipe.at(whole, 8) == dataclasses.replace(whole, recipe=Repeat(passes=8))
    assert ALL == TrainSettings.ALL


def test_titles_name_what_is_changed():
    """The recipe, and its settings that are not at their defaults and have an effect."""
    assert str(Repeat(passes=4, dropout_from=0.5)) == "Repeat, 4 passes"
    assert str(Repeat(dropout=0.2, dropout_in="lora", dropout_from=0.5)) == "Repeat, dropout 0.2, in LoRA, from 50% of the steps"
    assert isinstance(Repeat(), Recipe)
