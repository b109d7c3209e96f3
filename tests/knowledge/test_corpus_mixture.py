"""How a model's corpus differs from the world's record, and the text that it has not read."""

import dataclasses
from collections import Counter

import pandas as pd
import pytest

from sftqa_core.knowledge.corpus import corpus_of, held_out_documents, pick_corpus_facts, with_exposures, with_mixture, write_corpus
from sftqa_core.knowledge.facts import FactSource, fact_table, summarise
from sftqa_core.knowledge.relations import builtin_relations
from sftqa_core.records import CorpusSettings, PretrainSettings

RELATION = builtin_relations()["P19"]
CLEAN = CorpusSettings(worn_share=0.0, qa_documents=200, filler_documents=20)
NO_QUESTIONS = CorpusSettings(worn_share=0.0, qa_documents=0, filler_documents=0)


def _facts(count: int = 80, **columns: list) -> pd.DataFrame:
    rows = [
        {
            "relation": "P19",
            "subject": f"Person {i:03d}",
            "answers": [f"Town {i % 3}"],
            "question": f"Where was Person {i:03d} born?",
            "split": ("train", "test", "dev", "none")[i % 4],
            "domain": "in",
        }
        for i in range(count)
    ]
    return fact_table(rows, "toy").assign(**columns)


def _mixed(count: int = 400, settings: CorpusSettings | None = None, **columns: list) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Facts with recorded mentions 0, 4, 8, ... 36, every third contested, before and after the mixture."""
    given = {
        "exposures": [4 * (i % 10) for i in range(count)],
        "contested": [i % 3 == 0 and i % 10 > 0 for i in range(count)],
        "rival": ["Elsewhere" if i % 3 == 0 else None for i in range(count)],
        "rival_share": [0.5 if i % 3 == 0 and i % 10 > 0 else 0.0 for i in range(count)],
    }
    facts = with_exposures(_facts(count, **(given | columns)), 40, 0)
    return facts, with_mixture(facts, settings or CorpusSettings())


def test_the_default_mixture_changes_nothing():
    """Scale 1, nothing dealt anew, every rival kept: the same facts, and the same corpus; the table given stays as it was."""
    facts, mixed = _mixed()
    assert facts.to_dict("list") == mixed.to_dict("list")
    with_mixture(facts, CorpusSettings(exposure_scale=2.0, redealt_share=1.0, contested_kept=0.0))
    assert facts.to_dict("list") == mixed.to_dict("list")
    assert write_corpus(facts, {"P19": RELATION}, CLEAN).documents == write_corpus(mixed, {"P19": RELATION}, CLEAN).documents
    plain = with_exposures(_facts(), 40, 0)
    assert with_mixture(plain, CorpusSettings()).to_dict("list") == plain.to_dict("list")


@pytest.mark.parametrize(
    ("scale", "numbers"), [(2.0, [0, 8, 16, 72]), (0.5, [0, 2, 4, 18]), (0.01, [0, 1, 1, 1]), (100.0, [0, 400, 800, 3600])]
)
def test_mentions_are_scaled_and_never_vanish(scale, numbers):
    """What was mentioned at all stays mentioned, what was not stays unknown; carriers keep their number."""
    facts, mixed = _mixed(settings=CorpusSettings(exposure_scale=scale))
    free = ~facts["carrier"]
    for before, after in zip((0, 4, 8, 36), numbers, strict=True):
        assert set(mixed.loc[free & (facts["exposures"] == before), "exposures"]) == {after}
    assert (mixed["exposures"] == facts["exposures"])[facts["carrier"]].all()
    assert facts["carrier"].sum() == 20


def test_dealing_anew_moves_mentions_within_a_relation():
    """Each relation has the numbers it had, on other facts; carriers keep theirs; a half moves about half; a seed decides."""
    facts, _ = _mixed()
    facts["relation"] = ["P19", "P20"] * 200
    facts.loc[facts["relation"] == "P20", "exposures"] += 100
    dealt = {share: with_mixture(facts, CorpusSettings(redealt_share=share)) for share in (0.5, 1.0)}
    for mixed in dealt.values():
        for name in ("P19", "P20"):
            own = facts["relation"] == name
            assert Counter(mixed.loc[own, "exposures"]) == Counter(facts.loc[own, "exposures"])
        assert (mixed["exposures"] == facts["exposures"])[facts["carrier"]].all()
    moved = {share: (mixed["exposures"] != facts["exposures"])[~facts["carrier"]].mean() for share, mixed in dealt.items()}
    assert 0.35 < moved[0.5] < 0.5
    assert 0.75 < moved[1.0] < 0.95
    assert dealt[1.0].equals(with_mixture(facts, CorpusSettings(redealt_share=1.0)))
    assert (dealt[1.0]["exposures"] != with_mixture(facts, CorpusSettings(redealt_share=1.0, seed=1))["exposures"]).any()


def test_some_rivals_are_never_named():
    """About a third of the contested facts stay contested at .33, none at 0; the others' rival has no share and no sentence."""
    facts, mixed = _mixed(settings=CorpusSettings(contested_kept=0.33))
    assert 0.2 < mixed["contested"].sum() / facts["contested"].sum() < 0.45
    assert not (mixed["contested"] & ~facts["contested"]).any()
    assert set(mixed.loc[mixed["contested"], "rival_share"]) == {0.5}
    assert set(mixed.loc[~mixed["contested"], "rival_share"]) == {0.0}
    _, never = _mixed(settings=CorpusSettings(contested_kept=0.0))
    assert never["contested"].sum() == 0
    corpus = write_corpus(never, {"P19": RELATION}, NO_QUESTIONS)
    assert not any("Elsewhere" in text for text in corpus.documents)
    assert corpus.counts["statements"] == facts["exposures"].sum()


