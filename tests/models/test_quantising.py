"""Weights in 4 bits: what is refused and when, and what a loaded model then is."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sftqa_core.errors import MissingPackage, ModelUnavailable, SettingsError
from sftqa_core.jobs.lease import needs_of_device
from sftqa_core.jobs.local import LocalExecutor
from sftqa_core.memory.probe_stores import CompletionStore, EstimateStore, find_estimates, find_stores
from sftqa_core.models import quantising
from sftqa_core.models.catalogue import ModelFingerprint, find_model
from sftqa_core.models.footprint import TuningStep, coarse, tuning
from sftqa_core.models.footprint import weight_bytes as foretold
from sftqa_core.models.loading import load_model
from sftqa_core.models.quantising import INSTALL, is_of, number_format, require_quantiser
from sftqa_core.planning.fit import Estimator, model_shape
from sftqa_core.planning.preflight_model import look_at
from sftqa_core.records import LevelScheme, ProbeSettings, StudySettings, TrainSettings
from sftqa_core.workspace import Workspace
from tests.four_bits import four_bit_layers, needs_bitsandbytes, weight_bytes

ROOT = Path(__file__).parents[2]
MODEL = "atlas-llama"


@pytest.fixture
def missing(monkeypatch):
    """A machine without bitsandbytes."""
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)


def test_settings_that_can_not_be_are_refused_together():
    """Full fine-tuning of such weights, several GPUs, and what is no quantisation."""
    with pytest.raises(SettingsError) as refused:
        TrainSettings(MODEL, quantization="nf4", gpus=2)
    assert refused.value.problems == [
        "quantization nf4 is for work on one device, got 2 gpus.",
        "Weights in 4 bits (quantization nf4) can't be tuned themselves: choose method lora, or quantization none.",
    ]
    with pytest.raises(SettingsError, match="can't be tuned themselves"):
        StudySettings("amount", (MODEL,), quantization="nf4")
    with pytest.raises(SettingsError, match=r"quantization must be one of none, nf4, got 'int8'."):
        ProbeSettings(MODEL, quantization="int8")
    study = StudySettings("amount", (MODEL,), method="lora", quantization="nf4")
    assert study.run(MODEL, 10, 0).quantization == "nf4"


def test_settings_without_it_are_stored_as_before():
    """No key of an older result changes."""
    assert "quantization" not in TrainSettings(MODEL).to_dict()
    assert "quantization" not in ProbeSettings(MODEL).to_dict()
    assert ProbeSettings(MODEL, quantization="nf4").to_dict()["quantization"] == "nf4"


def test_without_the_package_nothing_begins(missing, workspace):
    """A lease, a job and loading each say what to install; whole weights need nothing."""
    told = "need bitsandbytes, which is not installed: pip install bitsandbytes==0.50.2"
    with pytest.raises(MissingPackage, match=told):
        needs_of_device("cpu", quantization="nf4")
    with pytest.raises(MissingPackage, match=told):
        LocalExecutor(workspace).submit("probe", ProbeSettings(MODEL, device="cpu", quantization="nf4").to_dict())
    assert LocalExecutor(workspace).store.jobs() == []
    with pytest.raises(MissingPackage, match=told):
        load_model(find_model(MODEL), "cpu", quantization="nf4")
    assert needs_of_device("cpu").gpus == 0


def test_apples_gpu_is_refused(monkeypatch):
    """Before anything is leased."""
    with pytest.raises(SettingsError, match=r"can't be used on Apple's GPU. Choose device cpu"):
        require_quantiser("nf4", "mps")
    monkeypatch.setattr("sftqa_core.models.devices.resolve_device", lambda device: "mps")
    with pytest.raises(SettingsError, match="Apple's GPU"):
        needs_of_device("auto", quantization="nf4")


def test_the_version_is_the_same_everywhere():
    """In what a person is told to install, the extra, the tests' packages and the pinned ones."""
    wanted = INSTALL.removeprefix("pip install ")
    project = (ROOT / "pyproject.toml").read_text()
    assert f'\nqlora = ["{wanted}"]' in project
    assert project.count(f'"{wanted}"') == 2
    assert wanted in (ROOT / "constraints.txt").read_text().splitlines()


def test_no_kernel_of_the_hub_is_fetched():
    """bitsandbytes would run one, by a package that counts as missing here, whether it is installed or not."""
    script = "import sftqa_core.models, sys; print(sys.modules['kernels'])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT).stdout == "None\n"


def test_results_in_4_bits_are_never_taken_for_whole_ones(workspace: Workspace):
    """Stores of both kinds lie side by side under one model's weights, and each is found by its quantisation alone."""
    assert [number_format("cuda", how) for how in ("none", "nf4")] == ["bfloat16", "nf4"]
    kinds = [{"dtype": dtype, "device": device} for dtype, device in (("float32", "cpu"), ("bfloat16", "cuda:0"), ("nf4", "cpu"))]
    assert [is_of(model, "none") for model in kinds] == [True, True, False]
    assert [is_of(model, "nf4") for model in kinds] == [False, False, True]
    sampling, likelihood = LevelScheme(), LevelScheme(method="likelihood")
    for dtype in ("float32", "nf4"):
        model = ModelFingerprint("w" * 16, None, dtype, "cpu").to_dict()
        for store in (CompletionStore.under_scheme(model, sampling, workspace), EstimateStore.of(model, likelihood, workspace)):
            folder = workspace.root / store.kind / store.key
            folder.mkdir(parents=True)
            (folder / "settings.json").write_text(json.dumps(store.settings))
    for how, dtype in (("none", "float32"), ("nf4", "nf4")):
        found = find_stores("w" * 16, None, sampling.sampling, workspace, quantization=how)
        found += find_estimates("w" * 16, None, likelihood, workspace, how)
        assert [store.settings["model"]["dtype"] for store in found] == [dtype, dtype]


