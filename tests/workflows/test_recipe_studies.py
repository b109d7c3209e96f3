"""A study of a recipe from settings to report: dev facts choose before a test fact is asked, and nothing is run twice."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest

from sftqa_core import workflows
from sftqa_core.errors import NotEnoughFacts, Stopped
from sftqa_core.evaluation import predictions
from sftqa_core.knowledge.sources import open_source
from sftqa_core.progress import Recorder
from sftqa_core.records import StudySettings
from sftqa_core.records.recipes import Repeat
from sftqa_core.records.studying import BASE, OTHER_SEEDS, PLAIN_TUNING
from sftqa_core.studies.cells import Cells
from sftqa_core.studies.model_study import ModelStudy
from sftqa_core.workflows import study_runs
from tests.workflows.conftest import working_in
from tests.workflows.test_studies import TWO, Stopping, trained  # noqa: F401 - `trained` is a fixture

ONCE = "control: each example once"


def settings(world: str, **changes) -> StudySettings:
    base = {"sizes": (4,), "seeds": (0,), "scheme": TWO, "max_answer_tokens": 4, "tried": ("1", "2"), "recipe": Repeat(passes=2)}
    return StudySettings("recipe", ("tiny",), world, device="cpu", **{**base, **changes})


@pytest.fixture
def asked(monkeypatch):
    """Which split each list of questions was of, in the order in which they were put; every one is answered."""
    splits, predict = [], predictions.predict

    def told(model, facts, *args, **more):
        splits.append(*set(facts["split"]))
        return predict(model, facts, *args, **more)

    monkeypatch.setattr(study_runs, "predict", told)
    return splits


@pytest.fixture
def finished(made, made_once, world, workspace):
    """The report of the finished study, which is put into this test's workspace. It is run once for all tests."""

    def make(root):
        shutil.copytree(made / "cache" / "models", root / "cache" / "models")
        with working_in(root):
            workflows.study(settings(world))

    shutil.copytree(made_once("recipe-study", make) / "cache", workspace.root, dirs_exist_ok=True)
    return workflows.study_report(settings(world))


def test_dev_facts_choose_before_a_test_fact_is_asked(world, asked, monkeypatch):
    """Every run on dev facts comes first; until then no cell of test facts is read either, though plain tuning's is there."""
    study = settings(world)
    part, read, tests_read = ModelStudy(study, "tiny"), Cells.read, []
    answers = pd.DataFrame({"correct": [True] * len(part.facts), "rival": False})
    part.cells.write(study.run("tiny", 4, 0), answers, 4, {}, {"train_s": 1.0, "seconds": 2.0})

    def reading(cells, *args):
        if cells.facts == part.cells.facts:
            tests_read.append(len(part.dev_left()))
        return read(cells, *args)

    monkeypatch.setattr(Cells, "read", reading)
    cost, recorder = workflows.forecast(study), Recorder()
    assert (cost.runs, cost.examples) == (2 + 4, 8 + 4 + 4 + 8 + 8)  # at the first value, which stands for the chosen one
    report = workflows.study(study, recorder)
    assert asked == ["dev"] * 2 + ["test"] * 4  # the base model, other seeds, the recipe and its control; plain tuning is known
    assert set(tests_read) == {0}
    assert (report.done, report.planned) == (2 + 5, 2 + 5)
    progress = [(update.done, update.total) for update in recorder.updates if update.phase == "study"]
    assert progress == [(done, 6) for done in range(1, 7)]


