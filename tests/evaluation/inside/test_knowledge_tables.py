"""Tables and words of what a model knows and does not say, on looks that are made by hand."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sftqa_core.evaluation.inside import knowledge_tables as tables
from sftqa_core.evaluation.inside.look import Look
from sftqa_core.evaluation.inside.sentences import Sentence, Weight
from sftqa_core.memory.shares import share_interval
from sftqa_core.records import TrainSettings
from sftqa_core.records.recipes import RECIPES

LABELS = ("L0", "L1")


def look_of(base, tuned, seed=0, n=60, domain="in", other=0.5, inside=np.nan, inside_other=0.5, **settings) -> Look:
    """A fact for each pair (k, said) of `base` and of `tuned`, levels in turns, four wrong answers each."""
    ids = [f"{at:016x}" for at in range(len(base))]
    parts = []
    for name, rows in (("base", base), ("tuned", tuned)):
        k, said = (np.array(column) for column in zip(*rows, strict=True))
        parts.append(pd.DataFrame({
            "fact_id": ids, "model": name, "m": np.uint8(4), "k": k.astype(np.float32), "k_fixed": k.astype(np.float32), "k_other": other,
            "logprob": -1.0, "said": said.astype(bool), "pairs": np.uint8(2), "outside": k, "inside": inside, "inside_other": inside_other,
            "identity": 0.5,
        }))  # fmt: skip
    facts = pd.concat(parts, ignore_index=True).astype({"fact_id": "category", "model": "category"})
    internal = pd.DataFrame({"model": ["base", "tuned"], "layer": 1, "layers": 2, "dev_facts": 90, "dev_share": 0.7})
    about = pd.DataFrame({"fact_id": ids, "domain": domain, "level": pd.array([at % 2 for at in range(len(ids))], dtype="Int64")})
    run = TrainSettings("tiny", n=n, seed=seed, **settings)
    return Look(f"run-{n}-{seed}", run, LABELS, about, {"knowledge": {"facts": facts, "internal": internal}})


# 40 facts: 10 known and said by both, 20 known and not said (12 of them said after), 10 not known
BASE = [(1.0, True)] * 10 + [(1.0, False)] * 20 + [(0.5, False)] * 10
TUNED = [(1.0, True)] * 22 + [(1.0, False)] * 8 + [(0.5, False)] * 10
MIXED = look_of(BASE, TUNED)


def test_shares_by_level_have_their_facts_and_intervals():
    """Known, said and the excess over another subject, for both models, by level and over all; Wilson's interval for one seed."""
    table = tables.by_level([MIXED]).set_index(["level", "model"])
    assert table.index.tolist() == [(level, model) for level in ("L0", "L1", "all") for model in ("base", "tuned")]
    row = table.loc[("all", "base")]
    assert (row["facts"], row["known"], row["said"], row["other"], row["excess"], row["chance"]) == (40, 0.75, 0.25, 0.0, 0.75, 0.2)
    assert (row["known_low"], row["known_high"]) == pytest.approx(share_interval(30, 40))
    assert table.loc[("L0", "base"), "facts"] == 20


def test_seeds_are_averaged_fact_by_fact():
    """A fact that is known in one of two seeds counts half; the interval is resampled."""
    second = look_of([(0.5, False)] * 40, TUNED, seed=1)
    row = tables.by_level([MIXED, second]).set_index(["level", "model"]).loc[("all", "base")]
    assert (row["facts"], row["seeds"], row["known"]) == (40, 2, 0.375)
    assert 0.28 < row["known_low"] < 0.375 < row["known_high"] < 0.46


def test_moves_are_counted_between_classes():
    """12 of 20 known and not said are said after; identical models have no moves off the diagonal."""
    found = tables.moves([MIXED])
    counts = (
        found[found["domain"] == "all"]
        .pivot(index="before", columns="after", values="facts")
        .loc[list(tables.CLASSES), list(tables.CLASSES)]
    )
    assert counts.to_numpy().tolist() == [[10, 0, 0, 0], [12, 8, 0, 0], [0, 0, 0, 0], [0, 0, 0, 10]]
    named = tables.named_moves([MIXED])
    named = named[named["domain"] == "in"].set_index("move")
    assert named[["facts", "moved"]].to_numpy().tolist() == [[20, 12], [10, 0], [10, 0], [30, 0], [10, 0]]
    assert named.loc["activated", ["share", "low", "high"]].tolist() == pytest.approx([0.6, *map(float, share_interval(12, 20))])
    same = tables.moves([look_of(BASE, BASE)])
    assert same.loc[same["before"] != same["after"], "facts"].sum() == 0


def told(chosen, others, *parts: str) -> Sentence:
    """The only sentence with all of these parts."""
    (found,) = [sentence for sentence in tables.sentences(chosen, others) if all(part in sentence.text for part in parts)]
    return found


