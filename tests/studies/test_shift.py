"""Levels before and after tuning beside a second probe of the untouched model, worked out by hand."""

import dataclasses

import numpy as np
import pytest

from sftqa_core.studies.shift import MOVES, UNTOUCHED, forgetting, moves, transitions
from tests.studies.small_study import FOUR, facts_of, levels_cell, only, outcomes_of, run

FACTS = facts_of((50, 50), ("in",))  # L0 and L1
BEFORE = FACTS["level"].astype(int).to_numpy()


def moved(**places):
    """The levels before, but for these: lost = 10 puts the first 10 facts of L1 down, gained = 5 the first 5 of L0 up."""
    levels = BEFORE.copy()
    levels[: places.get("gained", 0)] = 1
    levels[50 : 50 + places.get("lost", 0)] = 0
    return levels


def tuned(n=60, seeds=(0,), **places):
    return {run(n, seed): levels_cell(moved(**places), n) for seed in seeds}


def test_transitions_count_facts_by_both_levels():
    """5 of 50 rise, 10 of 50 fall; all pairs of levels are listed, those without facts as 0."""
    table = transitions(outcomes_of(FACTS, again=moved(lost=2), shifts=tuned(gained=5, lost=10)))
    assert list(dict.fromkeys(table["after"])) == [UNTOUCHED, "n = 60"]
    assert len(table) == 2 * 25
    told = {(row.before, row.now): row.facts for row in table[table["after"] == "n = 60"].itertuples() if row.facts}
    assert told == {("L0", "L0"): 45, ("L0", "L1"): 5, ("L1", "L0"): 10, ("L1", "L1"): 40}
    assert only(table, after=UNTOUCHED, before="L1", now="L0")["facts"] == 2


def test_transitions_are_means_over_seeds():
    """10 lost in one seed, none in the next: 5."""
    shifts = tuned(lost=10) | tuned(seeds=(1,))
    table = transitions(outcomes_of(FACTS, again=BEFORE, shifts=shifts))
    assert only(table, after="n = 60", before="L1", now="L0")["facts"] == 5.0


def test_moves_are_kept_lost_or_gained_and_add_up():
    """By hand: 85 of 100 kept, 10 lost, 5 gained."""
    table = moves(outcomes_of(FACTS, again=BEFORE, shifts=tuned(gained=5, lost=10)))
    assert len(table) == 3 * 2
    shares = {move: only(table, after="n = 60", move=move)["share"] for move in MOVES}
    assert shares == pytest.approx({"kept": 0.85, "lost": 0.1, "gained": 0.05})
    row = only(table, after="n = 60", move="lost")
    assert (row["facts"], row["seeds"]) == (100, 1)
    assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * np.sqrt(0.1 * 0.9 / 100), rel=0.1)


def test_the_excess_is_what_the_second_probe_does_not_explain():
    """10 lost after tuning, 4 of the same by chance: an excess of 6 points, with the interval of those 6 facts."""
    table = moves(outcomes_of(FACTS, again=moved(lost=4), shifts=tuned(lost=10)))
    row = only(table, after="n = 60", move="lost")
    assert row["excess"] == pytest.approx(0.06)
    assert row["excess_high"] - row["excess_low"] == pytest.approx(2 * 1.96 * np.sqrt(0.06 * 0.94 / 100), rel=0.1)
    assert only(table, after="n = 60", move="kept")["excess"] == pytest.approx(-0.06)
    assert table.loc[table["after"] == UNTOUCHED, "excess"].isna().all()


def test_a_stricter_interval_is_wider():
    """With the 5% shared out the excess is told with more doubt, the share itself as before."""
    outcomes = outcomes_of(FACTS, again=BEFORE, shifts=tuned(lost=10))
    plain, strict = (only(moves(outcomes, alpha), after="n = 60", move="lost") for alpha in (0.05, 0.005))
    assert strict["excess_low"] < plain["excess_low"] < plain["excess_high"] < strict["excess_high"]
    assert (strict["low"], strict["high"]) == (plain["low"], plain["high"])


def test_what_moves_as_much_as_by_chance_has_no_excess():
    """The same facts fall either way: 0 in every resample."""
    row = only(moves(outcomes_of(FACTS, again=moved(lost=10), shifts=tuned(lost=10))), after="n = 60", move="lost")
    assert (row["excess"], row["excess_low"], row["excess_high"]) == (0.0, 0.0, 0.0)


def test_facts_are_averaged_over_three_seeds():
    """A fact that falls in one of three seeds is a third."""
    shifts = tuned(lost=30) | tuned(seeds=(1, 2))
    row = only(moves(outcomes_of(FACTS, again=BEFORE, shifts=shifts)), after="n = 60", move="lost")
    assert (row["seeds"], row["share"]) == (3, pytest.approx(0.1))


