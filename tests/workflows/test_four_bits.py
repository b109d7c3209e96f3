"""A model in 4 bits goes the whole way of a person: preflight, probe, train, export, ask again."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest

from sftqa_core import workflows
from sftqa_core.cli import text
from sftqa_core.cli.arguments import parse
from sftqa_core.cli.main import main
from sftqa_core.cli.typed_records import probe_settings, study_settings, train_settings
from sftqa_core.errors import SettingsError
from sftqa_core.memory.speeds import measured, remember
from sftqa_core.models.catalogue import ModelFingerprint
from sftqa_core.planning.preflight import device_check
from sftqa_core.records import ProbeSettings, StudySettings, TrainSettings
from sftqa_core.records.job import command_of
from sftqa_core.studies.cells import canonical
from tests.amount import in_full
from tests.four_bits import needs_bitsandbytes
from tests.workflows.test_training import SCHEME, settings


def qlora(world: str, **changes) -> TrainSettings:
    return settings(world, **{"method": "lora", "quantization": "nf4", "learning_rate": 0.02, "epochs": 3, **changes})


def probing(world: str, quantization: str = "nf4", **changes) -> ProbeSettings:
    return ProbeSettings("tiny", world, split="test", scheme=SCHEME, device="cpu", quantization=quantization, **changes)


def test_a_preflight_without_the_package_says_so(world, monkeypatch):
    """A problem with the line that installs it; whole weights have none."""
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    for wanted in (qlora(world), probing(world), StudySettings("amount", ("tiny",), world, sizes=(4,), method="lora", quantization="nf4")):
        (problem,) = workflows.preflight(replace(wanted, device="cpu")).of("problem")
        assert problem.name == "packages"
        assert problem.line == "Weights in 4 bits need bitsandbytes, which must be installed first. pip install bitsandbytes==0.50.2"
    assert workflows.preflight(probing(world, "none")).ok


def test_a_preflight_tells_of_the_device(monkeypatch):
    """In 4 bits; not verified on a GPU; not on Apple's."""
    assert "in float32, its weights in 4 bits (as chosen)" in device_check("cpu", 1, "nf4")[0].said
    monkeypatch.setattr("sftqa_core.models.devices.resolve_device", lambda setting: "cuda")
    monkeypatch.setattr("sftqa_core.models.devices.visible_gpus", lambda: ["0"])
    on_gpu = device_check("auto", 1, "nf4")[0]
    assert (on_gpu.state, "has not been verified on a GPU" in on_gpu.said) == ("note", True)
    assert device_check("auto")[0].state == "ok"
    monkeypatch.setattr("sftqa_core.models.devices.resolve_device", lambda setting: "mps")
    assert device_check("auto", 1, "nf4")[0].state == "problem"


def test_options_become_settings_and_a_run_tells_its_command(world):
    """--quantize of probe, train and study; the command of a run repeats it."""
    assert probe_settings(parse(["probe", "--model", "m", "--quantize", "nf4"])).quantization == "nf4"
    study = study_settings(parse(["study", "amount", "--method", "lora", "--quantize", "nf4"]), ["m"])
    assert (study.quantization, study_settings(parse(["study", "amount"]), ["m"]).quantization) == ("nf4", "none")
    wanted = TrainSettings("m", n=60, method="lora", quantization="nf4")
    assert "--quantize nf4" in command_of(wanted)
    assert train_settings(parse(command_of(wanted).split()[1:])) == wanted


def test_the_command_line_refuses_full_fine_tuning(capsys):
    """One sentence, as JSON."""
    with pytest.raises(SystemExit) as stop:
        main(["train", "--model", "atlas-llama", "--n", "4", "--quantize", "nf4", "--json"])
    assert stop.value.code != 0
    assert "can't be tuned themselves: choose method lora" in json.loads(capsys.readouterr().out)["error"]


def test_speeds_and_cells_of_both_are_apart():
    """Rates by number format; a cell's key has it in the model's fingerprint, so its settings leave it out."""
    small, whole = (ModelFingerprint("w" * 16, None, dtype, "cpu") for dtype in ("nf4", "float32"))
    remember(small, probe=(125, 10.0))
    assert (measured(small), measured(whole)) == ({"probe": 12.5}, {})
    run = TrainSettings("m", method="lora", quantization="nf4")
    assert canonical(run, 1e-3) == canonical(replace(run, quantization="none"), 1e-3)


