"""What is probed, and the words for it that all settings share: splits, domains, matching, quantization."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sftqa_core.jsonrecord import Keys, Record, like, setting
from sftqa_core.records.schemes import LevelScheme, SamplerSettings

SPLITS = ("train", "dev", "test")
DOMAIN_NAMES = {"in": "in-domain", "out": "out-of-domain"}
DOMAINS = tuple(DOMAIN_NAMES)
QUANTIZATIONS = {"none": "as the device has them", "nf4": "in 4 bits (NF4)"}  # a model's weights (models/quantising.py) -> their name
NUMBER_FORMATS = {"default": "as the device has it", "bfloat16": "bfloat16"}  # in which a probe computes (models/devices.py)
MATCHES = {"tokens": "whole words", "substring": "any part of the text"}
ANSWER_KINDS = {  # what becomes of a fact's answers over all its completions (memory/consistency.py), best first
    "settled": "one answer leads, and it is correct",
    "torn": "two answers share most completions",
    "rival": "one answer leads, and it is wrong",
    "vague": "many different answers, none leads",
}
MOST_GPUS = 64  # of one machine
MOST_PROMPTS = 500  # that one wants to read
MOST_CHARACTERS = 10_000  # of such a prompt


@dataclass(frozen=True)
class ProbeSettings(Record):
    """One probing job: which model, which facts, how."""

    model: str = setting(label="Model", flag="--model", rank=0, help="a built-in or pre-trained model, a folder, a GGUF file, or a hub id")
    source: str = setting(
        "atlas", label="Facts", flag="--source", rank=0,
        help="atlas, a larger one (atlas:8), entity-questions-sample (it comes along), entity-questions, a path, or hub:owner/name",
    )  # fmt: skip
    split: str = setting("test", label="Split", flag="--split", choices={name: name for name in (*SPLITS, "all")}, help="which facts")
    domain: str = setting(
        "all", label="Domain", flag="--domain", choices={**DOMAIN_NAMES, "all": "both domains"},
        title="{value}", help="topics that runs are tuned on by default (in), or others (out)",
    )  # fmt: skip
    limit: int | None = setting(
        None, label="Fact limit", flag="--limit", low=1, unit="facts", unset="all", title="at most {value:,} facts",
        help="probe at most this many facts, spread over relations",
    )  # fmt: skip
    scheme: LevelScheme = setting(make=LevelScheme, label="Level scheme")
    match: str = setting(
        "tokens", label="Answer matching", flag="--match", choices=MATCHES, title="answers matched by {value}",
        help="how an answer is found in a text: whole words, or the paper's substring",
    )  # fmt: skip
    device: str = setting(
        "auto", label="Device", flag="--device",
        help="auto, cpu, cuda (NVIDIA), rocm (AMD) or mps (Apple); cuda:1 is the GPU of that number",
    )  # fmt: skip
    batch_size: int | None = setting(
        None, label="Prompts at once", flag="--batch", low=1, high=65_536, unset="by model size and free memory",
        help="prompts in progress at once",
    )  # fmt: skip
    facts_seed: int = setting(0, label="Seed of the order")  # in which facts are taken when there is a limit
    gpus: int = setting(
        1, label="GPUs the model is spread over", flag="--gpus", low=1, high=MOST_GPUS, title="{value} GPUs", keys=Keys.NONE, later=True,
        help="for a model larger than one GPU: its layers are spread over several, which work one after the other. Not yet tried on real "
        "GPUs",
    )  # fmt: skip
    quantization: str = setting(
        "none", label="Quantization", flag="--quantize", choices=QUANTIZATIONS, title="weights {value}", later=True,
        help="nf4 holds the model's weights in 4 bits: about a quarter of the memory. Its levels are measured separately. Needs "
        "bitsandbytes; not yet tried on a GPU",
    )  # fmt: skip
    number_format: str = setting(
        "default", label="Number format", flag="--number-format", choices=NUMBER_FORMATS, title="in {value}", later=True,
        help="in which a processor holds the weights and computes: float32 by default. bfloat16 takes half the memory, is faster where the "
        "processor has it (sftqa doctor says so) and is rounded more, so its levels are measured separately. A GPU computes in bfloat16 "
        "either way",
    )  # fmt: skip

    def problems(self) -> list[str]:
        wrong = quantization_problems(self.quantization, self.gpus)
        if self.quantization != "none" and self.number_format != "default":
            wrong.append(f"quantization {self.quantization} can't be combined with number_format {self.number_format}. Choose one of them.")
        return wrong


@dataclass(frozen=True)
class CompleteSettings(Record):
    """Texts that a model completes as a probe would, for a person to read: how one's own templates fare."""

    model: str = like(ProbeSettings, "model")
    prompts: tuple[str, ...] = setting(label="Prompts")
    samples: int = setting(3, low=1, high=100, label="Samples", flag="--samples", help="completions a prompt")
    temperature: float = like(SamplerSettings, "temperature", label="Temperature")
    max_new_tokens: int = like(SamplerSettings, "max_new_tokens", label="New tokens")
    seed: int = like(SamplerSettings, "seed", label="Seed")
    device: str = like(ProbeSettings, "device")

    def problems(self) -> list[str]:
        if not 0 < len(self.prompts) <= MOST_PROMPTS:
            return [f"prompts must be 1 to {MOST_PROMPTS} texts, got {len(self.prompts):,}."]
        sizes = [(number, len(text)) for number, text in enumerate(self.prompts, 1) if not text.strip() or len(text) > MOST_CHARACTERS]
        return [f"prompt {number} must have 1 to {MOST_CHARACTERS:,} characters, got {size:,}." for number, size in sizes]

    @property
    def sampling(self) -> SamplerSettings:
        """How the completions are drawn."""
        return SamplerSettings(self.samples, self.temperature, self.max_new_tokens, self.seed)


@dataclass(frozen=True)
class Completed(Record):
    """What `sftqa complete --json` prints."""

    model: str
    prompts: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]  # the completions of each prompt, as many as there are samples


def held_as(settings: Any) -> str:
    """How settings (a record, its JSON, or options of a command) have a model's weights held: "nf4", "bfloat16", or "none", as the device
    has them. One word for both settings, which exclude each other; models/quantising.py says what follows from it."""
    value = settings.get if isinstance(settings, Mapping) else lambda name, default: getattr(settings, name, default)
    number_format = value("number_format", "default")
    return str(value("quantization", "none") if number_format == "default" else number_format)


def quantization_problems(quantization: str, gpus: int) -> list[str]:
    """For `problems`: sentences about weights in 4 bits."""
    return [f"quantization nf4 is for work on one device, got {gpus} gpus."] if quantization == "nf4" and gpus > 1 else []
