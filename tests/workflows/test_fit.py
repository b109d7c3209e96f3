"""What work needs is estimated before it starts, and so are the settings that need less."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest

from sftqa_core import workflows
from sftqa_core.knowledge.sources import open_source
from sftqa_core.models import devices, quantising
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.devices import DeviceRam
from sftqa_core.models.tokenizer_files import TokenCounter
from sftqa_core.planning import fit
from sftqa_core.planning.fit import Estimator, Fit, gigabytes, smaller_footprint, verdict
from sftqa_core.records import PAPER, SLICK, ModelCard, PretrainSettings, ProbeSettings, StudySettings, TrainSettings
from sftqa_core.training import objectives
from sftqa_core.training.objectives import Objective

GB = 10**9
MODEL = "atlas-llama"


@pytest.fixture
def ram(monkeypatch: pytest.MonkeyPatch):
    """Pretend this much RAM, free and in all."""

    def pretend(free: float, total: float) -> None:
        monkeypatch.setattr(devices, "device_ram", lambda device: DeviceRam(int(free), int(total)))

    return pretend


def told(needed: float, least: float | None = None, free: float = 8 * GB, total: float = 16 * GB, device: str = "cpu") -> Fit:
    return Fit(device, int(needed), int(least or needed), int(free), int(total))


def test_sizes_are_said_as_people_say_them():
    """One digit below ten gigabytes, none above, and never 0.0."""
    assert [gigabytes(size) for size in (3 * 10**6, 0.62 * GB, 9.94 * GB, 18.4 * GB)] == ["0.1 GB", "0.6 GB", "9.9 GB", "18 GB"]
    assert told(0.62 * GB, free=18.4 * GB).line() == "about 0.6 GB, 18 GB free"
    assert told(2 * GB, device="cuda").line() == "about 2.0 GB, 8.0 GB free"
    assert replace(told(2 * GB), free=None).line() == "about 2.0 GB"


def test_work_that_fits_is_not_spoken_of():
    """As much as is free will do, and so does a device that can't be asked."""
    for fits in (told(8 * GB), replace(told(9 * GB), free=None, total=None), replace(told(9 * GB), needed=None)):
        assert verdict(fits, "train", {}, lambda settings: told(GB)) == ([], [])


def test_more_than_the_device_has_is_a_problem_and_more_than_is_free_a_note(ram):
    """Both sentences name the numbers and the settings that would fit: the first of them that do."""
    ram(8 * GB, 16 * GB)
    settings = TrainSettings(MODEL, method="lora", batch_size=16, device="cpu").to_dict()

    def by_batch(changed: dict) -> Fit:
        return told((changed.get("micro_batch") or changed["batch_size"]) * 1.2 * GB)

    problems, notes = verdict(by_batch(settings), "train", settings, by_batch)
    assert problems == ["It needs about 19 GB of RAM; this machine has 16 GB in total. Set micro-batch 8."]
    assert notes == []
    smaller = {**settings, "micro_batch": 8}
    problems, notes = verdict(by_batch(smaller), "train", smaller, by_batch)
    assert problems == []
    assert notes == [
        "It needs about 9.6 GB of RAM; only 8.0 GB of the 16 GB on this machine is free now, so it may fail. "
        "Close other programs. Set micro-batch 4."
    ]


@pytest.fixture(autouse=True)
def without_bitsandbytes(monkeypatch: pytest.MonkeyPatch):
    """Whether it is installed or not, the tests' advice is the same."""
    monkeypatch.setattr(quantising, "find_spec", lambda name: None)


def test_weights_in_4_bits_come_before_the_processor(monkeypatch: pytest.MonkeyPatch):
    """Where bitsandbytes is installed, the device can hold them, and nothing else is left to lower."""
    monkeypatch.setattr(quantising, "find_spec", lambda name: object())
    least = TrainSettings(MODEL, method="lora", batch_size=1, gradient_checkpointing=True, device="cpu").to_dict()
    assert smaller_footprint("train", least) == {"quantization": "nf4"}
    assert smaller_footprint("train", {**least, "quantization": "nf4"}) is None
    monkeypatch.setattr(devices, "resolve_device", lambda setting: "cpu" if setting == "cpu" else "mps")
    assert smaller_footprint("train", {**least, "device": "auto"}) is None


def test_where_no_setting_is_enough_a_smaller_model_is_named():
    """With what can be lowered, if anything can."""
    settings = TrainSettings("owner/large", batch_size=2, learning_rate=1e-5, device="cpu").to_dict()
    (problem,), _ = verdict(told(99 * GB), "train", settings, lambda changed: told(99 * GB))
    assert problem.endswith(
        "has 16 GB in total. Even with method lora and micro-batch 1 and gradient checkpointing it does not fit. Choose a smaller model."
    )
    nothing = {**settings, "method": "lora", "batch_size": 1, "gradient_checkpointing": True}
    (problem,), _ = verdict(told(99 * GB), "train", nothing, lambda changed: told(99 * GB))
    assert problem.endswith("in total. Choose a smaller model.")


