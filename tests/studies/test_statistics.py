"""Intervals and tests of studies against closed forms, other libraries and exact enumeration."""

import tracemalloc
from itertools import product

import numpy as np
import pytest
from scipy.stats import ttest_1samp
from statsmodels.stats.proportion import proportion_confint

from sftqa_core.evaluation import intervals as resampling
from sftqa_core.evaluation.intervals import by_level, holm, macro_resampled, mean_interval, percentiles, resampled
from sftqa_core.studies import statistics
from sftqa_core.studies.statistics import sign_flip
from tests.amount import FULL

Z2 = 1.959963984540054**2


def test_resampled_means_have_the_width_of_theory():
    """A share of .3 of 200 facts: the mean of the resamples is .3, their spread the standard error of a share."""
    draws = resampled((np.arange(200) < 60).astype(float)[:, None], draws=20_000)
    assert draws.shape == (20_000, 1)
    assert draws.mean() == pytest.approx(0.3, abs=0.001)
    assert draws.std() == pytest.approx(np.sqrt(0.3 * 0.7 / 200), rel=0.02)


def test_the_same_facts_are_drawn_for_all_settings():
    """Two settings that are right on opposite facts add up to 1 in every resample; equal ones are equal."""
    scores = np.random.default_rng(0).random(50) < 0.4
    draws = resampled(np.stack([scores, ~scores, scores], axis=1).astype(float))
    assert np.allclose(draws[:, 0] + draws[:, 1], 1)
    assert (draws[:, 0] == draws[:, 2]).all()
    assert draws[:, 0].std() > 0.05


def test_resampling_in_pieces_changes_nothing(monkeypatch):
    """Many facts are drawn a few resamples at a time; the numbers are those of all at once, and another seed's are others."""
    scores = np.random.default_rng(1).random((30, 2))
    whole = resampled(scores, draws=100)
    assert (resampled(scores, seed=1, draws=100) != whole).any()
    monkeypatch.setattr(resampling, "CELLS_AT_ONCE", 70)
    assert np.allclose(resampled(scores, draws=100), whole)


def test_a_huge_test_set_is_resampled_within_the_memory_that_is_allowed():
    """200,000 facts: the weights of a few resamples at a time."""
    tracemalloc.start()
    draws = resampled(np.ones((200_000, 1)), draws=40)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.allclose(draws, 1)
    assert peak < 150e6


def test_levels_are_groups_by_index_and_may_be_empty():
    """Facts of unknown level (-1) belong to none."""
    groups = by_level(np.arange(8.0).reshape(4, 2), np.array([2, -1, 0, 2]), 3)
    assert [group.tolist() for group in groups] == [[[4, 5]], [], [[0, 1], [6, 7]]]


def test_the_mean_over_levels_is_resampled_within_levels():
    """10 low facts at .5 and 1,000 high ones at .9: mean .7, and a spread that the few low ones make."""
    low, high = (np.arange(10) < 5).astype(float), (np.arange(1_000) < 900).astype(float)
    draws = macro_resampled([low[:, None], high[:, None]], draws=20_000)[:, 0]
    assert draws.mean() == pytest.approx(0.7, abs=0.002)
    assert draws.std() == pytest.approx(np.sqrt(0.25 / 10 + 0.09 / 1_000) / 2, rel=0.02)


def test_levels_are_drawn_independently_of_each_other():
    """Two levels of the same size do not rise and fall together: the variance of their mean is half of one's."""
    group = (np.arange(40) < 20).astype(float)[:, None]
    both, one = macro_resampled([group, group], draws=20_000), resampled(group, draws=20_000)
    assert both.var() / one.var() == pytest.approx(0.5, rel=0.05)


def test_percentiles_are_the_middle():
    """95% of 0 ... 1000 is 25 to 975; with the 5% shared between two, 12.5 to 987.5."""
    assert percentiles(np.arange(1001.0)) == (25.0, 975.0)
    assert percentiles(np.arange(1001.0), 0.025) == (12.5, 987.5)


