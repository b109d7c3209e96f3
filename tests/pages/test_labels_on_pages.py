"""Names, tags, notes and pins on pages, deleting with its undo, and times in the reader's zone; over real files."""

import pytest

from pages._ui import wording
from sftqa_core import workflows
from sftqa_core.records import Labelled, StudySettings
from sftqa_core.studies.config import study_yaml
from tests.made_runs import made_run
from tests.pages.conftest import words

HALF = [at % 2 == 0 for at in range(80)]
ONE, TWO = "20261101-120000-base-n60-full-s0-aaaa", "20261102-120000-base-n60-full-s1-bbbb"


@pytest.fixture
def two():
    """An older run that is labelled and pinned, and a newer one."""
    for seed, name in enumerate((ONE, TWO)):
        made_run(name, HALF, seed=seed)
    workflows.change_label(Labelled("run", ONE), name="my *best*", add=["paper"], note="**again**\n[a](http://x.invalid)", pinned=True)


def test_pickers_show_names_and_tags_with_pinned_runs_first(two, explorer):
    """What a link without a run shows is the newest, pinned or not."""
    app = explorer("results", real=True, example=False)
    titles = app.selectbox(key="pick-run").options
    assert titles[0].startswith("★ my *best* · #paper · base · facts.csv · n = 60")
    assert titles[1].startswith("base · facts.csv · n = 60")
    assert app.selectbox(key="pick-run").value == TWO


def test_a_note_is_plain_text(two, explorer):
    """No link, no emphasis: it stands as it was written."""
    app = explorer("results", query={"run": ONE}, real=True, example=False)
    assert "**again**\n[a](http://x.invalid)" in [text.value for text in app.text]
    assert all("x.invalid" not in markdown.value for markdown in app.markdown)


def popover(app, run):
    app.session_state[f"label-results-{run}"] = True
    return app.run()


def test_a_label_is_saved_from_the_popover(two, explorer):
    """Only what was changed is written: a tag that somebody else has added meanwhile stays."""
    app = popover(explorer("results", query={"run": ONE}, real=True, example=False), ONE)
    app.text_input(key=f"label-results-{ONE}-name").set_value("  better ")
    workflows.change_label(Labelled("run", ONE), add=["theirs"])
    save = next(button for button in app.button if button.label == "Save")
    save.click().run()
    label = workflows.labels().runs[ONE]
    assert (label.name, label.tags, label.pinned) == ("better", ("paper", "theirs"), True)
    assert app.selectbox(key="pick-run").options[0].startswith("★ better · #paper · #theirs · ")


def test_what_a_label_cannot_hold_is_said_in_the_popover(two, explorer):
    """Nothing is written."""
    app = popover(explorer("results", query={"run": ONE}, real=True, example=False), ONE)
    app.text_input(key=f"label-results-{ONE}-name").set_value(TWO)
    next(button for button in app.button if button.label == "Save").click().run()
    assert "is the id of another run or study" in app.error[0].value
    assert workflows.labels().runs[ONE].name == "my *best*"


def test_a_damaged_label_is_said_on_the_page(two, workspace, explorer):
    """The run is shown without it."""
    (workspace.labels / "runs" / f"{ONE}.json").write_text("{")
    app = explorer("results", query={"run": ONE}, real=True, example=False)
    assert "can't be read as a label" in app.warning[0].value.replace("\\", "")
    assert app.selectbox(key="pick-run").options[-1].startswith("base · ")


def test_deleting_asks_and_offers_undo(two, explorer):
    """The page shows the next run, and brings the deleted one back with its label."""
    app = popover(explorer("results", query={"run": ONE}, real=True, example=False), ONE)
    app.button(key=f"label-results-{ONE}-delete").click().run()
    assert {run.id for run in workflows.runs()} >= {ONE, TWO}
    app.button(key="delete-now").click().run()
    app.run()
    assert ONE not in {run.id for run in workflows.runs()}
    assert app.selectbox(key="pick-run").value == TWO
    assert "Deleted: my \\*best\\*" in words(app)
    app.button(key="undo-deletion").click().run()
    assert app.selectbox(key="pick-run").value == ONE
    assert workflows.labels().runs[ONE].name == "my *best*"
    assert workflows.deleted() == []


def test_a_run_that_was_deleted_elsewhere_is_told(two, explorer):
    """A page that shows it shows the newest instead, and lists what can come back."""
    app = explorer("results", query={"run": ONE, "unfolded": "deleted"}, real=True, example=False)
    assert app.selectbox(key="pick-run").value == ONE
    entry = workflows.delete(Labelled("run", ONE), lambda thing, models: [])
    app.run()
    assert app.selectbox(key="pick-run").value == TWO
    assert "It was deleted" in app.warning[0].value
    app.run()
    app.button(key=f"undelete-{entry.entry}").click().run()
    assert ONE in {run.id for run in workflows.runs()}


def test_the_last_run_can_come_back_too(explorer):
    """The page has no run to show and still lists what was deleted."""
    made_run(ONE, HALF)
    entry = workflows.delete(Labelled("run", ONE), lambda thing, models: [])
    app = explorer("results", query={"unfolded": "deleted"}, real=True, example=False)
    assert "No run has finished yet." in words(app)
    app.button(key=f"undelete-{entry.entry}").click().run()
    assert not app.exception
    assert ONE in {run.id for run in workflows.runs()}


def test_compare_filters_by_tag(two, explorer):
    """The table has names, tags and sizes."""
    app = explorer("compare", real=True, example=False)
    table = app.dataframe[0].value
    assert table["name"].tolist() == ["★ my *best*", ""]
    assert [list(tags) for tags in table["tags"]] == [["paper"], []]
    assert table["size"].str.endswith("kB").all()
    assert app.multiselect(key="pick-runs-tags").options == ["paper"]
    app.multiselect(key="pick-runs-tags").set_value(["paper"]).run()
    assert app.dataframe[0].value["id"].tolist() == [ONE]


def test_studies_have_labels_in_their_picker(workspace, explorer):
    """Name and tags stand first."""
    study = StudySettings("amount", ("gone",), "facts.csv", sizes=(4,))
    workspace.studies.mkdir(parents=True)
    (workspace.studies / f"{workflows.study_name(study)}.yaml").write_text(study_yaml(study))
    workflows.change_label(workflows.find(workflows.study_name(study)), name="first look", add=["paper"])
    app = explorer("how_much_data", real=True, example=False, query={"study": workflows.study_name(study)})
    assert "first look · #paper · gone · facts.csv" in app.selectbox(key="pick-study").options[0]


def test_times_are_the_readers(monkeypatch, two, explorer):
    """In the zone that the browser names; what nobody knows is UTC."""
    times = []
    for zone in ("Asia/Kolkata", "America/New_York", "No/Where", "../../etc/passwd", None):
        monkeypatch.setattr(wording.st, "context", type("Context", (), {"timezone": zone}))
        times.append((wording.reader_zone(), wording.moment("2026-11-23T12:00:05+00:00")))
    assert times == [
        ("Asia/Kolkata", "2026-11-23 17:30 UTC+5:30"),
        ("America/New_York", "2026-11-23 07:00 UTC-5"),
        ("UTC", "2026-11-23 12:00 UTC"),
        ("UTC", "2026-11-23 12:00 UTC"),
        ("UTC", "2026-11-23 12:00 UTC"),
    ]
    assert wording.moment("damaged") == "damaged"
    assert wording.day_and_time("2025-11-29T10:12:00+00:00") == "29 Nov 2025 10:12"
