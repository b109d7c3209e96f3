"""Levels, as rows and as columns, are those that levels fact by fact are, to the last bit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.memory.probe_stores import CompletionStore
from sftqa_core.memory.probing import probe_facts
from sftqa_core.memory.profiles import open_for
from sftqa_core.memory.scores import LEVELS
from sftqa_core.memory.stored_levels import Ids, level_columns, stored_levels
from sftqa_core.models.catalogue import find_model
from sftqa_core.records import PAPER, SLICK, LevelScheme, ModelCard, ProbeSettings, SamplerSettings
from sftqa_core.workspace import Workspace
from tests.amount import few
from tests.memory import levels_row_by_row as oracle
from tests.memory.memory_world import knowing_sampler, source_of

SETTINGS = ProbeSettings("tiny", "test", scheme=LevelScheme(sampling=SamplerSettings(samples=10, max_new_tokens=6)))
NONE = Aliases()
CARD = ModelCard("tiny", "folder", "somewhere", True, details={"corpus": {"seen_templates": {"P19": [0]}}})


def same(columns: pd.DataFrame, expected: pd.DataFrame, facts: pd.DataFrame) -> None:
    """Every column of LEVELS, fact by fact, as exact as its type can be, and nothing where nothing is expected."""
    wanted = expected.set_index("fact_id").reindex(facts["fact_id"])
    assert list(columns) == list(LEVELS[1:])
    assert len(columns) == len(facts)
    for name in LEVELS[1:-1]:
        exact = wanted[name].astype("float64").to_numpy()
        exact = exact.astype(np.float32) if columns[name].dtype == np.float32 else exact
        np.testing.assert_array_equal(columns[name].to_numpy(dtype=exact.dtype, na_value=np.nan), exact, err_msg=name)
    for found, hits in zip(columns["hits_per_template"], wanted["hits_per_template"], strict=True):
        assert (found is pd.NA) == (not isinstance(hits, list))
        assert found is pd.NA or list(found) == [float(np.float32(value)) for value in hits]


@pytest.fixture
def store(tiny, workspace) -> CompletionStore:
    return CompletionStore.of(tiny.fingerprint.to_dict(), SETTINGS.scheme.sampling, workspace)


def probe(tiny, source, facts, workspace):
    probe_facts(tiny, source, facts, SETTINGS, NONE, workspace, sampler=knowing_sampler(tiny, source))


def check(store, source, facts, aliases=NONE):
    columns = level_columns(CARD, source, facts, SETTINGS, aliases, stores=[store])
    expected = oracle.levels_in(store, CARD, source, facts, SETTINGS, aliases)
    same(columns, expected, facts)
    rows = stored_levels(CARD, source, facts, SETTINGS, aliases, stores=[store])
    pd.testing.assert_frame_equal(rows, expected, check_exact=True, check_dtype=len(rows) > 0)
    return columns


@pytest.mark.parametrize(
    "scheme", few([PAPER, replace(PAPER, method="adaptive"), replace(PAPER, method="likelihood"), SLICK], PAPER, SLICK), ids=str
)
def test_shipped_levels_are_the_same_column_by_column(scheme):
    """Atlas in another order: known facts have every number that they have by themselves, the others none."""
    source, card = open_for("atlas-llama", "atlas"), find_model("atlas-llama")
    facts = source.facts.sample(600, random_state=1)
    settings = ProbeSettings("atlas-llama", "atlas", "all", scheme=scheme)
    columns = level_columns(card, source, facts, settings)
    expected = oracle.stored_levels(card, source, facts, settings)
    same(columns, expected, facts)
    pd.testing.assert_frame_equal(stored_levels(card, source, facts, settings), expected, check_exact=True)
    assert 0 < columns["level"].count() < 600


def test_hits_completions_and_unknown_facts_are_told_together(tiny, workspace, store):
    """Some facts were judged, some have completions only, some nothing: each is known as far as it can be."""
    source = source_of(15)
    probe(tiny, source, source.facts[:6], workspace)
    for hits in (workspace.root / "hits").glob("*/*.parquet"):
        hits.unlink()
    probe(tiny, source, source.facts[6:12], workspace)
    columns = check(store, source, source.facts)
    assert columns["level"].isna().tolist() == [False] * 12 + [True] * 3
    check(store, source, source.facts.iloc[::-1])
    check(store, source, source.facts[10:11])


def test_another_alias_or_answer_is_another_judgement(tiny, workspace, store):
    """Hits of other answers count for nothing: completions are judged anew where they hold, and a new name finds more."""
    source = source_of(8)
    probe(tiny, source, source.facts, workspace)
    plain, more = (check(store, source, source.facts, aliases) for aliases in (NONE, Aliases((("Paris", "somewhere"),))))
    assert 0 < plain["hits"].sum() < more["hits"].sum() == more["completions"].sum()
    other = source_of(8, ("Lima",))
    assert check(store, other, other.facts)["hits"].sum() == 0


def test_a_damaged_part_is_set_aside(tiny, workspace, store):
    """Its facts are judged anew from their completions; nothing else is lost."""
    source = source_of(6)
    probe(tiny, source, source.facts, workspace)
    part = next((workspace.root / "hits").glob("*/part-*.parquet"))
    part.write_bytes(part.read_bytes()[:-40])
    assert check(store, source, source.facts)["level"].count() == 6
    assert part.with_name(part.name + ".damaged").exists()


def test_the_store_that_knows_most_is_told(tiny, workspace):
    """Of two devices, as rows and as columns."""
    source = source_of(8)
    probe(tiny, source, source.facts[:3], workspace)
    few = CompletionStore.of(tiny.fingerprint.to_dict(), SETTINGS.scheme.sampling, workspace)
    elsewhere = Workspace(workspace.root / "other", workspace.shipped)
    probe(tiny, source, source.facts[2:], elsewhere)
    many = CompletionStore.of(tiny.fingerprint.to_dict(), SETTINGS.scheme.sampling, elsewhere)
    for stores in ([few, many], [many, few]):
        columns = level_columns(CARD, source, source.facts, SETTINGS, NONE, stores=stores)
        assert columns["level"].notna().tolist() == [False] * 2 + [True] * 6
        rows = stored_levels(CARD, source, source.facts, SETTINGS, NONE, stores=stores)
        assert rows["fact_id"].tolist() == source.facts["fact_id"][2:].tolist()


def test_without_a_store_or_facts_there_is_nothing():
    """A model that was never here, and an empty source, give empty columns of the right kinds."""
    source = source_of(4)
    missing = ModelCard("away", "hub", None, False)
    columns = level_columns(missing, source, source.facts, SETTINGS, NONE)
    assert columns["level"].isna().all()
    assert str(columns["level"].dtype) == "Int8"
    assert len(level_columns(missing, source, source.facts[:0], SETTINGS, NONE)) == 0


def test_ids_are_found_as_numbers():
    """Each id at its row, whatever the order; what is not there is told."""
    facts = source_of(5).facts.iloc[::-1].reset_index(drop=True)
    rows, there = Ids(facts).places(["0" * 15 + "5", "0" * 15 + "1", "f" * 16])
    assert there.tolist() == [True, True, False]
    assert rows[:2].tolist() == [0, 4]
    assert not Ids(facts[:0]).places(["f" * 16])[1].any()


def test_a_fact_asked_for_twice_has_its_levels_twice(tiny, workspace, store):
    """What is known of it is found for each row, and judging it again is not needed."""
    source = source_of(4)
    probe(tiny, source, source.facts, workspace)
    twice = pd.concat([source.facts, source.facts[1:3]])
    rows = stored_levels(CARD, source, twice, SETTINGS, NONE, stores=[store])
    pd.testing.assert_frame_equal(rows, oracle.levels_in(store, CARD, source, twice, SETTINGS, NONE), check_exact=True)
    before = sorted(workspace.root.rglob("*"))
    assert len(probe_facts(tiny, source, twice, SETTINGS, NONE, workspace)) == 6
    assert sorted(workspace.root.rglob("*")) == before
