"""The methods paragraph says what was done, and nothing that was not; BibTeX has every key that it cites."""

from __future__ import annotations

import re
from dataclasses import replace

from sftqa_core import workflows
from sftqa_core.records import SLICK, LevelScheme, StudyReport, StudySettings, TrainSettings
from sftqa_core.records.recipes import Repeat, Restore, SftMix
from sftqa_core.reports import citing, methods
from tests.made_runs import facts_of, made_run

RUN = TrainSettings("base", "facts.csv", n=240, learning_rate=0.0003, method="lora", levels=(2, 3), seed=4, shots=0)
TESTED = {"in": 1_200, "out": 0}


def of_run(settings: TrainSettings, templates: int | None = 21) -> str:
    return methods.of_run(settings, TESTED, templates, str)


def test_a_runs_settings_in_words():
    """What was tuned, on what, how; domains without facts and baselines that were not made are not there."""
    words = of_run(RUN)
    assert (
        "base was fine-tuned on n = 240 question-answer examples from facts.csv of memory level L2 or L3, balanced by relation (seed 4), "
        "training a LoRA adapter of rank 8 with AdamW at a peak learning rate of 0.0003, batch size 8, for one epoch." in words
    )
    assert "It was tested on 1,200 in-domain held-out facts" in words
    assert "(L0: R = 0, L1: R ≤ 0.25, L2: R ≤ 0.5, L3: R ≤ 0.75, L4: above)" in words
    assert "Baselines" not in words
    assert "planted" not in words
    assert "  " not in words


def test_other_ways_of_training_and_measuring():
    """No examples, all of them, several epochs, SliCK's categories, the adaptive probe, templates that are not known, a recipe."""
    assert "base was evaluated without tuning on facts of facts.csv." in of_run(replace(RUN, n=0))
    assert "on all question-answer examples from facts.csv" in of_run(replace(RUN, n=TrainSettings.ALL))
    assert "updating all weights with SGD" in of_run(replace(RUN, method="full", optimizer="sgd"))
    assert "for 3 epochs" in of_run(replace(RUN, epochs=3))
    assert "SliCK's categories [gekhman2024does]: 10 random 4-shot prompts a fact" in of_run(replace(RUN, scheme=SLICK, levels=None))
    assert "up to 10 times each, until its level was clear with a confidence of 0.95" in of_run(
        replace(RUN, scheme=LevelScheme(method="adaptive"))
    )
    assert "a fact's statement templates were completed" in of_run(RUN, None)
    assert "The recipe was SFTMix" in of_run(replace(RUN, recipe=SftMix(mu=0.5), levels=None))
    assert "this is no evidence about large models" in of_run(replace(RUN, source="atlas:2"))


def test_a_comparison_without_tests_claims_none(workspace):
    """One run alone has no test and no correction."""
    made_run("one", [at % 2 == 0 for at in range(80)], facts_of())
    words = methods.of_comparison(workflows.compare(["one"]).comparison, str)
    assert "base (A: n = 60, seed 0) was tested on 80 held-out facts of facts.csv, with greedy answers." in words
    assert "Holm" not in words
    assert "McNemar" not in words


def test_an_unfinished_study_says_so():
    """With its models, sizes and seeds, and the rule that its findings follow."""
    settings = StudySettings("amount", ("a", "b", "c"), "facts.csv", sizes=(60, 240), seeds=(0, 1))
    words = methods.of_study(StudyReport(settings, 3, 12, (), (), {}), "A rule.", str)
    assert "a, b and c were fine-tuned on n = 60, 240 question-answer examples from facts.csv" in words
    assert "with seeds 0, 1; a seed picks the examples and their order. 3 of 12 runs are finished." in words
    assert "A rule. Nothing is claimed of fewer than 30 facts." in words


def test_every_citation_has_its_entry():
    """Of SliCK and EntityQuestions where they are used; braces close."""
    settings = replace(RUN, scheme=SLICK, levels=None, source="entity-questions")
    entries = citing.bibtex([settings])
    keys = set(re.findall(r"@\w+\{(\w+),", entries))
    assert set(re.findall(r"\[(\w+)\]", of_run(settings))) <= keys == {
        "ye2024sixty", "ye2025analyzing", "gekhman2024does", "sciavolino2021simple", "sftqa_explorer",
    }  # fmt: skip
    assert entries.count("{") == entries.count("}")


def test_a_recipes_paper_is_cited_once():
    """By the number that is known of it; the follow-up's, which is there anyway, is not repeated."""
    entries = citing.bibtex([replace(RUN, recipe=Repeat(passes=2), levels=None), replace(RUN, recipe=Repeat(passes=4), levels=None)])
    assert entries.count("eprint = {2305.13230}") == 1
    assert "title = {To Repeat or Not To Repeat}" in entries
    assert citing.bibtex([replace(RUN, recipe=Restore(), levels=None)]).count("2509.16596") == 1
