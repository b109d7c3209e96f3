"""Intervals over facts and seeds, against numbers worked out by hand and against simulated studies."""

import math

import numpy as np
import pytest
from scipy.special import stdtrit
from scipy.stats import t

from sftqa_core.evaluation.comparing import corrected, crossed_difference
from sftqa_core.evaluation.intervals import two_way


def drawn(rng, facts, seeds, by_fact, by_seed, rest):
    """Paired differences [facts, seeds] around 0, with these standard deviations."""
    of_facts, of_seeds = rng.normal(0, by_fact, (facts, 1)), rng.normal(0, by_seed, (1, seeds))
    return of_facts + of_seeds + rng.normal(0, rest, (facts, seeds))


def covered(seeds, by_seed, studies=1_000, facts=40):
    """The share of simulated studies whose 95% interval holds the true mean, 0: over facts and seeds, and over facts alone."""
    rng, both, alone = np.random.default_rng(seeds), 0, 0
    for _ in range(studies):
        apart = drawn(rng, facts, seeds, 0.3, by_seed, 0.4)
        value, spread, dof = two_way([apart])
        both += abs(value) <= -stdtrit(dof, 0.025) * spread
        alone += abs(value) <= -stdtrit(facts - 1, 0.025) * apart.mean(axis=1).std(ddof=1) / math.sqrt(facts)
    return both / studies, alone / studies


def test_the_variance_is_facts_and_seeds_less_what_both_hold():
    """Four facts, three seeds, by hand: means of facts 1, 3, 5, 7 and of seeds 2, 4, 6, and a rest of 0.5 in a pattern of no mean."""
    rest = 0.5 * np.array([[1, -1, 0], [-1, 1, 0], [1, -1, 0], [-1, 1, 0]])
    value, spread, dof = two_way([np.array([[-3.0], [-1.0], [1.0], [3.0]]) + [[-2.0, 0.0, 2.0]] + rest + 4.0])
    facts, seeds, both = 20 / 3 / 4, 4 / 3, (8 * 0.25 / 6) / 12
    assert value == pytest.approx(4.0)
    assert spread**2 == pytest.approx(facts + seeds - both)
    assert dof == pytest.approx((facts + seeds - both) ** 2 / (facts**2 / 3 + seeds**2 / 2))


def test_levels_have_facts_of_their_own_and_share_the_seeds():
    """A seed that moves two levels apart moves no mean over levels; one that moves both alike does."""
    facts, seeds = np.arange(40.0)[:, None] / 40, np.array([[-1.0, 0.0, 1.0]])
    level = two_way([facts + 0 * seeds]).spread
    assert two_way([facts + seeds, facts - seeds]).spread == pytest.approx(level / math.sqrt(2))
    alike = two_way([facts + seeds, facts + seeds])
    assert alike.spread**2 == pytest.approx(level**2 / 2 + 1 / 3)
    assert alike.dof == pytest.approx(2, abs=0.1)


def test_seeds_that_agree_better_than_chance_make_no_narrower_interval_than_facts():
    """Where V(seeds) is below V(both) the facts' part stands alone."""
    apart = drawn(np.random.default_rng(0), 60, 3, 0.0, 0.0, 1.0)
    apart -= apart.mean(axis=0)
    value, spread, dof = two_way([apart])
    assert value == pytest.approx(0.0)
    assert spread == pytest.approx(apart.mean(axis=1).std(ddof=1) / math.sqrt(60))
    assert dof == pytest.approx(59)


@pytest.mark.parametrize("apart", [np.ones((50, 1)), np.ones((1, 3))])
def test_one_seed_or_one_fact_says_nothing_of_others(apart):
    """The standard error is infinite, p is 1, and the interval is all that a difference of shares can be."""
    assert two_way([apart]) == (1.0, math.inf, 0.0)
    (told,) = corrected([crossed_difference([apart])])
    assert (told.value, told.p, told.low, told.high) == (1.0, 1.0, -1.0, 1.0)
    assert told.verdict in ("cannot tell", "too few facts to tell")


@pytest.mark.parametrize(("seeds", "least"), [(3, 0.90), (5, 0.92)])
def test_intervals_hold_the_mean_whatever_seeds_do(seeds, least):
    """About 95 of 100 simulated studies with and without a seed effect (twice the facts' standard error); facts alone fail with one."""
    both, alone = covered(seeds, by_seed=0.0)
    assert 0.935 <= both <= 0.985
    assert alone >= 0.935
    facts = math.sqrt((0.3**2 + 0.4**2 / seeds) / 40)
    both, alone = covered(seeds, by_seed=2 * facts * math.sqrt(seeds))
    assert least <= both <= 0.97
    assert alone < 0.7


def test_a_crossed_comparison_follows_students_t():
    """p and the interval have the same degrees of freedom, so the interval leaves out 0 where p is below 5%."""
    apart = drawn(np.random.default_rng(3), 200, 3, 0.3, 0.05, 0.3) + 0.1
    value, spread, dof = two_way([apart])
    made = crossed_difference([apart])
    assert made.p == pytest.approx(2 * t.sf(value / spread, dof))
    (told,) = corrected([made])
    assert (told.low, told.high) == pytest.approx((value - t.isf(0.025, dof) * spread, value + t.isf(0.025, dof) * spread))
    assert (told.low > 0) == (made.p < 0.05)


def test_many_facts_are_quick():
    """200,000 facts with five seeds: their interval is that of the seeds."""
    apart = np.random.default_rng(4).normal(0, 1, (200_000, 5)) + np.array([[-0.2, -0.1, 0.0, 0.1, 0.2]])
    value, spread, dof = two_way([apart])
    assert spread == pytest.approx(math.sqrt(0.025 / 5), rel=0.05)
    assert (abs(value) < 0.02, dof) == (True, pytest.approx(4, abs=0.05))
