"""A study of a recipe: which runs it has, what dev facts choose, and words that follow claims on test facts by a fixed rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pytest

from sftqa_core.errors import SettingsError
from sftqa_core.evaluation.comparing import BETTER, Difference
from sftqa_core.records import StudySettings, TrainSettings
from sftqa_core.records.recipes import RECIPES, Repeat
from sftqa_core.records.studying import BASE, CONTROL, OTHER_SEEDS, PLAIN_TUNING, next_seeds
from sftqa_core.shipping.built_in_world import TRIED
from sftqa_core.studies import recipe_tables
from sftqa_core.studies.recipe import STUDY, compared_runs, tried_runs
from sftqa_core.studies.registry import grid
from sftqa_core.studies.statistics import MACRO, NATURAL, NO, OPEN, YES, Outcomes, Trials
from tests.studies.small_study import TWO, answers, facts_of, only, outcomes_of, right

STUDY_OF = StudySettings("recipe", ("m",), recipe=Repeat(), scheme=TWO)
FACTS = facts_of((100, 100))
ONCE = f"{CONTROL}each example once"
START = (0, 7, 13)  # from which fact on a seed's right answers are counted


def trials_of(shares: Mapping[str, Sequence[float]], facts: pd.DataFrame = FACTS, but: int = 0) -> Trials:
    """Dev answers with that share of each level right at each value, the same for every seed; the last `but` runs are not finished."""
    runs = {name: tried_runs(STUDY_OF, "m")[name] for name in shares}
    cells = {run: answers(right(facts, shares[name]), 240) for name, seeds in runs.items() for run in seeds}
    return Trials(facts, runs, dict(list(cells.items())[: len(cells) - but]), None, {}, {})


def outcomes(shares: Mapping[str, Sequence[float] | Sequence[Sequence[float]]], facts: pd.DataFrame = FACTS, **more) -> Outcomes:
    """Finished runs with that share of each level right (of each seed, where a list of lists is given); 8 passes were chosen."""
    compared = {name: runs for name, runs in compared_runs(STUDY_OF, "m", "8").items() if name in shares}
    cells = {}
    for name, runs in compared.items():
        by_seed = shares[name] if isinstance(shares[name][0], list | tuple) else [shares[name]] * len(runs)
        for run, start, share in zip(runs, START, by_seed, strict=False):
            cell = answers(right(facts, share, start if name != BASE else 0), run.n)
            cells[run] = dataclasses.replace(cell, numbers={"train_s": 10.0 if run.recipe else 4.0, "seconds": 20.0, **more})
    made = outcomes_of(facts, cells, scheme=TWO)
    trials = dataclasses.replace(trials_of({"8": (0.5, 0.9), "1": (0.1, 0.2)}), chosen="8", compared=compared)
    return dataclasses.replace(made, trials=trials)


def found(part: Outcomes, question: str):
    """The answer to the question that begins so."""
    _, findings = STUDY.counted(STUDY_OF, [part])
    (one,) = [finding for finding in findings if finding.question.startswith(question)]
    return one


SAME = {BASE: (0.1, 0.2), PLAIN_TUNING: (0.3, 0.5), OTHER_SEEDS: (0.3, 0.5), ONCE: (0.3, 0.5), "Repeat": (0.3, 0.5)}


# --- which runs -------------------------------------------------------------------------------------------


def test_dev_facts_are_asked_each_value_with_each_seed():
    """The recipe's usual values, or those that are named; its own value is one of them."""
    runs = tried_runs(STUDY_OF, "m")
    assert {name: [(run.n, run.recipe.passes, run.seed) for run in own] for name, own in runs.items()} == {
        "1": [(1920, 1, 0), (1920, 1, 1), (1920, 1, 2)],
        "4": [(480, 4, 0), (480, 4, 1), (480, 4, 2)],
        "8": [(240, 8, 0), (240, 8, 1), (240, 8, 2)],
        "32": [(60, 32, 0), (60, 32, 1), (60, 32, 2)],
    }
    assert list(dataclasses.replace(STUDY_OF, recipe=Repeat(passes=5)).values) == ["1", "4", "8", "32", "5"]
    assert list(dataclasses.replace(STUDY_OF, tried=("8", "2")).values.values()) == [8, 2]


