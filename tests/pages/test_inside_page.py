"""The page Inside, and what Compare and a fact's page show of it, over what ships and over made runs."""

from __future__ import annotations

import pytest

from sftqa_core.jobs import current_executor
from sftqa_core.records import InsideSettings
from tests.amount import few
from tests.made_runs import made_run
from tests.pages.conftest import words

CELL = "amount-9203b502:atlas-llama"
CHAPTERS = {
    "drift": "Where did answers and weights move?", "restoration": "What happens when changed weights are put back?",
    "knowledge": "What does it know and not say?", "curves": "How are facts learned, step by step?",
}  # fmt: skip


def plain(app) -> str:
    return words(app).replace("\\", "").replace("\u2060", "")


def test_without_runs_the_page_says_where_to_start(explorer):
    """No run, no cell, nothing that ships."""
    app = explorer("inside", example=False, real=True)
    assert "No run has finished yet" in plain(app)


def test_what_ships_is_shown_for_all_seeds(page):
    """All seeds of the setting that a link to one of them names; where the models came from; the command."""
    app = page("inside", run=f"{CELL}:n1920:s1")
    assert [box.value for box in app.selectbox if box.label == "Run"] == [f"{CELL}:n1920:s1"]
    text = plain(app)
    assert "right and wrong are as stored on all 3,060 facts" in text
    assert CHAPTERS["drift"] in text
    assert "in-domain **68.3% (59.8% to 75.8%) of 110** known ones, and 27.0% (20.9% to 33.4%) of 156 unknown ones; out-of" in text
    assert f"sftqa inside {CELL}:n1920:s1" in text
    assert len(app.get("plotly_chart")) >= 5
    (titles,) = ([option for option in box.options if "not looked at" not in option] for box in app.selectbox if box.label == "Run")
    assert len(titles) == 4
    assert "atlas-llama · atlas · n = 1,920 · seeds 0, 1, 2" in [title.replace("\u2060", "") for title in titles]


@pytest.mark.parametrize("chapter", few(list(CHAPTERS)[1:], "knowledge"))  # the first is shown without being picked
def test_each_measure_is_a_chapter(page, chapter):
    """Only the one that is picked is drawn: its question, what came out with one sentence on intervals, what cannot be told in one fold,
    its charts, and a fold that has one name in all chapters."""
    app = page("inside", run=f"{CELL}:n60:s0", chapter=chapter)
    text = plain(app)
    assert [element.value for element in app.subheader if element.value in CHAPTERS.values()] == [CHAPTERS[chapter]]
    assert text.count("Intervals are 95%, each for its number alone.") == 1
    folds = [box.label for box in app.expander]
    assert folds[-1] == "Table and method"
    assert sum("more questions that these looks cannot answer" in fold for fold in folds) == (chapter != "restoration")
    assert len(app.get("plotly_chart")) >= 4


def test_chapters_lead_from_one_to_the_next(page):
    """Each ends with the next one's question, a link that keeps the run; the last one leads nowhere."""
    app = page("inside", run=f"{CELL}:n60:s0", chapter="knowledge")
    (link,) = [button for button in app.button if button.key == "link-inside-next"]
    assert link.label == f"Next: {CHAPTERS['curves']}"
    link.click().run()
    assert CHAPTERS["curves"] in plain(app)
    assert app.query_params["chapter"] in ("curves", ["curves"])
    assert app.query_params["run"] in (f"{CELL}:n60:s0", [f"{CELL}:n60:s0"])
    assert not [button for button in app.button if button.key == "link-inside-next"]


def test_a_cell_that_nobody_looked_at_is_looked_at_by_a_job(page):
    """Its cost stands before; the button queues exactly what was picked."""
    app = page("inside", run=f"{CELL}:n240:s0", measures="drift,knowledge")
    assert "Everything below" not in plain(app)
    assert "**About" in plain(app)
    app.button(key="inside-start").click().run()
    (job,) = current_executor().jobs(kind="inside")
    settings = InsideSettings.from_dict(job.settings)
    assert (settings.name, settings.measures, settings.run.n) == (f"{CELL}:n240:s0", ("drift", "knowledge"), 240)
    assert "Look inside atlas-llama tuned on 240 examples of atlas · drift and knowledge\n" in plain(app)


def test_what_cannot_be_looked_at_says_why(page, workspace):
    """In the core's own words, and no button."""
    made_run("served", [True] * 80, model="http://127.0.0.1:8000/v1#m")
    app = page("inside", run="served")
    assert "is on a server, which gives out no weights" in plain(app)
    assert not [button for button in app.button if button.key == "inside-start"]


def test_a_link_to_what_is_not_here_says_so(page):
    """The first look is shown instead; markup in the name is text."""
    app = page("inside", run="<b>x</b>:y")
    assert "There is no run '<b>x</b>:y' here" in plain(app)
    assert not app.exception


def test_compare_says_what_changed_inside(page):
    """A line a run and domain where all of its seeds were looked at; a link for each."""
    app = page("compare", runs=f"{CELL}:n60:s0,{CELL}:n240:s0", unfolded="inside")
    tables = [table.value for table in app.dataframe if "known" in table.value]
    (table,) = tables
    assert table["run"].tolist() == ["A", "A"]
    assert table["kl"].str.fullmatch(r"\d+\.\d\d \(\d+\.\d\d to \d+\.\d\d\) of 1,5[24]0").all()
    assert table["control"].str.fullmatch(r"\d+\.\d% \(\d+\.\d% to \d+\.\d%\) of 1\d\d").all()
    assert table["moved"].str.fullmatch(r"[+-]?\d+\.\d \([+-]?\d+\.\d to [+-]?\d+\.\d\)").all()


def test_a_facts_page_has_a_line_for_every_look(page):
    """Answered before and after, how far it moved, whether the right answer ranks first."""
    from tests.journeys.conftest import shipped_fact

    fact, _ = shipped_fact()
    app = page("fact", model="atlas-llama", source="atlas", fact=fact, unfolded="inside")
    (table,) = [table.value for table in app.dataframe if "logprob" in table.value]
    assert len(table) == 12
    assert set(table["answered"]) <= {"✓ → ✓", "✓ → ✗", "✗ → ✓", "✗ → ✗"}
    assert table["kl"].ge(0).all()


def test_two_settings_stand_side_by_side(page):
    """60 examples beside 1,920: a row each and domain with intervals and n; links test the difference, and swap the two."""
    app = page("inside", run=f"{CELL}:n60:s0", chapter="knowledge", beside=f"{CELL}:n1920:s0")
    (table,) = [frame.value for frame in app.dataframe if "activated" in frame.value.columns]
    assert list(table["domain"]) == ["in-domain", "out-of-domain"] * 2
    assert table["run"].str.contains("n = 1,920").tolist() == [False, False, True, True]
    assert table["activated"].str.fullmatch(r"\d+\.\d% \(\d+\.\d% to \d+\.\d%\) of \d+").all()
    (swap,) = [button for button in app.button if button.key == "link-inside-other"]
    swap.click().run()
    assert app.selectbox(key="pick-run").value.startswith(f"{CELL}:n1920")
    assert app.selectbox(key="pick-beside").value == f"{CELL}:n60:s0"
