"""Paired comparisons of runs, against numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from sftqa_core.evaluation.comparing import mean_over_seeds, paired_ratio
from sftqa_core.records import LevelScheme

TWO = LevelScheme("two", ("low", "high"), (0.5,))
IDS = [f"f{i}" for i in range(40)]
LEVELS = pd.Series([0] * 10 + [1] * 30, index=IDS)


def table(correct, texts=None):
    return pd.DataFrame({"fact_id": IDS[: len(correct)], "text": texts or [""] * len(correct), "correct": correct})


def scores(low, high):
    """So many of the 10 low and of the 30 high facts right."""
    return pd.Series([i < low for i in range(10)] + [i < high for i in range(30)], index=IDS, dtype=float)


def test_facts_are_averaged_over_seeds_by_id():
    """Right in one of two seeds is a half, however the rows are ordered; other facts are refused."""
    first, second = table([True, True, False]), table([True, False, False]).iloc[::-1]
    assert mean_over_seeds([first, second]).to_dict() == {"f0": 1.0, "f1": 0.5, "f2": 0.0}
    with pytest.raises(ValueError, match="tested on the same facts"):
        mean_over_seeds([first, first.head(2)])


def test_the_ratio_is_of_macro_means():
    """(.2 + .6) / 2 over (.4 + .6) / 2 is .8, though most facts are high ones."""
    ratio = paired_ratio(scores(2, 18), scores(4, 18), LEVELS, TWO)
    assert ratio.value == pytest.approx(0.8)
    assert ratio.low < 0.8 < ratio.high
    assert paired_ratio(scores(2, 18), scores(4, 18), LEVELS, TWO) == ratio
    plain = paired_ratio(scores(2, 18), scores(4, 18), None, TWO)
    assert plain.value == pytest.approx(20 / 22)


def test_pairing_makes_a_run_against_itself_certain():
    """The same facts are drawn for both sides, so a run is exactly 1 times itself in every resample."""
    ratio = paired_ratio(scores(3, 20), scores(3, 20), LEVELS, TWO)
    assert (ratio.value, ratio.low, ratio.high) == (1.0, 1.0, 1.0)


def test_the_ratio_to_the_best_finds_the_best_anew():
    """Two sizes of equal mean on different facts: against the best of each resample the upper end is 1, the lower below."""
    other = pd.Series(scores(5, 15).to_numpy()[::-1], index=IDS)
    mirrored = pd.Series([i >= 5 for i in range(10)] + [i >= 15 for i in range(30)], index=IDS, dtype=float)
    assert other.sum() == 20
    ratio = paired_ratio(scores(5, 15), {60: scores(5, 15), 240: mirrored}, LEVELS, TWO)
    assert ratio.value == 1.0
    assert ratio.high == 1.0
    assert ratio.low < 0.9


def test_the_bootstrap_has_the_width_of_theory():
    """For a denominator that is always right the ratio is a mean of shares, with the standard error of one."""
    ratio = paired_ratio(scores(5, 15), scores(10, 30), LEVELS, TWO, draws=20_000)
    error = np.sqrt(0.25 / 10 + 0.25 / 30) / 2
    assert ratio.value == 0.5
    assert ratio.high - ratio.low == pytest.approx(2 * 1.96 * error, rel=0.05)


def test_missing_levels_and_a_zero_denominator_give_no_ratio():
    """A level without facts is named; nothing is divided by zero."""
    assert paired_ratio(scores(1, 1), scores(1, 1), LEVELS * 0, TWO).missing == ("high",)
    assert paired_ratio(scores(1, 1), scores(0, 0), LEVELS, TWO).value is None
    with pytest.raises(ValueError, match="on the same test facts"):
        paired_ratio(scores(1, 1), scores(1, 1).head(3), LEVELS, TWO)