def test_test_facts_are_asked_plain_other_seeds_the_chosen_value_and_controls():
    """Seed after seed; the untouched model once; as many other seeds as there are, the next numbers."""
    runs = grid(dataclasses.replace(STUDY_OF, seeds=(1, 4)), "m", chosen="32")
    assert [(run.n, run.seed, run.recipe.passes if run.recipe else None) for run in runs] == [
        (0, 1, None),
        *((240, 1, None), (240, 0, None), (60, 1, 32), (1920, 1, None)),
        *((240, 4, None), (240, 2, None), (60, 4, 32), (1920, 4, None)),
    ]
    assert next_seeds((0, 1, 2), 3) == (3, 4, 5)
    assert next_seeds((4_000_000_000,), 2) == (0, 1)


@pytest.mark.parametrize("kind", RECIPES.values(), ids=list(RECIPES))
def test_every_recipe_can_be_studied(kind):
    """Its number of examples, each of its values, and one or more controls; what make recipes is to run."""
    (study,) = [study for study in TRIED if type(study.recipe) is kind]
    assert study.examples == (kind.usual_n,)
    for value in study.values:
        names = list(compared_runs(study, "m", value))
        assert names[:4] == [BASE, PLAIN_TUNING, OTHER_SEEDS, kind.title]
        assert names[4:] or study.tried_run("m", 0, value).recipe == kind(**{kind.knob: 0.0})  # nothing of it is plain tuning
        assert all(name.startswith(CONTROL) for name in names[4:])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": None}, "A study of kind recipe needs a recipe: one of repeat, "),
        ({"kind": "level"}, "A study of kind level is of plain tuning: leave recipe out."),
        ({"tried": ("much",)}, "Passes must be a number, got 'much'."),
        ({"tried": ("0",)}, "Passes must be 1 to 10,000, got 0."),
        ({"tried": ("4", "4")}, "tried must name each value once, got ['4', '4']."),
        ({"tried": ()}, "tried must hold one or more values of the recipe's main setting, or be left out."),
        ({"epochs": 2}, "epochs must be 1 with recipe repeat, whose passes take their place, got 2."),
        ({"sizes": (60, 240)}, "A study of kind recipe takes one number of examples, got [60, 240]."),
    ],
)
def test_a_study_that_cannot_work_is_refused(changes, message):
    """Before its first run, in a sentence."""
    with pytest.raises(SettingsError) as error:
        dataclasses.replace(STUDY_OF, **changes)
    assert message in str(error.value)


def test_usual_values_and_sizes_are_left_out_of_its_record():
    """Named or not, the study is the same."""
    assert dataclasses.replace(STUDY_OF, tried=("1", "4", "8", "32"), sizes=(240,)) == STUDY_OF
    assert "tried" not in STUDY_OF.to_dict()
    assert "recipe" not in StudySettings("amount", ("m",)).to_dict()


# --- on dev facts -----------------------------------------------------------------------------------------


def test_the_value_with_the_best_mean_over_levels_is_chosen():
    """A level with few facts counts as much as one with many; where a level holds none, the micro average decides."""
    uneven = facts_of((10, 190))
    shares = {"4": (0.9, 0.3), "8": (0.1, 0.6)}
    assert recipe_tables.choose(trials_of(shares, uneven), TWO) == "4"
    assert recipe_tables.choose(trials_of(shares, uneven.assign(level=pd.array([1] * 200, dtype="Int64"))), TWO) == "8"
    assert recipe_tables.choose(trials_of({"4": (0.5, 0.5), "8": (0.5, 0.5)}), TWO) == "4"  # the first of those that tie


