"""LoRA on a base model in 4 bits (QLoRA), for real, on the processor."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sftqa_core.errors import Stopped
from sftqa_core.knowledge.sources import open_source
from sftqa_core.models.catalogue import find_model, folder_card
from sftqa_core.models.loading import LoadedModel, load_model
from sftqa_core.models.quantising import scales
from sftqa_core.records import TrainSettings
from sftqa_core.training.adapters import state_sha256, trainable
from sftqa_core.training.fine_tuning import fine_tune
from tests.amount import few
from tests.families.checkpoints import write_checkpoint, write_facts
from tests.four_bits import four_bit_layers, needs_bitsandbytes
from tests.training.test_trainer import Recorder

pytestmark = [needs_bitsandbytes, pytest.mark.filterwarnings("error")]
SETTINGS = TrainSettings(
    "any", n=6, method="lora", quantization="nf4", learning_rate=1e-2, batch_size=3, epochs=4, save_model=False, device="cpu"
)
FAMILIES = few(["llama", "gpt-neox", "gpt2", "phi3"], "llama", "gpt2")  # apart, joined, transposed, joined feed-forward layers


@pytest.fixture(scope="module", params=FAMILIES)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = write_checkpoint(request.param, tmp_path_factory.mktemp("checkpoints"))
    return load_model(find_model(str(folder)), "cpu", quantization="nf4")


@pytest.fixture
def facts(tmp_path: Path):
    return open_source(write_facts(tmp_path / "facts.csv")).facts.query("split == 'train'").reset_index(drop=True)


def logits(loaded: LoadedModel) -> torch.Tensor:
    with torch.no_grad():
        return loaded.model(torch.arange(20, 40).reshape(2, 10)).logits


def correlation(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "curve.jsonl").read_text().splitlines()]


def test_an_adapter_is_tuned_beside_weights_that_stay(loaded, facts, tmp_path):
    """The loss falls, one seed gives one adapter, and every number of the base model, scales included, is as it was; read again
    beside such weights it answers alike, and whole weights take it, too."""
    before, base = logits(loaded), state_sha256(loaded.model.state_dict())
    first, second = (fine_tune(loaded, facts, replace(SETTINGS, save_model=True), tmp_path / str(n)) for n in range(2))
    curve = losses(tmp_path / "0")
    assert curve[-1] < curve[0] - 0.2
    assert first.loaded.fingerprint == second.loaded.fingerprint != loaded.fingerprint
    assert first.loaded.fingerprint.dtype == "nf4"
    assert state_sha256(loaded.model.state_dict()) == base
    assert torch.equal(logits(loaded), before)
    card = folder_card(tmp_path / "0" / "model", "tuned", "folder")
    again, whole = load_model(card, "cpu", quantization="nf4"), load_model(card, "cpu")
    assert torch.equal(logits(again), logits(first.loaded))
    assert not torch.equal(logits(again), before)
    moved, here = logits(whole) - logits(load_model(loaded.card, "cpu")), logits(again) - before
    assert correlation(moved, here) > 0.2  # random weights are far from what 4 bits make of them: the way is alike, not the place
    assert json.loads((tmp_path / "0" / "model" / "adapter_config.json").read_text())["base_model_name_or_path"] == loaded.card.path


def test_the_copy_that_is_trained_shares_weights_and_scales(loaded):
    """Nothing but the adapter takes memory anew."""
    copied = trainable(loaded.model, SETTINGS)
    assert {id(state) for state in scales(copied)} == {id(state) for state in scales(loaded.model)}
    own = {parameter.data_ptr() for parameter in loaded.model.parameters()}
    assert {p.data_ptr() for p in copied.parameters() if not p.requires_grad} == own
    assert len(four_bit_layers(loaded.model)) * 2 == sum(p.requires_grad for p in copied.parameters())


def test_gradient_checkpointing_changes_nothing(loaded, facts, tmp_path):
    """But memory and time: activations are computed again from weights that are widened again."""
    fine_tune(loaded, facts, SETTINGS, tmp_path / "plain")
    fine_tune(loaded, facts, replace(SETTINGS, gradient_checkpointing=True), tmp_path / "again")
    assert losses(tmp_path / "again") == pytest.approx(losses(tmp_path / "plain"), abs=1e-4)


def test_a_stopped_training_goes_on_and_ends_the_same(facts, tmp_path):
    """In another process's model: the weights are quantised anew, to the same numbers."""
    card = find_model(str(write_checkpoint("llama", tmp_path)))
    settings = replace(SETTINGS, epochs=3)
    whole = fine_tune(load_model(card, "cpu", quantization="nf4"), facts, settings, tmp_path / "whole")
    whole.settle()
    with pytest.raises(Stopped):
        fine_tune(load_model(card, "cpu", quantization="nf4"), facts, settings, tmp_path / "cut", Recorder(stop_after=3))
    rest = Recorder()
    again = fine_tune(load_model(card, "cpu", quantization="nf4"), facts, settings, tmp_path / "cut", rest)
    assert [update.done for update in rest.updates] == [4, 5, 6]
    assert (again.loaded.fingerprint, again.final_loss) == (whole.loaded.fingerprint, whole.final_loss)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
