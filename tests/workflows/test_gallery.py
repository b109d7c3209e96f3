"""Questions that people ask, answered by what ships."""

import pytest

from sftqa_core import workflows
from sftqa_core.records import StudySettings
from sftqa_core.training.runs import list_runs, read_run
from sftqa_core.workflows.gallery import FOUND

MODELS = tuple(workflows.built_in_models())


@pytest.fixture(scope="module")
def answers():
    return {answer.question: answer for answer in workflows.gallery()}


def test_every_question_has_an_answer_in_one_view(answers):
    """Those that studies answer and the two that are counted; each names its page and what to open there."""
    assert list(answers) == [*FOUND, "Which facts did it lose?", "What does it know but not say?"]
    assert {answer.page for answer in answers.values()} == {
        *(f"pages/{page}.py" for page in ("how_much_data", "which_data", "what_moves", "which_model", "what_if", "results", "inside"))
    }
    assert answers["Does SFTMix beat twice the epochs?"].to.keys() == {"study", "model", "recipe"}


def test_a_studys_answer_is_its_own_finding(answers):
    """Verdict and sentence are those of the shipped report, of its first model in-domain."""
    report = workflows.study_report(StudySettings("amount", MODELS))
    answer = answers["Do 60 examples suffice?"]
    (finding,) = [
        finding
        for finding in report.findings
        if (finding.about, finding.question) == (answer.about, "Do 60 examples reach 95% of the best?")
    ]
    assert answer.verdict == finding.verdict
    assert finding.text.startswith(answer.text)
    assert answer.text.endswith(" to 83.5%).")
    assert answer.about == f"{MODELS[0]}, in-domain"


def test_lost_facts_are_counted_from_the_runs_answers(answers):
    """Right before and wrong after, fact by fact."""
    (shipped,) = [run for run in list_runs() if run.shipped]
    stages = {stage: read_run(shipped.id).predictions(stage).set_index("fact_id")["correct"] for stage in ("before", "after")}
    inside = set(read_run(shipped.id).facts().query("domain == 'in'")["fact_id"])
    known = [fact for fact, right in stages["before"].items() if right and fact in inside]
    lost = sum(not stages["after"][fact] for fact in known)
    assert answers["Which facts did it lose?"].text.startswith(
        f"Of {len(known):,} test facts that it answered before, {lost} are wrong after"
    )


def test_where_nothing_ships_nobody_is_told_anything(monkeypatch, tmp_path):
    """No study, no run, no look: no question."""
    monkeypatch.setenv("SFTQA_SHIPPED", str(tmp_path))
    assert workflows.gallery() == ()