def test_nothing_is_chosen_before_every_run_on_dev_facts_is_done():
    """Nor without dev facts."""
    shares = {"4": (0.9, 0.3), "8": (0.1, 0.6)}
    assert recipe_tables.choose(trials_of(shares, but=1), TWO) is None
    assert recipe_tables.choose(trials_of(shares, FACTS.head(0), but=6), TWO) is None


def test_dev_accuracy_by_value_has_intervals_and_says_what_is_within_noise():
    """Before the choice only what is finished, without a word on noise."""
    trials = trials_of({"1": (0.2, 0.4), "4": (0.5, 0.7), "8": (0.5, 0.71)})
    table = recipe_tables.knob(dataclasses.replace(outcomes_of(FACTS, scheme=TWO), trials=dataclasses.replace(trials, chosen="8")))
    assert table["accuracy"].tolist() == pytest.approx([0.3, 0.6, 0.605])
    assert (table["within_noise"].tolist(), table["chosen"].tolist()) == ([False, True, True], [False, False, True])
    assert set(table["rule"]) == {MACRO}
    assert all(table["low"] < table["accuracy"])
    assert all(table["accuracy"] < table["high"])
    begun = dataclasses.replace(outcomes_of(FACTS, scheme=TWO), trials=trials_of({"1": (0.2, 0.4), "4": (0.5, 0.7)}, but=4))
    assert recipe_tables.knob(begun)[["value", "seeds", "within_noise"]].values.tolist() == [["1", 2, None]]
    assert recipe_tables.knob(outcomes_of(FACTS)).empty


# --- claims -----------------------------------------------------------------------------------------------


def test_a_clear_gain_in_every_seed_beats():
    """Plain tuning and the control; the same test of plain tuning against itself stands beside it."""
    part = outcomes({**SAME, "Repeat": (0.6, 0.9)})
    one = found(part, "Does Repeat beat plain tuning")
    assert one.verdict == YES
    assert one.text.startswith("Mean over levels: +35.0 points (")
    assert "by seed +35.0, +35.0, +35.0. Plain tuning with other seeds, by the same test: 0.0 points" in one.text
    assert found(part, "Does Repeat beat its control (each example once)").verdict == YES
    levels = found(part, "At which levels does Repeat beat plain tuning")
    assert (levels.verdict, levels.text) == (YES, "Better: low, high. In points: low +30.0, high +40.0.")
    assert found(part, "Does chance alone do as much").verdict == OPEN


def test_a_clear_loss_in_every_seed_is_no():
    """And where one level only is better, that one is named."""
    assert found(outcomes({**SAME, "Repeat": (0.1, 0.2)}), "Does Repeat beat plain tuning").verdict == NO
    levels = found(outcomes({**SAME, "Repeat": (0.7, 0.5)}), "At which levels does Repeat beat plain tuning")
    assert (levels.verdict, levels.text) == (YES, "Better: low; cannot tell: high. In points: low +40.0, high 0.0.")


def test_one_seed_of_the_other_sign_is_cannot_tell():
    """However large the mean: seeds that differ so much make the interval wide, too."""
    part = outcomes({**SAME, "Repeat": [(0.9, 1.0), (0.9, 1.0), (0.25, 0.5)]})
    row = only(recipe_tables.claims([part]), level=MACRO, measure="accuracy", setting="Repeat", against=PLAIN_TUNING)
    assert row["per_seed"] == pytest.approx([0.55, 0.55, -0.025])
    assert row["difference"] == pytest.approx(np.mean(row["per_seed"]))
    assert row["low"] < 0 < row["high"]
    assert found(part, "Does Repeat beat plain tuning").verdict == OPEN


