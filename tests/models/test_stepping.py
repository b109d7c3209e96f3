"""One step of a pre-training: parts of a batch, number formats, and torch.compile."""

import contextlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from sftqa_core.artifacts import read_manifest
from sftqa_core.errors import SettingsError, Stopped
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.models.pretraining import Place, build_model, compiled, pretrain, step
from sftqa_core.records import PretrainSettings
from tests.models.toy import SMALL, StopsAfter, toy_source, weights

CPU = Place("cpu", False)
BATCH = torch.arange(8 * 16).reshape(8, 16) % 300


@pytest.fixture(scope="module")
def source() -> FactSource:
    return toy_source()


def stepped(parts: int, place: Place = CPU) -> tuple[float, torch.Tensor]:
    """Loss and all weights after one step of plain gradient descent."""
    torch.manual_seed(0)
    model = build_model(SMALL, 400)
    loss = step(model, [torch.optim.SGD(model.parameters(), lr=0.1)], BATCH, place, parts)
    return loss, torch.cat([p.detach().flatten() for p in model.parameters()])


def test_parts_of_a_batch_teach_the_same():
    """One, two or eight parts: the same loss and, to rounding, the same weights; the gradients are gone afterwards."""
    loss, weights = stepped(1)
    for parts in (2, 8):
        other, theirs = stepped(parts)
        assert other == pytest.approx(loss, rel=1e-6)
        assert torch.allclose(theirs, weights, atol=1e-6)


def test_precision_is_chosen_or_found(monkeypatch: pytest.MonkeyPatch):
    """What is asked for holds; auto asks the hardware. bfloat16 changes the numbers a little, and learns."""
    assert Place.choose("cpu", "bfloat16") == Place("cpu", True)
    assert Place.choose("cpu", "float32") == Place("cpu", False)
    for there in (True, False):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda there=there: {"avx512_bf16": there})
        assert Place.choose("cpu").bfloat16 is there
    rounded = stepped(1, Place("cpu", True))[0]
    assert rounded != stepped(1)[0]
    assert rounded == pytest.approx(stepped(1)[0], rel=0.01)


def test_attention_is_the_fastest_of_the_device():
    """Processors compute it eagerly, as the built-in models' pre-training did; GPUs in one kernel."""
    assert (CPU.attention, Place("cuda", True).attention) == ("eager", "sdpa")


def test_a_compiled_model_is_called_in_place_of_the_plain_one(source: FactSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With `compile` every step goes through torch.compile's result; checkpoint and weights are the plain model's."""
    calls = []

    class Compiled(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self._orig_mod = model

        def forward(self, **inputs):
            calls.append(inputs["input_ids"].shape)
            return self._orig_mod(**inputs)

    monkeypatch.setattr(torch, "compile", Compiled)
    settings = replace(SMALL, compile=True)
    for steps in (3, 10**9):
        with contextlib.suppress(Stopped):
            pretrain(settings, source, tmp_path / "compiled", StopsAfter(steps))
    manifest = read_manifest(tmp_path / "compiled")
    assert calls == [(SMALL.batch_size, SMALL.sequence_length)] * manifest["training"]["steps"]
    assert manifest["settings"]["compile"] is True
    pretrain(SMALL, source, tmp_path / "plain")
    assert len(calls) == manifest["training"]["steps"]
    assert weights(tmp_path / "compiled") == weights(tmp_path / "plain")


def test_what_can_not_be_compiled_is_said(monkeypatch: pytest.MonkeyPatch):
    """A backend that fails ends the training with a sentence that names the setting to leave out."""
    monkeypatch.delenv("TORCHDYNAMO_DISABLE")  # which spares the other tests the compiler
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=_failing))
    model = torch.nn.Linear(2, 2)
    with (
        pytest.raises(SettingsError, match=r"torch.compile does not work for this model on this machine \(.*no compiler here.*--compile"),
        compiled(model, True) as called,
    ):
        called(torch.ones(1, 2))
    with compiled(model, False) as called:
        assert called is model


def _failing(graph, inputs):
    raise RuntimeError("no compiler here")


def test_accumulation_is_checked_and_left_out_of_old_keys():
    """A batch must divide; while the new settings hold their defaults, a record's JSON, and so every key, is what it was."""
    with pytest.raises(SettingsError, match="batch_size must be a multiple of accumulate, got 8 and 3"):
        replace(SMALL, accumulate=3)
    with pytest.raises(SettingsError, match="precision must be one of auto, float32, bfloat16, got 'float16'"):
        replace(SMALL, precision="float16")
    assert not {"accumulate", "precision", "compile"} & PretrainSettings("x").to_dict().keys()
    whole = replace(SMALL, accumulate=2, precision="bfloat16", compile=True)
    assert PretrainSettings.from_dict(json.loads(json.dumps(whole.to_dict()))) == whole
