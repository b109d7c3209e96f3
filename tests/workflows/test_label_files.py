"""What a person says about runs and studies: kept in the person's layer, found by what it says, never lost."""

import json
import threading

import pytest

from sftqa_core import workflows
from sftqa_core.errors import NotFound, SettingsError
from sftqa_core.records import Label, Labelled
from sftqa_core.workflows.label_files import label_file
from tests.made_runs import made_run

HALF = [at % 2 == 0 for at in range(80)]


def test_a_label_changes_only_where_it_is_told_to(workspace):
    """Name, tags, note and pin, one after the other; spaces at the ends go, and a tag is not added twice."""
    thing = Labelled("run", "one")
    workflows.change_label(thing, name="  my best ", add=["paper", "Seeds"])
    workflows.change_label(thing, note="line 1\nline 2\n", pinned=True)
    label = workflows.change_label(thing, add=["PAPER", "new"], remove=["seeds"])
    assert label == Label("my best", ("paper", "new"), "line 1\nline 2", True)
    assert workflows.labels().runs == {"one": label}
    assert label.words == "my best · #paper · #new"


def test_an_empty_label_leaves_no_file(workspace):
    """Taking everything away is as if nothing had been said."""
    thing = Labelled("study", "amount-1")
    workflows.change_label(thing, name="a", add=["t"])
    assert json.loads(label_file("study", "amount-1", workspace).read_text())["schema"] == 1
    workflows.change_label(thing, name="", remove=["t"])
    assert not label_file("study", "amount-1", workspace).exists()


def test_what_a_label_can_hold_is_bounded():
    """All problems are told at once, as of every record."""
    with pytest.raises(SettingsError) as error:
        Label("x" * 81, ("a,b", "A,B", "", *map(str, range(12))), "n" * 2_001)
    assert error.value.problems == [
        "name may have 80 characters, got 81.",
        "tags may be at most 12, got 15.",
        "note may have 2,000 characters, got 2,001.",
        "a tag must not be empty.",
        "a tag must hold no comma, got 'a,b'.",
        "tags must differ.",
    ]
    with pytest.raises(SettingsError, match="name must be one line without control characters"):
        Label("two\nlines")
    with pytest.raises(SettingsError, match="a tag must be one line"):
        Label(tags=("turned \u202eround",))


def test_a_tag_that_is_not_there_cannot_be_removed(workspace):
    """It says which there are."""
    workflows.change_label(Labelled("run", "one"), add=["paper"])
    with pytest.raises(NotFound, match=r"one has no tag 'seeds'. It has paper."):
        workflows.change_label(Labelled("run", "one"), remove=["Seeds"])


def test_a_damaged_label_is_told_and_never_overwritten(workspace):
    """It is left out with a sentence; the next label sets it aside, with all that was in it."""
    workflows.change_label(Labelled("run", "whole"), name="fine")
    path = label_file("run", "one", workspace)
    path.write_text('{"schema": 1, "label": {"name": "torn')
    given = workflows.labels()
    assert list(given.runs) == ["whole"]
    assert len(given.problems) == 1
    assert "one.json can't be read as a label" in given.problems[0]
    assert "A new label for one sets it aside." in given.problems[0]
    workflows.change_label(Labelled("run", "one"), name="new")
    assert workflows.labels().runs["one"] == Label("new")
    assert "torn" in path.with_name("one.json.damaged").read_text()


def test_a_label_of_another_version_is_set_aside_too(workspace):
    """Nothing is guessed from it."""
    path = label_file("run", "one", workspace)
    path.parent.mkdir(parents=True)
    path.write_text('{"schema": 2, "label": {"name": "later", "colour": "red"}}')
    assert "is no label of this version of the program" in workflows.labels().problems[0]
    workflows.change_label(Labelled("run", "one"), pinned=True)
    assert "later" in path.with_name("one.json.damaged").read_text()


def test_two_writers_at_once_lose_nothing(workspace):
    """Each changes its own part: after eight at once all tags are there."""
    thing = Labelled("run", "one")
    writers = [threading.Thread(target=workflows.change_label, args=(thing,), kwargs={"add": [f"t{at}"]}) for at in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(workflows.labels().runs["one"].tags) == [f"t{at}" for at in range(8)]


def test_a_run_is_found_by_its_id_or_its_unique_name(workspace):
    """An id wins over a name; of two runs with one name it says which."""
    made_run("one", HALF)
    made_run("two", HALF)
    workflows.change_label(Labelled("run", "one"), name="my best")
    assert workflows.find("my best") == Labelled("run", "one")
    assert [workflows.id_of(text, "run") for text in ("my best", "two", "nothing")] == ["one", "two", "nothing"]
    workflows.change_label(Labelled("run", "two"), name="my best")
    with pytest.raises(SettingsError, match=r"2 runs are called 'my best': one, two. Type an id."):
        workflows.find("my best")
    with pytest.raises(SettingsError, match="two is the id of another run or study"):
        workflows.change_label(Labelled("run", "one"), name="two")
    with pytest.raises(NotFound, match=r"There is no run or study 'my bst'. What comes near: my best"):
        workflows.find("my bst")


def test_shipped_runs_and_studies_can_be_labelled(workspace):
    """The label is the person's, and lies in the person's layer."""
    run, study = workflows.runs()[0], workflows.studies()[0]
    assert (run.shipped, study.shipped) == (True, True)
    assert workflows.find(run.id) == Labelled("run", run.id, shipped=True)
    workflows.change_label(workflows.find(study.name), name="the long one")
    assert workflows.find("the long one") == Labelled("study", study.name, shipped=True)
    assert label_file("study", study.name, workspace).is_relative_to(workspace.root)


def test_a_label_whose_run_is_gone_stays_and_can_be_cleared(workspace):
    """Its name means nobody, so the name can be given to another run."""
    workflows.change_label(Labelled("run", "gone"), name="my best")
    made_run("one", HALF)
    workflows.change_label(Labelled("run", "one"), name="my best")
    assert workflows.find("my best").id == "one"
    assert workflows.find("gone") == Labelled("run", "gone", gone=True)
    workflows.change_label(workflows.find("gone"), name="")
    assert list(workflows.labels().runs) == ["one"]


def test_the_stamp_of_lists_changes_with_labels_and_runs(workspace):
    """Pages keep their lists as long as it stays."""
    stamps = [workflows.labels_stamp()]
    workflows.change_label(Labelled("run", "one"), name="a")
    stamps.append(workflows.labels_stamp())
    made_run("one", HALF)
    stamps.append(workflows.labels_stamp())
    assert len(set(stamps)) == 3
    assert workflows.labels_stamp() == stamps[-1]