def test_the_sign_counts_where_the_interval_alone_would_tell():
    """Eleven seeds that gain and one that loses a little: the interval lies above 0, and nothing is claimed."""
    test = Difference("", 200, 100, 0.3, 0.001, 60.0, 0.0, 60, 0.01, low=0.2, high=0.4, verdict=BETTER)
    assert recipe_tables._verdict(test, [0.33] * 11, 0) == YES
    assert recipe_tables._verdict(test, [*[0.33] * 11, -0.01], 0) == OPEN


def test_a_claim_is_over_seeds_too():
    """The same mean gain: seeds that agree tell it, seeds that do not make Student's interval wide, since three say little of others."""
    agree, differ = (outcomes({**SAME, "Repeat": gains}) for gains in ([(0.5, 0.7)] * 3, [(0.35, 0.55), (0.5, 0.7), (0.65, 0.85)]))
    wanted = {"level": MACRO, "measure": "accuracy", "setting": "Repeat", "against": PLAIN_TUNING}
    first, second = (only(recipe_tables.claims([part]), **wanted) for part in (agree, differ))
    assert (first["difference"], first["verdict"]) == (pytest.approx(0.2), YES)
    assert (second["difference"], second["verdict"]) == (pytest.approx(0.2), OPEN)
    assert second["high"] - second["low"] > 5 * (first["high"] - first["low"])


def test_a_claim_lies_beyond_chance():
    """As large a gain as other seeds show is none; one that is far beyond theirs is told. The words say how far that is."""
    chance = {**SAME, OTHER_SEEDS: (0.5, 0.7)}
    one = found(outcomes({**chance, "Repeat": (0.5, 0.7)}), "Does Repeat beat plain tuning")
    assert (one.verdict, "So the test calls chance a difference here. A claim must lie beyond " in one.text) == (OPEN, True)
    assert found(outcomes({**SAME, "Repeat": (0.5, 0.7)}), "Does Repeat beat plain tuning").verdict == YES
    assert found(outcomes({**chance, "Repeat": (0.9, 1.0)}), "Does Repeat beat plain tuning").verdict == YES
    seeds = {**SAME, OTHER_SEEDS: [(0.3, 0.5), (0.5, 0.7), (0.7, 0.9)]}  # no interval leaves out 0, but so much did chance show
    one = found(outcomes({**seeds, "Repeat": (0.5, 0.7)}), "Does Repeat beat plain tuning")
    assert (one.verdict, one.text.endswith(". A claim must lie beyond 20.0 points.")) == (OPEN, True)


@pytest.mark.parametrize(
    ("row", "reach"), [((0.05, -0.1, 0.2), 0.05), ((-0.05, -0.2, 0.1), 0.05), ((0.05, 0.01, 0.09), 0.09), ((0, 0, 0), 0)]
)
def test_chance_reaches_what_other_seeds_showed(row, reach):
    """Their difference, whichever its sign, or the far end of an interval that leaves out 0."""
    assert recipe_tables.chance_reach(*row) == reach


def test_pairs_without_a_finished_seed_have_no_row():
    """Two runs with different seeds are no pair, since seeds are compared with themselves."""
    part = outcomes(SAME)
    first, *_ = part.trials.compared["Repeat"]
    _, *later = part.trials.compared[PLAIN_TUNING]
    gone = {*part.trials.compared["Repeat"], *part.trials.compared[PLAIN_TUNING]} - {first, *later}
    table = recipe_tables.claims([dataclasses.replace(part, runs={run: cell for run, cell in part.runs.items() if run not in gone})])
    assert set(zip(table["setting"], table["against"], strict=True)) == {("Repeat", ONCE), (OTHER_SEEDS, PLAIN_TUNING)}
    row = only(table, level=MACRO, measure="accuracy", setting="Repeat")
    assert (row["seeds"], row["missing"], row["p"], row["low"], row["high"], row["verdict"]) == (1, 2, 1.0, -1.0, 1.0, OPEN)


