"""Words in completions: plain text, whatever its case, of the latest completions only."""

import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sftqa_core.memory import finding
from sftqa_core.memory.probe_stores import CompletionStore
from tests.amount import in_full

A, B, C = (f"{at:016x}" for at in (1, 2, 3))


@pytest.fixture
def store(workspace, monkeypatch) -> CompletionStore:
    made = CompletionStore.under({"made": "for this test"}, workspace)
    monkeypatch.setattr(finding, "find_model", lambda name: name)
    monkeypatch.setattr(finding, "stores_of", lambda card, settings: [made])
    return made


def add(store: CompletionStore, name: str, texts: dict[str, list[str]]) -> None:
    """A part of completions, as probing writes it: the list of its facts last."""
    folder = store.writable()
    rows = [(fact, text) for fact, some in texts.items() for text in some]
    pd.DataFrame(rows, columns=["fact_id", "text"]).to_parquet(folder / f"part-{name}.parquet")
    pq.write_table(pa.table({"fact_id": list(texts)}), folder / f"facts-{name}.parquet")


def saying(words: str) -> list[str]:
    return finding.facts_saying("any", "any", words)


def test_words_are_found_whatever_their_case(store):
    """A piece of a word counts, in either case and with accents; what nobody said is not found."""
    add(store, "1", {A: [" Oslo", " in Bergen"], B: [" Öland"], C: [" oslofjord"]})
    assert saying("OSLO") == [A, C]
    assert saying("öland") == saying("ÖLAND") == [B]
    assert saying("Paris") == []


def test_words_are_never_a_pattern(store):
    """Signs that mean something in a pattern mean themselves."""
    add(store, "1", {A: ["a.*b"], B: ["aXXb"], C: ["(a|b)["]})
    assert saying(".*") == [A]
    assert saying("(a|b)[") == [C]


def test_of_a_fact_that_was_sampled_again_the_latest_completions_count(store):
    """What only an older part says of it is not found; of other facts of that part it is."""
    add(store, "1", {A: ["old"], B: ["old"]})
    add(store, "2", {A: ["new"]})
    assert saying("old") == [B]
    assert saying("new") == [A]


def test_new_completions_are_found_at_once(store):
    """What is kept in memory goes by the parts that are there."""
    add(store, "1", {A: ["old"]})
    assert saying("new") == []
    add(store, "2", {B: ["new"]})
    assert saying("new") == [B]


def test_damaged_and_unfinished_parts_are_passed_over(store):
    """A part without its list was interrupted; one that is no parquet says nothing."""
    add(store, "1", {A: ["word"]})
    add(store, "2", {B: ["word"]})
    (store.writable() / "facts-2.parquet").unlink()
    (store.writable() / "part-3.parquet").write_bytes(b"no")
    (store.writable() / "facts-3.parquet").write_bytes(b"no")
    assert saying("word") == [A]


def test_without_completions_nothing_is_found(store):
    """No store, no part: an empty list."""
    assert saying("word") == []


@in_full
def test_a_hundred_thousand_facts_are_searched_in_a_moment(store):
    """2 million completions of 100,000 facts, 300,000 different texts: once read, a search takes far less than a second."""
    draw = np.random.default_rng(0)
    words = [f"word {at} of the text" for at in range(300_000)]
    ids = np.repeat([f"{at:016x}" for at in range(100_000)], 20)
    folder = store.writable()
    texts = pa.DictionaryArray.from_arrays(pa.array(draw.integers(0, len(words), len(ids)).astype("int32")), words)
    pq.write_table(pa.table({"fact_id": pa.array(ids).dictionary_encode(), "text": texts}), folder / "part-1.parquet")
    pq.write_table(pa.table({"fact_id": pa.array(ids[::20])}), folder / "facts-1.parquet")
    saying("warm")
    began = time.perf_counter()
    found = saying("WORD 29999")
    assert time.perf_counter() - began < 5  # 0.1 s on a quiet machine
    assert 0 < len(found) < 1_000
