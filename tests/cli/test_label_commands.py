"""`sftqa label`, `sftqa delete` and `sftqa undelete`, and names in place of ids."""

import json

import pytest

from sftqa_core import workflows
from sftqa_core.cli.label_commands import with_ids
from sftqa_core.errors import SettingsError
from sftqa_core.jobs import use_executor
from sftqa_core.jobs.ask_files import use_ask_service
from sftqa_core.jobs.ask_service import FakeAskService
from sftqa_core.jobs.executor import FakeExecutor
from sftqa_core.records import Column, InsideSettings, Labelled, Question, StudySettings, TrainSettings
from sftqa_core.studies.config import study_yaml
from tests.cli.test_cache import sftqa  # noqa: F401, a fixture
from tests.made_runs import made_run

HALF = [at % 2 == 0 for at in range(80)]


@pytest.fixture
def two():
    """Two runs, of which one has a name."""
    made_run("one", HALF)
    made_run("two", HALF)
    workflows.change_label(Labelled("run", "one"), name="my best", add=["paper"])


@pytest.fixture
def queue():
    with use_executor(FakeExecutor()) as executor:
        yield executor


@pytest.fixture
def asking():
    with use_ask_service(FakeAskService()) as service:
        yield service


def test_a_label_is_changed_and_told(two, sftqa):  # noqa: F811
    """What is not typed stays; the note follows on a line of its own."""
    done = sftqa("label", "my best", "--tag", "seeds", "--untag", "PAPER", "--note", "try again", "--pin")
    assert (done.returncode, done.stdout) == (0, "run one: my best · #seeds, pinned\ntry again\n")
    told = json.loads(sftqa("label", "one", "--name", "", "--no-pin", "--json").stdout)
    size = told.pop("size_bytes")
    wanted = {"kind": "run", "id": "one", "shipped": False, "gone": False, "name": "", "tags": ["seeds"], "note": "try again"}
    assert told == {**wanted, "pinned": False}
    assert size > 10_000


def test_the_list_has_all_with_sizes_and_pinned_ones_first(two, sftqa):  # noqa: F811
    """What ships and what is gone are told apart."""
    workflows.change_label(Labelled("run", "two"), pinned=True)
    workflows.change_label(Labelled("run", "three"), name="lost")
    rows = json.loads(sftqa("label", "--json").stdout)["labelled"]
    assert (rows[0]["id"], rows[0]["pinned"]) == ("two", True)
    assert [row["id"] for row in rows if row["gone"]] == ["three"]
    assert {row["kind"] for row in rows if row["shipped"]} == {"run", "study"}
    assert "gone: only its label is left" in sftqa("label").stdout.splitlines()[-1]
    assert sftqa("label", "--pin").stderr == "Name the run or study to label; 'sftqa label' alone lists them.\n"


def test_runs_show_names_tags_and_sizes(two, sftqa):  # noqa: F811
    """Pinned ones first, with a star; the time is this machine's."""
    workflows.change_label(Labelled("run", "one"), pinned=True)
    head, first, second, *_ = sftqa("runs").stdout.splitlines()
    assert head.split() == ["run", "name", "(*:", "pinned)", "model", "source", "n", "method", "made", "size", "tags"]
    assert first.split()[:4] == ["one", "*", "my", "best"]
    assert first.endswith("paper")
    assert "UTC" in first
    assert second.split()[:2] == ["two", "base"]
    row = json.loads(sftqa("runs", "--json").stdout)["runs"][0]
    assert (row["run"], row["name"], row["tags"], row["pinned"], row["note"]) == ("one", "my best", ["paper"], True, "")


def test_a_name_stands_wherever_an_id_can_be_typed(two, sftqa):  # noqa: F811
    """Settings and results hold the id; of a name that two runs have it says which."""
    assert json.loads(sftqa("show", "my best", "--json").stdout)["run"] == "one"
    compared = json.loads(sftqa("compare", "my best", "two", "--json").stdout)
    assert [name for run in compared["runs"] for name in run["names"]] == ["one", "two"]
    assert "There is no run" not in sftqa("show", "one").stderr
    workflows.change_label(Labelled("run", "two"), name="my best")
    assert sftqa("show", "my best").stderr == "2 runs are called 'my best': one, two. Type an id.\n"


