"""The page "What if?" over the real core: recipes to pick, a study of made-up cells, and the way to start one."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sftqa_core import workflows
from sftqa_core.artifacts import write_bytes
from sftqa_core.records import StudySettings
from sftqa_core.records.recipes import RECIPES, Repeat, SftMix
from sftqa_core.records.studying import recipe_study
from tests.amount import few
from tests.pages.conftest import words

STUDY = StudySettings("recipe", ("atlas-llama",), recipe=Repeat(), tried=("1", "8"), seeds=(0, 1), test_limit=3, sizes=(60,))
RATES = (0.0, 0.1, 0.4, 0.7, 0.95)


@pytest.fixture
def study(workspace):
    """Writes cells of the study, with the recipe's own table, and lists it; the last `but` of its runs are left out."""

    def write(but: int = 0, dev_but: int = 0) -> StudySettings:
        from sftqa_core.studies.model_study import ModelStudy

        part = ModelStudy(STUDY, "atlas-llama")
        tried = [run for runs in part.tried.values() for run in runs]
        for at, run in enumerate(tried[: len(tried) - dev_but]):
            right = np.random.default_rng(at).random(len(part.dev_facts)) < (0.6 if run.recipe.passes == 8 else 0.2)
            table = pd.DataFrame({"correct": right, "rival": False})
            part.dev_cells.write(run, table, run.n, {}, {"train_s": 1.0, "seconds": 2.0})
        runs, levels = part.grid(), part.outcomes().levels()
        facts = part.train_facts.head(60)
        recall = pd.DataFrame({"fact_id": facts["fact_id"], "correct": [True, False] * 30})
        for at, run in enumerate(runs[: len(runs) - but]):
            right = np.random.default_rng(at).random(len(levels)) < np.array(RATES)[levels] * (0.2 if run.n == 0 else 1)
            tables = {"recall": recall, "rounds": pd.DataFrame({"round": [1, 2], "wrong": [5, 3]})}
            numbers = {"train_s": 4.0 if run.recipe else 2.0, "seconds": 9.0}
            part.cells.write(
                run, pd.DataFrame({"correct": right, "rival": False}), run.n, {}, numbers, tables=tables if run.recipe else None
            )
        write_bytes(workspace.studies / "mine.yaml", workflows.study_yaml(STUDY).encode())
        return STUDY

    return write


def test_a_recipe_without_a_study_says_what_it_is_and_can_be_started(page, jobs):
    """Its paper's claim as a citation, what is different here; first its cost, then a job."""
    app = page("what_if", recipe="repeat", model="atlas-neox")
    told = words(app).replace("\\", "")
    assert all(text in told for text in ("arXiv 2305.13230", Repeat.claim[:40], "nothing of it was measured here", Repeat.differs[:40]))
    assert "No study of Repeat on atlas-neox has been started yet." in told
    assert "4 values of its main setting (Passes) on dev facts" in told
    assert not app.get("plotly_chart")
    next(button for button in app.button if button.label == "Start it").click().run()
    assert jobs.jobs() == []  # first its cost
    assert "on this machine" in words(app)
    app.button(key="study-start").click().run()
    (job,) = jobs.jobs()
    assert (job.kind, StudySettings.from_dict(job.settings)) == ("study", StudySettings("recipe", ("atlas-neox",), recipe=Repeat()))
    assert "Start it" not in [button.label for button in app.button]  # it is there now, and has no finished run
    assert "No run of this study has finished yet" in words(app)


