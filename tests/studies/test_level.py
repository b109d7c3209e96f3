"""Train level by test level, from outcomes whose numbers are known."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from sftqa_core.evaluation.intervals import holm
from sftqa_core.studies import level
from sftqa_core.studies.level import MATRIX, MIX, best_rows, composition, matrix, retest
from sftqa_core.studies.statistics import MACRO, NATURAL
from tests.studies.small_study import FOUR, TWO, answers, facts_of, only, outcomes_of, right, run

FACTS = facts_of((40, 40), ("in",))


def two_levels(facts=FACTS, seeds=(0,)):
    """Trained on low, on high and on the mix: low test facts .5, .2 and .65, high ones .25, 1 and .5."""
    shares = {0: (0.5, 0.25), 1: (0.2, 1.0), None: (0.65, 0.5)}
    cells = {run(100, seed, level, TWO): answers(right(facts, share), 96) for seed in seeds for level, share in shares.items()}
    return outcomes_of(facts, {run(0, scheme=TWO): right(facts, 0.0), **cells}, scheme=TWO)


def test_a_cell_is_the_accuracy_of_one_training_level_on_one_test_level():
    """By hand, with Wilson's interval for one seed; n is what was really trained on; the untouched model is no row."""
    table = matrix(two_levels())
    assert tuple(table) == MATRIX
    assert list(dict.fromkeys(table["train"])) == ["low", "high", MIX]
    assert list(dict.fromkeys(table["test"])) == ["low", "high", NATURAL, MACRO]
    assert len(table) == 3 * 4
    own = only(table, train="low", test="high")
    assert (own["n"], own["facts"], own["seeds"], own["accuracy"]) == (96, 40, 1, 0.25)
    assert (own["low"], own["high"]) == pytest.approx(proportion_confint(10, 40, method="wilson"))
    assert only(table, train="high", test=MACRO)["accuracy"] == pytest.approx(0.6)
    assert only(table, train="high", test=NATURAL)["accuracy"] == pytest.approx(0.6)
    assert only(table, train="high", test=MACRO)["facts"] == 80


def test_single_levels_are_compared_with_the_mix_on_the_same_facts():
    """Low training loses 6 of 40 low facts and wins none: -15 points, p = 2 in 2^6; the mix is compared with nothing."""
    table = matrix(two_levels())
    own = only(table, train="low", test="low")
    assert own["difference"] == pytest.approx(-0.15)
    assert own["p"] == pytest.approx(2 / 2**6)
    assert own["diff_high"] - own["diff_low"] == pytest.approx(2 * 1.96 * np.sqrt(0.15 * 0.85 / 40), rel=0.15)
    assert only(table, train="high", test="high")["difference"] == pytest.approx(0.5)
    macro = only(table, train="low", test=MACRO)
    assert macro["difference"] == pytest.approx(-0.2)
    assert macro["diff_low"] < -0.2 < macro["diff_high"] < 0
    mix = table[table["train"] == MIX]
    assert mix[["difference", "diff_low", "diff_high", "p", "p_holm"]].isna().all(axis=None)


def test_holms_correction_is_over_everything_that_was_compared():
    """Both test levels, both means and both domains of the model together."""
    facts = facts_of((40, 40), ("in", "out"))
    table = matrix(two_levels(facts))
    known = table[table["p"].notna()]
    assert len(known) == 2 * 2 * 4
    assert known["p_holm"].tolist() == pytest.approx(holm(known["p"].tolist()))
    assert (known["p_holm"] >= known["p"]).all()


def test_a_fact_is_averaged_over_seeds_before_anything_else():
    """Two seeds right on opposite halves: each fact is a half, so there is nothing left to resample."""
    cells = {run(60, seed, level, TWO): right(FACTS, 0.5, 20 * seed) for seed in (0, 1) for level in (0, None)}
    own = only(matrix(outcomes_of(FACTS, cells, scheme=TWO)), train="low", test="low")
    assert (own["seeds"], own["accuracy"], own["low"], own["high"]) == (2, 0.5, 0.5, 0.5)
    assert (own["difference"], own["p"]) == (0.0, 1.0)


def test_p_of_a_mean_over_levels_follows_its_interval():
    """A difference of 1.96 standard errors has p = 0.05: the interval ends about where p crosses it."""
    for share, significant in ((0.5, False), (0.65, False), (0.9, True)):
        cells = {run(60, 0, 0, TWO): right(FACTS, 0.5, 20), run(60, scheme=TWO): right(FACTS, share)}
        row = only(matrix(outcomes_of(FACTS, cells, scheme=TWO)), train="low", test=MACRO)
        assert (row["p"] < 0.05) == significant == (row["diff_high"] < 0)