def test_names_of_weights_and_of_cells(two):
    """run:NAME, and a cell whose study has a name; other options keep what was typed."""
    from argparse import Namespace

    study = workflows.studies()[0].name
    workflows.change_label(Labelled("study", study, shipped=True), name="amounts")
    typed = Namespace(
        model="run:my best", models=("run:two", "my best"), runs=["my best", "amounts:atlas-llama:n60:s0"], cells="amounts", out="my best"
    )
    with_ids(typed)
    assert vars(typed) == {
        "model": "run:one", "models": ("run:two", "my best"), "runs": ["one", f"{study}:atlas-llama:n60:s0"], "cells": study,
        "out": "my best",
    }  # fmt: skip
    workflows.change_label(Labelled("run", "two"), name="my best")
    with pytest.raises(SettingsError, match="2 runs are called"):
        with_ids(Namespace(model="run:my best"))


def test_a_deleted_run_comes_back_by_its_name(two, sftqa, queue, asking):  # noqa: F811
    """The list has its size and the time of this machine."""
    done = sftqa("delete", "my best")
    assert done.stdout.startswith("Deleted the run one (")
    assert done.stdout.endswith("`sftqa undelete one` brings it back; `sftqa cache gc --yes` removes it for good.\n")
    head, row, total = sftqa("undelete").stdout.splitlines()
    assert head.split() == ["kind", "entry", "name", "deleted", "size"]
    assert row.split()[0] == "run"
    assert row.split()[1].startswith("one.")
    assert total.endswith("in all. `sftqa cache gc --yes` removes them for good.")
    assert sftqa("undelete", "my best").stdout == "The run one is back.\n"
    assert sftqa("undelete").stdout == "Nothing was deleted, or all of it was removed for good.\n"
    assert workflows.labels().runs["one"].name == "my best"


def test_a_run_that_jobs_need_is_not_deleted(two, sftqa, queue, asking):  # noqa: F811
    """Those that begin with its weights, those that begin with weights tuned from it, and looks inside it; each is named."""
    made_run("three", HALF, model="run:two")
    train = queue.submit("train", TrainSettings(model="run:three").to_dict())
    look = queue.submit("inside", InsideSettings("two", TrainSettings(model="base")).to_dict())
    done = sftqa("delete", "two")
    assert done.returncode == 1
    assert f"the job {train.id} (train, queued) needs it" in done.stderr
    assert f"the job {look.id} (inside, queued) needs it" in done.stderr
    queue.empty()
    assert sftqa("delete", "two").returncode == 0


def test_a_run_that_is_being_asked_is_not_deleted(two, sftqa, queue, asking):  # noqa: F811
    """Once the question is over it can go, loaded or not."""
    column = Column("run:two", Question("Who?"), "files")
    asking.ask([column])
    assert "a question to run:two is being answered on Ask" in sftqa("delete", "two").stderr
    asking.cancel([column])
    assert sftqa("delete", "two").returncode == 0


def test_a_study_that_is_queued_is_not_deleted(workspace, sftqa, queue, asking):  # noqa: F811
    """Nor one whose cell is looked into."""
    study = StudySettings("amount", ("tiny",), "facts.csv", sizes=(4,))
    name = workflows.study_name(study)
    workspace.studies.mkdir(parents=True)
    (workspace.studies / f"{name}.yaml").write_text(study_yaml(study))
    queue.submit("study", study.to_dict())
    queue.submit("inside", InsideSettings(f"{name}:tiny:n4:s0", TrainSettings(model="tiny")).to_dict())
    done = sftqa("delete", name)
    assert done.stderr.count("needs it") == 2
    assert (workspace.studies / f"{name}.yaml").exists()
    shipped = workflows.studies()[-1].name
    assert (
        sftqa("delete", shipped).stderr
        == f"The study {shipped} came with the program and can't be deleted. Its label is yours to change.\n"
    )
