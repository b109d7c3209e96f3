"""Accuracy against the number of examples, from outcomes whose numbers are known."""

from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from sftqa_core.records import TrainSettings
from sftqa_core.studies.amount import CURVE, IN_CONTEXT, curve, enough, in_context
from sftqa_core.studies.statistics import MACRO, NATURAL
from tests.studies.small_study import FOUR, answers, facts_of, only, outcomes_of, right, run

FACTS = facts_of((40, 40, 40, 40, 80))
ALL = TrainSettings.ALL


def three_sizes():
    """0, 60 and all (240) examples: means over levels of .1, .5 and .6."""
    shares = {0: 0.1, 60: [0.0, 0.25, 0.5, 0.75, 1.0], ALL: [0.0, 0.25, 0.75, 1.0, 1.0]}
    cells = {run(n): answers(right(FACTS, share), 240 if n == ALL else n) for n, share in shares.items()}
    return outcomes_of(FACTS, {one: cells[one] for one in reversed(cells)})


def test_the_curve_has_each_level_and_both_means_in_the_order_of_real_sizes():
    """By hand: L1 .25 of 40, the mean over levels .5, as facts come (0 + 10 + 20 + 30 + 80) / 240."""
    table = curve(three_sizes())
    assert tuple(table) == CURVE
    assert len(table) == (5 + 2) * 3
    assert table.loc[table["level"] == "L0", ["asked", "n"]].to_numpy().tolist() == [[0, 0], [60, 60], [ALL, 240]]
    own = only(table, level="L1", n=60)
    assert (own["facts"], own["accuracy"], own["seeds"], own["per_seed"]) == (40, 0.25, 1, [0.25])
    assert (own["low"], own["high"]) == pytest.approx(proportion_confint(10, 40, method="wilson"))
    assert only(table, level=NATURAL, n=60)["accuracy"] == pytest.approx(140 / 240)
    macro = only(table, level=MACRO, n=60)
    assert (macro["facts"], macro["accuracy"], macro["per_seed"]) == (240, pytest.approx(0.5), [pytest.approx(0.5)])
    assert macro["low"] < 0.5 < macro["high"]
    error = np.sqrt(sum(p * (1 - p) / 40 for p in (0.25, 0.5, 0.75))) / 5
    assert macro["high"] - macro["low"] == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_seeds_are_averaged_and_listed():
    """Three seeds at .25, .5 and .75 of the same facts make .5; each one's own accuracy stands beside it."""
    cells = {run(60, seed): right(FACTS, share) for seed, share in enumerate((0.25, 0.5, 0.75))}
    table = curve(outcomes_of(FACTS, cells))
    own = only(table, level="L2")
    assert (own["seeds"], own["accuracy"], own["per_seed"]) == (3, pytest.approx(0.5), [0.25, 0.5, 0.75])
    assert own["high"] - own["low"] == pytest.approx(2 * 1.96 * np.std([0, 1 / 3, 2 / 3, 1]) / np.sqrt(40), rel=0.15)
    macro = only(table, level=MACRO)
    assert (macro["seeds"], macro["accuracy"]) == (3, pytest.approx(0.5))
    assert macro["per_seed"] == pytest.approx([0.25, 0.5, 0.75])


def test_all_right_in_three_seeds_keeps_wilsons_doubt():
    """A level that is always right is not certain to be."""
    row = only(curve(outcomes_of(FACTS, {run(60, seed): right(FACTS, 1.0) for seed in range(3)})), level="L0")
    assert (row["accuracy"], row["high"]) == (1.0, 1.0)
    assert row["low"] == pytest.approx(proportion_confint(40, 40, method="wilson")[0])


def test_sizes_may_have_different_numbers_of_seeds():
    """A study that is half done: each size by the seeds that it has."""
    cells = {run(0): right(FACTS, 0.1), run(60, 0): right(FACTS, 0.5), run(60, 1): right(FACTS, 0.5, 20), run(240): right(FACTS, 0.5)}
    table = curve(outcomes_of(FACTS, cells))
    assert [only(table, level="L0", n=n)["seeds"] for n in (0, 60, 240)] == [1, 2, 1]
    assert only(table, level="L0", n=60)["accuracy"] == 0.5


def test_a_level_without_facts_has_no_mean_over_levels():
    """L3 is empty: its rows and those of the mean over levels hold no number; facts as they come still do (METHOD 8.11)."""
    facts = facts_of((40, 40, 40, 0, 40))
    table = curve(outcomes_of(facts, {run(60): right(facts, 0.5)}))
    for level, count in (("L3", 0), (MACRO, 160)):
        row = only(table, level=level)
        assert row["facts"] == count
        assert row["accuracy"] != row["accuracy"] or row["accuracy"] is None
        assert row["per_seed"] == []
    assert only(table, level=NATURAL)["accuracy"] == 0.5
    judged = only(enough(outcomes_of(facts, {run(60): right(facts, 0.5)})), n=60)
    assert (judged["of"], judged["least"], judged["relative"]) == (NATURAL, 160, 1.0)  # by all facts, then


def test_rows_without_facts_tell_how_many_seeds_were_run():
    """An empty level of a study of three seeds has three seeds."""
    facts = facts_of((40, 40, 40, 0, 40))
    table = curve(outcomes_of(facts, {run(60, seed): right(facts, 0.5) for seed in range(3)}))
    assert table["seeds"].tolist() == [3] * 7


