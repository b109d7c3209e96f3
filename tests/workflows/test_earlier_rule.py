"""Runs and cells that were judged by an earlier matching rule say so, where that makes a difference."""

from dataclasses import replace

from sftqa_core import workflows
from sftqa_core.cli import text
from sftqa_core.knowledge import matching
from sftqa_core.records import StudySettings
from sftqa_core.studies.model_study import ModelStudy
from sftqa_core.training.runs import write_run
from sftqa_core.workflows import study_reports
from tests.studies.small_study import answers, facts_of, outcomes_of, right, run
from tests.training.test_runs import contents

RULE = "which compared apostrophes, dashes, quotes and final marks as they are written and knew no scripts without spaces."


def test_a_run_says_by_which_rule_it_was_judged(workspace):
    """Only one without the rule's version whose facts are judged otherwise today."""
    plain = contents()
    odd = replace(plain, facts=plain.facts.assign(answers=[["Conan O'Brien"], *plain.facts["answers"].tolist()[1:]]))
    told = {
        "plain": write_run(workspace, "plain", plain),
        "odd": write_run(workspace, "odd", odd),
        "new": write_run(workspace, "new", replace(odd, manifest={**odd.manifest, "matching": matching.VERSION})),
    }
    said = {name: workflows.run_rule(made.id) for name, made in told.items()}
    assert said == {
        "plain": "",
        "odd": f"The answers of this run were judged by an earlier matching rule, {RULE} The same training, started again, is judged by "
        "the rule of today.",
        "new": "",
    }
    shown = {**told["odd"].summary.to_dict(), "levels_by": "sampling", "note": said["odd"]}
    assert text.run(shown).splitlines()[-1] == said["odd"]
    assert all(workflows.run_rule(made.id) == "" for made in workflows.runs() if made.shipped)


def test_a_study_counts_the_cells_of_an_earlier_rule():
    """They stay as they are, and the report says how many there are; plain answers are judged as ever."""
    part = ModelStudy(StudySettings("amount", ("atlas-llama",), device="cpu"), "atlas-llama")
    outcomes = part.outcomes()
    assert len(outcomes.runs) > 3
    assert {cell.matching for cell in outcomes.runs.values()} == {1}
    assert outcomes.judged_before == 0
    same = part.identity()
    part.__dict__["_rule"] = "tokens/2"
    assert part.outcomes().judged_before == len(outcomes.runs)
    assert part.identity() == {**same, "match": "tokens/2"}


def test_a_report_tells_of_them(workspace, monkeypatch):
    """In its notes, with what can be done."""
    facts = facts_of()
    found = outcomes_of(facts, {run(n): answers(right(facts, 0.5), n) for n in (0, 60)}, model="atlas-llama")
    monkeypatch.setattr(study_reports, "report_name", lambda settings: None)
    for count, said in ((0, 0), (2, 1)):
        monkeypatch.setattr(study_reports, "study_outcomes", lambda settings, count=count: [replace(found, judged_before=count)])
        notes = study_reports.study_report(StudySettings("amount", ("atlas-llama",))).notes
        told = [note for note in notes if "earlier matching rule" in note]
        assert len(told) == said
    assert told == [
        f"2 cells were judged by an earlier matching rule, {RULE} Cells keep no texts, so they stay as they were counted; new ones are "
        "judged by the rule of today."
    ]
