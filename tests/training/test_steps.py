"""How a step is made: parts of a batch, activations computed again, other optimizers."""

import dataclasses
import sys
from types import ModuleType

import pytest
import torch

from sftqa_core.errors import MissingPackage, SettingsError
from sftqa_core.records import TrainSettings
from sftqa_core.training import optimizers
from sftqa_core.training.fine_tuning import fine_tune
from sftqa_core.training.optimizers import examples_in, learning_rate, make_optimizer
from tests.amount import spread
from tests.memory.family_models import build
from tests.training.test_trainer import EXAMPLES, SETTINGS, Recorder, loaded, with_  # noqa: F401 - a fixture

UNEVEN = EXAMPLES.head(19).assign(answers=[[("Paris " * (1 + row % 4)).strip()] for row in range(19)])  # batches of 8, 8 and 3


def weights(result) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for name, parameter in sorted(result.loaded.model.named_parameters())])


def losses(recorder: Recorder) -> list[float]:
    return [update.values["loss"] for update in recorder.updates]


@pytest.mark.parametrize(("micro", "method"), spread([1, 2, 4], ["full", "lora"]))
def test_parts_of_a_batch_add_up_to_the_same_step(method, micro, loaded, tmp_path):  # noqa: F811
    """Answers of different length and a short last batch: losses and weights are those of whole batches but for rounding."""
    settings, told = with_(method=method, epochs=2), (Recorder(), Recorder())
    whole = fine_tune(loaded, UNEVEN, settings, tmp_path / "whole", told[0])
    parts = fine_tune(loaded, UNEVEN, dataclasses.replace(settings, micro_batch=micro), tmp_path / "parts", told[1])
    assert (parts.steps, parts.examples_seen) == (whole.steps, whole.examples_seen) == (6, 38)
    assert losses(told[1]) == pytest.approx(losses(told[0]), rel=1e-3)
    moved = (weights(whole) - weights(parts)).abs()
    assert float(moved.mean()) < 1e-4  # Adam makes a full step of the least gradient, so single numbers may differ more


@pytest.mark.parametrize("family", ["gpt-neox", "gpt2", "gemma2-softcap", "phi3-window", "mixtral"])
def test_parts_of_a_batch_add_up_in_other_families(family, tmp_path):
    """One step of plain gradient descent: the same weights to rounding, so the loss is one mean over all of the batch's tokens."""
    model = build(family)
    for module in model.model.modules():  # it would draw other masks for the parts
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    settings = TrainSettings("m", n=5, batch_size=8, optimizer="sgd", learning_rate=1e-2, save_model=False)
    table = UNEVEN.head(5)
    whole = fine_tune(model, table, settings, tmp_path / "whole")
    parts = fine_tune(model, table, dataclasses.replace(settings, micro_batch=2), tmp_path / "parts")
    torch.testing.assert_close(weights(parts), weights(whole), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_activations_computed_again_change_nothing(method, loaded, tmp_path):  # noqa: F811
    """The same weights and losses, and the tuned model does not go on computing them again."""
    told = (Recorder(), Recorder())
    plain = fine_tune(loaded, EXAMPLES, with_(method=method), tmp_path / "plain", told[0])
    again = fine_tune(loaded, EXAMPLES, with_(method=method, gradient_checkpointing=True), tmp_path / "again", told[1])
    assert losses(told[1]) == losses(told[0])
    assert torch.equal(weights(again), weights(plain))


@pytest.mark.parametrize(("name", "rate"), [("adafactor", 1e-1), ("sgd", 1e-1)])
def test_other_optimizers_learn_too(name, rate, loaded, tmp_path):  # noqa: F811
    """The loss falls over a few epochs."""
    told = Recorder()
    fine_tune(loaded, EXAMPLES, with_(optimizer=name, learning_rate=rate, epochs=6), tmp_path, told)
    assert losses(told)[-1] < 0.8 * losses(told)[0]


def test_an_optimizer_without_a_known_rate_asks_for_one():
    """Nothing is guessed: AdamW's default suits neither."""
    assert learning_rate(TrainSettings("m"), 7_000_000_000) == 1e-5
    assert learning_rate(TrainSettings("m", optimizer="adamw_8bit", method="lora"), 7_000_000_000) == 2e-4
    for name in ("sgd", "adafactor"):
        with pytest.raises(SettingsError, match=f"Optimizer {name} has no default learning rate: set one"):
            learning_rate(TrainSettings("m", optimizer=name), 1)
        assert learning_rate(TrainSettings("m", optimizer=name, learning_rate=0.1), 1) == 0.1


def test_eight_bits_need_a_gpu_and_bitsandbytes(monkeypatch):
    """Each is told with what to do; with both it is bitsandbytes' own AdamW with the usual settings."""
    parameter = torch.nn.Parameter(torch.zeros(2))
    with pytest.raises(SettingsError, match="adamw_8bit needs a GPU with CUDA"):
        make_optimizer("adamw_8bit", [parameter], 1e-5)

    class OnGpu:
        device = torch.device("cuda")

    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(MissingPackage, match="pip install bitsandbytes"):
        make_optimizer("adamw_8bit", [OnGpu()], 1e-5)
    module, asked = ModuleType("bitsandbytes.optim"), []
    module.AdamW8bit = lambda parameters, **settings: asked.append(settings) or "made"
    monkeypatch.setattr(optimizers, "import_module", lambda name: module)
    assert make_optimizer("adamw_8bit", [OnGpu()], 1e-5) == "made"
    assert asked == [{"lr": 1e-5, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}]


@pytest.mark.parametrize(("steps", "seen"), [(0, 0), (1, 8), (2, 16), (3, 19), (4, 27), (6, 38)])
def test_examples_are_counted_as_they_are_seen(steps, seen):
    """The last step of an epoch is a short one."""
    assert examples_in(steps, 19, TrainSettings("m", batch_size=8, epochs=2)) == seen


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"micro_batch": 3}, r"micro_batch must divide batch_size \(8\), got 3"),
        ({"micro_batch": 0}, "micro_batch must be 1 to 65,536, got 0"),
        ({"optimizer": "lion"}, "optimizer must be one of adamw, adafactor, sgd, adamw_8bit, got 'lion'"),
        ({"patience": 2}, "patience counts evaluations: also give eval_every"),
        ({"eval_every": 0}, "eval_every must be 1 to"),
    ],
)
def test_settings_of_a_step_that_can_not_be_are_told(wrong, words):
    """Before anything is loaded."""
    with pytest.raises(SettingsError, match=words):
        dataclasses.replace(SETTINGS, **wrong)