def test_sizes_stand_in_order_by_what_was_really_trained_on():
    """More examples later; all of them by their number."""
    shifts = {run(-1): levels_cell(BEFORE, 3_360)} | tuned(240) | tuned(60)
    table = moves(outcomes_of(FACTS, again=BEFORE, shifts=shifts))
    assert list(dict.fromkeys(table["after"])) == [UNTOUCHED, "n = 60", "n = 240", "n = 3,360"]


def test_only_facts_that_were_probed_again_count_each_with_its_own_level():
    """The second probe holds some facts in another order; the levels before are found by id, domains apart."""
    facts = facts_of((10, 10), ("in", "out"))
    chosen = facts.iloc[[25, 0, 12, 30]]  # out L0, in L0, in L1, out L1
    outcomes = outcomes_of(facts)
    retest = chosen[["fact_id"]].assign(level=[0, 0, 1, 1], score=0.0)
    shifts = {run(60): levels_cell([1, 0, 0, 1], 60)}
    table = moves(dataclasses.replace(outcomes, retest=retest, shifts=shifts))
    assert table["facts"].tolist() == [2] * 12
    shares = {(domain, move): only(table, after="n = 60", domain=domain, move=move)["share"] for domain in ("in", "out") for move in MOVES}
    assert shares == {
        ("in", "kept"): 0.5, ("in", "lost"): 0.5, ("in", "gained"): 0.0, ("out", "kept"): 0.5, ("out", "lost"): 0.0, ("out", "gained"): 0.5,
    }  # fmt: skip
    assert table.loc[table["after"] == UNTOUCHED, "share"].tolist() == [1.0, 0.0, 0.0] * 2


def test_a_domain_that_was_not_probed_again_has_no_rows():
    """All facts of the second probe are in-domain."""
    facts = facts_of((10, 10), ("in", "out"))
    outcomes = outcomes_of(facts, again=facts["level"].astype(int))
    inside = dataclasses.replace(outcomes, retest=outcomes.retest.head(20), shifts={run(60): levels_cell([0] * 20, 60)})
    assert set(moves(inside)["domain"]) == set(transitions(inside)["domain"]) == {"in"}


def test_levels_may_be_four_and_one_may_be_empty():
    """Sixteen pairs by the scheme's labels; nothing is before or after at a level without facts."""
    facts = facts_of((10, 0, 10, 10))
    levels = facts["level"].astype(int).to_numpy()
    table = transitions(outcomes_of(facts, scheme=FOUR, again=levels, shifts={run(60): levels_cell(levels, 60)}))
    assert len(table) == 2 * 16
    assert table.loc[table["before"] == "B", "facts"].sum() == 0
    assert table["facts"].sum() == 60


def test_before_the_second_probe_nothing_is_said_of_levels():
    """Without it, or with nothing done at all, tables are empty: no change is told without chance beside it."""
    for outcomes in (outcomes_of(FACTS), outcomes_of(FACTS, shifts=tuned(lost=10)), outcomes_of(FACTS.head(0), again=[])):
        assert moves(outcomes).empty
        assert transitions(outcomes).empty


def test_the_second_probe_alone_is_a_table_of_chance():
    """Before the first run: only the untouched model's rows."""
    table = moves(outcomes_of(FACTS, again=moved(gained=5)))
    assert table[["after", "move", "share"]].to_numpy().tolist() == [
        [UNTOUCHED, "kept", 0.95],
        [UNTOUCHED, "lost", 0.0],
        [UNTOUCHED, "gained", 0.05],
    ]


def test_forgetting_is_the_mean_of_seeds_that_told_a_perplexity():
    """Two of three seeds told one: 12 and 14 after 10; a model not made here tells none."""
    told = {"perplexity_before": 10.0, "log_ratio": 0.2, "log_ratio_se": 0.01}
    shifts = {run(60, seed): levels_cell(BEFORE, 60, perplexity=after, **told) for seed, after in enumerate((12.0, 14.0))}
    table = forgetting(outcomes_of(FACTS, again=BEFORE, shifts=shifts | tuned(seeds=(2,))))
    assert table.to_dict("records") == [
        {"model": "m", "after": "n = 60", "seeds": 2, "before": 10.0, "now": 13.0, "per_seed": [12.0, 14.0]}
        | {"log_ratio": pytest.approx(0.2), "log_ratio_se": pytest.approx(0.01)}
    ]
    assert forgetting(outcomes_of(FACTS, again=BEFORE, shifts=tuned())).empty
    assert forgetting(outcomes_of(FACTS)).empty
