"""One trial step before long work: it tells memory, and leaves no trace."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
import torch

from sftqa_core.errors import OutOfMemory
from sftqa_core.records import TrainSettings
from sftqa_core.training import trainer, trying
from sftqa_core.training.adapters import state_sha256
from sftqa_core.training.encoding import EncodedExample
from sftqa_core.training.fine_tuning import fine_tune
from sftqa_core.training.trainer import encode_examples
from sftqa_core.training.trying import Trial, longest_batch, tried_first, try_one_step
from tests.small import small_source
from tests.tiny import tiny_loaded

SETTINGS = TrainSettings(model="tiny", source="small", n=20, learning_rate=1e-2, save_model=False)
EXAMPLES = small_source(train=20).facts.query("split == 'train' and relation == 'P17'").reset_index(drop=True)
GB = 10**9


@pytest.fixture(scope="module")
def loaded():
    return tiny_loaded()


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_run_after_a_trial_is_the_run_without_it(method, loaded, tmp_path):
    """Weights, curve, base model, gradient flags and every random state are as they would have been."""
    settings = dataclasses.replace(SETTINGS, method=method)
    plain = fine_tune(loaded, EXAMPLES, settings, tmp_path / "plain")
    before = state_sha256(loaded.model.state_dict()), random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    done = try_one_step(loaded, encode_examples(loaded, EXAMPLES, settings), settings)
    after = state_sha256(loaded.model.state_dict()), random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    assert done is not None
    assert (done.examples, before == after) == (8, True)
    assert all(p.requires_grad and p.grad is None for p in loaded.model.parameters())
    assert not any("lora" in name for name, _ in loaded.model.named_modules())
    again = fine_tune(loaded, EXAMPLES, settings, tmp_path / "again")
    assert again.loaded.fingerprint == plain.loaded.fingerprint
    assert state_sha256(again.loaded.model.state_dict()) == state_sha256(plain.loaded.model.state_dict())
    assert (tmp_path / "again" / "curve.jsonl").read_text() == (tmp_path / "plain" / "curve.jsonl").read_text()


def test_it_is_the_training_itself_on_the_longest_batch(loaded, monkeypatch):
    """One step of the Trainer that trains, on the examples with most tokens."""
    seen = []
    make = trainer.make_trainer

    def watched(model, training, *rest):
        seen.append([len(example.ids) for example in training.encoded])
        return make(model, training, *rest)

    monkeypatch.setattr(trainer, "make_trainer", watched)
    encoded = [EncodedExample(tuple(range(5, 5 + length)), 2) for length in (4, 9, 6, 8)]
    done = try_one_step(loaded, encoded, dataclasses.replace(SETTINGS, batch_size=2))
    assert seen == [[9, 8]]
    assert done is not None
    assert (done.examples, done.tokens, done.peak_bytes > 0) == (2, 9, True)
    assert [len(example.ids) for example in longest_batch(encoded, 3)] == [9, 8, 6]
    assert try_one_step(loaded, [], SETTINGS) is None


def test_too_little_memory_is_the_trainings_own_error(loaded, monkeypatch):
    """So that the page offers the same settings; the random state is put back all the same."""

    def full(*args, **kwargs):
        torch.rand(3)
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(trainer, "make_trainer", full)
    before = torch.get_rng_state()
    with pytest.raises(OutOfMemory, match=r"Fine-tuning needs more memory than the device has \(batch size 8\)"):
        try_one_step(loaded, encode_examples(loaded, EXAMPLES, SETTINGS), SETTINGS)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("device", "parameters", "tried"), [("cuda", 1, True), ("mps", None, True), ("cpu", 2_000_000, False),
                                                             ("cpu", trying.LARGE, True), ("cpu", None, False)])  # fmt: skip
def test_gpus_and_large_models_are_tried(device, parameters, tried):
    """A small model on a processor is not: its whole run is hardly longer."""
    assert tried_first(device, parameters) is tried


def test_what_it_took_is_one_sentence():
    """With the estimate beside the measurement where there are both."""
    done = Trial(8, 41, 2.04, int(11.5 * GB))
    told = "Tried one step on the 8 longest examples (up to 41 tokens): 2.0 s"
    assert done.line() == f"{told}, 11.5 GB at the peak."
    assert done.line(10 * GB) == f"{told}, 11.5 GB at the peak, 10.0 GB were expected (+15%)."
    assert dataclasses.replace(done, peak_bytes=None).line(10 * GB) == f"{told}."
