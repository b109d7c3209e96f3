"""Which corpus a model has read: what is known, and what is refused."""

from __future__ import annotations

import re

import pytest

from sftqa_core.errors import SettingsError
from sftqa_core.models import catalogue
from sftqa_core.models.corpora.training_corpora import corpus_for, corpus_of, known_corpora
from sftqa_core.models.lists import hub_models
from sftqa_core.records import ModelCard

PILE = "v4_piletrain_llama"


def card(name: str) -> ModelCard:
    return catalogue.find_model(name)


def test_every_entry_has_its_source_and_a_corpus_of_the_table():
    """No index stands for two corpora, no model has two, and each is the name of one model or a family."""
    known = known_corpora()
    assert len({corpus.index for corpus in known.corpus}) == len({corpus.name for corpus in known.corpus}) == len(known.corpus)
    assert {trained.corpus for trained in known.trained} == {corpus.name for corpus in known.corpus}
    entries = (*known.corpus, *known.trained, *known.without)
    assert all(len(entry.source) > 20 for entry in entries)
    names = [name for trained in known.trained for name in trained.models]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+", name) for name in names)


@pytest.mark.parametrize("size", ["70m", "160m", "410m", "1.4b"])
def test_pythia_has_read_the_pile(size):
    """In whatever case its name is written; main is the model itself."""
    assert corpus_of(card(f"EleutherAI/pythia-{size}"))[0].index == PILE
    assert corpus_of(card(f"eleutherai/Pythia-{size}@main"))[0].name == "the Pile"


def test_a_name_that_meant_another_model_once_has_a_note():
    """Pythia-14m was exchanged."""
    corpus, note = corpus_of(card("EleutherAI/pythia-14m"))
    assert corpus.index == PILE
    assert note.startswith("Until 27 February 2026 this name stood for a model of the deduplicated Pile")
    assert corpus_of(card("EleutherAI/pythia-70m"))[1] == ""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("EleutherAI/pythia-160m-deduped", "it was trained on the deduplicated Pile, and there is an index of the whole Pile alone"),
        ("EleutherAI/pythia-31m", "its published settings name the deduplicated Pile"),
        ("HuggingFaceTB/SmolLM2-360M", "no index holds the mixture that it was trained on"),
        ("Qwen/Qwen2.5-0.5B", "It is not known that an index of the count service holds what Qwen/Qwen2.5-0.5B was trained on"),
        ("EleutherAI/pythia-160m@step1000", "may be a checkpoint that has read a part of its corpus only"),
        ("atlas-llama", "atlas-llama is not a model of the hub by its name there"),
        ("openlm-research/open_llama_3b_v2", "It is not known that an index"),
    ],
)
def test_others_are_refused_with_the_reason(name, why):
    """And with the models that can be asked about."""
    with pytest.raises(SettingsError, match=re.escape(why)):
        corpus_of(card(name))


def test_an_index_of_another_corpus_is_refused():
    """Counts in what a model has not read say nothing of it."""
    assert corpus_for(card("EleutherAI/pythia-160m"), PILE)[0].index == PILE
    with pytest.raises(SettingsError, match="was trained on the Pile, which is the index v4_piletrain_llama, got v4_rpj_llama_s4"):
        corpus_for(card("EleutherAI/pythia-160m"), "v4_rpj_llama_s4")


def test_what_the_catalogue_calls_advised_first_is_there():
    """Small Pythias and SmolLM2; only of the first it is known how often facts stand in what they read."""
    advised = [model.name for model in hub_models().values() if model.advised]
    sizes = ("14m", "31m", "70m", "160m", "410m")
    assert advised == ["HuggingFaceTB/SmolLM2-360M", *(f"EleutherAI/pythia-{size}" for size in sizes)]
    assert list(hub_models())[: len(advised)] == advised