def test_pages_that_the_system_can_take_back_stop_nothing():
    """A weight file's pages count in what is told, not in what must fit."""
    assert verdict(told(20 * GB, least=7 * GB), "probe", {}, lambda settings: told(GB)) == ([], [])


@pytest.mark.parametrize(
    ("kind", "settings", "less"),
    [
        ("probe", ProbeSettings(MODEL), {"batch_size": 16}),
        ("probe", ProbeSettings(MODEL, batch_size=5), {"batch_size": 2}),
        ("probe", ProbeSettings(MODEL, batch_size=1), None),
        ("train", TrainSettings(MODEL, batch_size=8), {"micro_batch": 4}),  # of so small a model, activations are most
        ("train", TrainSettings(MODEL, batch_size=9), {"micro_batch": 3}),  # what divides the batch
        ("train", TrainSettings(MODEL, batch_size=8, micro_batch=4), {"method": "lora"}),  # activations are less than half now
        ("train", TrainSettings(MODEL, batch_size=8, micro_batch=4, method="lora"), {"micro_batch": 2}),
        ("train", TrainSettings(MODEL, batch_size=8, micro_batch=1, gradient_checkpointing=True), {"method": "lora"}),
        ("train", TrainSettings("owner/unknown", batch_size=8, learning_rate=1e-5), {"method": "lora", "learning_rate": None}),
        ("train", TrainSettings(MODEL, batch_size=8, method="lora"), {"micro_batch": 4}),
        ("train", TrainSettings(MODEL, batch_size=1, method="lora"), {"gradient_checkpointing": True}),
        ("train", TrainSettings(MODEL, batch_size=1, method="lora", gradient_checkpointing=True), None),
        ("study", StudySettings("amount", ("atlas-qwen", MODEL)), {"micro_batch": 4}),
        ("study", StudySettings("amount", (MODEL,), method="lora", batch_size=1, gradient_checkpointing=True), None),
        ("pretrain", PretrainSettings("new", batch_size=8), {"batch_size": 4}),
        ("pretrain", PretrainSettings("new", batch_size=1), None),
    ],
)
def test_a_smaller_footprint_changes_one_setting_at_a_time(kind, settings, less):
    """What comes back makes a record that can be built, and None says that nothing is left."""
    data = json.loads(json.dumps({**settings.to_dict(), "device": "cpu"}))
    assert smaller_footprint(kind, data) == less
    assert less is None or type(settings).from_dict({**data, **less}) != settings


def test_the_processor_is_the_last_way_out_of_a_full_gpu(monkeypatch: pytest.MonkeyPatch):
    """Where the setting stands for a GPU; and never where it is the processor already."""
    monkeypatch.setattr(devices, "resolve_device", lambda setting: "cpu" if setting == "cpu" else "cuda")
    least = TrainSettings(MODEL, method="lora", batch_size=1, gradient_checkpointing=True).to_dict()
    assert smaller_footprint("train", least) == {"device": "cpu"}
    assert smaller_footprint("train", {**least, "device": "cpu"}) is None


def test_a_model_that_is_not_here_is_not_guessed(ram):
    """The reason stands in the number's place; of a size alone, only what it decides is told, and that is said."""
    ram(8 * GB, 16 * GB)
    unknown = Estimator(ModelCard("owner/model", "hub", None, False), "cpu").probing
    source = open_source("atlas")
    facts = source.facts.head(3)
    scheme = ProbeSettings(MODEL).scheme
    assert unknown(source, facts, scheme, None).line() == "unknown until the model is downloaded."
    sized = Estimator(ModelCard("owner/model", "hub", None, False, parameters=GB), "cpu").probing(source, facts, scheme, None)
    assert sized.line() == (
        "about 4.6 GB, 8.0 GB free. Activations and caches are not counted: the configuration does not state the model's widths."
    )


def test_batches_and_prompts_under_way_decide(ram):
    """A batch of 256 takes more than one of 8, which can't be larger than the examples; sixteen prompts far less than 256."""
    ram(20 * GB, 24 * GB)
    estimator, source = Estimator(find_model(MODEL), "cpu"), open_source("atlas")
    train, test = (source.facts[source.facts["split"] == split].head(300) for split in ("train", "test"))

    def training(n: int, batch_size: int) -> int:
        found = estimator.training(TrainSettings(MODEL, batch_size=batch_size, shots=0, method="lora"), train, test, n)
        return found.needed or 0

    assert training(300, 256) > training(300, 8) + 500 * 10**6
    assert training(8, 256) == training(8, 8)
    few, many = (estimator.probing(source, test, ProbeSettings(MODEL).scheme, size) for size in (16, 256))
    assert few.parts is not None
    assert many.parts is not None
    assert few.parts.keys_values * 10 < many.parts.keys_values


