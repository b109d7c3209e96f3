"""Rows of files become facts (METHOD 8.4)."""

from sftqa_core.knowledge.tables.rows import Row, merge_rows


def row(subject: str, split: str, answers: list[str], relation: str = "P131", exposures: int | None = None) -> Row:
    return Row(relation, subject, answers, f"Where is {subject} located?", split, "in", exposures)


def test_rows_of_one_key_become_one_fact() -> None:
    """Answers are united in order, the spelling of the first row stays, the larger exposure counts."""
    merged = merge_rows([row("New  York", "train", ["a", "b"], exposures=2), row("New York", "train", ["b", "c"], exposures=5)])
    assert merged.merged == 1
    assert [(f["subject"], f["answers"], f["split"], f["exposures"]) for f in merged.facts] == [("New  York", ["a", "b", "c"], "train", 5)]


def test_the_strictest_split_takes_a_key() -> None:
    """A key in train, dev and test is a test fact; its train rows count as excluded."""
    merged = merge_rows(
        [row("A", "train", ["x"]), row("A", "train", ["y"]), row("A", "dev", ["x"]), row("A", "test", ["z"]), row("B", "dev", ["q"])]
    )
    assert [(f["subject"], f["split"]) for f in merged.facts] == [("A", "test"), ("B", "dev")]
    assert merged.facts[0]["answers"] == ["x", "y", "z"]
    assert (merged.merged, merged.excluded_from_train) == (3, 2)


def test_a_question_under_two_relations_does_not_leak() -> None:
    """A train fact whose question stands in dev, and a dev fact whose question stands in test, are not used."""
    merged = merge_rows(
        [
            row("A", "train", ["x"]),
            row("A", "dev", ["y"], "P276"),
            row("B", "dev", ["x"]),
            row("B", "test", ["x"], "P276"),
            row("C", "train", ["x"]),
        ]
    )
    assert [(f["relation"], f["subject"], f["split"]) for f in merged.facts] == [
        ("P131", "A", "none"),
        ("P276", "A", "dev"),
        ("P131", "B", "none"),
        ("P276", "B", "test"),
        ("P131", "C", "train"),
    ]
    assert merged.excluded_from_train == 1


def test_identical_questions_share_their_right_answers() -> None:
    """What is right under one relation is right under the other that asks the same; the fact's own comes first."""
    merged = merge_rows([row("A", "test", ["x"]), row("A", "test", ["y"], "P276")])
    assert [f["answers"] for f in merged.facts] == [["x", "y"], ["y", "x"]]


def test_unused_rows_stay_unused() -> None:
    """Rows marked none give facts that no split holds, and exclude no train rows."""
    merged = merge_rows([row("A", "none", ["x"]), row("B", "none", ["x"]), row("B", "train", ["x"])])
    assert [f["split"] for f in merged.facts] == ["none", "train"]
    assert merged.excluded_from_train == 0