def test_a_study_goes_on_where_it_was_stopped_and_is_drawn_meanwhile(world, workspace, finished, trained):  # noqa: F811
    """Without a run on dev facts no value is chosen and nothing of the test facts is shown; only what is missing is trained."""
    study = settings(world)
    part = ModelStudy(study, "tiny")
    shutil.rmtree(workspace.reports)  # a finished study's is kept, whatever becomes of its cells
    shutil.rmtree(part.dev_cells.folder(study.tried_run("tiny", 0, "2")))
    begun = workflows.study_report(study)
    assert (begun.done, begun.planned, begun.tables["effect"], begun.findings) == (1, 7, [], ())
    assert [(row["value"], row["seeds"], row["chosen"]) for row in begun.tables["knob"]] == [("1", 1, False)]
    assert workflows.study_progress(study) == (1, 7)
    shutil.rmtree(part.cells.folder(study.run("tiny", 4, 1)))  # plain tuning with the other seed
    with pytest.raises(Stopped):
        workflows.study(study, Stopping(after=1))
    report = workflows.study_report(study)
    assert report.done == 6
    assert OTHER_SEEDS not in {row["setting"] for row in report.tables["effect"]}
    report = workflows.study(study)
    assert len(trained) == 2
    assert [replace(finding, text="") for finding in report.findings] == [replace(finding, text="") for finding in finished.findings]
    assert report.tables["claims"] == finished.tables["claims"]
    assert workflows.study(study) == report
    assert (len(trained), workflows.forecast(study).runs, workflows.study_progress(study)) == (2, 0, (7, 7))


def test_a_report_under_another_rule_for_claims_is_counted_anew(world, workspace, finished):
    """An earlier version kept it: the cells are the same, what is claimed of them is not."""
    (path,) = workspace.reports.glob("*.json")
    earlier = json.loads(path.read_bytes())
    del earlier["digest"]
    path.write_text(json.dumps({**earlier, "notes": ["Facts are resampled."], "findings": []}))
    assert workflows.study_report(settings(world)) == finished
    assert json.loads(path.read_bytes())["notes"][0] == finished.notes[0]
    assert "over facts and seeds" in finished.notes[0]


def test_what_a_recipe_tells_is_kept_with_its_cells(world, finished):
    """Its own tables are shown without training again; each cell has a name of its own, by which Compare finds it."""
    (chosen,) = {row["value"] for row in finished.tables["knob"] if row["chosen"]}
    assert {(row["table"], row["column"]) for row in finished.tables["by_level"]} == {("recall", "correct")}
    assert sum(row["rows"] for row in finished.tables["by_level"]) == 8 // int(chosen)
    there = list(dict.fromkeys(row["setting"] for row in finished.tables["effect"]))
    assert there == [BASE, PLAIN_TUNING, OTHER_SEEDS, "Repeat", ONCE]
    assert {row["setting"] for row in finished.tables["cost"]} == {PLAIN_TUNING, OTHER_SEEDS, "Repeat", ONCE}
    json.dumps(finished.to_dict(), allow_nan=False)
    names = workflows.cell_names(settings(world), "tiny")
    assert len(names) == 5
    recipe = next(name for name, run in names.items() if run.recipe)
    assert "-repeat-" in recipe
    assert workflows.tested(recipe).settings.recipe == Repeat(passes=int(chosen))
    assert len(ModelStudy(settings(world), "tiny").folders()) == 7


def test_more_examples_than_there_are_are_refused_before_the_first_run(world, trained):  # noqa: F811
    """Also where only a control, or one of the values, takes so many."""
    study = settings(world, sizes=(40,), tried=("1", "2"))
    most = len(ModelStudy(study, "tiny").train_facts)
    (problem,) = workflows.forecast(study).problems
    assert problem == (
        f"A run of this study takes 80 examples, but {world} has {most} train facts for tiny. "
        "Choose fewer examples, or other values of the recipe's main setting."
    )
    with pytest.raises(NotEnoughFacts, match="takes 80 examples"):
        workflows.study(study)
    assert trained == []


def test_without_dev_facts_nothing_is_chosen(world, tmp_path):
    """It is said before the start: test facts must not choose."""
    facts = open_source(world).facts
    facts = facts[facts["split"] != "dev"].assign(object=facts["answers"].str[0])
    path = tmp_path / "no-dev.csv"
    facts[["relation", "subject", "object", "split"]].to_csv(path, index=False)
    (problem,) = workflows.forecast(settings(str(path))).problems
    assert "has no dev facts, and nothing may be chosen on test facts" in problem
