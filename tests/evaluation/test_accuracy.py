"""Accuracy per level and domain, against numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from sftqa_core.evaluation.intervals import accuracy_by_level, wilson
from sftqa_core.records import LevelScheme

FOUR = LevelScheme("four", ("A", "B", "C", "D"), (0.0, 0.3, 0.6))


def tables(right_per_level, sizes, domain="in"):
    """Predictions, facts and levels with so many facts per level, so many of them right."""
    rows = [
        (f"{domain}{level}-{i}", level, i < right)
        for level, (right, n) in enumerate(zip(right_per_level, sizes, strict=True))
        for i in range(n)
    ]
    ids = [row[0] for row in rows]
    predictions = pd.DataFrame({"fact_id": ids, "stage": "after", "correct": [row[2] for row in rows]})
    facts = pd.DataFrame({"fact_id": ids, "domain": domain})
    return predictions, facts, pd.DataFrame({"fact_id": ids, "level": [row[1] for row in rows]})


def test_wilson_interval_matches_published_values():
    """Wilson 1927 at 95%: 5 of 10 is 0.2366 to 0.7634, 0 of 20 ends at 0.1611, 81 of 263 is 0.2553 to 0.3662."""
    assert wilson(5, 10) == pytest.approx((0.23659, 0.76341), abs=1e-5)
    assert wilson(0, 20) == (0.0, pytest.approx(0.16113, abs=1e-5))
    assert wilson(20, 20) == (pytest.approx(0.83887, abs=1e-5), 1.0)
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_levels_their_mean_and_the_natural_accuracy():
    """Shares 0, .1, .5, .8 and 1 have the macro mean .48, whatever the levels' sizes; natural accuracy counts facts."""
    predictions, facts, levels = tables([0, 1, 5, 8, 40], [20, 10, 10, 10, 40])
    found = accuracy_by_level(predictions, facts, levels, LevelScheme())["in"]
    assert [(row.level, row.n, row.correct, row.accuracy) for row in found.per_level] == [
        ("L0", 20, 0, 0.0),
        ("L1", 10, 1, 0.1),
        ("L2", 10, 5, 0.5),
        ("L3", 10, 8, 0.8),
        ("L4", 40, 40, 1.0),
    ]
    assert found.per_level[2].low == pytest.approx(0.23659, abs=1e-5)
    assert found.macro == pytest.approx(0.48)
    assert found.macro_levels == ("L0", "L1", "L2", "L3", "L4")
    assert (found.natural, found.natural_n) == (54 / 90, 90)
    assert (found.natural_low, found.natural_high) == pytest.approx(wilson(54, 90))


def test_the_macro_interval_has_the_width_of_a_mean_of_shares():
    """Away from 0 and 1 its width is that of a mean of independent binomial shares: 1.96 times the standard error."""
    predictions, facts, levels = tables([10, 50, 50, 80], [100, 100, 200, 100])
    found = accuracy_by_level(predictions, facts, levels, FOUR)["in"]
    error = np.sqrt(0.1 * 0.9 / 100 + 0.5 * 0.5 / 100 + 0.25 * 0.75 / 200 + 0.8 * 0.2 / 100) / 4
    assert found.macro == pytest.approx((0.1 + 0.5 + 0.25 + 0.8) / 4)
    assert found.macro_high - found.macro_low == pytest.approx(2 * 1.96 * error, rel=0.05)


def test_the_macro_interval_never_shrinks_to_a_point():
    """With every level all wrong or all right the interval still has the width that so few facts leave open."""
    predictions, facts, levels = tables([0, 0, 2, 3], [2, 5, 2, 3])
    found = accuracy_by_level(predictions, facts, levels, FOUR)["in"]
    assert found.macro == 0.5
    low = 0.5 - np.sqrt((1 - wilson(2, 2)[0]) ** 2 + (1 - wilson(3, 3)[0]) ** 2) / 4
    high = 0.5 + np.sqrt(wilson(0, 2)[1] ** 2 + wilson(0, 5)[1] ** 2) / 4
    assert (found.macro_low, found.macro_high) == pytest.approx((low, high))


def test_a_missing_level_makes_the_macro_mean_null():
    """Without facts of L2 there is no macro mean; the levels present are named and the natural accuracy stands."""
    predictions, facts, levels = tables([0, 1, 0, 1, 1], [2, 2, 0, 2, 2])
    found = accuracy_by_level(predictions, facts, levels, LevelScheme())["in"]
    assert (found.macro, found.macro_low, found.macro_high) == (None, None, None)
    assert found.macro_levels == ("L0", "L1", "L3", "L4")
    assert found.per_level[2].to_dict() == {"level": "L2", "n": 0, "correct": 0, "accuracy": None, "low": None, "high": None}
    assert found.natural == 3 / 8


def test_domains_stand_apart_and_an_empty_one_is_empty():
    """Out-of-domain facts do not count in-domain; a domain without facts has n = 0 and no shares."""
    predictions, facts, levels = tables([1, 1, 1, 1, 1], [1, 1, 1, 1, 1], "out")
    found = accuracy_by_level(predictions, facts, levels, LevelScheme())
    assert found["out"].macro == 1.0
    assert (found["in"].natural, found["in"].natural_n, found["in"].macro_levels) == (None, 0, ())


def test_facts_without_a_level_count_in_the_natural_accuracy_only():
    """A fact that was not probed is in no level but is still a test fact; without any levels there is only natural."""
    predictions, facts, levels = tables([2, 2, 2, 2, 2], [4, 4, 4, 4, 4])
    some = accuracy_by_level(predictions, facts, levels.head(18), LevelScheme())["in"]
    assert (some.per_level[4].n, some.natural_n, some.natural) == (2, 20, 0.5)
    none = accuracy_by_level(predictions, facts, None, LevelScheme())["in"]
    assert (none.macro_levels, none.natural) == ((), 0.5)


def test_stages_are_not_mixed():
    """Two stages in one table are a mistake of the caller."""
    predictions, facts, levels = tables([1], [2])
    with pytest.raises(ValueError, match="Accuracy is of one stage at a time, got after, before"):
        accuracy_by_level(pd.concat([predictions, predictions.assign(stage="before")]), facts, levels, FOUR)


def test_a_fact_counts_once():
    """A second answer to a fact, or a second row of it, is a mistake of the caller, too."""
    predictions, facts, levels = tables([1], [2])
    for answers, known in ((pd.concat([predictions, predictions.head(1)]), facts), (predictions, pd.concat([facts, facts.head(1)]))):
        with pytest.raises(ValueError, match="Accuracy counts each fact once"):
            accuracy_by_level(answers, known, levels, FOUR)


def test_answers_to_other_facts_are_left_out():
    """Only the given facts count, whatever else was asked."""
    predictions, facts, levels = tables([2, 1], [3, 3])
    found = accuracy_by_level(predictions, facts.tail(4), levels, FOUR)["in"]
    assert [(row.n, row.correct) for row in found.per_level] == [(1, 0), (3, 1), (0, 0), (0, 0)]
    assert (found.natural, found.natural_n) == (0.25, 4)
