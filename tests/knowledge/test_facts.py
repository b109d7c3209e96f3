"""The fact table."""

from pathlib import Path

import pandas as pd
import pytest

from sftqa_core.errors import FactsError
from sftqa_core.knowledge.facts import (
    COLUMNS,
    FactSource,
    content_fingerprint,
    fact_id,
    fact_table,
    pick_facts,
    read_facts,
    summarise,
    write_facts,
)
from sftqa_core.knowledge.relations import builtin_relations


def row(subject: str, relation: str = "P17", split: str = "test", domain: str = "in", **more: object) -> dict:
    return {"relation": relation, "subject": subject, "answers": ["Iran"], "question": "Which?", "split": split, "domain": domain, **more}


def table(count: int = 30, relations: tuple[str, ...] = ("P17", "P19", "P26")) -> pd.DataFrame:
    return fact_table([row(f"Subject {n}", relation) for relation in relations for n in range(count)], "test")


def test_an_id_depends_on_source_relation_and_normalised_subject() -> None:
    """The same subject in another form or spacing is the same fact; another case, relation or source is not."""
    known = fact_id("s", "P17", "New York")
    assert len(known) == 16
    assert known == fact_id("s", "P17", " Ｎew\u00a0 York ")
    assert len({known, fact_id("s", "P17", "new york"), fact_id("s", "P19", "New York"), fact_id("t", "P17", "New York")}) == 4


def test_a_table_has_the_documented_columns_and_types() -> None:
    """Ids and flags are added, unknown columns dropped, optional ones kept and typed."""
    facts = fact_table([row("Iran Air", exposures=3, contested=True, odd=1), row("Hull", contested=None)], "test")
    assert list(facts.columns) == [*COLUMNS, "exposures", "contested"]
    assert facts["echo"].tolist() == [True, False]
    assert str(facts["exposures"].dtype) == "Int64"
    assert facts["exposures"].isna().tolist() == [False, True]
    assert facts["contested"].tolist() == [True, False]


def test_every_fault_of_a_table_is_told() -> None:
    """Bad cells and doubled facts are named by number and column."""
    with pytest.raises(FactsError) as caught:
        fact_table([row("a", split="train2"), row(" "), row("c", domain="inside")], "test")
    assert caught.value.problems == [
        "test, fact 2, subject: ' ' can't be used.",
        "test, fact 1, split: 'train2' can't be used.",
        "test, fact 3, domain: 'inside' can't be used.",
    ]
    with pytest.raises(FactsError, match="Fact P17, subject 'a': duplicate key"):
        fact_table([row("a"), row("a")], "test")
    with pytest.raises(FactsError, match="test holds no facts"):
        fact_table(pd.DataFrame(columns=list(row("a"))), "test")
    with pytest.raises(FactsError, match="have no column 'answers'"):
        fact_table([{"relation": "P17", "subject": "a", "question": "q", "split": "test", "domain": "in"}], "test")


def test_many_faults_are_cut_short() -> None:
    """A hopeless table fills no screen: twenty faults are told, the rest is counted."""
    with pytest.raises(FactsError) as caught:
        fact_table([row("a", split="x") for _ in range(100)], "test")
    assert len(caught.value.problems) == 21
    assert caught.value.problems[-1] == "... and 80 more."


def test_shared_subjects_are_flagged_out_of_domain_only() -> None:
    """An out-of-domain test fact is flagged when an in-domain train fact has its subject."""
    facts = fact_table(
        [row("Ann", split="train"), row("Ann", "P26", domain="out"), row("Bob", "P26", domain="out"), row("Ann", "P19")], "test"
    )
    assert facts["subject_in_train"].tolist() == [False, True, False, False]


def test_picking_more_only_adds() -> None:
    """The first 10 of 20 are the 10, spread evenly, whatever order the table is in."""
    facts = table()
    ten, twenty = pick_facts(facts, limit=10), pick_facts(facts, limit=20)
    assert twenty["fact_id"].tolist()[:10] == ten["fact_id"].tolist()
    assert sorted(ten["relation"].value_counts().tolist()) == [3, 3, 4]
    shuffled = facts.sample(frac=1, random_state=1)
    assert pick_facts(shuffled, limit=10)["fact_id"].tolist() == ten["fact_id"].tolist()
    assert pick_facts(facts, limit=10, seed=1)["fact_id"].tolist() != ten["fact_id"].tolist()


def test_picking_respects_split_domain_and_relation_limit() -> None:
    """Only facts of the split and domain come, at most so many of a relation."""
    facts = fact_table(
        [row("a"), row("b", "P26", domain="out"), row("c", split="train"), row("d", split="none"), row("e"), row("f")], "test"
    )
    assert set(pick_facts(facts, "test", "in")["subject"]) == {"a", "e", "f"}
    assert set(pick_facts(facts, "test", "all", per_relation=1)["relation"]) == {"P17", "P26"}
    assert set(pick_facts(facts, None)["subject"]) == {"a", "b", "c", "e", "f"}
    assert pick_facts(facts, "dev").empty


def test_a_stored_table_comes_back_the_same(tmp_path: Path) -> None:
    """Parquet and back changes nothing, answers stay lists."""
    facts = fact_table([row("a", exposures=2, rival="Iraq", rival_share=0.5), row("b", rival=None)], "test")
    write_facts(facts, tmp_path / "facts.parquet")
    back = read_facts(tmp_path / "facts.parquet")
    pd.testing.assert_frame_equal(back, facts)
    assert back["answers"].tolist() == [["Iran"], ["Iran"]]


def test_a_source_is_large_above_ten_thousand_facts() -> None:
    """Large sources are tested on 100 facts a relation by default, small ones on all."""
    relations = {"P17": builtin_relations()["P17"]}
    small = table(10, ("P17",))
    source = FactSource("s", small, relations, summarise("s", small), "f")
    assert (source.large, source.test_limit) == (False, None)
    assert source.report.relations == {"P17": {"train": 0, "dev": 0, "test": 10}}
    many = pd.concat([small] * 1001)
    assert FactSource("s", many, relations, source.report, "f").test_limit == 100


def test_the_fingerprint_changes_with_content_and_wording() -> None:
    """Another answer or another template gives another fingerprint; the same content the same one."""
    facts, relations = table(3, ("P17",)), {"P17": builtin_relations()["P17"]}
    known = content_fingerprint(facts, relations)
    assert known == content_fingerprint(table(3, ("P17",)), relations)
    assert known != content_fingerprint(facts, {"P17": builtin_relations()["P19"]})
    changed = facts.assign(answers=pd.Series([["Iran"], ["Iran"], ["Iraq"]]))
    assert known != content_fingerprint(changed, relations)