def test_a_run_that_the_machine_cannot_hold_is_refused_with_settings(ram):
    """The forecast has a problem with less memory than the process alone takes, and a note where it is only in use."""
    ram(0.3 * GB, 0.5 * GB)
    refused = workflows.forecast(TrainSettings(MODEL, n=60, device="cpu"))
    assert len(refused.problems) == 1
    assert refused.problems[0].startswith("It needs about 0.")
    assert "this machine has 0.5 GB in total." in refused.problems[0]
    ram(0.3 * GB, 24 * GB)
    warned = workflows.forecast(TrainSettings(MODEL, n=60, device="cpu"))
    assert warned.problems == ()
    assert "0.3 GB of the 24 GB on this machine is free now, so it may fail." in warned.notes[-1]


def test_a_study_tells_the_run_that_needs_most(ram, workspace):
    """Of two models the larger one's; what is left to do decides, and nothing is told where all is done."""
    ram(20 * GB, 24 * GB)
    alone, both = (
        workflows.forecast(StudySettings("amount", models, sizes=(30,), seeds=(9,), device="cpu")).fit
        for models in (("atlas-neox",), (MODEL, "atlas-neox"))
    )
    assert both == alone
    assert workflows.forecast(ProbeSettings(MODEL, device="cpu")).fit is None


def test_several_gpus_are_told_and_batches_stay_divisible(ram, monkeypatch: pytest.MonkeyPatch):
    """The estimate is that of each; less memory keeps a multiple of them; the processor takes one process."""
    monkeypatch.setattr(devices, "resolve_device", lambda setting: "cpu" if setting == "cpu" else "cuda")
    ram(8 * GB, 16 * GB)
    source = open_source("atlas")
    probing = Estimator(find_model(MODEL), "cuda").probing(source, source.facts.head(3), ProbeSettings(MODEL).scheme, None, 2)
    assert probing.line().startswith(f"about {gigabytes(probing.needed)} on each of 2 GPUs, 8.0 GB free")
    settings = TrainSettings(MODEL, method="lora", batch_size=12, gpus=4).to_dict()
    assert smaller_footprint("train", settings) == {"batch_size": 4}
    assert smaller_footprint("train", {**settings, "batch_size": 4, "gradient_checkpointing": True}) == {"device": "cpu", "gpus": 1}
    problems, _ = verdict(replace(probing, least=20 * GB), "train", settings, lambda data: probing)
    assert problems[0].startswith("It needs about 20 GB of GPU memory on each of 2 GPUs; the GPU has 16 GB in total.")


def test_what_an_objective_needs_beside_the_model_is_counted(ram, monkeypatch):
    """A teacher's bytes stand in what is needed, as weights, and in what can't be had back; what answers afterwards does without."""

    @dataclass(frozen=True)
    class Taught(Objective):
        teacher: int = 0

        def memory(self, shape, device, step):
            return self.teacher + step.examples * step.length

    ram(20 * GB, 24 * GB)
    source, settings = open_source("atlas"), TrainSettings(MODEL, batch_size=8, shots=0, method="lora")
    train, test = (source.facts[source.facts["split"] == split].head(300) for split in ("train", "test"))

    def training(objective):
        monkeypatch.setattr(objectives, "objective_of", lambda settings: objective)
        return Estimator(find_model(MODEL), "cpu").training(settings, train, test, 60)

    three, five = training(Taught(3 * GB)), training(Taught(5 * GB))
    assert five.least - three.least == five.needed - three.needed == five.parts.weights - three.parts.weights == 2 * GB
    assert 3 * GB < three.parts.weights < three.least
    assert training(Taught(1)).needed == training(Objective()).needed, "answering needs more than a small model's step"


def test_lengths_are_kept_apart_by_table_way_and_tokenizer():
    """What was counted for one is not told of another; the same again is not counted again."""
    source = open_source("atlas")
    facts, counted = source.facts.head(60), []

    def of(more=0, table=facts, scheme=PAPER):
        return fit.longest_prompt(source, table, TokenCounter(more=more), scheme)

    class Counting(TokenCounter):
        def __call__(self, text):
            counted.append(text)
            return super().__call__(text)

    plain = of()
    assert of(scheme=SLICK) > plain
    assert of(scheme=replace(PAPER, method="likelihood")) > plain
    assert of(table=facts.tail(1)) < plain
    counting = Counting(files=("another tokenizer",))
    assert fit.longest_prompt(source, facts, counting, PAPER) == plain
    seen = len(counted)
    assert fit.longest_prompt(source, facts, Counting(files=("another tokenizer",)), PAPER) == plain
    assert (seen > 0, len(counted)) == (True, seen)
