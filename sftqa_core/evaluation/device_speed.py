"""Heavy: how fast a device probes and fine-tunes, and how much of its memory that takes beside what was foretold.

Shapes of 0.5B and 7B parameters get random weights, made on the device, so that nothing is downloaded; `generate` of transformers is timed
in the same run. Shares of the device's rate (MFU) count the arithmetic of the forward tokens, and of the backward pass in training.
"""

import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from sftqa_core.engine.capacity import at_once
from sftqa_core.engine.drawing import empty_cache
from sftqa_core.engine.packed import PackedModel
from sftqa_core.engine.sampling import Prompt, fact_prompts, make_sampler
from sftqa_core.engine.wanted_facts import WantedFact, wanted_facts
from sftqa_core.errors import SettingsError
from sftqa_core.knowledge.aliases import load_aliases
from sftqa_core.memory.estimating import AdaptiveProbe, Likelihood, Question, answer_ids
from sftqa_core.memory.prober import chosen_facts
from sftqa_core.memory.profiles import open_for
from sftqa_core.models import devices
from sftqa_core.models.catalogue import ModelFingerprint, find_model
from sftqa_core.models.footprint import Shape, TuningStep, decoding, tuning
from sftqa_core.models.loading import LoadedModel, load_model
from sftqa_core.progress import Progress, Silent
from sftqa_core.records import LevelScheme, ModelCard, ProbeSettings, SamplerSettings, TrainSettings
from sftqa_core.training.fine_tuning import fine_tune
from sftqa_core.training.trainer import encode_examples
from sftqa_core.workspace import Workspace

LIKE = "atlas-llama"  # lends its tokenizer and its facts
ROWS = 10  # samples of a prompt
RANK, BATCH = 8, 8
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


@dataclass(frozen=True)
class Peak:
    """The most operations a second that a device's share is counted of."""

    flops: float
    told: str

    @classmethod
    def of(cls, device: str) -> "Peak":
        """As the maker states it for a known card; else the rate of a large product, measured here."""
        on_gpu = devices.torch_device(device) == "cuda"
        name = torch.cuda.get_device_name() if on_gpu else ""
        for card, tera in CARDS.items():
            if card in name:
                return cls(tera * 1e12, f"{tera} TFLOP/s, as stated for {card}")
        size, kind = (8_192, torch.bfloat16) if on_gpu else (1_024, torch.float32)
        a = torch.randn(size, size, device=devices.torch_device(device), dtype=kind)
        flops = 2 * size**3 / min(timed(lambda: a @ a) for _ in range(10))
        return cls(flops, f"{flops / 1e12:.2f} TFLOP/s, measured on a product of {size:,} x {size:,}")


def device_name(device: str) -> str:
    """What the resolved device is called: of a GPU its maker's name."""
    if devices.torch_device(device) == "cuda":
        return str(torch.cuda.get_device_name())
    return f"processor, {torch.get_num_threads()} threads" if device == "cpu" else "Apple's GPU"


def calm_threads(device: str) -> None:
    """Of shapes as tiny as those of a trial more threads on a processor only wait for each other."""
    if device == "cpu":
        torch.set_num_threads(1)


def release() -> None:
    """Give memory of what was measured back."""
    gc.collect()
    empty_cache()


def lender(device: str) -> LoadedModel:
    """The built-in model that lends its tokenizer to those of random weights."""
    return load_model(find_model(LIKE), device)


