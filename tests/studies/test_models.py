"""How models differ, from outcomes whose numbers are known."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from statsmodels.stats.proportion import proportion_confint

from sftqa_core.studies.models import LEAST, differences, known_by, level_shares, planted, ranks
from tests.studies.small_study import FOUR, facts_of, only, outcomes_of, right, run

FACTS = facts_of((10, 20, 30, 40, 0), ("in",))


def model(name, facts=FACTS, **runs):
    return outcomes_of(facts, runs.get("runs"), name)


def test_shares_of_levels_have_wilsons_interval():
    """30 of 100 at L2; an empty level is a share of 0 and still not certain; unprobed facts do not count."""
    facts = pd.concat([FACTS, FACTS.tail(5).assign(level=pd.NA, fact_id=list("abcde"))], ignore_index=True).astype({"level": "Int64"})
    table = level_shares([model("a", facts)])
    own = only(table, level="L2")
    assert (own["facts"], own["share"]) == (30, 0.3)
    assert (own["low"], own["high"]) == pytest.approx(proportion_confint(30, 100, method="wilson"))
    empty = only(table, level="L4")
    assert (empty["facts"], empty["share"], empty["low"]) == (0, 0.0, pytest.approx(0))
    assert empty["high"] == pytest.approx(3.8415 / 103.8415, abs=1e-4)


def test_a_model_that_was_not_probed_has_no_shares():
    """Rows for each level, without numbers; with no models no rows; labels are the scheme's."""
    facts = FACTS.assign(level=pd.array([None] * len(FACTS), dtype="Int64"))
    assert level_shares([model("a", facts)])[["share", "low", "high"]].isna().all(axis=None)
    assert level_shares([]).empty
    assert level_shares([outcomes_of(facts_of((5,) * 4), scheme=FOUR)])["level"].tolist() == ["A", "B", "C", "D"]


def test_ranks_compare_memory_scores_on_common_facts():
    """Spearman as scipy has it, on the facts that both know, found by id; the share on the same level beside it."""
    scores = np.random.default_rng(0).random(len(FACTS))
    other = FACTS.assign(score=scores, level=FACTS["level"].where(FACTS.index >= 10, 4)).sample(frac=1, random_state=0).tail(90)
    row = only(ranks([model("a"), model("b", other)]), model="a")
    common = FACTS[FACTS["fact_id"].isin(other["fact_id"])]
    assert (row["other"], row["facts"]) == ("b", 90)
    assert row["spearman"] == pytest.approx(spearmanr(common["score"], scores[common.index]).statistic)
    assert row["same_level"] == pytest.approx((common.index >= 10).mean())


def test_few_common_facts_have_no_rank_correlation():
    """Fewer than ten are not told of; three models are three pairs; one model is none."""
    assert len(ranks([model("a"), model("b", FACTS.head(LEAST - 1))])) == 0
    assert ranks([model("a"), model("b"), model("c")])[["model", "other"]].to_numpy().tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    assert ranks([model("a")]).empty
    assert ranks([]).empty


def test_equal_scores_have_no_rank():
    """A model that gives every fact the same score has no correlation, rather than a NaN of scipy's with a warning."""
    flat = FACTS.assign(score=0.0, level=0).astype({"level": "Int64"})
    row = only(ranks([model("a"), model("b", flat)]), model="a")
    assert row["spearman"] is None
    assert row["same_level"] == 0.1


def test_facts_are_told_by_how_many_models_know_them():
    """Best known first; the number of models at the highest and at the lowest level, and the mean score."""
    one = facts_of((2, 0, 0, 0, 2))
    other = one.assign(level=[0, 4, 4, 2], score=[0.0, 1.0, 0.8, 0.4]).astype({"level": "Int64"})
    table = known_by([model("a", one), model("b", other)])
    assert table["fact_id"].tolist() == ["in-4-0", "in-4-1", "in-0-1", "in-0-0"]
    assert table["best"].tolist() == [2, 1, 1, 0]
    assert table["none"].tolist() == [0, 0, 1, 2]
    assert table["mean_score"].tolist() == pytest.approx([0.85, 0.65, 0.55, 0.05])
    assert table["subject"].tolist()[0] == "Subject in 4 0"


def test_no_common_facts_are_an_empty_table():
    """Models that were asked about different facts know none in common."""
    table = known_by([model("a"), model("b", FACTS.assign(fact_id=[f"x{i}" for i in range(len(FACTS))]))])
    assert (len(table), list(table)[-1]) == (0, "mean_score")


def test_no_models_know_nothing():
    """An empty list of models gives an empty table, as elsewhere."""
    assert known_by([]).empty