@needs_bitsandbytes
def test_levels_in_4_bits_are_levels_of_their_own(world, workspace):
    """Probed anew beside the whole model's, kept for the next time, and never shown as the whole model's."""
    whole, small = workflows.probe(probing(world, "none")), workflows.probe(probing(world))
    assert whole.artifact != small.artifact
    assert small.facts_per_s is not None
    assert workflows.probe(probing(world)) == replace(small, facts_per_s=None)
    assert workflows.forecast(probing(world)).probes_needed == 0
    assert workflows.profile("tiny", world, scheme=SCHEME).probed == whole.facts
    other = replace(SCHEME, sampling=replace(SCHEME.sampling, seed=9))
    workflows.probe(replace(probing(world), scheme=other))
    assert workflows.profile("tiny", world, scheme=other).probed == 0


@needs_bitsandbytes
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_a_run_measures_before_and_after_on_the_same_weights(world, workspace, tmp_path):
    """Base answers, levels and tuning are of the model in 4 bits; what is exported says so and answers as the run recorded."""
    bare = workflows.run(workflows.train(settings(world, n=0)).run)
    run = workflows.run(workflows.train(qlora(world, save_model=True)).run)
    assert (run.manifest["dtype"], run.manifest["model"]["dtype"], bare.manifest["dtype"]) == ("nf4", "nf4", "float32")
    assert run.settings.quantization == "nf4"
    assert run.summary.seconds["before"] > 0  # the whole model's answers are not taken for these
    again = workflows.run(workflows.train(qlora(world, n=0)).run)
    assert again.summary.seconds["before"] == 0.0
    assert again.predictions("after")["text"].tolist() == run.predictions("before")["text"].tolist()

    told = workflows.export(run.id, tmp_path / "adapter")
    assert "measured with them. On unquantised weights some answers differ." in (tmp_path / "adapter" / "README.md").read_text()
    assert text.export(told).splitlines()[1:] == [
        "The run's numbers were measured with base weights in 4 bits (nf4); with unquantised weights some answers differ.",
        f"Next: sftqa probe --model {tmp_path / 'adapter'} --quantize nf4",
    ]
    read = qlora(world, n=0, shots=0)
    asked = workflows.run(workflows.train(replace(read, model=str(tmp_path / "adapter"))).run)
    assert asked.predictions("before")["text"].tolist() == run.predictions("after")["text"].tolist()
    with pytest.raises(SettingsError, match="no second adapter can be trained"):
        workflows.train(replace(read, model=str(tmp_path / "adapter"), n=4))

    merged = workflows.export(run.id, tmp_path / "merged", merge=True)
    assert "Merged into unquantised weights some answers differ." in (tmp_path / "merged" / "README.md").read_text()
    assert text.export(merged).endswith(f"Next: sftqa probe --model {tmp_path / 'merged'}")
    assert "quantization_config" not in json.loads((tmp_path / "merged" / "config.json").read_text())


@in_full
@needs_bitsandbytes
def test_a_study_in_4_bits_has_cells_of_its_own(world, workspace):
    """What the whole model's study has done is done anew; then nothing is left of either."""
    whole = StudySettings("amount", ("tiny",), world, seeds=(0,), sizes=(0, 4), method="lora", scheme=SCHEME, device="cpu", test_limit=2)
    small = replace(whole, quantization="nf4")
    assert workflows.study(whole).done == 2
    assert workflows.study_report(small).done == 0
    assert workflows.study(small).done == 2
    assert workflows.forecast(small).runs == 0


@in_full
@needs_bitsandbytes
def test_trust_lays_the_levels_of_both_side_by_side(world, workspace):
    """Those facts that were probed in both ways; without any in 4 bits there is nothing to compare."""
    workflows.probe(probing(world, "none"))
    assert "4 bits" not in workflows.trust("tiny", world, scheme=SCHEME).agreements
    workflows.probe(probing(world, limit=8))
    assert workflows.trust("tiny", world, scheme=SCHEME).agreements["4 bits"].facts == 8
