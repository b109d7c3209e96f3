"""What benchmarks/gpu.py measures on one model: probing, and fine-tuning, each beside the memory that was foretold."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parent))
from probing import ROWS, body, generate, our_ways, some_facts, timed

from sftqa_core.engine.capacity import at_once
from sftqa_core.engine.sampling import fact_prompts
from sftqa_core.memory.profiles import open_for
from sftqa_core.models.catalogue import ModelFingerprint
from sftqa_core.models.devices import device_ram
from sftqa_core.models.footprint import Shape, TuningStep, decoding, tuning
from sftqa_core.models.loading import LoadedModel
from sftqa_core.progress import Progress, Silent
from sftqa_core.records import ModelCard, SamplerSettings, TrainSettings
from sftqa_core.training.fine_tuning import fine_tune
from sftqa_core.training.trainer import encode_examples

# Dense bfloat16 matrix products with float32 sums, TFLOP/s, as the makers state them; the first name that fits counts
CARDS = {
    "H100 PCIe": 756, "H100 NVL": 835, "H100": 989, "H200": 989, "B200": 2_250, "GH200": 989, "A100": 312, "L40S": 362, "L4": 121,
    "A10": 125, "RTX 4090": 165, "RTX 3090": 71,
}  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {
    "0.5B (Qwen2)": {
        "kind": "qwen2", "vocab_size": 151_936, "hidden_size": 896, "intermediate_size": 4_864, "num_hidden_layers": 24,
        "num_attention_heads": 14, "num_key_value_heads": 2, "tie_word_embeddings": True,
    },
    "7B (Llama 2)": {"kind": "llama"},
}  # fmt: skip
_TINY = {"vocab_size": 3_000, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL = {name: {"kind": shape["kind"], **_TINY, "num_key_value_heads": 2} for name, shape in SHAPES.items()}
RANK, BATCH = 8, 8


@dataclass(frozen=True)
class Peak:
    """The most operations a second that a device's share is counted of."""

    flops: float
    told: str

    @classmethod
    def of(cls, device: str) -> Peak:
        """As the maker states it for a known card; else the rate of a large product, measured here."""
        name = torch.cuda.get_device_name() if device == "cuda" else ""
        for card, tera in CARDS.items():
            if card in name:
                return cls(tera * 1e12, f"{tera} TFLOP/s, as stated for {card}")
        size, kind = (8_192, torch.bfloat16) if device == "cuda" else (1_024, torch.float32)
        a = torch.randn(size, size, device=device, dtype=kind)
        flops = 2 * size**3 / min(timed(lambda: a @ a) for _ in range(10))
        return cls(flops, f"{flops / 1e12:.2f} TFLOP/s, measured on a product of {size:,} x {size:,}")