def test_models_are_compared_on_the_same_facts_after_the_same_examples():
    """.5 against .7 on the same 100 facts, 20 of which only the second knows; the interval is that of a paired share."""
    pair = [model("a", runs={run(60): right(FACTS, 0.5)}), model("b", runs={run(60): right(FACTS, 0.7)})]
    row = only(differences(pair), domain="in")
    assert (row["model"], row["other"], row["n"], row["facts"]) == ("a", "b", 60, 100)
    assert (row["accuracy"], row["other_accuracy"], row["difference"]) == pytest.approx((0.5, 0.7, -0.2))
    assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * np.sqrt(0.2 * 0.8 / 100), rel=0.1)
    assert row["p"] == row["p_holm"] < 0.01


def test_p_is_corrected_over_all_pairs_and_domains():
    """Two domains of two pairs: Holm over the rows; equal answers have p = 1."""
    facts = facts_of((30, 30), ("in", "out"))
    three = [model(name, facts, runs={run(60): right(facts, share)}) for name, share in (("a", 0.2), ("b", 0.5), ("c", 0.5))]
    table = differences(three)
    assert len(table) == 6
    equal = table[(table["model"] == "b") & (table["other"] == "c")]
    assert equal[["difference", "p", "p_holm"]].to_numpy().tolist() == [[0.0, 1.0, 1.0]] * 2
    low = table[table["model"] == "a"]
    assert (low["p_holm"] >= low["p"]).all()


def test_facts_are_matched_by_id():
    """The second model's facts stand in another order, and it lacks some: only common facts count, each with itself."""
    correct = right(FACTS, 0.5)
    order = np.random.default_rng(0).permutation(len(FACTS))[:60]
    other = outcomes_of(FACTS.iloc[order].reset_index(drop=True), {run(60): correct[order]}, "b")
    row = only(differences([model("a", runs={run(60): correct}), other]), domain="in")
    assert (row["facts"], row["difference"], row["low"], row["high"]) == (60, 0.0, 0.0, 0.0)


def test_untouched_models_and_level_runs_are_not_compared():
    """Only runs on examples as they come count; as long as one model has none the pair is left out."""
    trained = model("a", runs={run(60): right(FACTS, 0.5)})
    for runs in ({}, {run(0): right(FACTS, 0.5)}, {run(60, 0, 1): right(FACTS, 0.5)}):
        assert differences([trained, model("b", runs=runs)]).empty
    assert list(differences([]))[-1] == "p_holm"


def test_only_seeds_that_both_have_are_the_same_examples():
    """The second model has seed 0 only, where the first one was as good; the first one's seed 1 must not count."""
    first = model("a", runs={run(60, 0): right(FACTS, 0.5), run(60, 1): right(FACTS, 0.0)})
    row = only(differences([first, model("b", runs={run(60, 0): right(FACTS, 0.5)})]), domain="in")
    assert row["difference"] == 0.0


def of_known_corpus(**columns):
    facts = facts_of((20, 20, 20, 20, 20))
    given = {"exposures": pd.array(range(100), dtype="Int64"), "contested": [i % 2 == 0 for i in range(100)]}
    return outcomes_of(facts.assign(score=np.linspace(0, 1, 100), **(given | columns)))


def test_mentions_and_memory_are_compared_where_the_corpus_is_known():
    """Scores that rise with mentions: 1.0 for contested and uncontested facts, all templates and seen ones, each topic."""
    table = planted([of_known_corpus(unseen_score=1.0 - np.linspace(0, 1, 100))])
    assert len(table) == 3 + 3 + 2  # each topic is all contested, or none of it is
    whole = only(table, facts_are="contested", templates="all", relation="all")
    assert (whole["facts"], whole["spearman"], whole["mean_unseen"]) == (50, pytest.approx(1.0), 0.0)
    assert only(table, facts_are="contested", templates="unseen", relation="all")["spearman"] == pytest.approx(-1.0)
    assert only(table, facts_are="contested", templates="all", relation="P1")["facts"] == 50
    assert table.loc[table["facts_are"] == "uncontested", "mean_unseen"].isna().all()


def test_what_is_not_known_is_not_compared():
    """No mentions, none recorded, no scores on unseen templates, or hardly any facts: no rows."""
    outcomes = of_known_corpus()
    for facts in (
        outcomes.facts.drop(columns=["exposures"]),
        outcomes.facts.assign(exposures=pd.array([None] * 100, dtype="Int64")),
        outcomes.facts.assign(score=np.nan),
        outcomes.facts.head(LEAST - 1),
    ):
        assert planted([dataclasses.replace(outcomes, facts=facts)]).empty
    assert set(planted([of_known_corpus(unseen_score=np.nan)])["templates"]) == {"all", "seen"}
    assert planted([]).empty