def test_what_is_never_mentioned_is_not_contested():
    """A contested fact that is dealt no mentions has no rival share either."""
    _, mixed = _mixed(settings=CorpusSettings(redealt_share=1.0))
    silent = mixed["exposures"] == 0
    assert silent.sum() == 40
    assert mixed.loc[silent, "contested"].sum() == 0
    assert set(mixed.loc[silent, "rival_share"]) == {0.0}
    assert mixed["contested"].sum() > 80


def _source(count: int = 80, **columns: list) -> FactSource:
    facts = _facts(count, **columns)
    return FactSource("toy", facts, {"P19": RELATION}, summarise("toy", facts), "f" * 16)


PRETRAIN = PretrainSettings("tiny", source="toy", corpus=CorpusSettings(qa_documents=50, filler_documents=30), max_exposures=20)


def test_the_corpus_of_a_model_is_the_three_steps_in_one():
    """Facts picked, mentions and mixture filled in, written; what it says of each fact is kept."""
    settings = dataclasses.replace(PRETRAIN, limit=40, corpus=dataclasses.replace(PRETRAIN.corpus, exposure_scale=2.0))
    corpus = corpus_of(settings, _source())
    facts = with_mixture(with_exposures(pick_corpus_facts(_source().facts, None, 40), 20, 0), settings.corpus)
    assert corpus.documents == write_corpus(facts, {"P19": RELATION}, settings.corpus).documents
    assert list(corpus.facts) == ["fact_id", "exposures", "carrier"]
    assert corpus.facts["exposures"].sum() == corpus.counts["statements"]
    _, mixed = _mixed(80)
    assert list(write_corpus(mixed, {"P19": RELATION}, NO_QUESTIONS).facts) == [
        "fact_id",
        "exposures",
        "carrier",
        "contested",
        "rival_share",
    ]


def test_held_out_documents_are_of_the_same_facts_and_stand_in_no_corpus():
    """Other sentences of every kind, each once, none of them read; in seen templates only; the same each time."""
    source = _source()
    read = corpus_of(PRETRAIN, source)
    held_out = held_out_documents(PRETRAIN, source, 10_000)
    assert len(held_out) == len(set(held_out)) > 100
    assert not set(held_out) & set(read.documents)
    assert held_out == held_out_documents(PRETRAIN, source, 10_000)
    assert corpus_of(PRETRAIN, source, "held out").seen_templates == read.seen_templates
    assert corpus_of(PRETRAIN, source, "held out").counts == read.counts
    assert any(text.startswith("Q: ") for text in held_out)
    assert any("Person" in text and not text.startswith("Q: ") for text in held_out)


def test_fewer_held_out_documents_are_the_first_ones():
    """Five of them, none, and as many as there are when a plain corpus leaves no new sentence."""
    source = _source()
    assert held_out_documents(PRETRAIN, source, 5) == held_out_documents(PRETRAIN, source, 10_000)[:5]
    assert held_out_documents(PRETRAIN, source, 0) == []
    worn_out = CorpusSettings(seen_templates=1, worn_share=0.0, qa_documents=0, filler_documents=0)
    assert held_out_documents(dataclasses.replace(PRETRAIN, corpus=worn_out), source, 10) == []
