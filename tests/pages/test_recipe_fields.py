"""Recipes in the Lab: picked, filled in from a link or a run, launched; and what Results says of a run with one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pages._ui.runs import forms
from pages._ui.titles import differences, shown_value
from pages._ui.wording import phase_words, step_of
from sftqa_core.jsonrecord import declared
from sftqa_core.records import TrainSettings
from sftqa_core.records.recipes import RECIPES, Keep, Repeat, SftMix
from sftqa_core.reports import run_words
from tests.pages.conftest import MORE, words
from tests.pages.test_pages import button


def test_a_recipe_is_picked_and_launched(explorer, jobs):
    """Its settings are asked for as soon as it is chosen; the job holds them; plain takes them away again."""
    app = explorer("lab", MORE)
    app.selectbox(key="lab-recipe").set_value("sftmix").run()
    app.number_input(key="lab.sftmix-mu").set_value(0.5).run()
    assert "arXiv 2410\\.05248" in words(app)
    button(app, "Launch").click().run()
    (job,) = jobs.kept.values()
    assert job.settings == TrainSettings("stand-in", recipe=SftMix(mu=0.5)).to_dict()
    app.selectbox(key="lab-recipe").set_value("plain").run()
    assert not [box for box in app.number_input if box.key.startswith("lab.sftmix")]


@pytest.mark.parametrize("more", [MORE, {}], ids=["unfolded", "folded"])
@pytest.mark.parametrize("recipe", [SftMix(mu=0.5), Repeat(passes=3, dropout=0.2, dropout_from=0.5), Keep(part="ffn")], ids=str)
def test_a_run_with_a_recipe_is_filled_in_again(recipe, more, explorer, jobs):
    """Run again with changes: nothing of it is lost, whether its fields are drawn or not."""
    settings = TrainSettings("stand-in", recipe=recipe)
    app = explorer("lab", {**forms.lab_address(settings), **more})
    assert not app.warning
    button(app, "Launch").click().run()
    (job,) = jobs.kept.values()
    assert job.settings == settings.to_dict()


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_setting_of_every_recipe_has_a_field(name, explorer):
    """Made of what the setting says of itself; those without an effect yet are not asked."""
    app = explorer("lab", {"lab.recipe": name, **MORE})
    boxes = (app.number_input, app.text_input, app.selectbox, app.segmented_control, app.toggle)
    keys = {box.key: box for kind in boxes for box in kind}
    for setting, about in declared(RECIPES[name]).items():
        if about.label and not about.under:
            assert keys[f"lab.{name}-{setting}"].label == about.label


def test_what_can_not_work_is_named_by_its_label(explorer):
    """Of the run, and of a recipe that is not known."""
    app = explorer("lab", {"lab.recipe": "sftmix", "lab.n": "3", **MORE})
    assert "Recipe sftmix halves the examples: n must be 4 or more, got 3." in words(app).replace("\\", "")
    assert button(app, "Launch").disabled
    app = explorer("lab", {"lab.recipe": "sftmax", **MORE})
    assert "There is no recipe 'sftmax'; the run is a plain training." in words(app).replace("\\", "")


def test_titles_and_tables_name_the_recipe():
    """With what is changed of it."""
    settings = TrainSettings("m", recipe=Keep(part="attention", unknown="refusal"))
    told = "Keep, only attention, unknown facts: to say I don't know"
    assert differences(settings) == [told]
    assert shown_value("recipe", settings.recipe, settings) == told


def test_results_say_what_the_recipe_was(explorer):
    """Its settings, its source and its notes; nothing for a plain run."""
    run = SimpleNamespace(settings=TrainSettings("m", recipe=Repeat(passes=4)), notes=("All is well.",))
    first, second = run_words.recipe_notes(run)
    assert first.startswith("Recipe Repeat, 4 passes. Trains on the same few examples")
    assert "arXiv 2305.13230" in first
    assert second == "All is well."
    assert run_words.recipe_notes(SimpleNamespace(settings=TrainSettings("m"))) == []


def test_stages_are_steps_of_the_training():
    """A job with a recipe shows them by name, and counts them as the training."""
    phases = ["answers: before", "train: reference", "answers: labels", "train: mixed"]
    assert [phase_words(phase) for phase in phases] == [
        "base model's answers", "training (reference)", "answers (labels)", "training (mixed)",
    ]  # fmt: skip
    assert step_of("train", phases) == step_of("train", [phases[0], "train"]) == (2, 3)