def test_one_fact_that_differs_is_told_like_any_other():
    """Low training answers one fact more than the mix: +2.5 points, p = 1."""
    cells = {run(60, 0, 0, TWO): right(FACTS, (0.525, 0.5)), run(60, scheme=TWO): right(FACTS, 0.5)}
    own = only(matrix(outcomes_of(FACTS, cells, scheme=TWO)), train="low", test="low")
    assert (own["difference"], own["p"]) == (pytest.approx(0.025), 1.0)


def test_before_the_mix_was_run_there_is_accuracy_and_nothing_to_compare_with():
    """A study in its first seed: differences and p stay empty."""
    table = matrix(outcomes_of(FACTS, {run(60, 0, 1, TWO): right(FACTS, 0.25)}, scheme=TWO))
    assert table["accuracy"].tolist() == [0.25] * 4
    assert table[["difference", "p", "p_holm"]].isna().all(axis=None)


def test_a_test_level_without_facts_leaves_no_claim_on_the_mean():
    """L3 is empty: no number stands for it or for the mean over levels; facts as they come have one (METHOD 8.11)."""
    facts = facts_of((40, 40, 40, 0, 40))
    outcomes = outcomes_of(facts, {run(60, 0, level): right(facts, 0.5) for level in (0, 3)})
    table = matrix(outcomes)
    assert only(table, train="L3", test=NATURAL)["accuracy"] == 0.5
    assert table.loc[table["test"].isin(["L3", MACRO]), "accuracy"].notna().sum() == 0
    assert set(best_rows(outcomes)["test"]) == {"L0", "L1", "L2", "L4"}


def test_a_test_level_without_facts_is_named_with_a_null_mean():
    """A row for each training level and test level, both means too; those of the empty one hold no accuracy."""
    facts = facts_of((40, 0))
    table = matrix(outcomes_of(facts, {run(60, 0, 0, TWO): right(facts, 0.5)}, scheme=TWO))
    assert table["test"].tolist() == ["low", "high", NATURAL, MACRO]
    assert table["accuracy"].isna().tolist() == [False, True, False, True]


def test_levels_may_be_four_and_nothing_known():
    """A scheme of four gives four rows and columns by its labels; facts without a level count as they come only."""
    facts = facts_of((30,) * 4)
    cells = {run(60, 0, level, FOUR): right(facts, 0.5) for level in (3, 1, 0, 2)}
    table = matrix(outcomes_of(facts, cells, scheme=FOUR))
    assert list(dict.fromkeys(table["train"])) == ["A", "B", "C", "D"]
    assert len(table) == 4 * 6
    unknown = facts.assign(level=pd.array([None] * len(facts), dtype="Int64"))
    table = matrix(outcomes_of(unknown, cells, scheme=FOUR))
    assert set(table.loc[table["accuracy"].notna(), "test"]) == {NATURAL}


def test_nothing_done_is_an_empty_table():
    """No runs, or the untouched model alone: all columns and no rows."""
    for outcomes in (outcomes_of(FACTS), outcomes_of(FACTS, {run(0): right(FACTS, 0.5)})):
        assert (tuple(matrix(outcomes)), len(matrix(outcomes))) == (MATRIX, 0)
        assert best_rows(outcomes).empty
        assert composition(outcomes).empty


def test_the_best_training_level_is_found_anew_in_each_resample():
    """High training wins on high facts and for the mean in all of them, low training on low facts; the mix takes no part."""
    table = best_rows(two_levels())
    assert set(table["train"]) == {"low", "high"}
    assert table["test"].tolist() == ["low", "low", "high", "high", MACRO, MACRO]
    assert table.groupby("test")["best"].sum().to_dict() == pytest.approx({"low": 1, "high": 1, MACRO: 1})
    assert only(table, test="low", train="low")["best"] > 0.99
    assert only(table, test="high", train="high") | {"best": 1.0, "seen": True} == only(table, test="high", train="high")
    assert table.loc[table["seen"], "train"].tolist() == ["low", "high", "high"]


def test_two_that_are_nearly_equal_share_the_resamples():
    """Right on opposite halves of the facts: each is the best in about half of them."""
    cells = {run(60, 0, level, TWO): right(FACTS, 0.5, 20 * level) for level in (0, 1)}
    table = best_rows(outcomes_of(FACTS, cells, scheme=TWO))
    assert 0.4 < only(table, test=MACRO, train="high")["best"] < 0.6


