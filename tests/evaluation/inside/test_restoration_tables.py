"""What putting weights back does, from made tables: accuracy, claims and words with known values."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from sftqa_core.evaluation.comparing import largest_share
from sftqa_core.evaluation.inside import restoration_tables as tables
from sftqa_core.evaluation.inside.restoration_tables import ALL, MEAN, NONE
from sftqa_core.evaluation.inside.sentences import Sentence, Weight
from sftqa_core.evaluation.intervals import wilson
from tests.restored_looks import BEST, RIGHT, made_look


def row_of(table: pd.DataFrame, **wanted: object) -> dict:
    rows = table[(table[list(wanted)] == list(wanted.values())).all(axis=1)]
    assert len(rows) == 1
    return rows.iloc[0].to_dict()


def test_the_curve_is_the_mean_over_levels_against_the_tuned_model():
    """20 and 38 of 40 are 72.5%, 22.5 points more than 10 and 30; a control is the mean of its draws."""
    curve = tables.curve([made_look()])
    best = row_of(curve, domain="in", level=MEAN, way="relative", share=0.1)
    assert (best["accuracy"], best["difference"]) == pytest.approx((0.725, 0.225))
    assert (best["facts"], best["least"], best["seeds"], best["draws"], best["verdict"]) == (80, 40, 1, 1, "better")
    assert 0.1 < best["low"] < 0.225 < best["high"] < 0.35
    chance = row_of(curve, domain="out", level=MEAN, way="random", share=0.1)
    assert (chance["accuracy"], chance["draw_low"], chance["draw_high"]) == pytest.approx((0.7125, 0.7, 0.725))
    assert (chance["draws"], chance["restored"]) == (2, 100)
    assert row_of(curve, domain="in", level="L0", way="relative", share=0.6)["difference"] == pytest.approx(-0.25)
    assert curve[curve["share"] == 0]["way"].value_counts().to_dict() == dict.fromkeys(tables.WAYS, 6)  # domains by places


def test_where_no_fact_differs_the_bound_is_of_all_facts():
    """Of 80 facts in two levels of 40 none differs: at most 3.7% can, not the 7.2% of a level alone."""
    same = row_of(tables.curve([made_look()]), domain="in", level=MEAN, way="relative", share=0.01)
    assert same["difference"] == 0
    assert (-same["low"], same["high"]) == pytest.approx((largest_share(0, 80, 0.05),) * 2)
    assert same["verdict"] == "cannot tell"


def test_facts_are_averaged_over_seeds_and_only_common_ones_count():
    """One seed gains 22.5 points, the other nothing: 11.25 on the facts of both, whatever their order."""
    other = made_look(1, right={**RIGHT, ("relative", 0.1, 0): (10, 30)})
    turned = made_look(2, each=30, right={**RIGHT, ("relative", 0.1, 0): (10, 30)})
    both = row_of(tables.curve([made_look(), other]), domain="in", level=MEAN, way="relative", share=0.1)
    assert (both["difference"], both["seeds"], both["facts"]) == pytest.approx((0.1125, 2, 80))
    some = row_of(tables.curve([made_look(), turned]), domain="in", level=MEAN, way="relative", share=0.1)
    assert (some["difference"], some["facts"]) == pytest.approx(((10 / 30 + 0) / 2 / 2, 60))


def test_dev_facts_of_all_seeds_choose():
    """The mean of the seeds' dev accuracy; what each seed alone would choose stands beside."""
    looks = [made_look(0), made_look(1), made_look(2, best={**BEST, "relative": 0.6})]
    assert tables.chosen_shares(looks) == BEST
    assert row_of(tables.chosen(looks), way="relative", share=0.1)["by_seed"] == (0.1, 0.1, 0.6)
    assert any(text.endswith("Single seeds choose 10%, 10%, 60% by relative change.") for text in tables.words(looks))


