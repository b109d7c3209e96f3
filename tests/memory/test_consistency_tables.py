"""Tables of consistency: shares with their facts and intervals, planted rivals beside chance, before and after."""

import math

import numpy as np
import pandas as pd
import pytest

from sftqa_core.memory import consistency_tables as tables
from sftqa_core.memory.shares import share_interval

LABELS = ("L0", "L1", "L2", "L3", "L4")


def table_of(*rows: tuple) -> pd.DataFrame:
    """CONSISTENCY with levels, as far as the tables look: level, kind, right, modal_share, agreement, entropy."""
    table = pd.DataFrame(rows, columns=["level", "kind", "right", "modal_share", "agreement", "entropy"])
    return table.assign(fact_id=[f"{at:016x}" for at in range(len(rows))], modal="x", relation="P19", score=0.5)


FOUR = table_of(
    (0, "rival", False, 0.9, 0.8, 0.5),
    (2, "torn", True, 0.5, 0.4, 1.0),
    (4, "settled", True, 0.95, np.nan, 0.1),
    (1, "", False, 0.0, np.nan, np.nan),
)


def test_each_level_has_its_facts_kinds_shares_and_means():
    """By level, between the lowest and the highest, and over all; a fact without an answer counts nowhere."""
    found = tables.by_level(FOUR, LABELS).set_index("level")
    assert found.index.tolist() == [*LABELS, "between", "all"]
    assert found["facts"].tolist() == [1, 0, 1, 0, 1, 1, 3]
    assert found.loc["all", ["settled", "torn", "rival", "vague"]].tolist() == [1, 1, 1, 0]
    assert found.at["all", "right_share"] == pytest.approx(2 / 3)
    assert (found.at["all", "right_low"], found.at["all", "right_high"]) == pytest.approx(tuple(map(float, share_interval(2, 3))))
    assert (found.at["all", "sure_wrong"], found.at["L0", "sure_wrong_share"]) == (1, 1.0)
    assert found.at["all", "agreement"] == pytest.approx(0.6)  # of the two that have one
    assert found.at["all", "entropy"] == pytest.approx(1.6 / 3)
    assert math.isnan(found.at["L1", "right_share"])


def test_a_scheme_of_three_levels_has_no_row_between():
    """One level between is that level."""
    assert tables.by_level(FOUR.iloc[:2], ("a", "b", "c"))["level"].tolist() == ["a", "b", "c", "all"]


def test_sure_and_wrong_is_above_three_quarters():
    """A share of exactly 0.75 is not."""
    table = table_of((0, "rival", False, 0.75, 1, 1), (0, "rival", False, 0.7501, 1, 1), (0, "settled", True, 1.0, 1, 0))
    assert tables.sure_and_wrong(table).tolist() == [False, True, False]


def test_reliability_counts_by_tenths_that_hold_their_upper_end():
    """0.2 is of the tenth up to 0.2, whatever rounding did to it."""
    table = table_of((1, "vague", True, 42 / 210, 0, 2), (1, "vague", False, 0.1 + 0.1, 0, 2), (1, "vague", True, 0.201, 0, 2))
    found = tables.reliability(table)
    assert found[["from_share", "to_share", "facts", "right"]].values.tolist() == [[0.1, 0.2, 2, 1], [0.2, 0.3, 1, 1]]
    assert found["right_share"].tolist() == [0.5, 1.0]
    assert len(tables.reliability(FOUR.iloc[3:])) == 0


def planted(count: int = 40, named: int = 30) -> pd.DataFrame:
    """Contested facts with a rival each; the first `named` have it for their commonest answer, the others some other word."""
    rows = table_of(*((1, "rival", False, 0.8, 1.0, 0.5) for _ in range(count)))
    rivals = [f"Rival {at % 10}" for at in range(count)]
    modal = [name.upper() if at < named else "nobody" for at, name in enumerate(rivals)]
    return rows.assign(contested=True, rival=rivals, modal=modal)


def test_planted_rivals_are_counted_with_an_interval_and_beside_chance():
    """30 of 40 name theirs; of the other 39 facts 3 have the same rival, which chance would give to each of the 30."""
    found = tables.rivals(planted(), LABELS, str.casefold).set_index("part")
    every = found.loc["all"]
    assert (every["facts"], every["rival"], every["rival_share"]) == (40, 30, 0.75)
    assert (every["rival_low"], every["rival_high"]) == pytest.approx(tuple(map(float, share_interval(30, 40))))
    assert every["chance"] == pytest.approx(0.75 * 3 / 39)
    assert (
        found.at["L1", "facts"] == found.at["between", "facts"] == found.at["rival", "facts"] == found.at["sure and wrong", "facts"] == 40
    )
    assert found.at["L0", "facts"] == 0
    assert math.isnan(found.at["L0", "rival_share"])


def test_right_and_uncontested_facts_are_no_evidence_of_rivals():
    """Only contested facts whose commonest answer is wrong are counted; without contested facts there is no table."""
    table = planted()
    table.loc[:9, "right"] = True
    table.loc[10:14, "contested"] = False
    assert tables.rivals(table, LABELS, str.casefold).set_index("part").at["all", "facts"] == 25
    assert tables.rivals(table.assign(contested=False), LABELS, str.casefold) is None
    assert tables.rivals(FOUR, LABELS, str.casefold) is None


def test_changes_are_paired_by_fact():
    """Shares and means before and after on the facts with an answer in both, with the interval of their difference."""
    before = table_of(*((1, "rival", False, 0.8, 0.5, 1.0) for _ in range(40)), (1, "settled", True, 1.0, 1.0, 0.0))
    after = before.assign(fact_id=before["fact_id"])
    after.loc[:19, ["right", "kind"]] = [True, "settled"]
    after.loc[40, "kind"] = ""  # says nothing any more
    found = tables.changes(before, after).set_index("measure")
    assert found["facts"].unique().tolist() == [40]
    assert found.loc["right", ["before", "after", "difference"]].tolist() == [0.0, 0.5, 0.5]
    half = 2.0226909 * math.sqrt(0.25 * 40 / 39) / math.sqrt(40)  # Student's t of 39 degrees of freedom
    assert found.at["right", "low"] == pytest.approx(0.5 - half, abs=1e-6)
    assert found.loc["sure_wrong", ["before", "after"]].tolist() == [1.0, 0.5]
    assert found.loc["rival", "difference"] == -0.5
    assert found.loc["entropy", ["difference", "low", "high"]].tolist() == [0.0, 0.0, 0.0]


def test_one_common_fact_has_no_difference():
    """Too few facts give no numbers, and no error."""
    found = tables.changes(FOUR.iloc[:1], FOUR.iloc[:1])
    assert found["facts"].tolist() == [1] * 8
    assert found["difference"].isna().all()
    assert found["before"].isna().all()