def test_ties_make_nobody_the_best():
    """No training level teaches any L0 fact: all are 0 in every resample, and L0 is not the best one for it."""
    facts = facts_of((40, 40, 40, 40, 40))
    cells = {run(60, 0, level): right(facts, (0.0, 0.2, 0.4, 0.6, 0.8)) for level in range(5)}
    table = best_rows(outcomes_of(facts, cells))
    assert only(table, test="L0", train="L0")["best"] < 0.5


def test_the_composition_counts_examples_of_each_topic():
    """Mean over seeds; a topic that a seed lacks counts as none."""
    counts = [{"P1": {"L0": 30}, "P2": {"L0": 30}}, {"P1": {"L0": 60}}]
    cells = {run(60, seed, 0): answers(right(FACTS, 0.5), 60, counts[seed]) for seed in (0, 1)}
    mix = {run(60): answers(right(FACTS, 0.5), 60, {"P2": {"any": 60}})}
    table = composition(outcomes_of(FACTS, cells | mix))
    assert table[["train", "relation", "examples"]].to_numpy().tolist() == [["L0", "P1", 45.0], ["L0", "P2", 15.0], [MIX, "P2", 60.0]]


def test_the_second_probe_says_how_many_facts_move_by_chance():
    """10 of 40 low facts and none of the high ones are elsewhere; a level without facts has no share."""
    facts = facts_of((40, 40))
    again = facts["level"].astype(int).to_numpy().copy()
    again[:10] = 1
    table = retest(outcomes_of(facts, again=again))
    assert table["level"].tolist() == ["L0", "L1", "L2", "L3", "L4"]
    assert table["facts"].tolist() == [40, 40, 0, 0, 0]
    assert table["moved"].tolist()[:2] == [0.25, 0.0]
    assert table["moved"].isna().sum() == 3


def test_a_second_probe_of_some_facts_counts_those():
    """Facts are matched by id, in whatever order; without a second probe there is nothing to say."""
    outcomes = outcomes_of(FACTS, again=FACTS["level"].astype(int).to_numpy())
    some = outcomes.retest.iloc[[50, 3, 1]].assign(level=[0, 0, 0])
    object.__setattr__(outcomes, "retest", some)
    assert retest(outcomes)[["facts", "moved"]].head(2).to_numpy().tolist() == [[2, 0.0], [1, 1.0]]
    assert retest(outcomes_of(FACTS)).empty


def _compared(accuracies, wins, p_holm=0.001, least=200):
    """A matrix of one column, "L1", and the shares of resamples that each level wins; accuracies of L0, L1 and the mix."""
    mix = accuracies[-1]
    cells = [("m", "in", train, "L1", value - mix if train != level.MIX else None, p_holm) for train, value in zip(
        ("L0", "L1", level.MIX), accuracies, strict=True)]  # fmt: skip
    matrix = pd.DataFrame(cells, columns=["model", "domain", "train", "test", "difference", "p_holm"])
    rows = [("m", "in", test, train, won, won > 0.5, least) for test in ("L0", "L1") for train, won in zip(("L0", "L1"), wins, strict=True)]
    return matrix, pd.DataFrame(rows, columns=level.BEST)


def test_a_row_is_told_apart_only_where_it_is_better_than_every_other_one():
    """A level by its resamples and against the mix; the mix if it is better than every level; noise and few facts are nothing."""
    assert level.told_apart(*_compared((0.2, 0.6, 0.4), (0.0, 1.0))) == {("m", "in", "L1"): "L1"}
    assert level.told_apart(*_compared((0.2, 0.3, 0.6), (0.0, 1.0))) == {("m", "in", "L1"): level.MIX}
    assert level.told_apart(*_compared((0.003, 0.004, 0.003), (0.4, 0.6), p_holm=1.0)) == {}
    assert level.told_apart(*_compared((0.2, 0.6, 0.4), (0.02, 0.98))) == {}  # 99.4% were needed: of 2 levels at 97.5%
    assert level.told_apart(*_compared((0.2, 0.6, 0.4), (0.0, 1.0), p_holm=0.2)) == {}
    assert level.told_apart(*_compared((0.2, 0.6, 0.4), (0.0, 1.0), least=29)) == {}


def test_before_every_row_was_run_none_is_told_apart():
    """Without the mix, or a level, there is nothing to be better than; nor is there in an empty study."""
    matrix, best = _compared((0.2, 0.6, 0.4), (0.0, 1.0))
    assert level.told_apart(matrix[matrix["train"] != level.MIX], best) == {}
    assert level.told_apart(matrix[matrix["train"] != "L0"], best) == {}
    assert level.told_apart(matrix[:0], best[:0]) == {}