def test_memory_is_foretold_of_weights_in_4_bits():
    """By a model's shape, and by its size alone, where it is the least there can be."""
    whole, small = (Estimator(find_model(MODEL), "cpu", how) for how in ("none", "nf4"))
    assert foretold(small.shape, "cpu") < 0.4 * foretold(whole.shape, "cpu")
    assert coarse(8_000_000_000, "cuda", "lora", nf4=True).total / 8e9 == pytest.approx(0.516, abs=0.001)
    assert coarse(8_000_000_000, "cuda", "lora").total == 16_000_000_000
    for stored, pages in ((4, 0), (2, 2)):  # float32 numbers are used as they lie in the file, others are converted from it
        shape = replace(model_shape(find_model(MODEL)), stored_bytes=stored)
        assert tuning(shape, "cpu", TuningStep("lora", 8, 8, 32)).reading == pages * shape.parameters
        assert tuning(shape.in_4_bits(), "cpu", TuningStep("lora", 8, 8, 32)).reading > stored * shape.parameters  # pages, and holes


def test_a_model_that_is_quantised_already_is_refused():
    """Its file's own scales are not quantised again, and bitsandbytes' own weights are of no use as whole ones."""
    gptq, packed = ({"quantization_config": {"quant_method": method}} for method in ("gptq", "bitsandbytes"))
    for config, quantization in ((gptq, "nf4"), (packed, "nf4"), (packed, "none")):
        with pytest.raises(ModelUnavailable, match=r"x is already quantised in another way. Choose the unquantised model"):
            quantising.refuse_quantised(config, "x", quantization)
    quantising.refuse_quantised(gptq, "x", "none")
    quantising.refuse_quantised({"model_type": "llama"}, "x", "nf4")


def test_a_model_in_4_bits_of_its_own_is_told_before_and_when_it_is_loaded(tiny_folder):
    """With what to do, which is not to fetch it again."""
    path = tiny_folder / "config.json"
    packed = {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    path.write_text(json.dumps({**json.loads(path.read_text()), **packed}))
    (found,) = look_at(str(tiny_folder)).checks
    assert (found.name, found.state) == ("model", "problem")
    assert "is already quantised" in found.said
    with pytest.raises(ModelUnavailable, match="is already quantised in another way"):
        load_model(find_model(str(tiny_folder)), "cpu")


def test_an_adapter_gets_no_second_one(monkeypatch):
    """In 4 bits it stays beside its model; whole, an adapter on it could not be loaded again. Asking it is fine, and so is tuning all
    weights, or an adapter that is not kept."""
    monkeypatch.setattr("sftqa_core.models.catalogue.base_card", lambda card: SimpleNamespace(name="base"))
    with pytest.raises(SettingsError, match=r"Merge it first \(sftqa export --merge\), or choose quantization none"):
        quantising.refuse_second_adapter(find_model(MODEL), TrainSettings("m", method="lora", quantization="nf4"))
    quantising.refuse_second_adapter(find_model(MODEL), TrainSettings("m", method="lora", quantization="nf4", n=0))
    with pytest.raises(SettingsError, match=r"could not be loaded again\. Merge it into its model first, choose method full"):
        quantising.refuse_second_adapter(find_model(MODEL), TrainSettings("m", method="lora"))
    quantising.refuse_second_adapter(find_model(MODEL), TrainSettings("m", method="lora", save_model=False))
    quantising.refuse_second_adapter(find_model(MODEL), TrainSettings("m"))


@needs_bitsandbytes
@pytest.mark.parametrize("name", [MODEL, "atlas-neox", "atlas-qwen"])
def test_a_model_in_4_bits(name):
    """All of its layers' matrices are, the rest is whole; as many parameters, and the bytes that were foretold."""
    card = find_model(name)
    whole, small = (load_model(card, "cpu", quantization=how) for how in ("none", "nf4"))
    layers = four_bit_layers(small.model)
    linear = {n for n, m in whole.model.named_modules() if isinstance(m, torch.nn.Linear) and m is not whole.model.get_output_embeddings()}
    assert set(layers) == linear
    assert {p.dtype for n, p in small.model.named_parameters() if n.removesuffix(".weight") not in layers} == {torch.float32}
    assert small.model.num_parameters() == whole.model.num_parameters() == card.parameters
    assert (small.dtype, small.fingerprint.dtype, whole.fingerprint.dtype) == ("float32", "nf4", "float32")
    assert weight_bytes(whole.model) == foretold(model_shape(card), "cpu")
    assert weight_bytes(small.model) == pytest.approx(foretold(model_shape(card).in_4_bits(), "cpu"), rel=0.01)


@needs_bitsandbytes
def test_answers_are_near_the_whole_models_and_always_the_same():
    """Other logits than the whole model's, of the same kind; alone or in a batch, and however often, the very same."""
    whole, small = (load_model(find_model(MODEL), "cpu", quantization=how) for how in ("none", "nf4"))
    ids = torch.arange(100, 148).reshape(4, 12)
    with torch.no_grad():
        expected, first, again = whole.model(ids).logits, small.model(ids).logits, small.model(ids).logits
        alone = torch.cat([small.model(row[None]).logits for row in ids])
    assert torch.equal(first, again)
    assert torch.allclose(first, alone, atol=1e-4)
    assert 0.01 < float((first - expected).std() / expected.std()) < 0.5
    assert not any(getattr(layer.weight.quant_state, "packing_format_for_cpu", False) for layer in four_bit_layers(small.model).values())
