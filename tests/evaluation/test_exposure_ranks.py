"""Rank correlations of counts and memory score, whole and given the subject's count: known values, and where nothing can be told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sftqa_core.evaluation.exposure_ranks import exposure_ranks, ranks_words
from sftqa_core.evaluation.intervals import partial_spearman, spearman_interval


def crossed(groups: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two measures that both rise with a third one, and within each of its values are crossed: nothing is left of their correlation."""
    given = np.repeat(np.arange(groups, dtype=float), 4)
    one, other = given + np.tile([-0.2, -0.2, 0.2, 0.2], groups), given + np.tile([-0.2, 0.2, -0.2, 0.2], groups)
    return one, other, given


def test_nothing_is_left_of_a_correlation_that_a_third_measure_makes():
    """Whole it is nearly 1; given the third it is 0, and its interval lies around that."""
    one, other, given = crossed()
    assert spearman_interval(one, other).value == pytest.approx(0.9975, abs=1e-3)
    value, low, high = partial_spearman(one, other, given)
    assert value == pytest.approx(0, abs=1e-12)
    assert low == pytest.approx(-high)
    assert high == pytest.approx(np.tanh(1.959964 / np.sqrt(80 - 4)), abs=1e-6)


def test_it_is_the_correlation_of_what_a_line_in_the_ranks_leaves():
    """By hand, with least squares, on numbers with ties; counts and their logarithms have the same ranks."""
    draw = np.random.default_rng(5)
    given = draw.integers(0, 12, 200).astype(float)
    one = np.floor(np.exp(given / 3 + draw.normal(0, 1, 200)))
    other = given * 0.3 + np.log1p(one) + draw.normal(0, 2, 200).round(1)
    ranks = [pd.Series(values).rank().to_numpy() for values in (one, other, given)]
    line = np.column_stack([np.ones(200), ranks[2]])
    left = [values - line @ np.linalg.lstsq(line, values, rcond=None)[0] for values in ranks[:2]]
    expected = np.corrcoef(*left)[0, 1]
    assert 0.1 < abs(expected) < 0.9
    assert partial_spearman(one, other, given).value == pytest.approx(expected, abs=1e-12)
    assert partial_spearman(np.log1p(one), other, given).value == pytest.approx(expected, abs=1e-12)
    assert spearman_interval(one, other).value == pytest.approx(np.corrcoef(*ranks[:2])[0, 1], abs=1e-12)


def test_the_interval_holds_what_is_true_about_as_often_as_it_says():
    """400 draws where the truth is 0: nineteen of twenty."""
    draw, held = np.random.default_rng(1), 0
    for _ in range(400):
        given = draw.normal(size=60)
        _, low, high = partial_spearman(given + draw.normal(size=60), given + draw.normal(size=60), given)
        held += low <= 0 <= high
    assert 0.92 <= held / 400 <= 0.98


@pytest.mark.parametrize(
    ("one", "other", "given"),
    [
        ([1, 1, 1, 1, 1, 1], [1, 2, 3, 4, 5, 6], [1, 3, 2, 5, 4, 6]),
        ([1, 2, 3, 4, 5, 6], [1, 3, 2, 5, 4, 6], [2, 2, 2, 2, 2, 2]),
        ([1, 2, 3, 4, 5, 6], [1, 3, 2, 5, 4, 6], [10, 20, 30, 40, 50, 60]),
        ([1, 2, 3, 4], [1, 3, 2, 4], [4, 1, 3, 2]),
    ],
)
def test_where_nothing_is_left_nothing_is_told(one, other, given):
    """A measure that is the same for all, one that the third one gives away, too few facts."""
    assert partial_spearman(*(np.array(values, dtype=float) for values in (one, other, given))) == (None, None, None)


def table(count: int, estimated: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    subject = np.exp(draw.normal(5, 2, count)).round()
    together = (subject * draw.uniform(0, 0.4, count)).round()
    score = np.clip(np.log1p(together) / 8 + draw.normal(0, 0.05, count), 0, 1)
    return pd.DataFrame(
        {
            "score": score,
            "count": together,
            "subject_count": subject,
            "object_count": 10,
            "estimated": [at < estimated for at in range(count)],
        }
    )


def test_fewer_than_thirty_facts_are_too_few_to_tell():
    """Whatever they look like."""
    (ranks,) = exposure_ranks(table(29))
    assert (ranks.facts, ranks.together, ranks.given_subject) == (29, None, None)
    assert ranks_words(ranks) == "29 facts have both a count and a level: too few to tell."


def test_estimates_are_told_apart():
    """With some, a second row is of the exact counts alone."""
    every, exact = exposure_ranks(table(60, estimated=20))
    assert (every.of, every.facts, every.estimated) == ("all", 60, 20)
    assert (exact.of, exact.facts, exact.estimated) == ("exact", 40, 0)
    assert len(exposure_ranks(table(60))) == 1


def test_words_say_both_numbers_and_never_that_a_fact_was_stated():
    """Texts name things; how often they state a fact nobody has counted."""
    (ranks,) = exposure_ranks(table(200))
    words = ranks_words(ranks)
    assert words.startswith("200 facts: rank correlation of R with texts that name subject and answer together 0.9")
    assert "; given how often they name the subject 0." in words
    assert "stated" not in words


def test_what_may_be_none_is_called_so():
    """An interval that holds 0."""
    facts = table(40).assign(score=np.random.default_rng(3).uniform(size=40))
    (ranks,) = exposure_ranks(facts)
    assert ranks.together_low < 0 < ranks.together_high
    assert ranks_words(ranks).count("which may be none") == 2
    flat = exposure_ranks(table(40).assign(count=0))[0]
    assert ranks_words(flat).count("cannot be told, since they do not differ enough") == 2
