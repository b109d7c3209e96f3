"""Dropout of the model's own layers and of LoRA's, each from a share of the steps on."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from pages._ui.titles import differences
from sftqa_core.errors import SettingsError, Stopped
from sftqa_core.jsonrecord import Keys, keyed
from sftqa_core.records import TrainSettings
from sftqa_core.records.job import command_of
from sftqa_core.training import checkpoints as unfinished
from sftqa_core.training.adapters import Dropout, trainable
from sftqa_core.training.fine_tuning import fine_tune
from tests.tiny import tiny_loaded
from tests.training.test_trainer import EXAMPLES, SETTINGS, Recorder

RUNS = {
    "full": dataclasses.replace(SETTINGS, epochs=2, save_model=False, dropout=0.5, dropout_from=0.5),  # 6 steps
    "lora": dataclasses.replace(SETTINGS, epochs=2, save_model=False, method="lora", lora_dropout=0.5, lora_dropout_from=0.5),
}


def neox() -> GPTNeoXForCausalLM:
    """Dropout both as layers and as a number that attention holds."""
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 32}
    return GPTNeoXForCausalLM(GPTNeoXConfig(**sizes, hidden_dropout=0.3, attention_dropout=0.2))


def probabilities(model: torch.nn.Module) -> dict[str, set[float]]:
    """Of the model's own layers, of its attention, and of LoRA's."""
    found: dict[str, set[float]] = {"layers": set(), "attention": set(), "lora": set()}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout):
            found["lora" if "lora_dropout" in name else "layers"].add(module.p)
        if isinstance(getattr(module, "attention_dropout", None), float):
            found["attention"].add(module.attention_dropout)
    return found


def by_step(model: torch.nn.Module, settings: TrainSettings) -> list[dict[str, set[float]]]:
    """The probabilities in each of four steps, and after the last."""
    callback, found = Dropout(model, settings), []
    for step in range(4):
        callback.on_step_begin(None, SimpleNamespace(global_step=step, max_steps=4), None)
        found.append(probabilities(model))
    callback.on_train_end(None, None, None)
    return [*found, probabilities(model)]


def test_the_models_own_dropout_holds_from_its_share_of_the_steps_on():
    """Before, and afterwards, it is as the model has it: 0.3 in layers and 0.2 in attention."""
    own, held = ({"layers": {0.3}, "attention": {0.2}, "lora": set()}, {"layers": {0.1}, "attention": {0.1}, "lora": set()})
    assert by_step(neox(), TrainSettings("m", dropout=0.1)) == [held] * 4 + [own]
    assert by_step(neox(), TrainSettings("m", dropout=0.1, dropout_from=0.5)) == [own, own, held, held, own]
    assert by_step(neox(), TrainSettings("m", dropout=0.1, dropout_from=1.0)) == [own] * 5
    assert by_step(neox(), TrainSettings("m")) == [own] * 5


def test_loras_dropout_is_its_own():
    """0 before its share of the steps; the model's own is not touched by it, nor is the model that the copy was made of."""
    base = neox()
    settings = TrainSettings("m", method="lora", lora_dropout=0.25, lora_dropout_from=0.75, dropout=0.1, dropout_from=0.25)
    steps = by_step(trainable(base, settings), settings)
    assert [step["lora"] for step in steps] == [{0.0}, {0.0}, {0.0}, {0.25}, {0.25}]
    assert [step["attention"] for step in steps] == [{0.2}, {0.1}, {0.1}, {0.1}, {0.2}]
    assert [step["layers"] for step in steps] == [{0.3}, {0.1}, {0.1}, {0.1}, {0.3}]
    assert probabilities(base) == {"layers": {0.3}, "attention": {0.2}, "lora": set()}


def test_a_model_without_dropout_says_so():
    with pytest.raises(SettingsError, match="Linear has no dropout in its layers: leave dropout out"):
        Dropout(torch.nn.Linear(2, 2), TrainSettings("m", dropout=0.1))


@pytest.mark.parametrize("method", RUNS)
def test_a_training_with_dropout_is_repeatable_another_one_and_resumed(method, tmp_path, monkeypatch):
    """Same seed, same weights; others than without dropout; stopped before it holds and gone on with, or after: the same again.

    Its curve leaves that of a training without dropout in the fourth of six steps, where dropout begins.
    """
    monkeypatch.setattr(unfinished, "EVERY_S", 0.0)
    monkeypatch.setattr(unfinished, "MOST_SHARE", 1e9)
    settings, loaded = RUNS[method], tiny_loaded()
    whole = fine_tune(loaded, EXAMPLES, settings, tmp_path / "whole")
    whole.settle()
    plain = fine_tune(loaded, EXAMPLES, dataclasses.replace(settings, dropout=None, lora_dropout=0.0), tmp_path / "plain")
    plain.settle()
    curves = [(tmp_path / name / "curve.jsonl").read_text().splitlines() for name in ("whole", "plain")]
    assert [ours == theirs for ours, theirs in zip(*curves, strict=True)] == [True] * 3 + [False] * 3
    assert whole.loaded.fingerprint != plain.loaded.fingerprint
    for stop_after in (2, 5):
        with pytest.raises(Stopped):
            fine_tune(loaded, EXAMPLES, settings, tmp_path / "cut", Recorder(stop_after=stop_after))
        again = fine_tune(loaded, EXAMPLES, settings, tmp_path / "cut")
        again.settle()
        assert (again.loaded.fingerprint, again.final_loss) == (whole.loaded.fingerprint, whole.final_loss)


def test_both_appear_wherever_settings_do():
    """In the command, the title and the checkpoint's key; at their defaults in none of them."""
    settings = TrainSettings("m", method="lora", dropout=0.1, dropout_from=0.5, lora_dropout=0.2)
    assert command_of(settings).endswith("--method lora --dropout 0.1 --dropout-from 0.5 --lora-dropout 0.2 --seed 0")
    assert differences(settings) == ["LoRA", "dropout 0.1", "from 50% of the steps", "LoRA dropout 0.2"]
    mine, plain = keyed(settings, Keys.TRAINING), keyed(TrainSettings("m", method="lora"), Keys.TRAINING)
    wanted = {"dropout": 0.1, "dropout_from": 0.5, "lora_dropout": 0.2, "lora_dropout_from": 0.0}
    assert {name: value for name, value in mine.items() if name not in plain} == wanted
    with pytest.raises(SettingsError, match="lora_dropout must be 0 to 0"):
        TrainSettings("m", method="lora", lora_dropout=1.0)