@pytest.mark.parametrize(("right", "facts"), [(0, 40), (40, 40), (13, 40), (1, 1), (4_999, 5_000)])
def test_one_seed_has_wilsons_interval(right, facts):
    """The closed form, and statsmodels' number, never outside 0 to 1."""
    scores = (np.arange(facts) < right).astype(float)
    found = mean_interval(scores, 1, np.zeros(10))
    p, middle = right / facts, (right + Z2 / 2) / (facts + Z2)
    half = np.sqrt(Z2 * (p * (1 - p) * facts + Z2 / 4)) / (facts + Z2)
    assert found.value == p
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half), abs=1e-9)
    assert (found.low, found.high) == pytest.approx(proportion_confint(right, facts, method="wilson"), abs=1e-9)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_several_seeds_have_the_bootstrap_over_facts():
    """Facts that are right in one, two or three of three seeds: the resamples' percentiles, narrower than one seed's Wilson."""
    scores = np.tile([1 / 3, 2 / 3, 1.0], 30)
    draws = resampled(scores[:, None])[:, 0]
    found = mean_interval(scores, 3, draws)
    assert found.value == pytest.approx(2 / 3)
    assert (found.low, found.high) == percentiles(draws)
    assert found.high - found.low == pytest.approx(2 * 1.96 * scores.std() / np.sqrt(90), rel=0.1)


def test_all_right_and_all_wrong_still_leave_doubt():
    """Resampling shows none there, so Wilson's ends stand in: with 40 facts 40 / (40 + z^2) and z^2 / (40 + z^2)."""
    sure = mean_interval(np.ones(40), 3, np.ones(2_000))
    never = mean_interval(np.zeros(40), 3, np.zeros(2_000))
    assert (sure.value, sure.high, never.value, never.low) == (1.0, 1.0, 0.0, 0.0)
    assert sure.low == pytest.approx(40 / (40 + Z2))
    assert never.high == pytest.approx(Z2 / (40 + Z2))


def test_no_facts_have_no_mean():
    """Neither value nor interval."""
    found = mean_interval(np.empty(0), 3, np.empty(0))
    assert (found.value, found.low, found.high) == (None, None, None)


@pytest.mark.parametrize("size", [2, 3, 5, 8, 12])
def test_flipping_signs_is_exact_on_small_arrays(size):
    """All 2^n signs counted by hand give the same p, ties included; facts without a difference change nothing."""
    for seed in range(4):
        differences = np.random.default_rng(seed).choice([-1, -2 / 3, -1 / 3, 1 / 3, 2 / 3, 1], size=size)
        sums = np.array([np.dot(signs, differences) for signs in product((1, -1), repeat=size)])
        seen = differences.sum()
        expected = min(1.0, 2 * min((sums >= seen - 1e-9).mean(), (sums <= seen + 1e-9).mean()))
        assert sign_flip(differences) == pytest.approx(expected)
        assert sign_flip(np.concatenate([np.zeros(7), differences])) == pytest.approx(expected)


def test_flipping_signs_agrees_with_a_t_test_on_many_facts():
    """300 differences: within what 5,000 draws can say; the smallest p they can give is 2 in 5,001, the same each time."""
    differences = np.random.default_rng(0).normal(0.1, 1, size=300)
    assert sign_flip(differences) == pytest.approx(ttest_1samp(differences, 0).pvalue, abs=0.03)
    assert sign_flip(differences) == sign_flip(differences)
    assert sign_flip(np.ones(40)) == sign_flip(-np.ones(40)) == pytest.approx(2 / 5_001)


def test_nothing_that_differs_is_no_evidence():
    """p is 1 for equal settings and for no facts at all."""
    assert sign_flip(np.zeros(40)) == 1.0
    assert sign_flip(np.empty(0)) == 1.0


def test_one_fact_that_differs_says_nothing():
    """Both of its signs are as far from 0: p is 1."""
    assert sign_flip(np.array([0.0, 1.0, 0.0])) == 1.0


def test_many_differing_facts_stay_within_the_memory_that_is_allowed(monkeypatch):
    """3,000 facts that differ take no more memory than resampling them does, however many batches that takes."""
    if not FULL:
        monkeypatch.setattr(statistics, "PERMUTATIONS", 1_000)
    assert statistics.PERMUTATIONS > 2 * statistics.CELLS_AT_ONCE // (8 * 3_000)
    tracemalloc.start()
    sign_flip(np.random.default_rng(0).choice([-1.0, 1.0], size=3_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


def test_holm_multiplies_by_what_is_left_and_never_falls():
    """.01, .04, .03: three times the least, twice the next, and the last no less than that; at most 1; none for none."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.2]) == pytest.approx([0.2])
    assert holm([]) == []
