"""What preflight, the forecast and the work refuse is decided by one rule: each test feeds the same settings to both."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch

from sftqa_core import workflows
from sftqa_core.errors import MissingPackage, ModelUnavailable, NotEnoughFacts, SettingsError, SftqaError, StorageError
from sftqa_core.jobs.lease import needs_of_device
from sftqa_core.models import devices, quantising
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.footprint import checkpoint_bytes
from sftqa_core.models.hub import fetch
from sftqa_core.models.loading import load_model
from sftqa_core.planning import preflight as looking
from sftqa_core.planning.fit import smaller_footprint
from sftqa_core.planning.preflight import Writing, device_check, disk_check, optimizer_check, trial_check
from sftqa_core.planning.preflight_model import look_at
from sftqa_core.progress import Silent
from sftqa_core.records import Check, LevelScheme, ProbeSettings, SamplerSettings, StudySettings, TrainSettings
from sftqa_core.records.schemes import SLICK
from sftqa_core.training import checkpoints as unfinished
from sftqa_core.training.optimizers import learning_rate, make_optimizer
from sftqa_core.training.trying import tried_first

MODEL = "atlas-llama"
SAMPLER = SamplerSettings(samples=1, max_new_tokens=3)
SCHEMES = {
    "sampling": LevelScheme(sampling=SAMPLER),
    "likelihood": LevelScheme(sampling=SAMPLER, method="likelihood"),
    "few-shot": replace(SLICK, sampling=replace(SAMPLER, greedy=True), contexts=2),
}


def model_folder(path: Path, source: str = MODEL, **changes: Any) -> str:
    """A copy of a model as a person's own folder, with another configuration."""
    shutil.copytree(find_model(source).path or "", path)
    (path / "manifest.json").unlink(missing_ok=True)
    config = path / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **changes}))
    return str(path)


def predicted(settings: Any) -> dict[str, Any]:
    return {check.name: check for check in workflows.preflight(settings).checks}