def random_model(name: str, small: bool, like: LoadedModel) -> LoadedModel:
    """A model of this shape with random weights, made on the device; `like` lends its tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = dict((SMALL if small else SHAPES)[name])
    config = AutoConfig.for_model(shape.pop("kind"), bos_token_id=0, eos_token_id=0, pad_token_id=1, **shape)
    torch.manual_seed(0)
    with torch.device(like.device):
        model = AutoModelForCausalLM.from_config(config, dtype=like.model.dtype).eval()
    model.generation_config = like.model.generation_config
    card = ModelCard(name, "folder", None, True, parameters=model.num_parameters())
    print_of = ModelFingerprint(f"random {name}"[:16], None, like.dtype, like.device)
    return replace(like, card=card, model=model, fingerprint=print_of, end_ids=(config.vocab_size - 1,))


def probe_rows(loaded: LoadedModel, peak: Peak, facts: int, slow: int, sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """Facts a second of every way of probing; memory of the exact one."""
    wanted = some_facts(facts)
    prompts = list(fact_prompts(loaded, wanted))
    flat = [prompt for fact in prompts for prompt in fact]
    shape, longest, new = shape_of(loaded), max(len(p.ids) for p in flat), SamplerSettings().max_new_tokens
    places = min(len(flat), at_once(loaded, longest, ROWS, new))
    foretold = decoding(shape, loaded.device, places, ROWS, longest, new).total
    rows = []
    few = [prompt for fact in prompts[:slow] for prompt in fact]
    best = min((timed(lambda size=size: generate(loaded, few, size)), size) for size in sizes)  # type: ignore[misc]
    rows.append({"way": f"generate, {best[1]} prompts a batch", "facts/s": slow / best[0]})
    for way, (work, tokens) in our_ways(loaded, wanted, prompts).items():
        if way not in ("exact", "adaptive 0.95", "likelihood"):
            continue
        reset(loaded.device)
        seconds = timed(work)
        row = {"way": way, "facts/s": len(wanted) / seconds, "x generate": rows[0]["facts/s"] and len(wanted) / seconds * best[0] / slow}
        row["MFU"] = 2 * body(loaded) * tokens() * len(wanted) / seconds / peak.flops
        rows.append({**row, **(memory_columns(loaded.device, foretold) if way == "exact" else {})})
    return [{"model": loaded.card.name, "parameters": loaded.model.num_parameters(), **row} for row in rows]


def tune_row(loaded: LoadedModel, peak: Peak, method: str, examples: int) -> dict[str, Any]:
    """Examples a second after the first two steps, and the memory of the whole training."""
    facts = open_for("atlas-llama", "atlas").facts.query("split == 'train'").head(examples)
    settings = TrainSettings("any", method=method, lora_rank=RANK, batch_size=BATCH, learning_rate=1e-5, save_model=False)
    encoded = [len(example.ids) for example in encode_examples(loaded, facts, settings)]
    foretold = tuning(shape_of(loaded), loaded.device, TuningStep(method, RANK, BATCH, max(encoded))).total
    row = {"model": loaded.card.name, "parameters": loaded.model.num_parameters(), "method": method}
    room = device_ram(loaded.device)
    if room and foretold > room.total:
        return {**row, "note": f"left out: {foretold / 1e9:.0f} GB foretold, the device has {room.total / 1e9:.0f} GB"}
    reset(loaded.device)
    steps = Steps()
    with tempfile.TemporaryDirectory() as scratch:
        fine_tune(loaded, facts, settings, Path(scratch), steps)
    rate = BATCH * (len(steps.at) - 3) / (steps.at[-1] - steps.at[2])
    work = (6 if method == "full" else 4) * loaded.model.num_parameters() * rate * sum(encoded) / len(encoded)
    return {**row, "examples/s": rate, "MFU": work / peak.flops, **memory_columns(loaded.device, foretold)}


class Steps(Silent):
    """When each step ended."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def progress(self, update: Progress) -> None:
        if update.phase == "train":
            self.at.append(time.perf_counter())


def shape_of(loaded: LoadedModel) -> Shape:
    """The shape as a forecast reads it from the configuration."""
    found = Shape.of(loaded.model.config.to_dict(), loaded.model.num_parameters())
    if found is None:
        raise SystemExit(f"{loaded.card.name}: its configuration does not say how wide it is.")
    return replace(found, stored_bytes=4)  # nothing was read from a file


def reset(device: str) -> None:
    """Count the peak from now on."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()


def memory_columns(device: str, foretold: int) -> dict[str, Any]:
    """Gigabytes: foretold, the peak that torch handed out, their ratio, and what the driver says is taken. Of a processor
    benchmarks/memory.py measures it, each work in a process of its own."""
    if device != "cuda":
        return {"foretold GB": foretold / 1e9}
    measured, (free, total) = torch.cuda.max_memory_allocated(), torch.cuda.mem_get_info()
    told = {"foretold GB": foretold / 1e9, "measured GB": measured / 1e9, "foretold / measured": foretold / measured}
    return {**told, "driver GB": (total - free) / 1e9}


def options_of(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The command line's options, with a refusal where the device is not there."""
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.exit(2, "No GPU that torch can use is visible here; nothing was measured. `--small --device cpu` tries this script out.\n")
    return options