def test_claims_are_corrected_together():
    """Against the tuned model, against other ways at their own share, and at the largest share; not against a way that chose nothing."""
    claims = tables.claims([made_look()])
    assert claims["against"].tolist() == [NONE, "random", "random-update", NONE] * 2
    assert claims["share"].tolist() == [0.1, 0.1, 0.1, 0.6] * 2
    assert claims["difference"].tolist() == pytest.approx([0.225, 0.0125, 0.325, -0.5] * 2)
    assert claims["verdict"].tolist() == ["better", "cannot tell", "better", "worse"] * 2
    alone = row_of(tables.curve([made_look()]), domain="in", level=MEAN, way="relative", share=0.1)
    assert (claims["low"][0], claims["high"][0]) == (alone["low"], alone["high"])  # shown alone, as in the chart
    assert claims["p_holm"][0] > 0


def test_a_verdict_needs_the_corrected_interval():
    """A gain whose own interval leaves out 0, and which cannot be told beside seven other comparisons."""
    slight = {**RIGHT, ("relative", 0.1, 0): (15, 32), ("random", 0.1, 0): (15, 32), ("random", 0.1, 1): (15, 32)}
    row = tables.claims([made_look(right=slight)]).iloc[0]
    assert (row["difference"], row["low"] > 0, row["p_holm"] > 0.05, row["verdict"]) == (pytest.approx(0.0875), True, True, "cannot tell")
    (text,) = [text for text in tables.words([made_look(right=slight)]) if text.startswith("In-domain, 10% put back")]
    assert text.endswith(": cannot tell whether it helps.")


def test_what_came_out_stands_first():
    """Claims, then which share dev facts choose, then what cannot be told; numbers, facts and seeds stand in each sentence."""
    said = tables.sentences([made_look()])
    assert [sentence.weight.name for sentence in said] == ["CLAIM"] * 8 + ["NUMBER"] + ["OPEN"] * 2
    claims, (choice,), doubts = said[:8], said[8:9], said[9:]
    assert choice.text == (
        "By the mean over levels of 60 dev facts, best to put back are: 10% (largest relative change), nothing (largest absolute change), "
        "10% (by chance, as many), 20% (by chance, as large an update)."
    )
    assert claims[0].text.startswith("In-domain, 10% put back by relative change: +22.5 points, ")
    assert claims[0].text.endswith(", 80 facts, 1 seed: it helps.")
    assert claims[1].text.startswith("In-domain, 60% put back by relative change: -50.0 points, ")
    assert claims[1].text.endswith(": it harms.")
    assert claims[2].text.startswith(
        "In-domain, 10% by relative change does better than: 20% by chance, as large an update (+32.5 points, "
    )
    assert doubts[0].text.startswith("In-domain, 10% by relative change cannot be told from: 10% by chance, as many (+1.2 points, ")
    assert claims[-1].text.startswith("Out-of-domain, whole layers put back: layers 0-1 cost most, -47.5 points (")


def test_when_dev_facts_choose_nothing_there_is_no_gain_to_claim():
    """The other ways are still compared with the tuned model."""
    look = made_look(best={**BEST, "relative": 0.0})
    claims = tables.claims([look])
    assert claims["against"].tolist() == ["random", "random-update", NONE] * 2
    assert claims["difference"].tolist() == pytest.approx([-0.2125, 0.1, -0.5] * 2)
    assert any(
        sentence.startswith("In-domain, putting nothing back does worse than: 10% by chance, as many") for sentence in tables.words([look])
    )


def test_few_facts_say_nothing():
    """Below 30 facts at a level there is no claim, however large the difference."""
    few = {**RIGHT, ("none", 0.0, 0): (0, 0), ("relative", 0.1, 0): (20, 20)}
    look = made_look(each=20, right=few)
    assert set(tables.claims([look])["verdict"]) == {"too few facts to tell"}
    assert "too few facts to tell" in " ".join(tables.words([look]))
    assert not any("helps" in sentence or "harms" in sentence for sentence in tables.words([look]))


