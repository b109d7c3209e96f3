"""Paired tests of tested models, against numbers worked out by hand and against chance."""

from math import comb

import numpy as np
import pandas as pd
import pytest

from sftqa_core.evaluation import comparing
from sftqa_core.evaluation.comparing import (
    Difference,
    Resamples,
    corrected,
    facts_in_common,
    mcnemar_interval,
    mcnemar_p,
    single_difference,
)
from tests.made_runs import facts_of


def one(p, value=0.1, facts=100, differing=20):
    """A bootstrap comparison with that p: its standard error follows."""
    from scipy.stats import norm

    return Difference(comparing.BOOTSTRAP, facts, facts, value, p, 10.0, 0.0, differing, abs(value) / float(norm.isf(p / 2)))


# ---- McNemar ----
@pytest.mark.parametrize(("ahead", "behind"), [(0, 6), (10, 25), (1, 9), (7, 7), (44, 106), (3, 4)])
def test_mcnemars_p_is_the_two_sided_binomial_tail(ahead, behind):
    """Twice the tail of Binomial(n, 1/2) at the smaller count, at most 1; scipy's binomtest says the same."""
    from scipy.stats import binomtest

    n, least = ahead + behind, min(ahead, behind)
    tail = sum(comb(n, at) for at in range(least + 1)) / 2**n
    assert mcnemar_p(ahead, behind) == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar_p(ahead, behind) == pytest.approx(binomtest(ahead, n, 0.5).pvalue)


def test_known_values_of_mcnemars_test():
    """0 against 6 is 2/64; 10 against 25 is 0.0167; where nothing differs p is 1."""
    assert mcnemar_p(0, 6) == pytest.approx(0.03125)
    assert mcnemar_p(10, 25) == pytest.approx(0.0167, abs=5e-5)
    assert mcnemar_p(0, 0) == 1.0


@pytest.mark.parametrize("alpha", [0.05, 0.004])
def test_the_interval_leaves_out_0_only_where_the_test_says_so(alpha):
    """For every small table: 0 is outside exactly where p is below alpha, the value inside, and swapping sides mirrors the ends."""
    for ahead in range(26):
        for behind in range(26):
            low, high = mcnemar_interval(ahead, behind, 200, alpha)
            assert (low > 0 or high < 0) == (mcnemar_p(ahead, behind) < alpha), (ahead, behind)
            assert low <= (ahead - behind) / 200 <= high
            assert mcnemar_interval(behind, ahead, 200, alpha) == pytest.approx((-high, -low))


def test_equal_answers_do_not_prove_equal_models():
    """Of 100 facts none differs: up to 2.95% may (0.05 = 0.9705 ** 100), so the interval is not a point."""
    assert mcnemar_interval(0, 0, 100) == pytest.approx((-0.0295, 0.0295), abs=1e-4)


def test_two_single_runs_are_counted_fact_by_fact():
    """Of five facts the first alone has two, the second alone one: a fifth ahead."""
    apart = single_difference(np.array([1, 1, 1, 0, 0], dtype=bool), np.array([0, 0, 1, 1, 0], dtype=bool))
    assert (apart.only_first, apart.only_second, apart.value, apart.test) == (2, 1, 0.2, "McNemar, exact")


# ---- pooled seeds ----
def test_pooled_seeds_are_compared_by_their_means():
    """Means over facts by hand, and the standard error that theory gives for a paired mean."""
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 4, size=(400, 2)) / 3
    apart, made = scores[:, 0] - scores[:, 1], Resamples([scores], draws=20_000).difference(0, 1)
    assert made.value == pytest.approx(apart.mean())
    assert made.spread == pytest.approx(apart.std() / 20, rel=0.03)
    assert made.only_first == pytest.approx(apart[apart > 0].sum())
    assert made.test == "paired bootstrap"


def test_the_mean_over_levels_weighs_levels_alike():
    """Two levels of 40 and 160 facts: differences of .5 and 0 make .25, and each level's variance counts a quarter."""
    rng = np.random.default_rng(2)
    low, high = np.zeros((40, 2)), rng.integers(0, 2, size=(160, 2)).astype(float)
    low[:20, 0] = 1.0
    high[:, 1] = rng.permutation(high[:, 0])
    made = Resamples([low, high], draws=20_000).difference(0, 1)
    by_hand = np.sqrt(0.25 / 40 + (high[:, 0] - high[:, 1]).var() / 160) / 2
    assert made.value == pytest.approx((0.5 + 0) / 2)
    assert made.spread == pytest.approx(by_hand, rel=0.03)
    assert made.least == 40


def test_a_model_against_itself_is_equal():
    """No fact differs: p is 1, and the interval says how little may."""
    scores = np.random.default_rng(0).random((100, 1)).repeat(2, axis=1)
    (told,) = corrected([Resamples([scores]).difference(0, 1)])
    assert (told.value, told.p, told.verdict) == (0.0, 1.0, "cannot tell")
    assert told.high == pytest.approx(0.0295, abs=1e-4)


@pytest.mark.parametrize("differing", [1, 3, 4, 5])
def test_few_facts_that_differ_can_not_tell(differing):
    """However they lean: the signs of d facts are all equal by chance in 2 of 2 ** d cases, and p is no less than that."""
    scores = np.zeros((500, 2))
    scores[:differing, 0] = 1.0
    (told,) = corrected([Resamples([scores]).difference(0, 1)])
    assert told.p >= 2.0 ** (1 - differing) * 0.999
    assert told.verdict == "cannot tell"
    assert told.low <= 0 < told.value < told.high


