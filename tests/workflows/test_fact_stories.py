"""One fact through all that is stored."""

import json

import pytest

from sftqa_core import workflows
from sftqa_core.errors import NotFound
from tests.pages import standin


@pytest.fixture
def runs(workspace):
    """Two runs of the same test facts; only the second was trained on the first fact."""
    for name in ("20261123-120000-one", "20261124-120000-two"):
        standin.write_run(workspace.runs, name)
    fact = standin.facts_and_levels().iloc[0]
    lines = [json.dumps({"fact_id": "0" * 16}), json.dumps({"fact_id": fact["fact_id"], "subject": "x"})]
    (workspace.runs / "20261124-120000-two" / "examples.jsonl").write_text("\n".join(lines) + "\n")
    return ["20261123-120000-one", "20261124-120000-two"]


def test_a_facts_answers_in_runs_are_those_of_their_predictions(runs):
    """Every stage's text, right or wrong, the run's level, and whether it is an example, in the order asked for."""
    facts = standin.facts_and_levels()
    fact = facts[facts["level"].notna()].iloc[0]
    first, second = workflows.fact_in_runs(fact["fact_id"], runs)
    predictions = standin.predictions(facts).query("fact_id == @fact.fact_id").set_index("stage")
    expected = {stage: (row["text"], bool(row["correct"])) for stage, row in predictions.iterrows()}
    assert first.answers == second.answers == expected
    assert (first.run.id, second.run.id) == tuple(runs)
    assert (first.trained_on, second.trained_on) == (False, True)
    assert first.level == f"L{fact['level']}"


def test_a_fact_that_was_not_tested_has_no_answers(runs):
    """Another fact, and a run that is not there, are no error."""
    (only,) = workflows.fact_in_runs("f" * 16, [runs[0], "gone"])
    assert (only.answers, only.trained_on, only.level, only.problem) == ({}, False, None, "")


def test_damaged_files_are_told_and_hide_no_other_run(runs, workspace):
    """A run whose predictions can't be read says so; the others answer."""
    (workspace.runs / runs[0] / "predictions.parquet").write_bytes(b"no")
    first, second = workflows.fact_in_runs(standin.facts_and_levels()["fact_id"][0], runs)
    assert first.problem.startswith(f"The files of run {runs[0]} can't be read (")
    assert second.answers


def test_shipped_levels_of_one_fact_are_those_of_the_profile():
    """Each shipped model's row says what the Memory page says of that fact; other ways of measuring come on request."""
    profile = workflows.profile("atlas-llama", "atlas")
    fact = profile.take(profile.example(profile.rows)).iloc[0]
    rows = {row["model"]: row for row in workflows.fact_levels("atlas", fact["fact_id"]) if row["method"] == "sampling"}
    assert len(rows) > 1
    mine = rows["atlas-llama"]
    assert (mine["hits"], mine["completions"], mine["level"]) == (fact["hits"], fact["completions"], f"L{fact['level']}")
    assert mine["score"] == pytest.approx(fact["score"])
    assert (mine["low_samples"], mine["high_templates"]) == pytest.approx((fact["low_samples"], fact["high_templates"]), abs=1e-4)
    methods = {row["method"] for row in workflows.fact_levels("atlas", fact["fact_id"], estimates=True)}
    assert {"sampling", "adaptive", "likelihood"} <= methods


def test_a_fact_that_a_source_lacks_is_said():
    """The error names the source and what was asked for."""
    with pytest.raises(NotFound, match="atlas has no fact 'nothing'"):
        workflows.fact_levels("atlas", "nothing")


def test_what_is_no_id_of_a_fact_is_not_found():
    """Anything that a link may hold is looked up without an error; a real id is found."""
    profile = workflows.profile("atlas-llama", "atlas")
    for wrong in ("", "nothing", "F" * 16, "0" * 17, "é" * 16):
        assert not len(profile.row_of(wrong))
    first = profile.take(profile.rows[:1])["fact_id"][0]
    assert list(profile.row_of(first)) == list(profile.find(first, profile.rows)) == [profile.rows[0]]


def test_lists_are_narrowed_by_ids_and_by_what_holds():
    """`among` keeps these facts only, `contested=True` contested ones; the example among them is nearest the middle."""
    profile = workflows.profile("atlas-llama", "atlas")
    ids = profile.take(profile.rows[10:20])["fact_id"].tolist()
    assert sorted(profile.take(profile.choose(among=[*ids, "f" * 16]))["fact_id"]) == sorted(ids)
    assert profile.take(profile.choose(contested=True))["contested"].all()
    (example,) = profile.take(profile.example(profile.rows))["score"]
    scores = profile.table["score"]
    assert abs(example - 0.5) == (scores[(scores > 0) & (scores < 1)] - 0.5).abs().min()
    assert not len(profile.example(profile.choose([0])))
