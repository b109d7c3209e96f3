"""Looks at dev facts while a model is trained leave no trace; with patience the best look's weights are kept."""

import json

import pytest
import torch

from sftqa_core.errors import Stopped
from sftqa_core.training import checkpoints as unfinished
from sftqa_core.training import watching
from sftqa_core.training.fine_tuning import fine_tune
from sftqa_core.training.watching import Watcher
from sftqa_core.workspace import Workspace
from tests.amount import few
from tests.tiny import tiny_loaded
from tests.training.test_steps import losses, weights
from tests.training.test_trainer import EXAMPLES, Recorder, with_


class Look:
    """Says that so many of ten dev facts are right, one number a look; uses up random numbers as a careless one would."""

    def __init__(self, *right: int):
        self.right, self.asked, self.training = list(right), [], []

    def __call__(self, loaded):
        torch.rand(7)
        self.training.append(loaded.model.training)
        self.asked.append({name: value.clone() for name, value in loaded.model.named_parameters()})
        return {"in": (10, self.right[len(self.asked) - 1]), "out": (0, 0)}


def rows(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "dev.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_looking_changes_nothing(method, tmp_path):
    """The same losses and weights as without; looks come every second step and at the end, in evaluation mode."""
    settings, told = with_(method=method, epochs=2), (Recorder(), Recorder())
    plain = fine_tune(tiny_loaded(), EXAMPLES, settings, tmp_path / "plain", told[0])
    look = Look(3, 5, 4)
    looked = fine_tune(tiny_loaded(), EXAMPLES, with_(method=method, epochs=2, eval_every=2), tmp_path / "looked", told[1], look)
    assert torch.equal(weights(plain), weights(looked))
    assert losses(told[0]) == losses(told[1])
    assert [(row["step"], row["in"]) for row in rows(tmp_path / "looked")] == [
        (2, {"n": 10, "correct": 3}), (4, {"n": 10, "correct": 5}), (6, {"n": 10, "correct": 4}),
    ]  # fmt: skip
    assert look.training == [False] * 3
    assert (looked.steps, looked.kept_step, looked.examples_seen) == (6, None, 40)
    assert not (tmp_path / "plain" / "dev.jsonl").exists()


def test_patience_ends_the_training_and_keeps_the_best_weights(tmp_path):
    """Best at step 2, two looks without an improvement: over after step 4, with the weights of step 2 and only the examples seen."""
    told, look = Recorder(), Look(1, 6, 6, 5, 9)
    settings = with_(epochs=4, eval_every=1, patience=2, save_model=False)
    result = fine_tune(tiny_loaded(), EXAMPLES, settings, tmp_path, told, look)
    assert (result.steps, result.kept_step, result.examples_seen) == (4, 2, 28)
    assert len(losses(told)) == 4
    kept = dict(result.loaded.model.named_parameters())
    assert all(torch.equal(kept[name], value) for name, value in look.asked[1].items())


def test_a_look_is_told_in_words():
    """With the names of domains that stand everywhere else; a domain without dev facts is left out."""
    assert watching._words({"in": (9, 2), "out": (11, 1)}) == "2 of 9 in-domain dev facts right, 1 of 11 out-of-domain dev facts right"
    assert watching._words({"in": (9, 2), "out": (0, 0)}) == "2 of 9 in-domain dev facts right"


def test_the_last_weights_stay_where_they_are_the_best(tmp_path):
    """Nothing ends early, and nothing is put back."""
    look = Look(1, 2, 3)
    result = fine_tune(tiny_loaded(), EXAMPLES, with_(eval_every=1, patience=1, save_model=False), tmp_path, Recorder(), look)
    assert (result.steps, result.kept_step) == (3, None)


@pytest.mark.parametrize("cut", few([1, 2, 3, 4], 1, 3))
def test_looks_and_patience_go_on_after_an_interruption(cut, tmp_path, monkeypatch):
    """Stopped after any step and asked again: the same looks, the same early end, the same weights."""
    monkeypatch.setattr(unfinished, "EVERY_S", 0.0)
    monkeypatch.setattr(unfinished, "MOST_SHARE", 1e9)
    settings, right = with_(epochs=4, eval_every=1, patience=2, save_model=False), (1, 6, 6, 5, 9)
    whole = fine_tune(tiny_loaded(), EXAMPLES, settings, tmp_path / "whole", Recorder(), Look(*right))
    whole.settle()
    first, kept = Look(*right), tmp_path / "cut"
    try:
        result = fine_tune(tiny_loaded(), EXAMPLES, settings, kept, Recorder(stop_after=cut), first)
    except Stopped:
        done = len(first.asked)
        result = fine_tune(tiny_loaded(), EXAMPLES, settings, kept, Recorder(), Look(*right[done:]))
    assert rows(kept) == rows(tmp_path / "whole")
    assert (result.steps, result.kept_step, result.examples_seen) == (whole.steps, whole.kept_step, whole.examples_seen)
    assert torch.equal(weights(result), weights(whole))
    assert (kept / "curve.jsonl").read_text() == (tmp_path / "whole" / "curve.jsonl").read_text()


@pytest.mark.parametrize(("every_s", "kept"), [(1e9, {6}), (0.0, {5, 6})])
def test_only_the_best_weights_that_may_be_put_back_are_kept(every_s, kept, tmp_path, monkeypatch):
    """Without checkpoints the last best; with one at each step also that of the newest one, from which step 6 may be made again."""
    monkeypatch.setattr(unfinished, "EVERY_S", every_s)
    monkeypatch.setattr(unfinished, "MOST_SHARE", 1e9)
    settings = with_(epochs=2, eval_every=1, patience=2, save_model=False)
    fine_tune(tiny_loaded(), EXAMPLES, settings, tmp_path, Recorder(), Look(1, 2, 3, 4, 5, 6))
    saved = {int(path.stem.removeprefix("best-")) for path in Workspace.current().unfinished.glob("*/best-*.safetensors")}
    assert saved == kept


def test_best_weights_that_a_checkpoint_would_put_back_stay(tmp_path):
    """The best up to the oldest checkpoint, and the newest of all; what lies between is of no use to anybody."""
    watcher = Watcher(Look(), 1, tmp_path / "dev.jsonl", patience=1, best=tmp_path)
    for name in ("best-1.safetensors", "best-3.safetensors", "best-5.safetensors", "best-8.safetensors", "checkpoint-4", "notes.txt"):
        (tmp_path / name).touch()
    watcher._clear(8)
    assert {path.name for path in tmp_path.iterdir()} == {"best-3.safetensors", "best-8.safetensors", "checkpoint-4", "notes.txt"}