def test_facts_that_were_not_probed_count_as_they_come_only():
    """Without any level there is an accuracy as facts come and nothing else."""
    facts = FACTS.assign(level=FACTS["level"].where(FACTS.index < 0))
    table = curve(outcomes_of(facts, {run(60): right(FACTS, 0.25)}))
    assert only(table, level=NATURAL)["accuracy"] == 0.25
    assert table.loc[table["level"] != NATURAL, "accuracy"].isna().all()


def test_domains_are_apart_and_schemes_may_have_four_levels():
    """Rows for each domain that has facts, with the scheme's own labels."""
    facts = facts_of((40,) * 4, ("in", "out"))
    correct = right(facts, 0.5) & (facts["domain"] == "in").to_numpy()
    table = curve(outcomes_of(facts, {run(60, scheme=FOUR): correct}, scheme=FOUR))
    assert list(dict.fromkeys(table["level"])) == ["A", "B", "C", "D", NATURAL, MACRO]
    assert only(table, domain="in", level=MACRO)["accuracy"] == 0.5
    assert only(table, domain="out", level=MACRO)["accuracy"] == 0.0


def test_shown_examples_are_a_table_of_their_own():
    """They are no size of the curve; each number is averaged over its seeds, with how many examples fitted."""
    shown = {seed: TrainSettings(model="m", n=0, seed=seed, shots=0, save_model=False, more_shots=(16,)) for seed in (0, 1)}
    cells = {shown[seed]: answers(right(FACTS, 0.25 + 0.25 * seed), 0) for seed in shown}
    cells[shown[0]] = replace(cells[shown[0]], numbers={"shown": 8.0})
    outcomes = outcomes_of(FACTS, {run(0): right(FACTS, 0.0), run(60): right(FACTS, 0.5), **cells})
    assert set(curve(outcomes)["n"]) == {0, 60}
    table = in_context(outcomes)
    row = only(table, level=MACRO)
    assert (row["shots"], row["shown"], row["seeds"], row["accuracy"]) == (16, 12.0, 2, pytest.approx(0.375))
    assert row["low"] <= row["accuracy"] <= row["high"]
    assert row["per_seed"] == [pytest.approx(0.25), pytest.approx(0.5)]
    assert (tuple(table), tuple(in_context(three_sizes())), len(in_context(three_sizes()))) == (IN_CONTEXT, IN_CONTEXT, 0)


def test_nothing_done_is_an_empty_table():
    """No runs, or no facts: all columns and no rows."""
    for outcomes in (outcomes_of(FACTS), outcomes_of(FACTS.head(0), {run(60): np.empty(0, dtype=bool)})):
        assert (tuple(curve(outcomes)), len(curve(outcomes))) == (CURVE, 0)
        assert enough(outcomes).empty


def test_the_untouched_model_alone_is_a_point_and_never_enough():
    """n = 0 is on the curve; whether it is enough is not asked."""
    outcomes = outcomes_of(FACTS, {run(0): right(FACTS, 0.25)})
    assert only(curve(outcomes), level=MACRO)["accuracy"] == 0.25
    assert enough(outcomes).empty


def test_enough_is_the_smallest_within_a_share_of_the_best():
    """.5 of .6 is 83%; 95% is asked for, so all (240) examples are the smallest that are enough."""
    table = enough(three_sizes())
    assert table["n"].tolist() == [60, 240]
    few, best = only(table, n=60), only(table, n=240)
    assert (few["relative"], best["relative"]) == (pytest.approx(0.5 / 0.6), 1.0)
    assert few["low"] < few["relative"] < few["high"] < 0.95
    assert (best["low"], best["high"]) == (1.0, 1.0)
    assert (few["chosen"], best["chosen"]) == (False, True)
    assert (few["smallest"], best["smallest"]) == (0.0, 1.0)
    half = enough(three_sizes(), share=0.5)
    assert (only(half, n=60)["chosen"], only(half, n=60)["smallest"]) == (True, 1.0)


def test_a_stricter_interval_is_wider_and_shares_of_resamples_add_up():
    """alpha = .01 holds alpha = .05; the smallest n is one of the sizes in every resample."""
    shares = {10: 0.4, 60: 0.55, 240: 0.575}
    outcomes = outcomes_of(FACTS, {run(n): right(FACTS, share, n) for n, share in shares.items()})
    plain, strict = enough(outcomes), enough(outcomes, alpha=0.01)
    assert only(strict, n=60)["low"] < only(plain, n=60)["low"] < only(plain, n=60)["high"] <= only(strict, n=60)["high"]
    assert plain["smallest"].sum() == pytest.approx(1)
    assert 0 < only(plain, n=60)["smallest"] < 1
    assert plain["chosen"].tolist() == [False, True, False]


def test_no_right_answer_at_all_makes_the_smallest_enough():
    """Where all sizes fail none is better: each is 100% of the best."""
    table = enough(outcomes_of(FACTS, {run(n): right(FACTS, 0.0) for n in (10, 60)}))
    assert table["relative"].tolist() == [1.0, 1.0]
    assert table["chosen"].tolist() == [True, False]
    assert table["smallest"].tolist() == [1.0, 0.0]
