"""Levels of smaller probes, drawn from the hits of a full one."""

import time

import numpy as np
import pandas as pd
import pytest

from sftqa_core.memory.agreement import COLUMNS, budget_curve, simulated_floor
from sftqa_core.memory.scores import level_of
from sftqa_core.records import LevelScheme

PAPER = LevelScheme()


def probe(facts, templates=21, samples=10, seed=0):
    """Hits of facts whose templates differ: known well, known by some templates, or not at all."""
    rng = np.random.default_rng(seed)
    mean = rng.beta(0.5, 0.8, facts)[:, None]
    return rng.binomial(samples, rng.beta(2 * mean + 0.01, 2 * (1 - mean) + 0.01, (facts, templates)))


def levels_of(hits, samples=10, scheme=PAPER):
    return level_of(hits.sum(1) / (hits.shape[1] * samples), scheme)


def cell(curve, templates, samples):
    return curve[(curve["templates"] == templates) & (curve["samples"] == samples)].iloc[0]


def test_the_grid_never_asks_for_more_than_there_is():
    """Of 6 templates and 4 samples: 1, 2, 3, 5, 6 by 1, 2, 3, 4, in order, each with what it costs a fact."""
    hits = probe(50, 6, 4)
    curve = budget_curve(hits, 4, levels_of(hits, 4), PAPER)
    assert list(curve) == list(COLUMNS)
    assert list(zip(curve["templates"], curve["samples"], strict=True)) == [(t, s) for t in (1, 2, 3, 5, 6) for s in (1, 2, 3, 4)]
    assert (curve["completions"] == curve["templates"] * curve["samples"]).all()


def test_the_paper_probe_has_forty_eight_budgets():
    """1 to 21 templates by 1 to 10 samples, the full probe last."""
    hits = probe(30)
    curve = budget_curve(hits, 10, levels_of(hits), PAPER, repeats=1)
    assert len(curve) == 48
    assert curve.iloc[-1][["templates", "samples", "completions"]].tolist() == [21, 10, 210]


def test_the_full_budget_agrees_with_itself():
    """The whole probe gives kappa 1 without doubt; against other levels it gives that agreement, in every repeat alike."""
    hits = probe(300)
    reference = levels_of(hits)
    assert budget_curve(hits, 10, reference, PAPER).iloc[-1][["kappa", "low", "high", "same"]].tolist() == [1, 1, 1, 1]
    moved = np.where(np.arange(300) < 30, (reference + 1) % 5, reference)
    assert cell(budget_curve(hits, 10, moved, PAPER), 21, 10)["same"] == pytest.approx(0.9)


def test_kappa_rises_with_the_budget():
    """More templates at the same samples, and more samples of the same templates, never agree worse."""
    hits = probe(2000)
    wide = budget_curve(hits, 10, levels_of(hits), PAPER).pivot_table(index="templates", columns="samples", values="kappa")
    assert (wide.diff().iloc[1:] > 0).all(axis=None)
    assert (wide.T.diff().iloc[1:] > 0).all(axis=None)


def test_templates_tell_more_than_samples():
    """Where templates differ, ten templates once agree better than one template ten times."""
    hits = probe(2000)
    curve = budget_curve(hits, 10, levels_of(hits), PAPER)
    assert cell(curve, 10, 1)["low"] > cell(curve, 1, 10)["high"]


def test_samples_are_drawn_without_putting_back():
    """2 of 4 samples with 2 hits miss both in 1 of 6 draws (of a coin it would be 1 of 4), 1 of 4 in half of them."""
    hits = np.full((6000, 1), 2)
    curve = budget_curve(hits, 4, np.zeros(6000, int), PAPER)
    assert cell(curve, 1, 2)["same"] == pytest.approx(1 / 6, abs=0.01)
    assert cell(curve, 1, 1)["same"] == pytest.approx(1 / 2, abs=0.015)
    assert cell(curve, 1, 4)["same"] == 0


def test_each_fact_has_templates_of_its_own():
    """One sure template of three: a single one finds it for a third of the facts, two for two thirds of them."""
    hits = np.tile([0, 10, 0], (6000, 1))
    curve = budget_curve(hits, 10, np.zeros(6000, int), PAPER)
    assert 1 - cell(curve, 1, 10)["same"] == pytest.approx(1 / 3, abs=0.015)
    assert 1 - cell(curve, 2, 10)["same"] == pytest.approx(2 / 3, abs=0.015)


def test_cut_offs_are_those_of_the_full_probe():
    """1 hit of 4 is a quarter and so L1, the same for 1 template of 4 samples as in the levels table."""
    hits = np.array([[1], [2], [3], [4], [0]])
    assert cell(budget_curve(hits, 4, [1, 2, 3, 4, 0], PAPER), 1, 4)["same"] == 1