@pytest.mark.parametrize("differing", [0, 1])
def test_the_interval_is_no_wider_than_facts_can_differ(differing):
    """Where none or one of 40 facts differs, more than so large a share would show as many only once in twenty times."""
    from scipy.stats import binom

    scores = np.zeros((40, 2))
    scores[:differing, 0] = 1.0
    (told,) = corrected([Resamples([scores]).difference(0, 1)])
    assert -told.low == told.high == comparing.largest_share(differing, 40, 0.05)
    assert binom.cdf(differing, 40, told.high) == pytest.approx(0.05)


# ---- many comparisons ----
def test_intervals_follow_holms_correction():
    """Of p .001, .02, .04 and .3 only the first stays below 5% after Holm; its interval alone leaves out 0."""
    told = corrected([one(0.02), one(0.001), one(0.3, 0.02), one(0.04)])
    assert [round(test.p_holm, 3) for test in told] == [0.06, 0.004, 0.3, 0.08]
    assert [test.verdict for test in told] == ["cannot tell", "better", "cannot tell", "cannot tell"]
    assert [test.low > 0 for test in told] == [False, True, False, False]


def test_words_and_corrected_p_never_contradict_each_other():
    """Whatever is compared: better or worse exactly where Holm's p is below 5%, by either test."""
    rng = np.random.default_rng(3)
    for _ in range(60):
        tests = [one(float(p), float(rng.choice([-0.1, 0.1]))) for p in rng.beta(0.4, 4, size=5)]
        for _ in range(3):
            both = rng.random((200, 2)) < (0.5, 0.5 + 0.15 * rng.random())
            tests.append(single_difference(both[:, 0], both[:, 1]))
        for told in corrected(tests):
            assert (told.verdict in ("better", "worse")) == (told.p_holm < 0.05), told


def test_nothing_is_said_on_fewer_than_30_facts():
    """29 facts of which all differ one way are too few; 30 are enough."""
    few, enough = (single_difference(np.ones(n, dtype=bool), np.zeros(n, dtype=bool)) for n in (29, 30))
    assert [test.verdict for test in corrected([few, enough])] == ["too few facts to tell", "better"]
    level = Resamples([np.tile([1.0, 0.0], (29, 1)), np.tile([1.0, 0.0], (500, 1))]).difference(0, 1)
    assert corrected([level])[0].verdict == "too few facts to tell"


def test_equal_single_runs_are_rarely_told_apart():
    """Three runs that differ by chance alone, three comparisons: in at most 5% of 300 such pages is any called better or worse."""
    rng, wrong = np.random.default_rng(4), 0
    for _ in range(300):
        right = rng.random((120, 1)) < 0.5  # a fact is mostly right or mostly wrong, for all runs alike
        runs = np.where(rng.random((120, 3)) < 0.15, ~right, right)
        told = corrected([single_difference(runs[:, a], runs[:, b]) for a, b in ((0, 1), (0, 2), (1, 2))])
        wrong += any(test.verdict != "cannot tell" for test in told)
    assert wrong / 300 <= 0.05


def test_equal_pooled_settings_are_rarely_told_apart():
    """The same with three seeds each, micro and mean over three levels, six comparisons: at most 5% within what 300 draws can tell."""
    rng, wrong, pages = np.random.default_rng(5), 0, 300
    for _ in range(pages):
        chance = rng.beta(0.5, 0.5, size=(120, 1))
        scores = rng.binomial(3, chance, size=(120, 3)) / 3
        means = [Resamples([scores], draws=500), Resamples(np.split(scores, 3), draws=500)]
        told = corrected([resamples.difference(a, b) for resamples in means for a, b in ((0, 1), (0, 2), (1, 2))])
        wrong += any(test.verdict != "cannot tell" for test in told)
    assert wrong / pages <= 0.05 + 1.645 * np.sqrt(0.05 * 0.95 / pages)


# ---- facts in common ----
def test_facts_are_matched_by_id():
    """The second table holds some of the facts in another order: they are found, and no others."""
    first = facts_of(count=5)
    second = first.iloc[[7, 2, 4]].reset_index(drop=True)
    common = facts_in_common([first, second])
    assert common.facts["fact_id"].tolist() == first["fact_id"].iloc[[2, 4, 7]].tolist()
    assert common.places[1].tolist() == [1, 2, 0]
    assert common.by_triple == (0, 0)


def test_facts_of_a_renamed_file_are_matched_by_what_they_say():
    """Other ids, the same relation, subject and answers (in another order and case): all are found, and counted."""
    first, second = facts_of("a.csv", 4), facts_of("b.csv", 4)
    first["answers"] = [["Oslo", "Christiania"]] * 8
    second["answers"] = [["christiania", " OSLO"]] * 8
    second["subject"] = second["subject"].str.replace(" ", "  ")
    common = facts_in_common([first, second])
    assert not set(first["fact_id"]) & set(second["fact_id"])
    assert len(common.facts) == 8
    assert common.by_triple == (0, 8)


def test_another_answer_makes_another_question():
    """A fact with the same id whose right answer was changed is left out, and told; a renamed one is not found at all."""
    first, edited = facts_of(count=4), facts_of(count=4)
    edited["answers"] = [["Else"], *edited["answers"].tolist()[1:]]
    common = facts_in_common([first, edited])
    assert (len(common.facts), common.other_answers) == (7, (0, 1))
    assert len(facts_in_common([first, facts_of("b.csv", 4, "Other")]).facts) == 0


def test_three_tables_share_what_all_hold():
    """Two of three tables lack one fact each."""
    first = facts_of(count=3)
    common = facts_in_common([first, first.drop(index=0), first.drop(index=5)])
    assert common.facts["fact_id"].tolist() == first["fact_id"].iloc[1:5].tolist()
    assert [places.tolist() for places in common.places] == [[1, 2, 3, 4], [0, 1, 2, 3], [1, 2, 3, 4]]
    assert isinstance(common.facts, pd.DataFrame)
