"""Kappa with linear weights, its bootstrap over facts, and what becomes of both where there is little to compare."""

import json

import numpy as np
import pandas as pd
import pytest

from sftqa_core.memory.agreement import (
    agreement,
    confusion_of,
    kappa_difference,
    kappa_interval,
    mean_difference,
    spearman,
    weighted_kappa,
)
from sftqa_core.records import Agreement, LevelScheme

THREE = LevelScheme("three", ("a", "b", "c"), (0.0, 0.5))


def levels(entries):
    return pd.DataFrame(entries, columns=["fact_id", "score", "level"])


def noisy(facts, seed, wrong):
    """Levels 0 to 4 of facts, and the same with a share of them moved to a level of chance."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 5, facts)
    return first, np.where(rng.random(facts) < wrong, rng.integers(0, 5, facts), first)


def test_kappa_is_that_of_the_textbook():
    """Equal margins: 4 of 15 facts are one level apart, 8/9 of a level by chance; 1 - (4/15) / (8/9) = 0.7."""
    assert weighted_kappa([[4, 1, 0], [1, 3, 1], [0, 1, 4]]) == pytest.approx(0.7)


def test_kappa_weighs_two_levels_apart_twice():
    """Rows 4, 4, 2 and columns 2, 4, 4: distance 2 x 2 / 10 = 0.4, by chance (16 + 2 x 16 + 8 + 16 + 2 x 4 + 8) / 100 = 0.88."""
    confusion = np.array([[2, 0, 2], [0, 4, 0], [0, 0, 2]])
    assert weighted_kappa(confusion) == pytest.approx(1 - 0.4 / 0.88)
    assert weighted_kappa(confusion.T) == pytest.approx(1 - 0.4 / 0.88)


def test_kappa_of_many_tables_is_that_of_each():
    """Leading axes are a batch, and the number of facts does not matter."""
    tables = np.array([[[4, 1, 0], [1, 3, 1], [0, 1, 4]], [[5, 0, 0], [0, 5, 0], [0, 0, 5]], [[0, 0, 5], [0, 5, 0], [5, 0, 0]]])
    assert weighted_kappa(np.stack([tables, 100 * tables])).shape == (2, 3)
    # Reversed levels: distance 4/3 against 8/9 by chance.
    np.testing.assert_allclose(weighted_kappa(np.stack([tables, 100 * tables])), [[0.7, 1, -0.5]] * 2)


def test_kappa_is_undefined_only_where_chance_could_not_err():
    """No facts, or all on one same level, give NaN; one level by one way and others by the other give 0."""
    assert np.isnan(weighted_kappa([[[0, 0], [0, 0]], [[7, 0], [0, 0]]])).all()
    assert weighted_kappa([[[0, 7], [0, 0]], [[3, 4], [0, 0]]]).tolist() == [0, 0]


def test_spearman_gives_ties_their_mean_rank():
    """Ranks 1.5, 1.5, 3, 4 and 1, 2.5, 2.5, 4 correlate with 3.75 / 4.5; a constant has no rank to speak of."""
    assert spearman([0, 0, 1, 2], [0, 1, 1, 2]) == pytest.approx(3.75 / 4.5)
    assert spearman([1, 2, 3], [1, 8, 9]) == pytest.approx(1)
    assert np.isnan([spearman([1, 1, 1], [1, 2, 3]), spearman([], [])]).all()


def test_facts_are_compared_by_id():
    """Order does not matter, and a fact that only one table holds is left out."""
    reference = levels([("x", 0.0, 0), ("y", 0.4, 1), ("z", 0.9, 2), ("only", 0.9, 2)])
    other = levels([("z", 0.8, 2), ("other", 0.0, 0), ("y", 0.9, 2), ("x", 0.0, 0)])
    found = agreement(reference, other, THREE)
    assert (found.facts, found.same, found.labels) == (3, pytest.approx(2 / 3), ("a", "b", "c"))
    assert found.confusion == ((1, 0, 0), (0, 0, 1), (0, 0, 1))
    assert found.kappa == pytest.approx(2 / 3)  # distance 1/3; by chance, rows 1, 1, 1 and columns 1, 0, 2: (4 + 3 + 2) / 9 = 1
    assert found.spearman == pytest.approx(0.5)  # ranks 1, 2, 3 and 1, 3, 2
    assert Agreement.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_a_fact_named_twice_is_refused():
    """A table with the same fact twice would count it twice over."""
    twice = levels([("x", 0.0, 0), ("x", 0.4, 1)])
    with pytest.raises(pd.errors.MergeError):
        agreement(twice, twice, THREE)


def test_a_level_that_the_scheme_lacks_is_refused():
    """Level 4 of five has no cell among three."""
    table = levels([("x", 0.0, 0), ("y", 0.9, 4)])
    with pytest.raises(ValueError, match="invalid entry"):
        agreement(table, table, THREE)


@pytest.mark.parametrize("facts", [0, 1])
def test_fewer_than_two_facts_agree_on_nothing(facts):
    """The facts are counted, and every measure is None."""
    table = levels([("x", 0.4, 1)][:facts])
    found = agreement(table, table, THREE)
    assert found == Agreement(("a", "b", "c"), facts, None, None, None, None, None, ((0, 0, 0), (0, facts, 0), (0, 0, 0)))


def test_one_level_only_has_no_kappa():
    """All facts on one same level: they agree, but kappa and Spearman have nothing to go by."""
    table = levels([("x", 0.0, 0), ("y", 0.0, 0)])
    found = agreement(table, table, THREE)
    assert (found.same, found.kappa, found.kappa_low, found.kappa_high, found.spearman) == (1, None, None, None, None)


def test_the_interval_holds_kappa_and_narrows_with_facts():
    """Sixteen times the same facts: the same kappa, an interval a quarter as wide, the same with the same seed."""
    first, second = noisy(300, 0, 0.3)
    confusion = confusion_of(first, second, 5)
    kappa = float(weighted_kappa(confusion))
    low, high = kappa_interval(confusion, np.random.default_rng(0))
    narrow_low, narrow_high = kappa_interval(16 * confusion, np.random.default_rng(0))
    assert low < narrow_low < kappa < narrow_high < high
    assert (narrow_high - narrow_low) / (high - low) == pytest.approx(1 / 4, rel=0.1)
    assert kappa_interval(16 * confusion, np.random.default_rng(1), facts=300) == pytest.approx((low, high), abs=0.01)
    assert kappa_interval(confusion, np.random.default_rng(0)) == (low, high)


def test_the_interval_is_a_bootstrap_over_facts():
    """Drawing cells gives the interval that drawing the facts themselves does."""
    first, second = noisy(200, 1, 0.4)
    rows = np.random.default_rng(2).integers(0, 200, (2000, 200))
    drawn = weighted_kappa([confusion_of(first[row], second[row], 5) for row in rows])
    found = kappa_interval(confusion_of(first, second, 5), np.random.default_rng(0))
    assert found == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.012)


def test_full_agreement_has_an_interval_without_width():
    """Facts that all agree show no doubt, however often they are drawn anew."""
    assert kappa_interval(np.diag([5, 5]), np.random.default_rng(0)) == (1, 1)


def test_a_difference_of_kappas_is_paired():
    """Of two ways with correlated errors the interval is far narrower than of two independent ones, and holds the value."""
    full, noise = noisy(1000, 0, 0.3)
    better = np.where(np.arange(1000) < 20, full, noise)
    value, low, high = kappa_difference(noise, full, better, 5)
    worse_table, better_table = confusion_of(noise, full, 5), confusion_of(full, better, 5)
    alone = kappa_interval(worse_table, np.random.default_rng(0))
    assert value == pytest.approx(float(weighted_kappa(worse_table) - weighted_kappa(better_table)))
    assert low <= value <= high
    assert high - low < (alone[1] - alone[0]) / 3
    assert kappa_difference(noise, full, noise, 5) == (0, 0, 0)


def test_a_difference_has_the_first_ways_sign():
    """A way that equals the full probe beats a second probe that errs; both orders mirror each other."""
    full, noise = noisy(500, 3, 0.2)
    value, low, high = kappa_difference(full, full, noise, 5, seed=1)
    assert 0 < low < value < high
    assert value == pytest.approx(1 - float(weighted_kappa(confusion_of(full, noise, 5))))
    assert kappa_difference(noise, full, full, 5)[0] == pytest.approx(-value)
    assert kappa_difference(full, full, noise, 5, seed=1) == (value, low, high)


def test_a_difference_narrows_with_facts():
    """Four times the facts halve the interval."""
    full, noise = noisy(400, 4, 0.3)
    few, many = kappa_difference(full, full, noise, 5), kappa_difference(*np.tile((full, full, noise), 4), 5)
    assert (many[2] - many[1]) / (few[2] - few[1]) == pytest.approx(1 / 2, rel=0.1)


@pytest.mark.parametrize("level", [[], [0], [2, 2, 2]])
def test_a_difference_without_kappas_is_not_a_number(level):
    """No facts, one fact or one level only leave nothing to subtract."""
    assert np.isnan(kappa_difference(level, level, level, 3)).all()
    assert np.isnan(kappa_difference([0], [1], [2], 3)).all()


def test_scores_that_lie_apart_are_told_with_their_interval():
    """Differences 0.1, 0.2 and 0.3: mean 0.2, and 0.1 / sqrt(3) times Student's 4.303 for two degrees of freedom to both sides."""
    mean, low, high = mean_difference([0.0, 0.5, 0.6], [0.1, 0.7, 0.9])
    assert (mean, low, high) == (pytest.approx(0.2), pytest.approx(-0.04841, abs=1e-5), pytest.approx(0.44841, abs=1e-5))
    table, other = (levels([(name, score, 1) for name, score in rows]) for rows in ([("x", 0.2), ("y", 0.4)], [("y", 0.3), ("x", 0.1)]))
    found = agreement(table, other, THREE)
    assert (found.score_difference, found.score_low, found.score_high) == tuple(pytest.approx(-0.1) for _ in range(3))
    assert np.isnan(mean_difference([0.5], [0.7])).all()