def test_the_interval_holds_kappa_and_narrows_with_facts():
    """Sixteen times the facts make every interval about a quarter as wide."""
    hits = probe(200)
    few, many = (budget_curve(h, 10, levels_of(h), PAPER).iloc[:-1] for h in (hits, np.tile(hits, (16, 1))))
    for curve in (few, many):
        assert ((curve["low"] < curve["kappa"]) & (curve["kappa"] < curve["high"])).all()
    shrunk = (many["high"] - many["low"]) / (few["high"] - few["low"])
    assert shrunk.mean() == pytest.approx(1 / 4, abs=0.03)


def test_a_seed_gives_the_same_curve():
    """The same seed the same numbers, another seed others; the input is left as it was."""
    hits = probe(100)
    kept = hits.copy()
    first, again, other = (budget_curve(hits, 10, levels_of(hits), PAPER, seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert (first["kappa"] != other["kappa"]).any()
    assert (hits == kept).all()


def test_a_scheme_of_four_levels():
    """Nothing counts on five levels."""
    scheme = LevelScheme("thirds", ("a", "b", "c", "d"), (0.0, 1 / 3, 2 / 3))
    hits = probe(300)
    curve = budget_curve(hits, 10, levels_of(hits, scheme=scheme), scheme)
    assert curve.iloc[-1]["kappa"] == 1
    assert 0 < curve.iloc[0]["kappa"] < 1
    assert 0.5 < simulated_floor(hits, 10, scheme) < 1


@pytest.mark.parametrize("facts", [0, 1])
def test_fewer_than_two_facts_have_no_curve(facts):
    """The budgets are listed, every measure is NaN."""
    hits = np.full((facts, 3), 5)
    curve = budget_curve(hits, 10, np.full(facts, 2), PAPER)
    assert len(curve) == 18
    assert curve[["kappa", "low", "high", "same"]].isna().all(axis=None)
    assert np.isnan(simulated_floor(hits, 10, PAPER))


def test_no_facts_and_no_templates():
    """An empty list of hits is an empty curve with its columns."""
    assert list(budget_curve([], 10, [], PAPER)) == list(COLUMNS)
    assert len(budget_curve([], 10, [], PAPER)) == 0
    assert np.isnan(simulated_floor([], 10, PAPER))


def test_one_level_only_has_no_kappa():
    """A model that knows nothing agrees with itself at any budget, but kappa has nothing to go by."""
    curve = budget_curve(np.zeros((50, 5), int), 10, np.zeros(50, int), PAPER)
    assert (curve["same"] == 1).all()
    assert curve[["kappa", "low", "high"]].isna().all(axis=None)


def test_impossible_hits_are_refused():
    """11 hits of 10 samples name what was seen."""
    with pytest.raises(ValueError, match="Hits must be 0 to 10 of each template, got 3 to 11"):
        budget_curve([[11, 3]], 10, [4], PAPER)
    with pytest.raises(ValueError, match="got -1 to 3"):
        simulated_floor([[-1, 3]], 10, PAPER)


def test_the_simulated_floor_rises_with_samples():
    """Two probes of an unchanged model never quite agree, and agree better the more they draw."""
    floors = [simulated_floor(probe(2000, samples=samples), samples, PAPER) for samples in (1, 10, 100)]
    assert floors == sorted(floors)
    assert 0.5 < floors[0] < floors[1] < floors[2] < 1
    assert simulated_floor(probe(2000, samples=1), 1, PAPER) == floors[0]


def test_the_simulated_floor_is_the_posteriors():
    """One sample of one template, half of them hits: rates of Beta(1.5, 0.5) and Beta(0.5, 1.5) give a kappa of 1/2."""
    # E[q] = 3/4 and 1/4, E[q^2] = 1.5 x 2.5 / (2 x 3) = 5/8 and 0.5 x 1.5 / (2 x 3) = 1/8.
    # Both hit: (5/8 + 1/8) / 2 = 3/8, neither 3/8, so 1/4 differ; margins are halves, so 1/2 would by chance: kappa 1/2.
    hits = np.arange(20_000)[:, None] % 2
    assert simulated_floor(hits, 1, PAPER) == pytest.approx(0.5, abs=0.02)


def test_seven_thousand_facts_take_less_than_three_seconds():
    """The whole curve of a paper-sized probe is quick enough to be drawn on a page."""
    hits = probe(7000)
    started = time.process_time()
    budget_curve(hits, 10, levels_of(hits), PAPER)
    simulated_floor(hits, 10, PAPER)
    assert time.process_time() - started < 3