def random_model(name: str, small: bool, like: LoadedModel) -> LoadedModel:
    """A model of this shape with random weights, made on the device; `like` lends its tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = dict((SMALL if small else SHAPES)[name])
    config = AutoConfig.for_model(shape.pop("kind"), bos_token_id=0, eos_token_id=0, pad_token_id=1, **shape)
    torch.manual_seed(0)
    with torch.device(devices.torch_device(like.device)):
        model = AutoModelForCausalLM.from_config(config, dtype=like.model.dtype).eval()
    model.generation_config = like.model.generation_config
    card = ModelCard(name, "folder", None, True, parameters=model.num_parameters())
    print_of = ModelFingerprint(f"random {name}"[:16], None, like.dtype, like.device)
    return replace(like, card=card, model=model, fingerprint=print_of, end_ids=(config.vocab_size - 1,))


# ---- probing ----
def some_facts(count: int) -> list[WantedFact]:
    """Test facts of the atlas, spread over relations."""
    source = open_for(LIKE, "atlas")
    return wanted_facts(source, chosen_facts(source, ProbeSettings(LIKE, limit=count)), load_aliases(Workspace.current()), "tokens")


def probe_rows(loaded: LoadedModel, peak: Peak, facts: int, slow: int, sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """Facts a second of every way of probing; memory of the exact one. `slow`: facts for `generate`, at the best of `sizes`."""
    wanted = some_facts(facts)
    prompts = list(fact_prompts(loaded, wanted))
    flat = [prompt for fact in prompts for prompt in fact]
    longest, new = max(len(p.ids) for p in flat), SamplerSettings().max_new_tokens
    places = min(len(flat), at_once(loaded, longest, ROWS, new))
    foretold = decoding(shape_of(loaded), loaded.device, places, ROWS, longest, new).total
    few = [prompt for fact in prompts[:slow] for prompt in fact]
    seconds, size = min((timed(lambda size=size: generate(loaded, few, size)), size) for size in sizes)  # type: ignore[misc]
    rows: list[dict[str, Any]] = [{"way": "generate", "facts/s": slow / seconds, "prompts a batch": size}]
    for way, (work, tokens) in our_ways(loaded, wanted, prompts).items():
        reset(loaded.device)
        rate = len(wanted) / timed(work)
        row = {"way": way, "facts/s": rate, "x generate": rate * seconds / slow, "MFU": 2 * body(loaded) * tokens() * rate / peak.flops}
        rows.append({**row, **(memory_columns(loaded.device, foretold) if way == "exact" else {})})
    return [{"model": loaded.card.name, "parameters": loaded.model.num_parameters(), **row} for row in rows]


def our_ways(
    loaded: LoadedModel, facts: list[WantedFact], prompts: list[list[Prompt]]
) -> dict[str, tuple[Callable[[], Any], Callable[[], float]]]:
    """name -> (the work, forward tokens a fact of the last time)."""
    scheme = LevelScheme()
    flat = [prompt for fact in prompts for prompt in fact]
    size = at_once(loaded, max(len(p.ids) for p in flat), ROWS, scheme.sampling.max_new_tokens)
    answers = {w.fact_id: answer_ids(loaded.tokenizer, w.answers) for w in facts}
    questions = [Question(p.fact_id, p.template, p.ids, answers[p.fact_id]) for p in flat]
    exact, likelihood, adaptive = make_sampler("shared", loaded, size), Likelihood(loaded, size), AdaptiveProbe(loaded, size)
    return {
        "likelihood": counted(likelihood.model, lambda: likelihood.estimate(questions, scheme.sampling.temperature), len(facts)),
        "exact": counted(exact.model, lambda: exact.sample(flat, scheme.sampling), len(facts)),  # type: ignore[attr-defined]
        "adaptive 0.95": counted(adaptive.model, lambda: adaptive.decide(prompts, scheme), len(facts)),
    }


def counted(model: PackedModel, work: Callable[[], Any], facts: int) -> tuple[Callable[[], Any], Callable[[], float]]:
    """Work that is gone through to its end, and the forward tokens a fact that it took."""

    def run() -> None:
        model.tokens = 0
        for _ in work():
            pass

    return run, lambda: model.tokens / facts


def generate(loaded: LoadedModel, prompts: Sequence[Prompt], size: int, rows: int = ROWS, new: int = 32) -> None:
    """Stock sampling: ten rows a prompt, padded on the left, to the end token or the limit."""
    config = GenerationConfig(
        do_sample=True, temperature=0.7, top_k=0, max_new_tokens=new, num_return_sequences=rows,
        eos_token_id=list(loaded.end_ids), pad_token_id=loaded.pad_id,
    )  # fmt: skip
    for ids, mask in padded(loaded, prompts, size):
        out = loaded.model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
        loaded.tokenizer.batch_decode(out[:, ids.shape[1] :], skip_special_tokens=True)


def padded(loaded: LoadedModel, prompts: Sequence[Prompt], size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Batches sorted by length: ids and mask, int64 of shape (prompts, longest)."""
    ordered = sorted(prompts, key=lambda prompt: len(prompt.ids))
    device, found = devices.torch_device(loaded.device), []
    for start in range(0, len(ordered), size):
        some = ordered[start : start + size]
        width = max(len(p.ids) for p in some)
        rows = [[loaded.pad_id] * (width - len(p.ids)) + list(p.ids) for p in some]
        mask = [[0] * (width - len(p.ids)) + [1] * len(p.ids) for p in some]
        found.append((torch.tensor(rows, device=device), torch.tensor(mask, device=device)))
    return found


# ---- tuning ----
def tune_row(loaded: LoadedModel, peak: Peak, method: str, examples: int) -> dict[str, Any]:
    """Examples a second after the first two steps, and the memory of the whole training."""
    facts = open_for(LIKE, "atlas").facts.query("split == 'train'").head(examples)
    settings = TrainSettings("any", method=method, lora_rank=RANK, batch_size=BATCH, learning_rate=1e-5, save_model=False)
    encoded = [len(example.ids) for example in encode_examples(loaded, facts, settings)]
    foretold = tuning(shape_of(loaded), loaded.device, TuningStep(method, RANK, BATCH, max(encoded))).total
    row = {"model": loaded.card.name, "parameters": loaded.model.num_parameters(), "method": method}
    room = devices.device_ram(loaded.device)
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


# ---- time and memory ----
def timed(work: Callable[[], Any]) -> float:
    """Seconds, to the end of what a GPU was asked to do."""
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    elif torch.backends.mps.is_available():
        torch.mps.synchronize()
    return time.perf_counter() - began


def body(loaded: LoadedModel) -> int:
    """Parameters that every forward token meets; tied embeddings count only where logits are needed, and are left out."""
    return int(loaded.model.num_parameters() - loaded.model.get_input_embeddings().weight.numel())


def shape_of(loaded: LoadedModel) -> Shape:
    """The shape as a forecast reads it from the configuration. Raises `SettingsError` where that does not say it."""
    found = Shape.of(loaded.model.config.to_dict(), loaded.model.num_parameters())
    if found is None:
        raise SettingsError(f"{loaded.card.name}: its configuration does not say how wide it is.")
    return replace(found, stored_bytes=4)  # nothing was read from a file


def reset(device: str) -> None:
    """Count the peak from now on."""
    if devices.torch_device(device) == "cuda":
        torch.cuda.reset_peak_memory_stats()


def memory_columns(device: str, foretold: int) -> dict[str, Any]:
    """Gigabytes: foretold, the peak that torch handed out, their ratio, and what the driver says is taken. Of a processor
    benchmarks/memory.py measures it, each work in a process of its own."""
    if devices.torch_device(device) != "cuda":
        return {"foretold GB": foretold / 1e9}
    measured, (free, total) = torch.cuda.max_memory_allocated(), torch.cuda.mem_get_info()
    told = {"foretold GB": foretold / 1e9, "measured GB": measured / 1e9, "foretold / measured": foretold / measured}
    return {**told, "driver GB": (total - free) / 1e9}