def test_one_seed_alone_few_facts_and_missing_runs_claim_nothing():
    """Each says why."""
    part = outcomes({**SAME, "Repeat": (0.9, 1.0)})
    *_, last = part.trials.compared["Repeat"]
    missing = dataclasses.replace(part, runs={run: cell for run, cell in part.runs.items() if run != last})
    one = found(missing, "Does Repeat beat plain tuning")
    assert (one.verdict, "1 of 3 pairs of seeds are not finished" in one.text) == (OPEN, True)
    single = {name: runs[:1] for name, runs in part.trials.compared.items()}
    alone = dataclasses.replace(part, trials=dataclasses.replace(part.trials, compared=single))
    assert found(alone, "Does Repeat beat plain tuning").verdict == OPEN
    few = outcomes({**SAME, "Repeat": (0.9, 1.0)}, facts_of((20, 20)))
    one = found(few, "Does Repeat beat plain tuning")
    assert (one.verdict, "20 facts at the scarcest place are too few to tell" in one.text) == (OPEN, True)


def test_claims_are_corrected_over_all_models_and_places():
    """The same gain is a claim alone and none among many: every row of every model counts."""
    gain = {**SAME, "Repeat": (0.36, 0.56)}
    one, other = outcomes(gain), dataclasses.replace(outcomes(gain), model="o")
    alone, both = recipe_tables.claims([one]), recipe_tables.claims([one, other])
    assert len(both) == 2 * len(alone) == 2 * 3 * 5  # two levels, two means and what is forgotten; three pairs
    wanted = {"model": "m", "level": MACRO, "measure": "accuracy", "setting": "Repeat", "against": PLAIN_TUNING}
    first, second = only(alone, **wanted), only(both, **wanted)
    assert first["p"] == second["p"]
    assert second["high"] - second["low"] > first["high"] - first["low"]


def test_forgetting_is_of_facts_that_were_right_before():
    """Of those, the share that is wrong afterwards; of the others, the share that is learned."""
    part = outcomes({BASE: (0.4, 0.4), PLAIN_TUNING: (0.5, 0.5), "Repeat": (0.1, 0.1)})
    flat = {run: answers(right(FACTS, (0.1, 0.1) if run.recipe else (0.4, 0.4) if run.n == 0 else (0.5, 0.5)), run.n) for run in part.runs}
    part = dataclasses.replace(part, runs=flat)
    table = recipe_tables.forgetting(part)
    row = only(table, setting="Repeat")
    assert (row["facts"], row["forgotten"], row["learned"]) == (80, pytest.approx(0.75), 0.0)
    row = only(table, setting=PLAIN_TUNING)
    assert (row["forgotten"], row["learned"]) == (0.0, pytest.approx(20 / 120))
    one = found(part, "Does Repeat forget more than plain tuning")
    assert (one.verdict, one.text[:46]) == (YES, "Of 80 facts that the base model answers rightl")
    assert "+75.0 points" in one.text


def test_cost_is_told_as_a_ratio_to_plain_tuning():
    """Seconds of all stages; longer in every seed is yes."""
    part = outcomes(SAME)
    row = only(recipe_tables.cost(part), setting="Repeat")
    assert (row["train_s"], row["train_ratio"], row["all_ratio"], row["seed_ratios"]) == (10.0, 2.5, 1.0, [2.5, 2.5, 2.5])
    one = found(part, "Does Repeat train longer")
    assert (one.verdict, one.text) == (
        YES, "Its training takes 10.0 s, 2.50 times that of plain tuning, 1.00 times with choosing examples and answering.",
    )  # fmt: skip


def test_a_missing_level_leaves_out_the_mean_over_levels():
    """Then the micro average is the headline (METHOD 8.11)."""
    part = outcomes({name: (share[1], share[1]) for name, share in SAME.items()}, facts_of((0, 100)))
    assert MACRO not in set(recipe_tables.effect(part)["level"])
    assert found(part, "Does Repeat beat plain tuning").text.startswith("Micro average: ")


