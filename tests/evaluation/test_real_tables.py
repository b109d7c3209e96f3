"""Tables of real models from small made-up levels and answers: counts, Wilson's intervals, what agreement leaves open."""

from __future__ import annotations

import pandas as pd
import pytest

from sftqa_core.evaluation import real_tables
from sftqa_core.evaluation.intervals import wilson
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.memory.agreement import cross_table
from sftqa_core.records import SLICK, Agreement, LevelScheme

LABELS = LevelScheme().labels
ANSWERS = {
    real_tables.PLAIN: pd.DataFrame({0: [1.0, 0.0, 0.0, 1.0]}, index=["a", "b", "c", "d"]),
    real_tables.SHOWN: pd.DataFrame({0: [1.0, 1.0, 0.0, 1.0], 1: [1.0, 0.0, 0.0, 0.0]}, index=["a", "b", "c", "d"]),
}
COMMON = pd.Series([True, False, False, False, True], index=["a", "b", "c", "d", "e"])


def test_levels_are_counted_by_domain_and_by_relation():
    """Every level has a row, also where no fact lies on it; the interval is Wilson's."""
    facts = pd.DataFrame({"domain": ["in", "in", "out"], "relation": ["P17", "P36", "P26"], "level": [0, 2, 0]})
    table = real_tables.level_shares("m", "full probe", facts, LABELS)
    assert len(table) == (2 + 3) * 5
    inside = table[(table["by"] == "domain") & (table["group"] == "in")].set_index("level")
    assert inside["facts"].tolist() == [1, 0, 1, 0, 0]
    assert inside["of"].tolist() == [2] * 5
    assert inside.loc["L2", ["share", "low", "high"]].tolist() == pytest.approx([0.5, *wilson(1, 2)])
    assert table[table["group"] == "P26"]["domain"].unique().tolist() == ["out"]


def test_agreement_tells_known_from_not_known_apart():
    """On the same level: the diagonal; known by both or by neither: the corner, and all that lies off its row and column."""
    found = Agreement(("L0", "L1", "L2"), 100, 0.8, 0.5, 0.4, 0.6, 0.7, ((60, 5, 0), (10, 15, 3), (0, 2, 5)))
    (row,) = real_tables.agreement_row("m", "likelihood", found).to_dict("records")
    assert (row["facts"], row["same_level"], row["kappa"]) == (100, 0.8, 0.5)
    assert row["same_known"] == pytest.approx((60 + 15 + 3 + 2 + 5) / 100)
    assert (row["low"], row["high"]) == pytest.approx(wilson(80, 100))


def test_slicks_levels_are_compared_by_their_order_alone():
    """Kendall's tau, and what both call known; no share on the same level, which they have not."""
    own = pd.DataFrame({"fact_id": list("abcd"), "level": [0, 0, 1, 4]})
    slick = pd.DataFrame({"fact_id": list("abcd"), "level": [0, 1, 2, 3]})
    (row,) = real_tables.slick_row("m", cross_table(own, slick, LevelScheme(), SLICK)).to_dict("records")
    assert (row["compared"], row["facts"], row["same_known"]) == ("SliCK's prompts", 4, 0.75)
    assert row["same_level"] != row["same_level"]  # NaN: a column of numbers stays one
    assert row["tau"] > 0.9


def test_what_is_answered_at_a_level_averages_seeds_and_counts_the_commonest_object():
    """Of L0's facts a and b: plainly one is right, and it is the commonest object; with examples a always, b in one seed of two."""
    levels = pd.Series({"a": 0, "b": 0, "c": 1, "e": 0})
    table = real_tables.asked_by_level("m", "likelihood", levels, ANSWERS, COMMON, LABELS)
    plain, shown = table[table["level"] == "L0"].to_dict("records")
    assert (plain["facts"], plain["seeds"], plain["right_answers"], plain["common_answers"]) == (2, 1, 1.0, 1.0)
    assert (plain["low"], plain["high"]) == pytest.approx(wilson(1, 2))
    assert (shown["seeds"], shown["right_answers"], shown["common_answers"], shown["accuracy"]) == (2, 1.5, 1.0, 0.75)
    assert table["level"].unique().tolist() == ["L0", "L1"]  # no fact of another level was asked


def test_shares_of_the_commonest_object_are_by_domain_and_together():
    """A domain without facts has no share."""
    table = real_tables.majority_shares("m", "right answers", pd.Series({"a": "in", "b": "in"}), COMMON).set_index("domain")
    assert table["facts"].tolist() == [2, 0, 2]
    assert table.loc["in", ["common_answers", "share"]].tolist() == [1, 0.5]
    assert table.loc["out", ["share", "low", "high"]].isna().all()


def test_the_commonest_object_is_that_of_the_train_facts():
    """Test facts that it answers, by their ids."""
    rows = [
        ("t1", "train", ["Oslo"]),
        ("t2", "train", ["Oslo"]),
        ("t3", "train", ["Rome"]),
        ("x", "test", ["Oslo"]),
        ("y", "test", ["Rome"]),
    ]
    facts = pd.DataFrame(rows, columns=["fact_id", "split", "answers"]).assign(relation="P36")
    common = real_tables.commonest(facts[facts["split"] == "test"], facts, "tokens", Aliases([]))
    assert common.to_dict() == {"x": True, "y": False}