def test_without_levels_all_facts_count():
    """A level without facts leaves no mean over levels; facts without any level are counted all the same."""
    look = made_look()
    unknown = dataclasses.replace(look, facts=look.facts.assign(level=pd.array([pd.NA] * len(look.facts), dtype="Int64")))
    curve = tables.curve([unknown])
    assert set(curve["level"]) == {ALL}
    assert row_of(curve, domain="in", level=ALL, way="relative", share=0.1)["accuracy"] == pytest.approx(58 / 80)
    assert tables.claims([unknown])["difference"].tolist()[0] == pytest.approx(18 / 80)


def test_blocks_of_layers():
    """Against the tuned model, corrected together."""
    blocks = tables.blocks([made_look()])
    assert blocks["block"].tolist() == ["other", "0-1", "2"] * 2
    assert blocks["difference"].tolist() == pytest.approx([0, -0.475, -0.0125] * 2)
    assert blocks["verdict"].tolist() == ["cannot tell", "worse", "cannot tell"] * 2
    assert [tables.block_name(block) for block in ("other", "0-1", "2")] == ["embeddings and the rest", "layers 0-1", "layer 2"]


def test_an_own_example_of_several_seeds_is_averaged_over_them():
    """The same 40 facts right in one of two seeds are 40 facts, half right; one seed has Wilson's interval."""
    looks = [with_examples(seed, {"a": seed == 0, "b": True, **{f"{at}": seed == 0 for at in range(38)}}) for seed in (0, 1)]
    both, alone = (row_of(tables.own(some), level="L0", share=0.0) for some in (looks, looks[:1]))
    assert (both["facts"], both["accuracy"], both["correct"]) == pytest.approx((40, 20.5 / 40, 20.5))
    assert 0.5 <= both["low"] <= 0.5125 <= both["high"] < 0.56  # one fact differs, whatever the number of seeds
    assert (alone["low"], alone["high"]) == pytest.approx(wilson(40, 40))
    other = with_examples(1, {f"other {at}": False for at in range(40)})
    assert row_of(tables.own([looks[0], other]), level="L0", share=0.0)["facts"] == 80


def with_examples(seed, right):
    """A look whose examples, all of the first level, are answered so by the tuned model."""
    each = pd.DataFrame({"share": np.float32(0), "level": pd.array([0] * len(right), dtype="Int8"), "example": list(right)})
    look = made_look(seed)
    made = {**look.tables["restoration"], "own_examples": each.assign(correct=list(right.values())).astype({"example": "category"})}
    return dataclasses.replace(look, tables={"restoration": made})


def test_own_examples_without_names_count_as_one_seed():
    """Two seeds of 40 examples may be of the same facts: the interval is that of 40, as of a single seed."""
    own = tables.own([made_look(0), made_look(1)])
    first = row_of(own, level="L0", share=0.0)
    assert (first["facts"], first["correct"], first["accuracy"]) == pytest.approx((40, 4, 0.1))
    assert (first["low"], first["high"]) == pytest.approx(wilson(4, 40))
    assert own[own["level"].isna()]["facts"].tolist() == [5]
    assert own.equals(tables.own([made_look(0)]))


def test_own_examples_with_names_alone_count_each_fact_once():
    """Answers are counted by seed, but which facts they were is known: 20 of 40 are the same, so the interval is that of 60 facts."""
    looks = []
    for seed in (0, 1):
        look = made_look(seed)
        levels = pd.array([0] * 40 + [None] * 5, dtype="Int8")
        names = pd.DataFrame({"fact_id": [f"{at}" for at in range(20 * seed, 20 * seed + 40)] + list("abcde"), "level": levels})
        looks.append(dataclasses.replace(look, tables={"restoration": {**look.tables["restoration"], "own_facts": names}}))
    both, alone = (row_of(tables.own(some), level="L0", share=0.0) for some in (looks, looks[:1]))
    assert (both["facts"], both["correct"], both["accuracy"]) == pytest.approx((60, 6, 0.1))
    assert (both["low"], both["high"]) == pytest.approx(wilson(6, 60))
    assert (alone["low"], alone["high"]) == pytest.approx(wilson(4, 40))


