"""The study pages over the real core: a study of made-up cells in a test's own workspace, and what ships."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from pages._ui.charts import Point
from sftqa_core import workflows
from sftqa_core.artifacts import write_bytes
from sftqa_core.records import StudySettings
from tests.amount import few, in_full
from tests.pages.conftest import words

BUILT_IN = ("atlas-llama", "atlas-llama-sparse", "atlas-qwen", "atlas-neox")
RATES = (0.0, 0.1, 0.4, 0.7, 0.95)


@pytest.fixture
def study(workspace):
    """Writes cells of atlas-llama in which so large a share of each level is right, and lists the study."""

    def write(kind: str = "amount", all_but: int = 0, **changes) -> StudySettings:
        from sftqa_core.studies.model_study import ModelStudy

        settings = StudySettings(kind, ("atlas-llama",), **{"epochs": 5, **changes})  # no cells of these ship
        part = ModelStudy(settings, "atlas-llama")
        levels = part.outcomes().levels()
        runs = part.grid()
        for at, run in enumerate(runs[: len(runs) - all_but]):
            draw = np.random.default_rng(at).random(len(levels))
            right = draw < np.array(RATES)[levels] * (0.2 if run.n == 0 else 1 - 1 / run.n)
            part.cells.write(run, pd.DataFrame({"correct": right, "rival": False}), run.n, {"P17": {"any": run.n}}, {"seconds": 1.0})
        write_bytes(workspace.studies / "mine.yaml", workflows.study_yaml(settings).encode())
        return settings

    return write


def test_an_own_study_is_drawn_and_put_in_words(study, page):
    """Its curve by domain and by level, whether 60 are enough, and all its numbers."""
    study(sizes=(0, 60, 240), seeds=(0, 1))
    app = page("how_much_data", unfolded="numbers")
    assert len(app.get("plotly_chart")) == 4
    assert "**5 of 5 runs done**" in words(app)
    assert "Do 60 examples reach 95% of the best?" in words(app)
    assert "atlas\\-llama, in\\-domain: **" in words(app)
    app.segmented_control(key="pick-table").set_value("enough").run()
    assert app.dataframe[-1].value["n"].tolist() == [60, 240, 60, 240]


def test_a_half_done_study_offers_the_rest(study, page, jobs):
    """What is there is drawn; a button tells what is left and what it costs, and starts nothing yet."""
    settings = study(sizes=(0, 60, 240), seeds=(0,), all_but=1)
    app = page("how_much_data", study=workflows.study_name(settings))
    assert "**2 of 3 runs done**" in words(app)
    next(button for button in app.button if button.label == "Run the rest").click().run()
    assert jobs.jobs() == []  # first its cost
    assert "on this machine" in words(app)
    app.button(key="study-start").click().run()
    (job,) = jobs.jobs()
    assert (job.kind, StudySettings.from_dict(job.settings)) == ("study", settings)
    assert "Run the rest" not in [button.label for button in app.button]
    assert job.id in str(app.query_params["job"])


def test_a_finished_study_takes_more_seeds(study, page, jobs):
    """Two more, which are not there yet, with what they cost; a study that was asked for is listed with how far it is."""
    study(sizes=(0, 60), seeds=(0,))
    app = page("how_much_data")
    next(button for button in app.button if button.label == "Add two seeds").click().run()
    assert jobs.jobs() == []  # first its cost
    assert "on this machine" in words(app)
    app.button(key="study-start").click().run()
    (job,) = jobs.jobs()
    assert job.settings["seeds"] == [0, 1, 2]
    assert "3 seeds" in app.selectbox(key="pick-study").options[0]
    assert "2 of 4 runs done" in words(app)  # what is done stays
    assert not app.warning


def test_a_study_without_a_finished_run_says_so(study, page):
    """No chart, no word, but the way to start it."""
    app = page("how_much_data", study=workflows.study_name(study(sizes=(60,), seeds=(0,), all_but=1)))
    assert "No run of this study has finished yet" in words(app)
    assert len(app.get("plotly_chart")) == 0
    assert "Run the rest" in [button.label for button in app.button]


def test_published_numbers_are_laid_beside_on_request(study, page):
    """Named by paper and table; another line in the chart of means."""
    study(sizes=(0, 60, 240), seeds=(0,))
    app = page("how_much_data")
    app.toggle(key="pick-published").set_value(True).run()
    assert "arXiv 2509.16596, mean accuracy by train level" in words(app).replace("\\", "")


def test_the_lab_makes_a_study(page, jobs):
    """Fields to settings to one job; its file is what the command line reads."""
    app = page("lab")
    app.segmented_control(key="pick-what").set_value("study").run()
    app.segmented_control(key="study-kind").set_value("level").run()
    app.multiselect(key="study-models").set_value(["atlas-llama"]).run()
    app.number_input(key="study-seeds").set_value(2).run()
    app.number_input(key="study-epochs").set_value(2).run()
    next(button for button in app.button if button.label == "Launch").click().run()
    (job,) = jobs.jobs()
    assert StudySettings.from_dict(job.settings) == StudySettings("level", ("atlas-llama",), seeds=(0, 1), epochs=2)
    assert "A run with these settings is already in progress" in words(app)


def test_the_lab_tells_what_a_study_lacks(page, jobs):
    """No models and no number for a rate: both are said, and nothing can be launched."""
    app = page("lab")
    app.segmented_control(key="pick-what").set_value("study").run()
    app.multiselect(key="study-models").set_value([]).run()
    assert "A study needs one or more models" in words(app)
    app.text_input(key="study-learning_rate").set_value("fast").run()
    assert "Learning rate must be a number such as 4e-4, got 'fast'." in words(app).replace("\\", "")
    assert next(button for button in app.button if button.label == "Launch").disabled


def test_the_page_opens_on_the_newest_study_that_is_finished(study, page):
    """A half-done one is listed with how far it is, and stays pickable."""
    half = study(sizes=(0, 60, 240), seeds=(0,), all_but=1)
    app = page("how_much_data")
    shipped, name = StudySettings("amount", BUILT_IN), workflows.study_name(half)
    picker = app.selectbox(key="pick-study")
    assert picker.value == workflows.study_name(shipped)
    assert app.query_params["study"] == picker.value
    assert [label.rpartition(" · ")[2] for label in picker.options] == ["2 of 3 runs done", "shipped", "shipped"]  # one of a real model
    picker.select(name).run()
    assert "**2 of 3 runs done**" in words(app)
    assert app.query_params["study"] == name


def test_without_a_finished_study_the_newest_is_shown(study, page, monkeypatch):
    """There is something to see, and it says how far it is."""
    half = study(sizes=(0, 60, 240), seeds=(0,), all_but=1)
    monkeypatch.setattr(workflows, "shown_studies", lambda: [workflows.KnownStudy(workflows.study_name(half), half, False)])
    app = page("how_much_data")
    assert "**2 of 3 runs done**" in words(app)
    assert app.query_params["study"] == workflows.study_name(half)


LINKS = {
    "how_much_data": {
        "level": ("L3", lambda app: app.segmented_control(key="pick-level").value),
        "model": ("atlas-neox", lambda app: app.selectbox(key="pick-model").value),
        "table": ("enough", lambda app: app.segmented_control(key="pick-table").value),
    },
    "which_data": {"value": ("difference", lambda app: app.segmented_control(key="pick-value").value)},
    "which_model": {
        "known": ("split", lambda app: app.segmented_control(key="pick-known").value),
        "templates": ("unseen", lambda app: app.segmented_control(key="pick-templates").value),
        "relation": ("P17", lambda app: app.selectbox(key="pick-relation").value),
    },
    "what_moves": {
        "tuned": ("n = 1,920", lambda app: app.selectbox(key="pick-tuned").value),
        "domain": ("out", lambda app: app.segmented_control(key="pick-domain").value),
    },
}


@pytest.mark.parametrize("name", few(LINKS, "which_model"))
def test_a_link_to_a_study_page_shows_what_it_names(page, name):
    """What the address names is picked; what is no option there is dropped, and the page says so of each."""
    app = page(name, **{key: text for key, (text, _) in LINKS[name].items()})
    assert {key: drawn(app) for key, (_, drawn) in LINKS[name].items()} == {key: text for key, (text, _) in LINKS[name].items()}
    assert "There is no" not in words(app)
    app = page(name, **dict.fromkeys(LINKS[name], "nonsense"))
    assert words(app).count("There is no") == len(LINKS[name])
    assert "nonsense" not in [drawn(app) for _, drawn in LINKS[name].values()]
    assert not LINKS[name].keys() & {*app.query_params}


def test_shot_lines_stand_in_the_address(study, page):
    """The largest is the default and needs no word; others are named, none as "none"."""
    study(sizes=(0, 60), seeds=(0,), shots=(1, 4))
    app = page("how_much_data")
    assert app.pills(key="pick-shots").value == ["4"]
    app.pills(key="pick-shots").set_value(["1", "4"]).run()
    assert app.query_params["shots"] == "1,4"
    app.pills(key="pick-shots").set_value([]).run()
    assert app.query_params["shots"] == "none"
    app.pills(key="pick-shots").set_value(["4"]).run()
    assert "shots" not in app.query_params


def test_a_model_of_another_page_that_is_not_in_the_study_is_passed_over(page):
    """Picked on Memory it comes along where it fits; where it does not, nobody is told off, and Memory keeps it."""
    app = page("memory")
    app.session_state["address"]["shared"]["model"] = "somebody/else"
    app.query_params.clear()
    app.switch_page("pages/how_much_data.py").run()
    assert "There is no model" not in words(app)
    assert app.selectbox(key="pick-model").value == "atlas-llama"
    assert app.session_state["address"]["shared"]["model"] == "somebody/else"


def click(app: AppTest, chart: str, x: int, y: int) -> AppTest:
    """A click on a cell of a chart, as the browser reports it."""
    app.session_state[f"{chart}-clicked"] = Point(1, 0, x, y)
    return app.run()


def test_a_cell_of_training_and_test_levels_opens_its_runs_beside_the_natural_mix(page):
    """All seeds of both, pooled, on the test facts of that level and domain; nothing of the study's own address comes along."""
    app = click(page("which_data"), "matrix-out", 3, 0)
    assert app.title[0].value == "Compare"
    cells = app.query_params["runs"].split(",")
    assert len(cells) == 6
    assert [":n240-level0:" in cell for cell in cells] == [True] * 3 + [False] * 3
    assert {name: app.query_params[name] for name in ("pool", "facts", "level")} == {"pool": "1", "facts": "out", "level": "L3"}
    assert "study" not in app.query_params


@in_full
def test_a_cell_of_the_natural_mix_stands_beside_the_untouched_model(page):
    """And a mean's cell filters no level."""
    app = click(page("which_data"), "matrix-in", 5, 5)
    assert ["n240" in cell for cell in app.query_params["runs"].split(",")] == [True] * 3 + [False]
    assert "level" not in app.query_params


def test_a_pair_of_models_opens_both_after_tuning(page):
    """The cell in the first row and second column; the empty diagonal opens nothing."""
    app = click(page("which_model"), "ranks", 1, 1)
    assert app.title[0].value == "Which model?"
    app = click(app, "ranks", 1, 0)
    assert {cell.split(":")[1] for cell in app.query_params["runs"].split(",")} == {"atlas-llama", "atlas-llama-sparse"}


def test_findings_on_one_of_several_models_name_it(page):
    """The chart above them draws all."""
    app = page("how_much_data", model="atlas-qwen")
    assert "Findings on atlas\\-qwen" in [head.value for head in app.subheader]
