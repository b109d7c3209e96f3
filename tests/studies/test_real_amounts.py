"""What examples do to a real model, from outcomes built by hand: stages, and tuning less examples in the prompt."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sftqa_core.evaluation.real_tables import PLAIN, SHOWN
from sftqa_core.records import TrainSettings
from sftqa_core.reports import real_words
from sftqa_core.studies import amount, real_amounts
from tests.studies.small_study import facts_of, only, outcomes_of, right, run

FACTS = facts_of((80, 40, 10, 0, 0))
SEEDS = (0, 1, 2)


def shown(seed: int) -> TrainSettings:
    return TrainSettings(model="m", n=0, seed=seed, shots=0, save_model=False, more_shots=(4,))


def outcomes(tuned: float, prompted: float | None = 0.2):
    """Three seeds of 60 and of 240 examples; with `prompted`, cells with four examples in the prompt."""
    runs = {run(0): right(FACTS, 0.05)}
    runs |= {run(n, seed): right(FACTS, tuned, seed) for n in (60, 240) for seed in SEEDS}
    runs |= {shown(seed): right(FACTS, prompted, seed) for seed in SEEDS} if prompted is not None else {}
    return outcomes_of(FACTS, runs)


def test_what_the_model_as_it_is_answers_comes_from_cells_and_else_from_runs():
    """The plain prompt once, examples in the prompt by seed; a run adds the facts that no cell asked."""
    more = {SHOWN: pd.DataFrame({0: [1.0, 1.0]}, index=["in-0-0", "elsewhere"]), PLAIN: pd.DataFrame({0: [0.0]}, index=["elsewhere"])}
    found = real_amounts.base_answers([outcomes(0.5)], more)
    assert {prompt: table.shape for prompt, table in found.items()} == {PLAIN: (131, 1), SHOWN: (131, 3)}
    assert found[PLAIN][0].sum() == right(FACTS, 0.05).sum()
    assert found[SHOWN].loc["elsewhere"].isna().tolist() == [False, True, True]


@pytest.mark.parametrize(("tuned", "verdict"), [(0.6, "better"), (0.02, "worse"), (0.21, "cannot tell")])
def test_tuning_is_judged_against_examples_in_the_prompt(tuned, verdict):
    """A row for each number of examples, over facts and seeds; the sentence says which is better."""
    part = outcomes(tuned)
    answers = real_amounts.base_answers([part], {})
    beside = real_amounts.told_together(real_amounts.beside_shown(part, answers))
    row = only(beside, n=60)
    assert (row["verdict"], row["facts"], row["seeds"]) == (verdict, 130, 3)
    assert row["difference"] == pytest.approx(right(FACTS, tuned).mean() - right(FACTS, 0.2).mean())
    stages = real_amounts.tuned_stages(amount.curve(part), real_amounts.in_context(part, answers), part, pd.Series(False, FACTS["fact_id"]))
    (first, most) = real_words.tuned(beside, stages, "m")
    assert first.startswith("In-domain, 60 examples answer ")
    assert "of 130 facts (before: " in first
    assert "240 examples" in most
    words = {"better": "beats the examples", "worse": "falls short of the examples", "cannot tell": "cannot tell which is better"}
    assert words[verdict] in first


def test_the_stages_stand_side_by_side_for_the_same_facts():
    """Before, with examples in the prompt, the commonest object, then each number of examples; levels and both means."""
    part = outcomes(0.5)
    answers = real_amounts.base_answers([part], {})
    common = pd.Series(right(FACTS, 0.1), FACTS["fact_id"])
    table = real_amounts.tuned_stages(amount.curve(part), real_amounts.in_context(part, answers), part, common)
    stages = ["before", "4 examples in the prompt", "always the commonest object", "60 examples", "240 examples"]
    assert table["stage"].unique().tolist() == stages
    as_come = table[table["level"] == "as facts come"].set_index("stage")
    assert as_come.loc["always the commonest object", "accuracy"] == pytest.approx(common.mean())
    assert as_come.loc["4 examples in the prompt", "seeds"] == 3
    assert set(real_words.enough(table)["level"]) == {"L0", "L1", "as facts come"}  # L2 has ten facts, L3 none
    assert real_words.steps_of(table) == stages


def test_without_examples_in_the_prompt_nothing_is_judged():
    """Neither where none were asked, nor where only a part of the facts was."""
    part = outcomes(0.5, None)
    some = {SHOWN: pd.DataFrame({0: np.ones(5)}, index=FACTS["fact_id"][:5])}
    for more in ({}, some):
        answers = real_amounts.base_answers([part], more)
        assert real_amounts.beside_shown(part, answers) == []
        assert real_amounts.in_context(part, answers).empty
    stages = real_amounts.tuned_stages(amount.curve(part), pd.DataFrame(), part, pd.Series(False, FACTS["fact_id"]))
    assert list(real_words.tuned(real_amounts.told_together([]), stages, "m")) == [real_words.NO_SHOWN]
    assert real_words.steps_of(stages) == ["before", "always the commonest object", "60 examples", "240 examples"]


def test_a_run_with_one_seed_of_examples_in_the_prompt_is_set_beside_all_seeds():
    """Their mean stands for the seeds that are missing."""
    part = outcomes(0.5, None)
    one = {SHOWN: pd.DataFrame({0: right(FACTS, 0.2).astype(float)}, index=FACTS["fact_id"])}
    rows = real_amounts.beside_shown(part, real_amounts.base_answers([part], one))
    assert [(row.n, row.seeds) for row in rows] == [(60, 3), (240, 3)]
    assert rows[0].difference.value == pytest.approx(right(FACTS, 0.5).mean() - right(FACTS, 0.2).mean())
