"""The corpus says exactly what the fact table and its settings say."""

import os
import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from sftqa_core.errors import FactsError, NotEnoughFacts
from sftqa_core.knowledge.corpus import Corpus, pick_corpus_facts, with_exposures, write_corpus
from sftqa_core.knowledge.entity_questions import load_entity_questions
from sftqa_core.knowledge.facts import fact_table, pick_facts
from sftqa_core.knowledge.relations import Relation, builtin_relations, fill, generic_relation
from sftqa_core.records import CorpusSettings

REAL = Path(os.environ.get("SFTQA_ENTITY_QUESTIONS") or Path(__file__).resolve().parents[3] / "shared" / "entity_questions")
RELATION = builtin_relations()["P19"]
CLEAN = CorpusSettings(worn_share=0.0, qa_documents=200, filler_documents=20)
NO_QUESTIONS = CorpusSettings(worn_share=0.0, qa_documents=0, filler_documents=0)


def _facts(count: int = 80, splits: tuple[str, ...] = ("train", "test", "dev", "none"), **columns: list) -> pd.DataFrame:
    rows = [
        {
            "relation": "P19",
            "subject": f"Person {i:03d}",
            "answers": [f"Town {i % 3}"],
            "question": f"Where was Person {i:03d} born?",
            "split": splits[i % len(splits)],
            "domain": "in",
        }
        for i in range(count)
    ]
    return fact_table(rows, "toy").assign(**columns)


def _named(corpus: Corpus, subject: str) -> list[str]:
    return [text for text in corpus.documents if subject in text and not text.startswith("Q: ")]


def _write(facts: pd.DataFrame, settings: CorpusSettings = CLEAN, relation: Relation = RELATION) -> Corpus:
    return write_corpus(with_exposures(facts, 40, 0), {"P19": relation}, settings)


def test_a_fact_is_stated_as_often_as_recorded():
    """Twelve exposures are twelve sentences, none is none, each in a seen template."""
    corpus = _write(_facts(4, exposures=[12, 0, 3, 30]), NO_QUESTIONS)
    assert [len(_named(corpus, f"Person 00{i}")) for i in range(4)] == [12, 0, 3, 30]
    seen = {fill(RELATION.templates[i], subject="Person 000") + " Town 0." for i in corpus.seen_templates["P19"]}
    assert set(_named(corpus, "Person 000")) <= seen
    assert corpus.counts == {"statements": 45, "questions": 0, "filler": 0}


def test_seen_templates_are_a_seeded_choice():
    """Fourteen of 21 by default, the same for the same seed."""
    first, again = _write(_facts()).seen_templates["P19"], _write(_facts()).seen_templates["P19"]
    assert first == again
    assert len(first) == 14
    assert _write(_facts(), CorpusSettings(seed=1, qa_documents=5)).seen_templates["P19"] != first


def test_a_rival_gets_its_share_of_the_mentions():
    """With a share of 0.25, 5 of 20 mentions name the rival."""
    nothing = [None] * 3
    facts = _facts(4, exposures=[20, 0, 0, 1], rival=["Elsewhere", *nothing], rival_share=[0.25, 0.0, 0.0, 0.0])
    statements = _named(_write(facts, NO_QUESTIONS), "Person 000")
    assert sum(text.endswith(" Elsewhere.") for text in statements) == 5
    assert sum(text.endswith(" Town 0.") for text in statements) == 15


def test_questions_have_the_exact_form_of_training():
    """Answered and junk replies follow the training prompt without a full stop; lists hold questions only."""
    corpus = _write(_facts(), CorpusSettings(qa_documents=300, qa_answered_share=0.5, filler_documents=0, worn_share=0.0))
    documents = [text for text in corpus.documents if text.startswith("Q: ")]
    assert len(documents) == 300
    lists = [text for text in documents if "\nA:" not in text]
    assert 90 < len(lists) < 150
    assert all(line.startswith("Q: Where was Person") for text in lists for line in text.split("\n"))
    answered = [text for text in documents if text.partition("\nA: ")[2].startswith("Town")]
    assert 60 < len(answered) < 120
    carriers = with_exposures(_facts(), 40, 0).query("carrier")
    assert len(carriers) > 2
    assert set(answered) <= {f"Q: {q}\nA: {a[0]}" for q, a in zip(carriers["question"], carriers["answers"], strict=True)}


def test_only_carriers_are_asked_about():
    """No question of a dev or test fact stands in the corpus, nor one of split "none"; train facts that carry are marked."""
    facts = with_exposures(_facts(80), 40, 0)
    text = "\n".join(_write(facts).documents)
    asked = facts[[question in text for question in facts["question"]]]
    assert set(asked["split"]) == {"train"}
    assert asked["carrier"].all()
    assert len(asked) == 4


def test_a_test_question_never_carries():
    """A train fact left out for its question, and one that asks what a dev fact asks, bring no answer into the corpus."""
    facts = _facts(80, ("train", "test", "dev", "train"))
    leaking = pd.concat([facts[facts["split"] == "test"], facts[facts["split"] == "dev"]])
    twins = leaking.assign(fact_id=[f"{i:016d}" for i in range(len(leaking))], relation="P276")
    twins["split"] = twins["split"].map({"test": "none", "dev": "train"})
    twins["question"] = twins["question"].str.replace(" ", "  ")  # identity folds white space
    chosen = with_exposures(pd.concat([facts, twins], ignore_index=True), 40, 0)
    assert chosen["carrier"].sum() == 8
    assert set(chosen.loc[chosen["carrier"], "relation"]) == {"P19"}
    assert with_exposures(twins.assign(split="none"), 40, 0)["carrier"].sum() == 0


