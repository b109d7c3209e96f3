"""Restore: what is ranked and put back, the controls by chance, and that what is saved loads as a plain model."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM

from sftqa_core.errors import SettingsError
from sftqa_core.records import TrainSettings
from sftqa_core.records.recipes import Restore
from sftqa_core.training.fine_tuning import fine_tune
from sftqa_core.training.recipes import costs, restoring
from sftqa_core.training.recipes.stages import StageCost
from tests.amount import few, in_full
from tests.recipe_runs import SETTINGS, made_after_a_kill, made_of, same_weights, stages_of
from tests.tiny import tiny_loaded

BEFORE = {"0.q_proj.weight": [[1.0, -2.0], [0.0, 4.0]], "0.up_proj.weight": [[0.5, 8.0]], "norm.weight": [0.0, 1.0]}
AFTER = {"0.q_proj.weight": [[1.5, -2.0], [0.1, 5.0]], "0.up_proj.weight": [[0.0, 10.0]], "norm.weight": [0.0, 1.25]}
# |s - p|: .5 0 .1 1 | .5 2 | 0 .25, relative: .5 0 inf .25 | 1 .25 | 0 .25


class Named(torch.nn.Module):
    """Parameters of given names and values."""

    def __init__(self, values: dict[str, list]):
        super().__init__()
        for name, value in values.items():
            place: torch.nn.Module = self
            *path, last = name.split(".")
            for part in path:
                if part not in place._modules:
                    place.add_module(part, torch.nn.Module())
                place = place._modules[part]
            place.register_parameter(last, torch.nn.Parameter(torch.tensor(value)))


def changed(measure: str = "relative") -> restoring.Changed:
    return restoring.Changed.of(Named(BEFORE), Named(AFTER), measure)


def flat(masks: dict[str, np.ndarray]) -> list[int]:
    return np.flatnonzero(np.concatenate(list(masks.values()))).tolist()


@pytest.mark.parametrize(
    ("measure", "share", "places"),
    [
        ("relative", 0.0, []),
        ("relative", 0.125, [2]),  # p was 0
        ("relative", 0.25, [2, 4]),
        ("relative", 0.375, [0, 2, 4]),
        ("relative", 0.5, [0, 2, 3, 4]),  # of three equal ones the first
        ("relative", 1.0, list(range(8))),
        ("absolute", 0.25, [3, 5]),
        ("absolute", 0.375, [0, 3, 5]),
    ],
)
def test_the_largest_changes_come_first(measure, share, places):
    """By hand, with p = 0 and ties."""
    assert flat(changed(measure).first(share)) == places


def test_what_goes_back_is_the_value_before():
    """The rest stays as tuned; all of it is the model before, none of it the tuned one."""
    model = Named(AFTER)
    restoring.put_back(model, Named(BEFORE), changed().first(0.25))
    assert [p.flatten().tolist() for p in model.parameters()] == [[1.5, -2.0, 0.0, 5.0], [0.5, 10.0], [0.0, 1.25]]
    restoring.put_back(model, Named(BEFORE), changed().first(1.0))
    assert same_weights(model, Named(BEFORE))


def test_the_table_says_what_the_top_holds():
    """Of a relative change of 2.25 (without p = 0) the top 40%, three of eight, holds 1.5: two thirds, q_proj 0.5 of it."""
    top = changed().top(0.5)
    assert sorted(set(top["share"])) == [0.01, 0.03, 0.05, 0.1, 0.2, 0.4, 0.5, 0.6]
    rows = top[top["share"] == 0.4].set_index("module")
    assert rows["parameters"].to_dict() == {"q_proj": 2, "up_proj": 1, "norm": 0}
    assert rows["change_share"].round(6).to_dict() == {"q_proj": round(0.5 / 2.25, 6), "up_proj": round(1 / 2.25, 6), "norm": 0.0}
    assert changed().from_zero == 1


def test_the_update_is_told_by_layer():
    """Squares: .25 + .01 + 1, .25 + 4, .0625 of 5.5725; what is undone of them."""
    table = changed().by_layer(changed().first(0.25)).set_index("module")
    assert table["layer"].tolist() == [0, 0, pd.NA]
    assert table["parameters"].tolist() == [4, 2, 2]
    assert table["changed"].tolist() == [3, 2, 1]
    assert table["restored"].tolist() == [1, 1, 0]
    assert table["squared_share"].round(5).tolist() == [round(x / 5.5725, 5) for x in (1.26, 4.25, 0.0625)]
    assert table["restored_squared_share"].round(5).tolist() == [round(x / 5.5725, 5) for x in (0.01, 0.25, 0)]
    assert table["relative_share"].round(5).tolist() == [round(x / 2.25, 5) for x in (0.75, 1.25, 0.25)]


def test_by_chance_as_many_changed_ones_of_each_tensor_go_back():
    """Other ones for another draw, never an unchanged one."""
    drawn = [changed().by_chance(0.5, np.random.default_rng([0, draw])) for draw in range(30)]
    assert {tuple(int(mask.sum()) for mask in masks.values()) for masks in drawn} == {(3, 1, 0)}
    assert {place for masks in drawn for place in flat(masks)} == {0, 2, 3, 4, 5}


def test_by_chance_as_large_an_update_is_undone():
    """At least that of the ranking, and without its last parameter less."""
    squares = np.array([0.25, 0, 0.01, 1, 0.25, 4, 0, 0.0625])
    wanted = squares[[0, 2, 4]].sum()
    for draw in range(30):
        places = flat(changed().as_much_by_chance(0.375, np.random.default_rng([0, draw])))
        assert 1 not in places
        assert squares[places].sum() >= wanted - 1e-6
        assert squares[places].sum() - squares[places].max() < wanted
    assert flat(changed().as_much_by_chance(0.0, np.random.default_rng(0))) == []
    assert flat(changed().as_much_by_chance(1.0, np.random.default_rng(0))) == [0, 2, 3, 4, 5, 7]


@pytest.mark.parametrize("ranked", few(["relative", "absolute", "random", "random-update"], "relative"))
def test_nothing_put_back_is_plain_and_all_of_it_is_the_base(ranked, tmp_path):
    """Bit for bit, whatever ranks."""
    stages = stages_of(tmp_path, None, n=8)
    tuned = fine_tune(stages.loaded, stages.examples, stages.run, tmp_path / "plain")
    none, whole = (made_of(tmp_path / str(share), Restore(share=share, ranked=ranked), n=8) for share in (0.0, 1.0))
    assert same_weights(none.tuned.loaded, tuned.loaded)
    assert same_weights(whole.tuned.loaded, tiny_loaded())
    assert none.tuned.loaded.fingerprint == tuned.loaded.fingerprint != whole.tuned.loaded.fingerprint
    assert (none.tables["changes"]["restored"].sum(), whole.tables["changes"]["restored_squared_share"].sum().round(9)) == (0, 1)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_saved_model_is_whole_and_plain(method, tmp_path):
    """transformers alone loads it, with the weights that were evaluated, after LoRA merged ones; the base keeps its own."""
    base = tiny_loaded()
    made = made_of(tmp_path, Restore(share=0.2), loaded=base, n=8, method=method, save_model=True)
    assert same_weights(base, tiny_loaded())
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert same_weights(SimpleNamespace(model=loaded), made.tuned.loaded)
    changes = made.tables["changes"].set_index("module")
    assert changes.loc["embed_tokens", "changed"] == (0 if method == "lora" else changes.loc["embed_tokens", "parameters"])
    parameters = sum(parameter.numel() for parameter in loaded.parameters())
    assert changes["parameters"].sum() == parameters  # tied weights once
    assert changes["restored"].sum() == round(0.2 * parameters)
    assert made.notes[0].startswith(f"{round(0.2 * parameters):,} changed parameters of {parameters:,} went back")


@in_full
def test_a_kill_leaves_the_result(tmp_path):
    """The same weights and tables, the draw included."""
    whole, again = made_after_a_kill(tmp_path, Restore(share=0.2, ranked="random", draw=3), "train: train", n=10)
    assert same_weights(again.tuned.loaded, whole.tuned.loaded)
    pd.testing.assert_frame_equal(again.tables["changes"], whole.tables["changes"])


def test_cost_controls_and_refusal():
    """Plain training; two rankings by chance; never on weights in 4 bits."""
    run = dataclasses.replace(SETTINGS, epochs=2, recipe=Restore(share=0.1))
    assert costs(run, 20) == [StageCost("train", 20, 2)]
    controls = run.recipe.controls(run)
    assert [str(control.recipe) for control in controls.values()] == [
        "Restore, 10% put back, ranked by chance, as many in each tensor",
        "Restore, 10% put back, ranked by chance, as large an update",
    ]
    with pytest.raises(SettingsError, match="which 4 bits round: quantization must be none, got nf4"):
        TrainSettings("m", method="lora", quantization="nf4", recipe=Restore())
