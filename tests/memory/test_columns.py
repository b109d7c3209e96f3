"""Levels column by column say what levels fact by fact say."""

import numpy as np
import pandas as pd
import pytest

from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.memory.columns import Ids, level_columns, numbers
from sftqa_core.memory.probing import probe_facts
from sftqa_core.memory.profiles import open_for
from sftqa_core.memory.stored import levels_in, stored_levels
from sftqa_core.memory.stores import CompletionStore
from sftqa_core.memory.tables import LEVELS
from sftqa_core.models.catalogue import find_model
from sftqa_core.records import LevelScheme, ModelCard, ProbeSettings, SamplerSettings
from sftqa_core.workspace import Workspace
from tests.memory.memory_world import knowing_sampler, source_of

SETTINGS = ProbeSettings("tiny", "test", scheme=LevelScheme(sampling=SamplerSettings(samples=10, max_new_tokens=6)))
NONE = Aliases()
CARD = ModelCard("tiny", "folder", "somewhere", True, details={"corpus": {"seen_templates": {"P19": [0]}}})


def same(columns: pd.DataFrame, expected: pd.DataFrame, facts: pd.DataFrame) -> None:
    """Every column of LEVELS, fact by fact, and nothing where nothing is expected."""
    wanted = expected.set_index("fact_id").reindex(facts["fact_id"])
    assert list(columns) == list(LEVELS[1:])
    assert len(columns) == len(facts)
    for name in LEVELS[1:-1]:
        values = [column[name].astype("float64").to_numpy(na_value=np.nan) for column in (columns, wanted)]
        np.testing.assert_allclose(*values, rtol=1e-6, atol=1e-6, err_msg=name)
    for found, hits in zip(columns["hits_per_template"], wanted["hits_per_template"], strict=True):
        assert (found is pd.NA) == (not isinstance(hits, list))
        assert found is pd.NA or [round(float(value), 4) for value in found] == [round(float(value), 4) for value in hits]


@pytest.fixture
def store(tiny, workspace) -> CompletionStore:
    return CompletionStore.of(tiny.fingerprint.to_dict(), SETTINGS.scheme.sampling, workspace)


def probe(tiny, source, facts, workspace):
    probe_facts(tiny, source, facts, SETTINGS, NONE, workspace, sampler=knowing_sampler(tiny, source))


def check(store, source, facts, aliases=NONE):
    columns = level_columns(CARD, source, facts, SETTINGS, aliases, stores=[store])
    same(columns, levels_in(store, CARD, source, facts, SETTINGS, aliases), facts)
    return columns


@pytest.mark.parametrize("method", ["sampling", "adaptive", "likelihood"])
def test_shipped_levels_are_the_same_column_by_column(method):
    """All of atlas in another order: known facts have every number that `stored_levels` has, the others none."""
    source, card = open_for("atlas-llama", "atlas"), find_model("atlas-llama")
    facts = source.facts.sample(600, random_state=1)
    settings = ProbeSettings("atlas-llama", "atlas", "all", scheme=LevelScheme(method=method))
    columns = level_columns(card, source, facts, settings)
    same(columns, stored_levels(card, source, facts, settings), facts)
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
    """Of two devices, as `stored_levels` does."""
    source = source_of(8)
    probe(tiny, source, source.facts[:3], workspace)
    few = CompletionStore.of(tiny.fingerprint.to_dict(), SETTINGS.scheme.sampling, workspace)
    elsewhere = Workspace(workspace.root / "other", workspace.shipped)
    probe(tiny, source, source.facts[2:], elsewhere)
    many = CompletionStore.of(tiny.fingerprint.to_dict(), SETTINGS.scheme.sampling, elsewhere)
    for stores in ([few, many], [many, few]):
        columns = level_columns(CARD, source, source.facts, SETTINGS, NONE, stores=stores)
        assert columns["level"].notna().tolist() == [False] * 2 + [True] * 6


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
    rows, there = Ids(facts).places(numbers(["0" * 15 + "5", "0" * 15 + "1", "f" * 16]))
    assert there.tolist() == [True, True, False]
    assert rows[:2].tolist() == [0, 4]
    assert not Ids(facts[:0]).places(numbers(["f" * 16]))[1].any()
