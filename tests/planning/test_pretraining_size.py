"""What a pre-training costs is told before it starts, and what stands in its way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from sftqa_core import workflows
from sftqa_core.errors import SettingsError
from sftqa_core.knowledge.corpus import corpus_of
from sftqa_core.knowledge.facts import FactSource, fact_table, summarise
from sftqa_core.knowledge.relations import builtin_relations, generic_relation
from sftqa_core.models.lists import BUILT_IN, UNMADE
from sftqa_core.planning.pretraining_size import parameters, pretraining_size
from sftqa_core.records import CorpusSettings, Preflight, PretrainSettings, SourceReport
from tests.small import small_source

SMALL = PretrainSettings("own", corpus=CorpusSettings(qa_documents=200, filler_documents=50), epochs=2)


def own_file(folder: Path, count: int, relation: str = "P19", split: str = "") -> str:
    """A file of `count` facts of one relation; without `split` each falls into one by its subject."""
    rows = [
        {"relation": relation, "subject": f"Person {at}", "object": f"Town {at % 7}"} | ({"split": split} if split else {})
        for at in range(count)
    ]
    path = folder / "own.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return str(path)


def said(report: Preflight, name: str) -> list[tuple[str, str]]:
    return [(check.state, check.said) for check in report.checks if check.name == name]


def test_every_mention_is_counted_as_the_corpus_will_have_it():
    """Documents exactly, tokens of both passes within a fifth of what a tokenizer makes of them."""
    from sftqa_core.models.pretraining import train_tokenizer

    source = small_source(60)
    size, corpus = pretraining_size(SMALL, source), corpus_of(SMALL, source)
    assert size.statements == corpus.counts["statements"]
    assert size.documents == len(corpus.documents)
    assert (size.facts, size.relations, size.carriers) == (len(source.facts), 4, int(corpus.facts["carrier"].sum()))
    tokenizer = train_tokenizer(corpus.documents, SMALL.vocabulary)
    exact = 2 * sum(len(encoding.ids) for encoding in tokenizer.encode_batch(corpus.documents))
    assert abs(size.tokens / exact - 1) < 0.35  # made-up names of few words are short in tokens
    assert size.steps == size.tokens // (128 * 8)


def test_facts_that_carry_questions_are_counted_out_of_tuning():
    """180 train facts in domain, 12 of each relation's 60 carry questions; 3 and 6 of each of four relations are dev and test."""
    size = pretraining_size(SMALL, small_source(60))
    assert (size.train, size.dev, size.test, size.carriers) == (144, 12, 24, 36)
    assert any("24 test facts nothing can be told" in note for note in size.notes)


@pytest.mark.parametrize("settings", [*BUILT_IN.values(), *UNMADE.values()], ids=lambda settings: settings.name)
def test_the_number_of_parameters_is_that_of_the_model(settings):
    """Counted from the widths, with the whole vocabulary: the model itself has as many."""
    import torch

    from sftqa_core.models.pretraining import build_model

    with torch.device("meta"):
        assert parameters(settings) == build_model(settings, settings.vocabulary).num_parameters()


def test_bare_questions_are_refused_before_anything_is_written():
    """The sentence that the work itself would end with, as the preflight's problem."""
    relation = generic_relation("quiz")
    rows = [
        {"relation": "quiz", "subject": f"Who is {at}?", "answers": ["Bo"], "question": f"Who is {at}?", "split": "train", "domain": "in"}
        for at in range(20)
    ]
    facts = fact_table(rows, "quiz")
    bare = relation if "{question}" in relation.templates[0] else replace(relation, templates=("{question} The answer is",))
    size = pretraining_size(SMALL, FactSource("quiz", facts, {"quiz": bare}, summarise("quiz", facts), "0" * 16))
    assert size.steps == 0
    assert size.problems[0].startswith("A model can't be pre-trained on bare question-answer pairs, found under quiz (20 facts)")