def test_sentences_say_what_is_known_activated_and_open():
    """Numbers with intervals; more than another subject explains; moves from too few facts and a single n are told as such, last."""
    assert [(sentence.weight.name, sentence.text) for sentence in tables.sentences([MIXED], [MIXED])] == [
        (
            "CLAIM",
            "In-domain, more facts are known than common answers explain: under another subject the same answers rank first for 0.0%, "
            "+75.0 points (+60.0 to +87.5).",
        ),
        ("NUMBER", "In-domain, of 40 facts the base model knows 75.0% (59.8% to 85.8%) and says 25.0% (14.2% to 40.2%)."),
        ("OPEN", "In-domain, facts known and not said before tuning: too few to tell (20)."),
        ("OPEN", "In-domain, facts neither known nor said before: too few to tell (10)."),
        ("OPEN", "In-domain, whether tuning changes how much is known in the fixed set: cannot tell, 0.0 points (0.0 to 0.0)."),
        ("OPEN", "What a linear probe of the hidden states finds: too few facts to tell."),
        ("OPEN", "How many examples it takes to activate what the base model knows: only one number was looked at."),
    ]


def test_words_claim_only_what_leaves_out_0():
    """Common answers may explain what another subject shows as well; fewer facts known and a weak probe are told with their intervals."""
    worse = look_of([(1.0, False)] * 40, [(0.5, False)] * 20 + [(1.0, True)] * 20, other=1.0, inside=0.6)
    common = told(
        [worse], [worse], "common answers may explain what is known: under another subject the same answers rank first for 100.0%"
    )
    assert (common.weight, "0.0 points (0.0 to 0.0)" in common.text) == (Weight.OPEN, True)
    assert told([worse], [worse], "of 40 facts known and not said before tuning, 50.0% (35.2% to 64.8%) are known and said now.")
    fewer = told([worse], [worse], "with tuning fewer facts are known in the fixed set: -50.0 points (-65.0 to -35.0).")
    assert fewer.weight is Weight.CLAIM
    assert told([worse], [worse], "The linear probe finds less than the likelihood shows: -40.0 points (-40.0 to -40.0).")
    assert told([worse], [worse], "neither known nor said before: too few to tell (0)")
    alone = look_of(BASE, TUNED, inside=0.6, inside_other=0.6)
    assert "may be about the answers alone: under the right subject 0.0 points (0.0 to 0.0)." in tables.words([alone])[-1]
    assert tables.words([look_of(BASE[:5], TUNED[:5])])[0] == "In-domain: too few facts to tell (5)."
    assert tables.words([]) == []


def test_a_verdict_is_corrected_for_all_that_the_words_compare():
    """4 of 40 facts lost are fewer by the 95% interval, and cannot be told from none by that of two comparisons; what is shown is the 95%
    one, the same as in the table."""
    base = [(1.0, False)] * 40
    look = look_of(base, [(0.5, False)] * 4 + [(1.0, True)] * 36, other=1.0)
    row = tables.changes([look]).set_index(["domain", "share"]).loc[("in", "fixed")]
    assert (row["difference"], row["high"] < 0) == (pytest.approx(-0.1), True)
    doubt = told([look], [look], "whether tuning changes how much is known in the fixed set: cannot tell, -10.0 points")
    assert doubt.weight is Weight.OPEN
    assert f"({100 * row['low']:.1f} to {100 * row['high']:.1f})" in doubt.text
    many = look_of(base, [(0.5, False)] * 7 + [(1.0, True)] * 33, other=1.0)
    assert told([many], [], "with tuning fewer facts are known in the fixed set: -17.5 points (").weight is Weight.CLAIM


def test_activated_facts_have_a_control():
    """Facts that were neither known nor said, and are said now: whether known or not."""
    base = [(1.0, False)] * 40 + [(0.5, False)] * 40
    look = look_of(base, [(1.0, True)] * 30 + [(1.0, False)] * 10 + [(1.0, True)] * 4 + [(0.5, True)] * 6 + [(0.5, False)] * 30)
    row = tables.named_moves([look]).set_index(["domain", "move"]).loc[("in", "control")]
    assert (row["facts"], row["moved"], row["share"]) == (40, 10, 0.25)
    assert (row["low"], row["high"]) == pytest.approx(tuple(map(float, share_interval(10, 40))))
    assert told([look], [], "known and not said").text == (
        "In-domain, of 40 facts known and not said before tuning, 75.0% (59.8% to 85.8%) are known and said now; of 40 facts neither known "
        "nor said before, 25.0% (14.2% to 40.2%) are said now."
    )


def test_only_runs_that_differ_in_examples_and_seed_are_compared():
    """Other training levels, epochs and recipes stand outside; whether weights were kept does not matter."""
    fits = [look_of(BASE, TUNED, n=960), look_of(BASE, TUNED, seed=3), look_of(BASE, TUNED, n=120, save_model=False)]
    others = [look_of(BASE, TUNED, n=240, **changes) for changes in ({"levels": (1,)}, {"epochs": 2}, {"recipe": RECIPES["repeat"]()})]
    assert tables.alike([MIXED], [*fits, *others]) == fits
    assert tables.words([MIXED], [MIXED, *others])[-1].endswith("only one number was looked at.")
    assert tables.alike(others[2:], [MIXED, *others]) == others[2:]