def test_without_dev_facts_blocks_are_told_all_the_same():
    """No share can be chosen, and that is said."""
    look = made_look()
    picks = look.tables["restoration"]["chosen"].assign(accuracy=np.nan, facts=0, chosen=False)
    bare = dataclasses.replace(look, tables={"restoration": {**look.tables["restoration"], "chosen": picks}})
    for case in (bare, dataclasses.replace(look, tables={"restoration": {**bare.tables["restoration"], "chosen": picks[:0]}})):
        said = tables.words([case])
        assert [text.split(":")[0] for text in said] == [
            "In-domain, whole layers put back", "Out-of-domain, whole layers put back", "Which share is best to put back",
        ]  # fmt: skip
        assert said[-1].endswith("there are no dev facts to choose by.")
        assert "layers 0-1 cost most, -47.5 points (" in said[0]
        assert not len(tables.claims([case]))
        assert tables.chosen_shares([case]) == {}


def test_blocks_with_too_few_facts_are_named():
    """Beside those of which something can be told; all of them together need no names."""
    blocks = tables.blocks([made_look()])
    some = blocks.assign(verdict=blocks["verdict"].mask(blocks["block"].isin(["other", "2"]), "too few facts to tell"))
    said = tables._of_blocks(some)
    assert said[0].text.startswith("In-domain, whole layers put back: layers 0-1 cost most, ")
    few = "In-domain, whole layers put back: too few facts to tell for embeddings and the rest, layer 2."
    assert said[1] == Sentence(few, Weight.OPEN)
    told = tables._of_blocks(blocks.assign(verdict="too few facts to tell"))
    assert told == [
        Sentence(f"{where}, whole layers put back: too few facts to tell.", Weight.OPEN) for where in ("In-domain", "Out-of-domain")
    ]


def test_settings_stand_side_by_side():
    """A row a domain for every number of examples and training levels; seeds of one setting belong together."""
    looks = [made_look(0), made_look(1), made_look(0, n=960, levels=(1,)), made_look(0, n=60)]
    found = tables.settings_table(looks)
    assert found[["n", "levels", "seeds"]].to_numpy().tolist() == [
        [60, "all levels", 1], [60, "all levels", 1], [240, "all levels", 2], [240, "all levels", 2], [960, "L1", 1], [960, "L1", 1],
    ]  # fmt: skip
    assert found["difference"].tolist() == pytest.approx([0.225] * 6)
    assert found["share"].tolist() == [0.1] * 6
    assert tables.nothing_chosen(looks) == []


def test_settings_that_put_nothing_back_are_named():
    """They have no row: there is no difference to tell of."""
    looks = [made_look(), made_look(n=960, levels=(1,), best={**BEST, "relative": 0.0})]
    assert tables.settings_table(looks)["n"].tolist() == [240, 240]
    assert tables.nothing_chosen(looks) == ["n = 960 trained on L1"]


def test_how_much_of_the_update_goes():
    """The same number of parameters by three ways."""
    curve = tables.curve([made_look()])
    undone = "largest relative change 15.0%, largest absolute change 25.0%, by chance, as many 10.0%"
    assert tables.undone_words(curve, 0.1) == f"With 10% of the parameters so much of the squared update is put back: {undone}."
    assert tables.undone_words(curve, 0.0) == ""  # 5% was not tried


def test_nothing_looked_at_says_nothing():
    """Empty tables with their columns, no words."""
    bare = dataclasses.replace(made_look(), tables={"drift": {}})
    for looks in ([], [bare], [dataclasses.replace(bare, tables={"restoration": {}})]):
        assert tables.curve(looks).columns.tolist() == list(tables.CURVE)
        assert tables.claims(looks).columns.tolist() == list(tables.CLAIMS)
        assert [len(make(looks)) for make in (tables.blocks, tables.own, tables.settings_table, tables.chosen)] == [0] * 4
        assert tables.words(looks) == []
