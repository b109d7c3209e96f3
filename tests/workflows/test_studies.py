"""A study from settings to report: cells are run once, it can be stopped at any of them, and each cell is what a run would give."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from sftqa_core import workflows
from sftqa_core.errors import NotEnoughFacts, SettingsError, Stopped
from sftqa_core.progress import Silent
from sftqa_core.records import LevelScheme, SamplerSettings, StudySettings, TrainSettings
from sftqa_core.studies.model_study import ModelStudy
from sftqa_core.workflows import study_runs
from sftqa_core.workflows.training import TrainingRun
from tests.workflows.conftest import working_in

TWO = LevelScheme("two", ("low", "high"), (0.15,), sampling=SamplerSettings(samples=2, max_new_tokens=4))


def settings(world: str, kind: str = "amount", **changes) -> StudySettings:
    base = {"sizes": (0, 4, 8) if kind == "amount" else (4,), "seeds": (0, 1), "scheme": TWO, "max_answer_tokens": 4, "retest_limit": 4}
    return StudySettings(kind, ("tiny",), world, device="cpu", **{**base, **changes})


@pytest.fixture
def trained(monkeypatch):
    """The sizes of all trainings, in order."""
    sizes, inner = [], TrainingRun.tune
    monkeypatch.setattr(TrainingRun, "tune", lambda run, examples, *args: sizes.append(len(examples)) or inner(run, examples, *args))
    return sizes


@pytest.fixture
def finish(made, made_once, world, workspace):
    """Puts the finished study of amounts into this test's workspace and returns its report. It is run once for all tests."""

    def make(root):
        shutil.copytree(made / "cache" / "models", root / "cache" / "models")
        with working_in(root):
            workflows.study(settings(world))

    done = made_once("study", make)

    def put():
        shutil.copytree(done / "cache", workspace.root, dirs_exist_ok=True)
        return workflows.study_report(settings(world))

    return put


class Stopping(Silent):
    """Stops after so many finished runs."""

    def __init__(self, after: int):
        self.after, self.done = after, 0

    def progress(self, update):
        self.done = update.done if update.phase == study_runs.PHASE else self.done

    def check(self):
        if self.done >= self.after:
            raise Stopped("Stopped.")


def test_every_cell_is_run_once(world, trained):
    """The untouched model once, each other size once a seed; asked again nothing is trained, and the report is the same."""
    report = workflows.study(settings(world))
    assert trained == [0, 4, 8, 4, 8]
    assert (report.done, report.planned) == (5, 5)
    assert workflows.study(settings(world)) == report
    assert len(trained) == 5


def test_examples_are_shown_to_the_untouched_model_where_a_study_asks_for_it(world, finish, trained):
    """Each number once a seed, counted in the forecast; a number that is added later is all that is left; the tables beside stay."""
    plain = finish()
    wish = settings(world, shots=(1, 2))
    assert workflows.forecast(wish).runs == 4
    report = workflows.study(wish)
    assert trained == [0] * 4
    assert (report.done, report.planned) == (9, 9)
    assert [{**row, "model": "tiny"} for row in report.tables["curve"]] == plain.tables["curve"]
    assert {(row["shots"], row["seeds"], row["shown"]) for row in report.tables["in_context"]} == {(1, 2, 1.0), (2, 2, 2.0)}
    assert "in_context" not in plain.tables
    assert workflows.forecast(settings(world, shots=(1, 2, 3))).runs == 2
    with pytest.raises(SettingsError, match="kind shift has no k-shot baselines: leave shots out"):
        settings(world, "shift", shots=(1,))


def test_a_stopped_study_goes_on_at_the_next_cell(world, trained):
    """What was finished is kept and reported; the same call ends with the report of an undisturbed study."""
    with pytest.raises(Stopped):
        workflows.study(settings(world), Stopping(after=2))
    assert workflows.study_report(settings(world)).done == 2
    report = workflows.study(settings(world))
    assert trained == [0, 4, 8, 4, 8]
    rows = [row for row in report.tables["curve"] if (row["domain"], row["level"]) == ("in", "as facts come")]
    assert [(row["n"], row["seeds"]) for row in rows] == [(0, 1), (4, 2), (8, 2)]


def test_more_seeds_run_only_what_is_new(world, finish, trained):
    """A study with two seeds more trains those alone."""
    finish()
    more = workflows.more_seeds(settings(world), 2)
    assert more.seeds == (0, 1, 2, 3)
    workflows.study(more)
    assert trained == [4, 8, 4, 8]


def test_a_cell_is_what_a_run_gives(world, finish):
    """The answers of a study's cell are those of `sftqa train` with the same settings, fact by fact."""
    finish()
    study = settings(world)
    run = study.run("tiny", 8, 1)
    predictions = workflows.run(workflows.train(run).run).predictions("after").set_index("fact_id")
    part = ModelStudy(study, "tiny")
    cell = part.cells.read(run)
    assert cell.n == 8
    assert cell.table["correct"].tolist() == predictions.loc[part.facts["fact_id"], "correct"].tolist()


