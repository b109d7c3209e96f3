"""Paired comparisons of runs, against numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from sftqa_core.evaluation.comparing import Flips, flip_counts, flips, mcnemar, mean_over_seeds, paired_ratio, smallest_sufficient_n
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


def test_the_smallest_sufficient_n():
    """Macro means .50, .95 and 1: the best is 960, 95% of it is reached by 240, and all resamples agree on that."""
    found = smallest_sufficient_n({960: scores(10, 30), 60: scores(5, 15), 240: scores(9, 30)}, LEVELS, TWO, share=0.94)
    assert (found.n, found.best) == (240, 960)
    assert found.macro == {60: 0.5, 240: 0.95, 960: 1.0}
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.shares[60] == 0.0
    assert found.shares[240] > 0.5  # lost where two or more of the ten low facts drawn are the one it misses
    assert smallest_sufficient_n({60: scores(1, 1)}, LEVELS * 0, TWO).missing == ("high",)


def test_flips_are_counted_per_level():
    """Kept, lost, gained and still wrong, with what was said before and after; every level has a row."""
    before = table([True, True, False, False, True], ["a", "b", "c", "d", "e"])
    after = table([True, False, True, False, True], ["A", "B", "C", "D", "E"]).iloc[::-1]
    found = flips(before, after)
    assert found["outcome"].to_list() == ["kept", "lost", "gained", "still wrong", "kept"]
    assert found.loc[1, ["text_before", "text_after"]].to_list() == ["b", "B"]
    counts = flip_counts(found, LEVELS, TWO)
    assert counts.loc["low"].to_dict() == {"kept": 2, "lost": 1, "gained": 1, "still wrong": 1}
    assert counts.loc["high"].sum() == 0


def test_mcnemar_is_the_exact_binomial():
    """Nine gained and one lost: p = 2 * (1 + 10) / 2^10; without flips it is 1."""
    before = table([True] * 5 + [False] * 15 + [True])
    after = table([True] * 5 + [True] * 9 + [False] * 6 + [False])
    assert mcnemar(before, after) == Flips(9, 1, pytest.approx(22 / 1024))
    assert mcnemar(before, before) == Flips(0, 0, 1.0)