def refusal(error: type[SftqaError], work: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(error) as refused:
        work(*args, **options)
    return str(refused.value)


@pytest.mark.parametrize("kind", SCHEMES)
def test_a_probe_refuses_the_prompts_that_were_said_to_be_too_long(world, tmp_path, kind):
    """Statements with their completions, statements with their answers, questions behind examples: one token less is too few for both."""
    settings = ProbeSettings(model_folder(tmp_path / "whole", "tiny"), world, scheme=SCHEMES[kind], limit=1, device="cpu")
    length = int(predicted(settings)["context"].said.split()[4])
    fits, short = (model_folder(tmp_path / str(size), "tiny", max_position_embeddings=size) for size in (length, length - 1))
    assert predicted(replace(settings, model=fits))["context"].state == "ok"
    workflows.probe(replace(settings, model=fits))
    assert predicted(replace(settings, model=short))["context"].state == "problem"
    assert f"context window of {length - 1} tokens" in refusal(SettingsError, workflows.probe, replace(settings, model=short))


def test_a_run_refuses_the_texts_that_were_said_to_be_too_long(world, tmp_path):
    """The longest example of all facts, or the longest question with its answer."""
    scheme = SCHEMES["sampling"]
    settings = TrainSettings(
        model_folder(tmp_path / "whole", "tiny"),
        world,
        n=TrainSettings.ALL,
        scheme=scheme,
        shots=0,
        test_limit=1,
        max_answer_tokens=4,
        device="cpu",
    )
    length = int(predicted(settings)["context"].said.split()[4])
    fits, short = (model_folder(tmp_path / str(size), "tiny", max_position_embeddings=size) for size in (length, length - 1))
    assert predicted(replace(settings, model=fits))["context"].state == "ok"
    workflows.train(replace(settings, model=fits))
    assert predicted(replace(settings, model=short))["context"].state == "problem"
    assert f"context window of {length - 1} tokens" in refusal(SettingsError, workflows.train, replace(settings, model=short))


@pytest.mark.parametrize(
    ("device", "gpus", "quantization", "machine"),
    [
        ("cuda", 1, "none", None),
        ("quantum", 1, "none", None),
        ("cpu", 2, "none", None),
        ("auto", 3, "none", "cuda"),
        ("auto", 1, "nf4", "mps"),
    ],
)
def test_a_device_that_cannot_be_used(monkeypatch, device, gpus, quantization, machine):
    """The lease's sentence is preflight's; loading refuses as well."""
    if machine:
        monkeypatch.setattr(devices, "resolve_device", lambda setting: machine)
        monkeypatch.setattr(devices, "visible_gpus", lambda: ["0", "1"])
    found, _ = device_check(device, gpus, quantization)
    assert found.state == "problem"
    assert found == Check.of_error(found.name, refusal(SettingsError, needs_of_device, device, gpus, quantization), found.fix)
    if not machine:
        refusal(SettingsError, load_model, find_model(MODEL), device, gpus)


def test_weights_in_4_bits_without_their_package(monkeypatch):
    """Preflight says it under packages, the work before anything is leased; neither says it of the device."""
    monkeypatch.setattr(quantising, "find_spec", lambda name: None)
    settings = TrainSettings(MODEL, method="lora", quantization="nf4", device="cpu")
    found = predicted(settings)
    assert (found["packages"].state, found["device"].state) == ("problem", "ok")
    assert found["packages"].fix in refusal(MissingPackage, needs_of_device, "cpu", 1, "nf4")


@pytest.mark.parametrize(
    ("changes", "quantization"),
    [
        ({"num_hidden_layers": 1_000_000}, "none"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "none"),
        ({"quantization_config": {"quant_method": "gptq"}}, "nf4"),
    ],
)
def test_a_model_that_is_never_loaded(monkeypatch, tmp_path, changes, quantization):
    """In the loader's words, and for the weights that the work wants."""
    monkeypatch.setattr(quantising, "find_spec", lambda name: object())
    folder = model_folder(tmp_path / "own", **changes)
    settings = TrainSettings(folder, method="lora", quantization=quantization, device="cpu")
    (found,) = look_at(folder, settings).checks
    assert (found.name, found.state) == ("model", "problem")
    assert found == Check.of_error(
        found.name, refusal(ModelUnavailable, load_model, find_model(folder), "cpu", quantization=quantization), found.fix
    )


def adapter(path: Path, kind: str = "LORA") -> str:
    path.mkdir()
    (path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": MODEL, "peft_type": kind}))
    (path / "adapter_model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    return str(path)


def test_an_adapter_that_is_never_loaded(tmp_path):
    """One that is no LoRA."""
    folder = adapter(tmp_path / "odd", "IA3")
    (found,) = look_at(folder).checks
    assert found == Check.of_error(found.name, refusal(ModelUnavailable, load_model, find_model(folder), "cpu"), found.fix)


def test_a_second_adapter_on_4_bits(tmp_path, workspace, monkeypatch):
    """Preflight, a run and a study say the same."""
    monkeypatch.setattr(quantising, "find_spec", lambda name: object())
    settings = TrainSettings(adapter(tmp_path / "own"), method="lora", quantization="nf4", device="cpu")
    (found,) = look_at(settings.model, settings).checks
    assert found == Check.of_error(found.name, refusal(SettingsError, workflows.train, settings), found.fix)
    assert look_at(settings.model, replace(settings, n=0)).checks[0].state == "ok"


@pytest.mark.parametrize(("name", "error"), [("sgd", SettingsError), ("adamw_8bit", SettingsError)])
def test_an_optimizer_that_cannot_be_used(name, error):
    """One without a known learning rate, and one that needs CUDA."""
    settings = TrainSettings(MODEL, optimizer=name, device="cpu")
    (found,) = optimizer_check(settings, "cpu")

    def work() -> None:
        make_optimizer(name, [torch.nn.Parameter(torch.zeros(2))], learning_rate(settings, 1))

    assert found == Check.of_error(found.name, refusal(error, work), found.fix)
    assert predicted(settings)["optimizer"] == found
    assert optimizer_check(TrainSettings(MODEL), "cpu") == []


def test_facts_to_measure_on_and_sizes_to_train_on(world, workspace):
    """A run and a study refuse with the forecast's sentence, before anything is loaded."""
    facts = pd.read_csv(world)
    untested = str(Path(world).with_name("untested.csv"))
    facts[facts["split"] == "train"].to_csv(untested, index=False)
    run = TrainSettings("tiny", untested, n=4, device="cpu")
    assert workflows.forecast(run).problems == (refusal(NotEnoughFacts, workflows.train, run),)
    small = replace(run, source=world, n=9_999)
    assert workflows.forecast(small).problems == (refusal(NotEnoughFacts, workflows.train, small),)
    for source, sizes in ((untested, (4,)), (world, (4, 9_999))):
        study = StudySettings("amount", ("tiny",), source, sizes=sizes, seeds=(0,), device="cpu")
        assert workflows.forecast(study).problems == (refusal(NotEnoughFacts, workflows.study, study),)


def test_room_for_a_download(tmp_path, monkeypatch):
    """A byte decides for both."""
    size = 3 * 10**9
    promised = fetch.Promised(SimpleNamespace(__str__=lambda self: "owner/name"), "0" * 40, {"model.safetensors": size}, {})
    for free, lacks in ((size + fetch._SPARE_BYTES, False), (size + fetch._SPARE_BYTES - 1, True)):
        for module in (looking, fetch):
            monkeypatch.setattr(module.shutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        assert (disk_check([Writing("the download", tmp_path, size)], tmp_path).state == "problem") is lacks
        if lacks:
            refusal(StorageError, fetch._require_room, promised, size)
        else:
            fetch._require_room(promised, size)


def test_room_for_a_checkpoint(tmp_path, monkeypatch):
    """None is written where preflight said that there would be no room; more free than that will do."""
    trained = 10**9
    for free in (checkpoint_bytes(trained), checkpoint_bytes(trained) + 1):
        monkeypatch.setattr(looking.shutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        keeper = unfinished.Keeper(SimpleNamespace(folder=tmp_path / "one"), Silent(), trained)
        said = disk_check([], tmp_path, checkpoint_bytes(trained))
        assert (said.state == "ok") is keeper._fits() is (free > checkpoint_bytes(trained))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("parameters", [None, 1_000, 2 * 10**9])
@pytest.mark.parametrize("gpus", [1, 2])
def test_a_trial_is_announced_where_it_is_made(device, parameters, gpus):
    """By device, size and number of GPUs."""
    announced = trial_check(device, parameters, True, gpus).said.startswith("One step is tried")
    assert announced is tried_first(device, parameters, gpus)


@pytest.mark.parametrize("gpus", [1, 2, 3])
def test_advice_is_never_refused_by_the_record(gpus, monkeypatch):
    """Weights in 4 bits, parts of a batch and several GPUs exclude each other: each step of the advice makes a record."""
    monkeypatch.setattr(quantising, "find_spec", lambda name: object())
    settings = TrainSettings(MODEL, batch_size=12, gpus=gpus, device="cpu").to_dict()
    steps = 0
    while less := smaller_footprint("train", settings):
        settings, steps = {**settings, **less}, steps + 1
        TrainSettings.from_dict(settings)
    assert steps > 2
    assert (settings.get("quantization") == "nf4") is (gpus == 1)