def test_levels_of_a_level_study_share_n_and_topics(world, trained):
    """Where a level lacks facts all rows get its number, and as far as it goes the same number of each relation."""
    report = workflows.study(settings(world, "level", sizes=(30,), seeds=(0,)))
    sizes = {row["n"] for row in report.tables["matrix"]}
    assert len(sizes) == 1
    assert max(sizes) <= 30
    assert {row["train"] for row in report.tables["matrix"]} == {"low", "high", "natural mix"}
    assert len(report.tables["retest"]) == 2


def test_a_level_without_facts_is_told(world, trained):
    """A level study of a model that has no train facts at a level ends before any run, and says which levels it looked for."""
    none = replace(TWO, labels=("low", "middle", "high"), cutoffs=(0.98, 0.99))
    with pytest.raises(NotEnoughFacts, match="no train facts at one of the levels low, middle, high"):
        workflows.study(settings(world, "level", scheme=none))
    assert trained == []


def test_a_shift_study_probes_again_and_reads_unread_text(world, trained):
    """Levels before, after, and of the untouched model again; perplexity of text that the model was not pre-trained on."""
    report = workflows.study(settings(world, "shift", seeds=(0,)))
    assert trained == [0, 4]
    moves = {(row["after"], row["move"]): row for row in report.tables["moves"] if row["domain"] == "in"}
    assert {after for after, _ in moves} == {"untouched, probed again", "n = 4"}
    assert sum(moves["n = 4", move]["share"] for move in ("kept", "lost", "gained")) == pytest.approx(1)
    (told,) = report.tables["forgetting"]
    assert told["before"] > 1
    assert told["now"] > 1
    assert told["now"] != told["before"]
    assert sum(row["facts"] for row in report.tables["transitions"] if (row["after"], row["domain"]) == ("n = 4", "in")) == 12


def test_models_are_compared_on_the_same_examples(world, workspace):
    """A copy of the model knows the same facts and answers the same after the same examples."""
    shutil.copytree(workspace.models / "tiny", workspace.models / "twin")
    report = workflows.study(replace(settings(world, "models", seeds=(0,)), models=("tiny", "twin")))
    (ranks,) = report.tables["ranks"]
    assert ranks["same_level"] == 1.0
    assert [row["difference"] for row in report.tables["differences"]] == [0.0, 0.0]
    assert {finding.verdict for finding in report.findings if "answer differently" in finding.question} == {"cannot tell"}


def test_a_study_is_listed_from_its_start(world, workspace):
    """With its settings as YAML under the workspace's studies; a damaged file hides nothing else."""
    with pytest.raises(Stopped):
        workflows.study(settings(world), Stopping(after=1))
    (workspace.studies / "broken.yaml").write_text("kind: [")
    own = [study for study in workflows.studies() if not study.shipped]
    assert [(study.name, study.settings) for study in own] == [(workflows.study_name(settings(world)), settings(world))]


def test_of_what_ships_the_built_in_world_stands_first(workspace, tmp_path, monkeypatch):
    """Whatever the studies are called: the first one is what a page shows."""
    monkeypatch.setenv("SFTQA_SHIPPED", str(tmp_path / "ships"))
    (tmp_path / "ships" / "studies").mkdir(parents=True)
    known = [StudySettings("amount", ("atlas-llama",)), StudySettings("amount", ("real",), source="entity-questions-sample")]
    for at, settings in enumerate(reversed(known)):
        (tmp_path / "ships" / "studies" / f"amount-{at}.yaml").write_text(workflows.study_yaml(settings))
    assert [study.settings for study in workflows.studies()] == known


def test_what_a_study_will_cost_is_told(world, finish):
    """Runs, steps and probes that are left; nothing once it is done; too few facts for a size is a problem before the start."""
    cost = workflows.forecast(settings(world))
    assert (cost.runs, cost.steps, cost.examples) == (5, 2 * (1 + 1), 2 * (4 + 8))
    assert cost.probes_needed == cost.test_facts > 0
    finish()
    after = workflows.forecast(settings(world))
    assert (after.runs, after.probes_needed) == (0, 0)
    (problem,) = workflows.forecast(settings(world, sizes=(4, 5_000))).problems
    assert problem.startswith("5,000 examples were asked for, but")


def test_all_examples_are_as_many_as_there_are(world, trained):
    """The size 'all' trains on every train fact."""
    workflows.study(settings(world, sizes=(TrainSettings.ALL,), seeds=(0,)))
    assert trained == [len(ModelStudy(settings(world), "tiny").train_facts)]


def test_a_study_file_that_cannot_be_read_is_told(tmp_path):
    """A missing file, and one that is no text."""
    with pytest.raises(SettingsError, match="can't be read as a study"):
        workflows.read_study(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(bytes(range(128, 256)))
    with pytest.raises(SettingsError, match="Give a YAML file in UTF-8"):
        workflows.read_study(tmp_path / "binary.yaml")


def test_the_report_is_json(world, finish):
    """Every table of every kind is plain values, without NaN."""
    import json

    for kind in ("amount", "level", "models", "shift"):
        report = workflows.study_report(settings(world, kind))
        assert report.done == 0
        json.dumps(report.to_dict(), allow_nan=False)
    finish()
    workflows.study(settings(world, seeds=(0,)))
    report = workflows.study_report(settings(world, seeds=(0,)))
    json.dumps(report.to_dict(), allow_nan=False)
    assert np.isfinite([row["accuracy"] for row in report.tables["curve"] if row["level"] == "as facts come"]).all()