def test_effects_hold_every_setting_with_its_seeds():
    """The base model has one run; a place has the accuracy that its answers have."""
    table = recipe_tables.effect(outcomes({**SAME, "Repeat": (0.6, 0.9)}))
    row = only(table, level="high", setting="Repeat")
    assert (row["accuracy"], row["facts"], row["seeds"], row["n"], row["per_seed"]) == (pytest.approx(0.9), 100, 3, 240, [0.9] * 3)
    assert only(table, level=NATURAL, setting=BASE)["seeds"] == 1
    assert list(dict.fromkeys(table["setting"])) == [BASE, PLAIN_TUNING, OTHER_SEEDS, "Repeat", ONCE]


def test_before_a_value_is_chosen_there_is_nothing_but_dev_facts():
    """Tables of test facts are empty, and so are findings."""
    begun = dataclasses.replace(outcomes_of(FACTS, scheme=TWO), trials=trials_of({"1": (0.2, 0.4)}, but=1))
    tables, findings = STUDY.counted(STUDY_OF, [begun])
    assert findings == ()
    assert {name for name, table in tables.items() if len(table)} == {"knob"}


# --- the recipe's own tables ------------------------------------------------------------------------------


def with_tables(**tables: pd.DataFrame) -> Outcomes:
    """Outcomes in which the first two runs of the recipe gave these."""
    part = outcomes(SAME)
    own = dict.fromkeys(part.trials.compared["Repeat"][:2], tables)
    return dataclasses.replace(part, trials=dataclasses.replace(part.trials, tables=own))


def test_own_tables_of_facts_are_counted_by_level():
    """Numbers and yes or no, over the facts of all seeds; a fact without a known level has a place of its own; texts are left out."""
    recall = pd.DataFrame(
        {
            "fact_id": list("abcd"), "level": pd.array([0, 0, 1, None], dtype="Int64"), "text": list("wxyz"),
            "correct": [True, False, True, True], "confidence": [1.0, 3.0, np.nan, 5.0],
        }
    )  # fmt: skip
    table = recipe_tables.by_level(with_tables(recall=recall))
    assert set(table["column"]) == {"correct", "confidence"}
    row = only(table, column="correct", level="low")
    assert (row["rows"], row["seeds"], row["mean"], row["per_seed"]) == (4, 2, 0.5, [0.5, 0.5])
    assert only(table, column="confidence", level="low")["mean"] == 2.0
    assert only(table, column="correct", level=recipe_tables.UNKNOWN_LEVEL)["rows"] == 2
    assert "high" not in set(table.loc[table["column"] == "confidence", "level"])  # nothing was measured there


def test_own_tables_of_rounds_are_listed_value_by_value():
    """At most so many rows; values of any kind are text; tables of facts are not among them."""
    rounds = pd.DataFrame({"round": range(300), "wrong": [0.5] * 300, "kept": [[1, 2]] * 300})
    table = recipe_tables.own_rows(with_tables(rounds=rounds, recall=pd.DataFrame({"fact_id": ["a"], "level": [0]})))
    assert len(table) == 2 * recipe_tables.MOST_ROWS * 3
    assert table.head(3)[["seed", "row", "column", "value"]].values.tolist() == [
        [0, 0, "round", "0"], [0, 0, "wrong", "0.5"], [0, 0, "kept", "1, 2"],
    ]  # fmt: skip


def test_a_run_of_the_study_is_plain_unless_it_is_told():
    """`run` gives the plain twin; only `tried_run` has the recipe."""
    assert STUDY_OF.run("m", 240, 0).recipe is None
    assert isinstance(STUDY_OF.tried_run("m", 0, "8"), TrainSettings)
    assert STUDY_OF.tried_run("m", 0, "8").recipe == Repeat()