def test_a_finished_study_is_drawn_and_put_in_words(study, page):
    """Everything compared by level, the main setting on dev facts, the recipe's own tables, differences, costs, findings."""
    study()
    app = page("what_if")
    assert app.selectbox(key="pick-recipe").value == "repeat"
    assert app.selectbox(key="pick-model").value == "atlas-llama"
    assert len(app.get("plotly_chart")) == 2 + 2 + 2
    told = words(app).replace("\\", "")
    assert "**13 of 13 runs done**" in told
    assert re.search(r"\*\*Better than plain tuning\?\*\* :\S+-badge\[(yes|no|cannot tell)\] in-domain, [+-]?\d+\.\d points \(", told)
    assert "**Better than its control, each example once?**" in told
    assert "**By the same test, other seeds of plain tuning?**" in told
    assert "**Passes, chosen on dev facts**" in told
    assert "Does Repeat beat plain tuning?" in told
    assert "Does Repeat beat its control (each example once)?" in told
    assert "Does chance alone do as much?" in told
    assert "Rounds, seed 0" in told
    assert any("training, s" in str(table.proto.columns) for table in app.dataframe)
    assert app.selectbox(key="pick-told").options == ["recall: correct"]


def test_a_link_to_a_study_opens_its_recipe_and_model(study, page, workspace):
    """A job's link names the study alone."""
    study()
    other = recipe_study(SftMix(), ("atlas-neox",))
    write_bytes(workspace.studies / "other.yaml", workflows.study_yaml(other).encode())
    app = page("what_if", study=workflows.study_name(other))
    assert (app.selectbox(key="pick-recipe").value, app.selectbox(key="pick-model").value) == ("sftmix", "atlas-neox")
    app = page("what_if", study=workflows.study_name(STUDY))
    assert (app.selectbox(key="pick-recipe").value, app.selectbox(key="pick-model").value) == ("repeat", "atlas-llama")
    assert "There is no study" not in words(app)


def test_while_dev_facts_choose_no_test_fact_is_shown(study, page):
    """The main setting so far, and why there is nothing else yet."""
    app = page("what_if", study=workflows.study_name(study(dev_but=1, but=9)))
    told = words(app)
    assert "**3 of 13 runs done**" in told
    assert "No test fact has been asked yet: dev facts choose the recipe's main setting first." in told
    assert len(app.get("plotly_chart")) == 1
    assert "No findings yet" in told
    assert "It has no table of its own, or no run of it has finished yet." in told


@pytest.mark.parametrize("recipe", few(RECIPES, "repeat", "federated"))
def test_every_recipe_can_be_picked(page, recipe):
    """By a link, too; one that is not known is said to be so."""
    assert page("what_if", recipe=recipe).selectbox(key="pick-recipe").value == recipe
    app = page("what_if", recipe="nonsense")
    assert "There is no recipe 'nonsense' here" in words(app)


def test_the_lab_makes_a_study_of_a_recipe(page, jobs):
    """With the recipe's settings as fields, which its link carries; what the recipe refuses is said."""
    query = {"what": "study", "study.kind": "recipe", "study.recipe": "repeat", "study.models": "atlas-llama"}
    app = page("lab", **query)
    app.number_input(key="study.repeat-dropout").set_value(0.1).run()
    assert app.query_params["study.repeat.dropout"] == "0.1"
    app.number_input(key="study-seeds").set_value(2).run()
    next(button for button in app.button if button.label == "Launch").click().run()
    (job,) = jobs.jobs()
    wanted = StudySettings("recipe", ("atlas-llama",), seeds=(0, 1), recipe=Repeat(dropout=0.1))
    assert StudySettings.from_dict(job.settings) == wanted
    app.number_input(key="study-epochs").set_value(3).run()
    assert "must be 1 with recipe repeat" in words(app)
    assert next(button for button in app.button if button.label == "Launch").disabled


def test_a_study_of_a_recipe_is_called_by_its_settings(study, page):
    """The list of studies tells the recipe, its changed settings and the values that are tried."""
    other = replace(study(), recipe=Repeat(dropout=0.2))
    from pages._ui.titles import study_title

    assert study_title(other).endswith("Repeat, dropout 0.2 · values tried 1, 8")


def test_without_a_model_there_is_nothing_to_tune(explorer):
    """One sentence and the way to a model; no picker."""
    app = explorer("what_if", real=True, example=False)
    assert "There is no model on this machine yet" in words(app)
    assert not app.selectbox
