"""A probe on a processor in bfloat16: a number format of its own in every key, as a person meets it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sftqa_core import workflows
from sftqa_core.cli import doctor_commands, text
from sftqa_core.cli.arguments import parse
from sftqa_core.cli.typed_records import probe_settings
from sftqa_core.errors import SettingsError
from sftqa_core.jobs.lease import needs_of_device
from sftqa_core.jobs.local import LocalExecutor
from sftqa_core.memory.prober import Prober
from sftqa_core.memory.profiles import open_for
from sftqa_core.memory.speeds import measured, remember
from sftqa_core.models import devices, footprint
from sftqa_core.models.catalogue import ModelFingerprint, find_model
from sftqa_core.models.quantising import held_in, is_of, number_format
from sftqa_core.planning.fit import Estimator
from sftqa_core.planning.preflight import device_check, footprint_check
from sftqa_core.progress import Silent
from sftqa_core.records import ProbeSettings, StudySettings, TrainSettings
from sftqa_core.records.probes import held_as
from tests.workflows.test_training import SCHEME

MODEL = "atlas-llama"


def probing(world: str, number_format: str = "bfloat16", **changes) -> ProbeSettings:
    changes = {"limit": 6, **changes}
    return ProbeSettings("tiny", world, split="test", scheme=SCHEME, device="cpu", number_format=number_format, **changes)


@pytest.fixture
def processor(monkeypatch, tmp_path):
    """Pretend what the system says of the processor; None: nothing."""

    def pretend(flags: str | None) -> None:
        path = tmp_path / "cpuinfo"
        path.unlink(missing_ok=True)
        if flags is not None:
            path.write_text(f"processor\t: 0\nvendor_id\t: x\n{flags}\nbugs\t\t: amx_bf16\n\n", encoding="utf-8")
        monkeypatch.setattr(devices, "_CPUINFO", path)

    return pretend


@pytest.mark.parametrize(
    ("flags", "native"),
    [
        ("flags\t\t: fpu avx512_bf16 amx_tile", "avx512_bf16"),
        ("flags\t\t: fpu avx512_bf16 amx_bf16", "amx_bf16"),
        ("flags\t\t: fpu avx2 avx512_bf16x", ""),
        ("Features\t: fp asimd bf16", None),
        (None, None),
    ],
)
def test_what_the_processor_has(processor, flags, native):
    """By the flags that Linux lists on x86; elsewhere it is not known, and counts as absent. `sftqa doctor` and preflight say so."""
    processor(flags)
    assert devices.processor_bfloat16() == native
    row, (check, _) = doctor_commands._bfloat16(), device_check("cpu", 1, "bfloat16")
    assert (row["ok"], row["optional"], check.state) == (bool(native), True, "ok" if native else "note")
    assert row["message"].startswith(
        {"": "the processor does not", None: "not known"}.get(native, f"the processor computes in it ({native})")
    )
    assert ("software" in check.said) is not bool(native)
    assert "in bfloat16" in check.said
    assert device_check("cpu")[0].said.startswith("It runs on the CPU, in float32")


def test_settings_say_it_once(world):
    """One option of a probe; not with 4 bits; neither training nor studies have it; without it settings are stored as before."""
    wanted = probe_settings(parse(["probe", "--model", "m", "--number-format", "bfloat16"]))
    assert (wanted.number_format, held_as(wanted), held_as(wanted.to_dict())) == ("bfloat16", "bfloat16", "bfloat16")
    assert "number_format" not in ProbeSettings("m").to_dict()
    assert [held_as(kind) for kind in (ProbeSettings("m", quantization="nf4"), TrainSettings("m"), object())] == ["nf4", "none", "none"]
    with pytest.raises(SettingsError, match=r"quantization nf4 can't be combined with number_format bfloat16\. Choose one of them."):
        replace(wanted, quantization="nf4")
    assert not {"number_format"} & {*vars(TrainSettings("m")), *vars(StudySettings("amount", ("m",)))}


def test_a_gpus_bfloat16_is_its_default(monkeypatch, world):
    """There it changes no key, so that its results are the GPU's; on a processor it has one of its own; Apple's GPU refuses it."""
    assert [number_format(device, "bfloat16") for device in ("cuda", "rocm", "cpu")] == ["bfloat16"] * 3
    assert [number_format(device, "none") for device in ("cuda", "rocm", "cpu", "mps")] == ["bfloat16", "bfloat16", "float32", "float32"]
    assert [held_in("bfloat16", device) for device in ("cuda", "rocm:1", "cpu")] == ["none", "none", "bfloat16"]
    assert [is_of({"dtype": "bfloat16", "device": "cpu"}, how) for how in ("none", "nf4", "bfloat16")] == [False, False, True]
    source = open_for("tiny", world)
    for device, same in (("cpu", False), ("cuda", True), ("rocm", True)):
        monkeypatch.setattr(devices, "resolve_device", lambda setting, device=device: device)
        default, asked_for = (Prober(source, probing(world, form), Silent()) for form in ("default", "bfloat16"))
        assert (default.store.key == asked_for.store.key) is same
    monkeypatch.setattr(devices, "resolve_device", lambda setting: "mps")
    with pytest.raises(SettingsError, match=r"bfloat16 is not used on Apple's GPU.*Choose device cpu, or number format default"):
        needs_of_device("auto", 1, "bfloat16")
    with pytest.raises(SettingsError, match="not used on Apple's GPU"):
        LocalExecutor().submit("probe", probing(world).to_dict())
    assert device_check("auto", 1, "bfloat16")[0].state == "problem"
    assert needs_of_device("auto").gpus == 1


def test_levels_in_bfloat16_are_levels_of_their_own(world, workspace):
    """Probed anew beside those in float32, kept for the next time, never shown as theirs; `trust` lays both side by side."""
    whole = workflows.probe(probing(world, "default"))
    assert "bfloat16" not in workflows.trust("tiny", world, scheme=SCHEME).agreements
    half = workflows.probe(probing(world))
    assert whole.artifact != half.artifact
    assert half.facts_per_s is not None
    assert workflows.probe(probing(world)) == replace(half, facts_per_s=None)
    assert [workflows.forecast(probing(world, form)).probes_needed for form in ("default", "bfloat16")] == [0, 0]
    assert workflows.profile("tiny", world, scheme=SCHEME).probed == whole.facts
    agreement = workflows.trust("tiny", world, scheme=SCHEME).agreements["bfloat16"]
    assert agreement.facts == whole.facts
    assert agreement.score_low <= agreement.score_difference <= agreement.score_high
    assert abs(agreement.score_difference) < 0.1
    other = replace(SCHEME, sampling=replace(SCHEME.sampling, seed=9))
    workflows.probe(replace(probing(world, limit=2), scheme=other))
    assert workflows.profile("tiny", world, scheme=other).probed == 0


def test_other_methods_compute_in_it_too(world, workspace):
    """Estimates have stores of their own."""
    for method in ("adaptive", "likelihood"):
        scheme = replace(SCHEME, method=method)
        half = workflows.probe(replace(probing(world, limit=2), scheme=scheme))
        assert half.facts_per_s is not None
        assert workflows.profile("tiny", world, scheme=scheme).probed == 0


def test_memory_and_speed_are_those_of_the_format():
    """Two bytes a number: weights, keys and values; rates are remembered apart; a GPU's estimate stays what it is."""
    card = find_model(MODEL)
    whole, half = (Estimator(card, "cpu", how) for how in ("none", "bfloat16"))
    shapes = [(half.shape, "cpu"), (whole.shape, "cpu"), (half.shape, "cuda"), (whole.shape, "cuda")]
    weights = [footprint.weight_bytes(*shape) for shape in shapes]
    assert [size / whole.shape.parameters for size in weights] == [2, 4, 2, 2]
    work = [footprint.decoding(*shape, 8, 10, 20, 16) for shape in shapes]
    assert (2 * work[0].keys_values, work[2]) == (work[1].keys_values, work[3])
    stored = [replace(whole.shape, stored_bytes=size, half=in_half) for size in (2, 4) for in_half in (False, True)]
    reading = [footprint.decoding(shape, "cpu", 8, 10, 20, 16).reading / shape.parameters for shape in stored]
    assert reading == [2, 0, 0, 4]  # pages of numbers that are converted
    room = 100_000_000
    assert footprint.prompts_at_once(half.shape, "cpu", 50, 10, 50, room) > footprint.prompts_at_once(whole.shape, "cpu", 50, 10, 50, room)
    assert footprint.coarse(1000, "cpu", half=True).total == footprint.coarse(1000, "cuda").total == 2000
    said = footprint_check(
        replace(whole._fit(lambda shape: footprint.coarse(1, "cpu"), None, 1, 1), needed=None), "cpu", None, 10**9, "bfloat16"
    )
    assert "at least 2.0 GB" in said.said
    rates = [ModelFingerprint("w" * 16, None, dtype, "cpu") for dtype in ("float32", "bfloat16")]
    remember(rates[1], probe=(125, 10.0))
    assert [measured(model) for model in rates] == [{}, {"probe": 12.5}]


def test_the_command_line_tells_how_far_scores_moved():
    """The mean difference of R with its interval beside kappa; a dash where it is not known."""
    agreement = {"facts": 200, "same": 0.9, "kappa": 0.95, "kappa_low": 0.93, "kappa_high": 0.97, "spearman": 0.99}
    moved = agreement | {"score_difference": 0.00123, "score_low": -0.002, "score_high": 0.004}
    unknown = agreement | dict.fromkeys(("score_difference", "score_low", "score_high"))
    told = {"model": "m", "source": "atlas", "facts": 200, "agreements": {"bfloat16": moved, "4 bits": unknown}}
    lines = text.trust(told | {"adaptive_margin": None, "budget": [], "floor": None, "floor_measured": False}).splitlines()
    assert lines[1].split()[-6:] == ["R", "differs", "by", "95%", "from", "to"]
    assert lines[2].split()[-4:] == ["0.990", "+0.0012", "-0.0020", "+0.0040"]
    assert lines[3].split()[-4:] == ["0.990", "-", "-", "-"]