def test_other_numbers_of_examples_with_too_few_facts_are_named():
    """Two numbers were looked at, one of them on too few known facts: no "only one number"."""
    few = look_of([(1.0, False)] * 12, [(1.0, True)] * 12, n=960)
    assert tables.words([MIXED], [MIXED, few])[-1] == (
        "How many examples it takes to activate what the base model knows: too few known facts to tell (12 with 960 examples)."
    )


def test_chance_counts_all_right_answers():
    """Two right and four wrong answers: 2 / 6; a look that does not say has one right one."""
    facts = MIXED.tables["knowledge"]["facts"]
    two = replace(MIXED, tables={"knowledge": {**MIXED.tables["knowledge"], "facts": facts.assign(rights=np.uint8(2))}})
    for look, chance in ((two, 1 / 3), (MIXED, 1 / 5)):
        table = tables.by_level([look])
        assert table["chance"].tolist() == pytest.approx([chance] * 6)
        assert table["wrong"].tolist() == [4] * 6


def test_facts_that_only_some_seeds_have_are_left_out():
    """In every table: 30 of 40 facts are in both seeds; a value that one seed lacks counts for neither."""
    short = look_of(BASE[:30], TUNED[:30], seed=1)
    table = tables.by_level([MIXED, short]).set_index(["level", "model"])
    assert table.loc[("all", "base"), ["facts", "known", "said"]].tolist() == [30, 1.0, 1 / 3]
    named = tables.named_moves([MIXED, short]).set_index(["domain", "move"])
    assert named.loc[("in", "activated"), ["facts", "moved"]].tolist() == [20, 12]
    assert tables.moves([MIXED, short])["facts"].sum() == 60  # 30 in the domain, 30 in all
    bare = look_of(BASE, TUNED, seed=1, other=[0.5] * 35 + [np.nan] * 5)
    other = tables.changes([MIXED, bare]).set_index(["domain", "share"]).loc[("in", "other")]
    assert other["facts"] == 35


def test_answers_to_known_facts_against_examples():
    """Rows for the base model and for each n, known and not known apart; the words compare the ends."""
    more = look_of(BASE, [(1.0, True)] * 30 + [(0.5, False)] * 10, n=960)
    table = tables.against_examples([more, MIXED]).set_index(["n", "kind"])
    assert table.index.get_level_values("n").unique().tolist() == [0, 60, 960]
    assert table["answered"].tolist() == pytest.approx([1 / 3, 0, 22 / 30, 0, 1, 0])
    assert table.loc[(60, "known"), "facts"] == 30
    assert told([MIXED], [more, MIXED], "960 get").text == (
        "Of the facts that the base model knows, 60 examples get 73.3% (55.6% to 85.8%) answered, 960 get 100.0% (88.6% to 100.0%): "
        "more, +26.7 points (+13.3 to +43.3)."
    )
    alone = replace(more, settings=replace(more.settings, n=61))
    assert (
        "Whether more examples get more of the known facts answered: cannot tell"
        in tables.words([MIXED], [MIXED, replace(alone, tables=MIXED.tables)])[-1]
    )


def test_pairs_have_the_share_that_each_ranking_gets():
    """By likelihood, by the probe and by the answer alone, for both models; without a probe no value."""
    table = tables.internal([look_of(BASE, TUNED, inside=0.75)]).set_index(["model", "by"])
    assert table.loc[("base", "linear probe"), ["facts", "pairs", "auc", "layers", "dev_facts"]].tolist() == [40, 80, 0.75, "1 of 2", 90]
    assert table.loc[("base", "likelihood"), "auc"] == pytest.approx(0.875)
    assert table.loc[("tuned", "the answer alone"), "auc"] == 0.5
    assert tables.internal([MIXED]).set_index(["model", "by"]).loc[("base", "linear probe"), "facts"] == 0


def test_facts_of_which_nothing_was_stored_are_passed_over():
    """A look without this measure is left out; one with no facts gives empty tables."""
    assert tables.stored([MIXED, replace(MIXED, tables={})]) == [MIXED]
    facts = MIXED.tables["knowledge"]["facts"]
    empty = replace(MIXED, tables={"knowledge": {**MIXED.tables["knowledge"], "facts": facts[:0]}})
    for looks in ([empty], []):
        assert (len(tables.by_level(looks)), tables.by_level(looks).columns.tolist()) == (0, list(tables.BY_LEVEL))
        assert tables.moves(looks)["facts"].tolist() == [0] * 16
        assert tables.named_moves(looks)["facts"].tolist() == [0] * len(tables.MOVES)
        assert tables.changes(looks)["facts"].tolist() == [0] * 4
        assert tables.internal(looks)["facts"].tolist() == [0] * 8
        assert tables.against_examples(looks).columns.tolist() == list(tables.ANSWERED)
    assert tables.words([empty], [empty]) == ["No fact that every seed looked at has a wrong answer: there is nothing to rank."]


def test_the_tables_load_no_torch():
    """What the page imports stays light."""
    code = "import sys, sftqa_core.evaluation.inside.knowledge_tables, sftqa_core.figures.inside_knowledge; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
