"""Levels by the paper, by cut-offs of one's own, or by SliCK: on Memory and in the Lab."""

from functools import partial

import pytest

from pages._ui.glossary import levels
from pages._ui.titles import differences
from sftqa_core.records import SLICK, StudySettings, TrainSettings, with_cutoffs
from tests.pages.conftest import ROOT, words


@pytest.fixture
def shipped(explorer, monkeypatch):
    """Opens a page over what ships."""
    monkeypatch.setattr("sftqa_core.workspace.shipped_folder", lambda: ROOT / "cache" / "shipped")
    return partial(explorer, example=False, real=True)


def picker(app, label):
    return next(box for box in app.selectbox if box.label == label)


def number(app, label):
    return next(box for box in app.number_input if box.label == label)


def test_memory_draws_other_cutoffs_at_once_and_a_link_carries_them(shipped):
    """Real levels of a shipped model: two cut-offs give three levels; changed, the address says so; nothing is probed."""
    app = shipped("memory", {"model": "atlas-llama", "source": "atlas", "levels": "cutoffs", "cut": "0,0.5"})
    assert "3,060 of 3,060 facts probed" in words(app)
    assert number(app, "Levels").value == 3
    assert "L2" in str(app.get("plotly_chart")[0].proto.spec)
    assert "L3" not in str(app.get("plotly_chart")[0].proto.spec)
    number(app, "L1: R up to").set_value(0.7).run()
    assert app.query_params["cut"] == "0,0.7"
    number(app, "Levels").set_value(4).run()
    assert app.query_params["cut"] == "0,0.7,0.85"
    assert not app.exception
    number(app, "L2: R up to").set_value(0.3).run()
    assert "Cut\\-offs must rise within" in app.error[0].value


def test_memory_tells_of_cutoffs_in_a_link_that_are_none(shipped):
    """Words in place of numbers are told, and the paper's cut-offs are shown."""
    app = shipped("memory", {"levels": "cutoffs", "cut": "0,much"})
    assert ["Showing the paper's" in warning.value.replace("\\", "") for warning in app.warning] == [True]
    assert number(app, "Levels").value == 5


def test_memory_under_slick_says_how_much_is_probed_and_what_the_levels_mean(shipped):
    """What ships is counted; the glossary's line for these levels says what makes each."""
    app = shipped("memory", {"model": "atlas-llama", "source": "atlas", "levels": "slick"})
    assert "**600 of 3,060 facts probed**" in words(app)
    assert "HighlyKnown: all 10 greedy answers" in levels(SLICK)
    assert picker(app, "Levels by").value == "slick"


def test_the_lab_takes_over_the_levels_of_memory(shipped):
    """Levels picked on Memory are those that the Lab's run is made by, and its level list names them."""
    app = shipped("memory", {"model": "atlas-llama", "source": "atlas", "levels": "slick"})
    app.switch_page("pages/lab.py").run()
    assert not app.exception
    assert picker(app, "Levels by").value == "slick"
    box = next(box for box in app.multiselect if box.label.startswith("Memory levels") or "level" in box.label.lower())
    assert list(box.options) == list(SLICK.labels)


def test_a_study_is_launched_with_the_levels_that_are_picked(shipped, jobs):
    app = shipped("lab", {"levels": "slick"})
    app.segmented_control(key="pick-what").set_value("study").run()
    app.segmented_control(key="study-kind").set_value("models").run()
    app.number_input(key="study-test_limit").set_value(2).run()
    next(button for button in app.button if button.label == "Launch").click().run()
    (job,) = jobs.jobs()
    assert StudySettings.from_dict(job.settings).scheme == SLICK
    assert "SliCK's levels" in words(app)


def test_words_for_schemes():
    """A run's title names SliCK's levels, or the cut-offs; a first cut-off above 0 is no "never"."""
    assert differences(TrainSettings("m", scheme=SLICK))[0].endswith("SliCK's levels")
    assert "cut-offs 10%/50%" in differences(TrainSettings("m", scheme=with_cutoffs((0.1, 0.5))))[0]
    assert "L0: up to 10%; L1: more than 10%, up to 50%; L2: more than 50%" in levels(with_cutoffs((0.1, 0.5)))
