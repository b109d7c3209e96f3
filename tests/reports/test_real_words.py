"""Sentences about real models: what is too few to tell, whether L0 is unknown by likelihood, how much is the commonest object."""

from __future__ import annotations

import pandas as pd

from sftqa_core.evaluation import real_tables
from sftqa_core.reports import real_words


def asked(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame([("m", *row) for row in rows], columns=list(real_tables.ASKED))


def test_nearly_empty_levels_are_named_with_their_facts():
    """Levels with fewer than 30 facts, by domain; nothing where all hold enough."""
    rows = [("in", "L0", 40), ("in", "L1", 29), ("out", "L0", 30), ("out", "L1", 0)]
    levels = pd.DataFrame(
        [("m", "full probe", "domain", at, at, level, n, 70, 0, 0, 0) for at, level, n in rows], columns=list(real_tables.LEVELS)
    )
    assert real_words.thin(levels, "m", "full probe") == "fewer than 30 facts, too few to tell: in-domain L1 (29); out-of-domain L1 (0)."
    assert real_words.thin(levels[levels["facts"] >= 30], "m", "full probe") == ""
    assert list(real_words.thinly(levels, "other")) == [real_words.NOT_MEASURED]
    (told,) = real_words.thinly(levels, "m")
    assert told.startswith("By the full probe: fewer than 30 facts")


def test_a_probe_that_is_not_finished_is_told_by_unequal_numbers_of_facts(monkeypatch):
    """The fewest and the most facts of a relation, or how many have any; nothing where all have the same."""
    monkeypatch.setattr(real_words, "_relations", lambda: 2)
    made = [("m", "full probe", "relation", relation, "in", "L0", of, of, 1.0, 0, 1) for relation, of in (("P17", 20), ("P36", 3))]
    levels = pd.DataFrame(made, columns=list(real_tables.LEVELS))
    assert real_words.uneven(levels, "m", "full probe").startswith("3 to 20 facts a relation, so the probe is not finished")
    assert real_words.uneven(levels[levels["group"] == "P17"], "m", "full probe").startswith("1 of 2 relations have facts")
    assert real_words.uneven(levels.assign(of=20), "m", "full probe") == ""


def test_agreement_on_few_facts_is_not_told():
    """Shares and kappa with their intervals; with 29 facts only that they are too few."""
    many = ("likelihood", 480, 0.8, 0.76, 0.83, 0.5, 0.4, 0.6, 0.7, 0.9, 0.87, 0.92, None, None, None)
    few = ("second probe", 29, *many[2:])
    slick = ("SliCK's prompts", 120, *[None] * 7, 0.7, 0.6, 0.8, 0.4, 0.2, 0.6)
    table = pd.DataFrame([("m", *row) for row in (many, few, slick)], columns=list(real_tables.AGREEMENT))
    first, second, third = real_words.agreement(table, "m")
    assert first == (
        "The full probe against likelihood, 480 facts: 80.0% (76.0 to 83.0%) have the same level (kappa 0.50, 0.40 to 0.60), "
        "90.0% (87.0 to 92.0%) are known by both or by neither."
    )
    assert second == "The full probe against the full probe again, another seed: 29 facts were measured both ways, too few to tell."
    assert third.startswith(
        "The full probe against SliCK's prompts, 120 facts: Kendall's tau-b of the two orders is 0.40, 0.20 to 0.60, 70.0%"
    )


def test_by_likelihood_l0_is_not_unknown_where_right_answers_are_more_than_the_commonest_object():
    """Both ways of asking with their intervals; where every right answer is the commonest object nothing is claimed."""
    plain = ("likelihood", "L0", "plain prompt", 100, 1, 10.0, 4.0, 0.1, 0.05, 0.17)
    shown = ("likelihood", "L0", "4 examples in the prompt", 100, 3, 20.0, 5.0, 0.2, 0.13, 0.29)
    told = list(real_words.asked(asked(plain, shown), "m"))
    assert told == [
        "Of 100 facts that are L0 by likelihood it answers 10.0% (5.0 to 17.0%) plainly asked and 20.0% (13.0 to 29.0%) with 4 examples in "
        "the prompt; 25% of the right answers are the commonest object.",
        "By likelihood, L0 is not all unknown: 15 of these are answered with another object than the commonest.",
    ]
    only_common = (*plain[:5], 4.0, 4.0, *plain[7:])
    assert len(list(real_words.asked(asked(only_common), "m"))) == 1
    few = (*plain[:3], 29, *plain[4:])
    assert list(real_words.asked(asked(few), "m")) == ["29 facts are L0 by likelihood, too few to tell."]
    assert list(real_words.asked(asked(), "m")) == [real_words.NOT_ASKED]


def test_the_commonest_object_is_told_beside_its_share_of_all_facts():
    """More, fewer, or not told from all test facts."""
    every = ("", "all test facts", "all", 4_800, 480, 0.1, 0.09, 0.11)
    known = ("m", "above the lowest level, full probe", "all", 100, 40, 0.4, 0.31, 0.5)
    right = ("m", "right answers, plain prompt", "all", 20, 1, 0.05, 0.0, 0.2)
    table = pd.DataFrame([every, known, right], columns=list(real_tables.MAJORITY))
    assert list(real_words.majority(table, "m")) == [
        "Of 100 facts above the lowest level by the full probe, 40.0% (31.0 to 50.0%) have the commonest object for an answer, more than "
        "the 10.0% of all test facts.",
        "20 right answers plainly asked: too few to tell how many are the commonest object.",
    ]


def test_a_study_that_is_not_finished_says_how_far_it_is():
    assert real_words.unfinished(3, 16) == "3 of 16 runs of its study of amounts are done. What tuning does is told when all are."