@pytest.mark.parametrize(("count", "words"), [(2, "needs at least 3 facts"), (0, "needs at least 3 facts")])
def test_too_few_train_facts_to_carry_questions_are_a_problem(tmp_path, workspace, count, words):
    """A file with test facts alone, and two train facts: no text with questions can be written."""
    path = tmp_path / "own.csv"
    rows = [
        {"relation": "P19", "subject": f"Person {at}", "object": "Town", "split": "train" if at < count else "test"} for at in range(40)
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    report = workflows.preflight(PretrainSettings("own", source=str(path)))
    assert not report.ok
    assert words in said(report, "facts")[0][1] + report.of("problem")[0].fix


def test_few_facts_are_said_to_be_pointless(tmp_path, workspace):
    """Forty facts of one relation make a corpus; what can't be told from them, and what can't be tuned, stands in the notes."""
    settings = PretrainSettings("own", source=own_file(tmp_path, 40), corpus=CorpusSettings(qa_documents=20, filler_documents=0))
    cost = workflows.forecast(settings)
    assert cost.problems == ()
    assert cost.pretraining.relations == 1
    notes = " ".join(cost.notes)
    for words in ("nothing can be told: at least 30 are needed", "in-domain train facts are left to tune on", "steps are few: below 300"):
        assert words in notes
    report = workflows.preflight(settings, cost)
    assert report.ok
    assert [state for state, _ in said(report, "facts")] == ["ok", "note", "note", "note"]


def test_fifty_thousand_facts_are_counted_one_by_one():
    """30 mentions each on average, as a log-uniform number from 4 to 100 has it; few of their texts are written."""
    names = [f"Person {at}" for at in range(50_000)]
    facts = pd.DataFrame({"fact_id": names, "relation": "P19", "subject": names, "answers": [["Town"]] * len(names), "question": names})
    facts = facts.assign(source="own", split=["train", "test"] * 25_000, domain="in")
    source = FactSource("own", facts, {"P19": builtin_relations()["P19"]}, SourceReport("own", 50_000, {}, 0, 50_000, 0, 0, 0), "1" * 16)
    size = pretraining_size(PretrainSettings("own"), source)
    assert (size.facts, size.train + size.carriers, size.test) == (50_000, 25_000, 25_000)
    assert 1_400_000 < size.statements < 1_600_000
    assert size.documents == size.statements + 13_000


def test_what_takes_days_even_at_best_is_refused(tmp_path, workspace):
    """A model of billions of parameters that reads the text a thousand times, on a processor; a long one is worth knowing."""
    settings = PretrainSettings("own", source=own_file(tmp_path, 200), device="cpu")
    large = replace(settings, hidden_size=1024, layers=24, heads=16, intermediate_size=4096, epochs=1_000)
    state, told = said(workflows.preflight(large), "time")[0]
    assert state == "problem"
    assert "more than a day" in told
    assert said(workflows.preflight(replace(settings, epochs=40)), "time")[0][0] == "note"
    assert said(workflows.preflight(settings), "time")[0][0] == "ok"


def test_a_name_of_another_model_is_refused_in_preflight(tmp_path, workspace):
    """A built-in model's name with other facts: choose another."""
    report = workflows.preflight(PretrainSettings("atlas-llama", source=own_file(tmp_path, 60)))
    assert said(report, "model") == [("problem", "atlas-llama is a built-in model and was made with other settings or facts.")]


def test_a_source_that_is_none_says_so(workspace):
    """The forecast raises what opening raises; the preflight has it as a problem with its fix."""
    report = workflows.preflight(PretrainSettings("own", source="/nowhere/own.csv"))
    assert said(report, "facts")[0][0] == "problem"
    with pytest.raises(SettingsError, match="min_exposures must be 1 to"):
        PretrainSettings("own", min_exposures=0)


def test_a_model_made_here_tells_how_fast_this_machine_is(tmp_path, workspace):
    """With one that took 100 s for 1 million tokens, as much work takes 70 to 150 s, and the start."""
    from sftqa_core.artifacts import write_folder

    source, settings = own_file(tmp_path, 200), PretrainSettings("own", device="cpu")
    settings = replace(settings, source=source)
    rough = workflows.forecast(settings)
    training = {"tokens": 1_000_000, "steps": 977, "seconds": 100.0, "device": "cpu"}
    made = {
        "kind": "model",
        "settings": settings.to_dict(),
        "training": training,
        "parameters": parameters(settings),
        "architecture": "llama",
    }

    def fill(folder: Path) -> None:
        (folder / "config.json").write_text("{}")

    write_folder(workspace.models / "before", fill, made)
    cost = workflows.forecast(settings)
    expected = 100 * cost.pretraining.tokens / 1e6
    assert 4 + 0.7 * expected < cost.seconds_low < 7 + 0.7 * expected
    assert 15 + 1.5 * expected < cost.seconds_high < 20 + 1.6 * expected
    assert "Based on how fast before was pre-trained here." in cost.notes
    assert "no model was pre-trained on this machine" in " ".join(rough.notes)
    assert builtin_relations()["P19"].domain == "in"
