"""Repeat: passes are epochs, its dropout is the run's own, and what is recalled afterwards is told."""

from __future__ import annotations

import dataclasses

import pytest

from sftqa_core.records.recipes import Repeat
from sftqa_core.training.fine_tuning import fine_tune
from sftqa_core.training.recipes import costs
from sftqa_core.training.recipes.stages import StageCost
from tests.recipe_runs import SETTINGS, made_of, same_weights, stages_of


@pytest.mark.parametrize(
    ("recipe", "plain"),
    [
        (Repeat(passes=1), {}),
        (Repeat(passes=3), {"epochs": 3}),
        (Repeat(passes=2, dropout=0.5, dropout_from=0.5), {"epochs": 2, "dropout": 0.5, "dropout_from": 0.5}),
        (Repeat(passes=2, dropout=0.5, dropout_in="lora"), {"epochs": 2, "lora_dropout": 0.5, "method": "lora"}),
    ],
    ids=str,
)
def test_it_is_the_plain_run_with_these_settings(recipe, plain, tmp_path):
    """Bit for bit; one pass without dropout is the run as it is."""
    method = {"method": plain.get("method", "full")}
    made = made_of(tmp_path / "repeat", recipe, **method)
    stages = stages_of(tmp_path, None)
    tuned = fine_tune(stages.loaded, stages.examples, dataclasses.replace(SETTINGS, **plain), tmp_path / "plain")
    assert same_weights(made.tuned.loaded, tuned.loaded)
    assert (tmp_path / "repeat" / "curve.jsonl").read_text() == (tmp_path / "plain" / "curve.jsonl").read_text()


def test_what_is_recalled_is_told_fact_by_fact(tmp_path):
    """The table has every training fact in order; the note counts the right ones."""
    made = made_of(tmp_path, Repeat(passes=12), batch_size=4)
    recall = made.tables["recall"]
    assert list(recall.columns) == ["fact_id", "level", "text", "correct"]
    assert recall["fact_id"].tolist() == made.examples["fact_id"].tolist()
    right = int(recall["correct"].sum())
    assert right > 0
    assert made.notes == (f"{right} of 20 training facts are answered rightly after 12 passes.",)


def test_its_cost_is_its_passes_and_the_questions_afterwards():
    """20 examples 8 times, and 20 answers."""
    stages = costs(dataclasses.replace(SETTINGS, recipe=Repeat()), 20)
    assert stages == [StageCost("passes", 20, 8), StageCost("recall", answers=20)]
    assert [stage.words() for stage in stages] == ["passes: 20 examples x 8 epochs", "recall: 20 answers"]
    assert [stage.pieces()["train"] for stage in stages] == [160, 0]