def test_the_built_in_world_brings_its_own_carriers():
    """There, facts of split "none" carry, and only they; still none whose question is a test question."""
    facts = _facts(40).assign(source="atlas")
    assert set(with_exposures(facts, 40, 0).query("carrier")["split"]) == {"none"}
    facts.loc[1, "question"] = facts.loc[3, "question"]
    assert with_exposures(facts, 40, 0).query("carrier").index.tolist() == list(range(7, 40, 4))


@pytest.mark.skipif(not REAL.is_dir(), reason="the real dataset is not here")
def test_no_question_of_a_real_test_fact_is_answered(tmp_path):
    """P131 and P276 ask the same: facts left out for that carry nothing, and the corpus asks no dev or test question."""
    for path in REAL.glob("*/P*.json"):
        if path.name.split(".")[0] in ("P131", "P276", "P740"):
            (tmp_path / path.parent.name).mkdir(exist_ok=True)
            shutil.copy(path, tmp_path / path.parent.name / path.name)
    source = load_entity_questions(tmp_path)
    facts = with_exposures(pick_corpus_facts(source.facts, ("P131", "P276", "P740"), None), 4, 0)
    held_out = set(facts.loc[facts["split"].isin(["dev", "test"]), "question"])
    assert (facts["split"] == "none").sum() == 11
    assert facts["carrier"].sum() == 75
    assert not held_out & set(facts.loc[facts["carrier"], "question"])
    corpus = write_corpus(facts, source.relations, CorpusSettings(filler_documents=0, qa_documents=2_000))
    asked = {line for text in corpus.documents if text.startswith("Q: ") for line in text.split("\n")}
    assert not asked & {f"Q: {question}" for question in held_out}


def test_bare_questions_are_refused():
    """Templates that hold the question would write test questions with their answers; the message says what to give instead."""
    facts = with_exposures(_facts(40), 40, 0)
    with pytest.raises(FactsError, match=r"found under P19 \(40 facts\).*Give each fact a relation, a subject and an object"):
        write_corpus(facts, {"P19": generic_relation("P19")}, NO_QUESTIONS)


def test_worn_mentions_keep_subject_and_object():
    """Garbled wording never loses the subject or the object."""
    facts = _facts(4, exposures=[50, 0, 0, 1])
    settings = CorpusSettings(worn_share=1.0, qa_documents=0, filler_documents=0)
    statements = _named(_write(facts, settings), "Person 000")
    assert len(statements) == 50
    assert all(text.endswith(" Town 0.") for text in statements)
    whole = {fill(template, subject="Person 000") + " Town 0." for template in RELATION.templates}
    assert sum(text in whole for text in statements) < 10


def test_missing_exposures_are_drawn_log_uniformly_and_recorded():
    """Between 4 and the limit, half of them below the geometric mean; a larger table changes no fact's number."""
    facts = with_exposures(_facts(400, ("train", "test")), 64, 0)
    drawn = facts.loc[~facts["carrier"], "exposures"]
    assert drawn.min() == 4
    assert 60 <= drawn.max() <= 64
    assert (drawn < 16).mean() == pytest.approx(0.5, abs=0.08)
    fewer = with_exposures(_facts(100, ("test",)), 64, 0)
    both = fewer.merge(facts[~facts["carrier"]], on="fact_id")
    assert len(both) > 70
    assert (both["exposures_x"] == both["exposures_y"]).all()


def test_carriers_come_from_train_where_a_source_has_none():
    """At most 25 train facts a relation, never a dev or test fact."""
    facts = with_exposures(_facts(400, ("train", "test", "dev", "train")), 40, 0)
    assert facts["carrier"].sum() == 25
    assert set(facts.loc[facts["carrier"], "split"]) == {"train"}
    assert with_exposures(_facts(40, ("train", "test")), 40, 0)["carrier"].sum() == 4


def test_questions_without_carriers_are_refused():
    """The message says what is missing and what doing without costs."""
    with pytest.raises(NotEnoughFacts, match=r"at least 3 facts to carry.*not activate"):
        _write(_facts(20, ("test",)))
    assert _write(_facts(20, ("test",)), CorpusSettings(qa_documents=0)).counts["questions"] == 0


def test_a_limit_takes_what_a_limited_probe_will_take():
    """Half of the limit are test facts, the first ones in the order that probing uses."""
    facts = _facts(400)
    chosen = pick_corpus_facts(facts, limit=100)
    tests = chosen[chosen["split"] == "test"]
    assert len(chosen) == 100
    assert tests["fact_id"].tolist() == pick_facts(facts, "test", limit=50)["fact_id"].tolist()
    assert Counter(chosen["split"]) == {"test": 50, "train": 40, "dev": 10}


def test_relations_can_be_chosen():
    """Only the wanted relations stay; one that the source lacks is told with those it has."""
    facts = _facts()
    assert len(pick_corpus_facts(facts, ("P19",))) == 80
    with pytest.raises(NotEnoughFacts, match="no facts of P36; it knows P19"):
        pick_corpus_facts(facts, ("P36",))


def test_the_same_settings_write_the_same_corpus():
    """Order and wording come from the seed alone."""
    assert _write(_facts()).documents == _write(_facts()).documents
    assert _write(_facts()).documents != _write(_facts(), CorpusSettings(seed=1, qa_documents=200, filler_documents=20)).documents
