"""How fast probing is: our exact, adaptive and likelihood probes beside transformers' `generate` and its continuous batching.

    python benchmarks/probing.py [--facts 96] [--rounds 3] [--shape 0.5b] [--sweep]

All in one run on the same model, facts and settings, in turn, round after round; prints medians, ratios, tokens, and the
floor: what the forward tokens' arithmetic would take at the measured rate of matrix products. `generate` is batched across
facts, prompts sorted by length, at the best of the batch sizes tried (all are printed). `--shape 0.5b` takes a Qwen2 of 494
million parameters with random weights, the worst case: nothing is shared and nothing stops early. `--sweep` shows the cost
against facts, templates and samples.
"""

from __future__ import annotations

import argparse
import resource
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import GenerationConfig

from sftqa_core.engine.capacity import at_once
from sftqa_core.engine.decoder import Decoder, Load
from sftqa_core.engine.packed import PackedModel
from sftqa_core.engine.sampling import Prompt, fact_prompts, make_sampler
from sftqa_core.engine.wanted_facts import WantedFact
from sftqa_core.evaluation.device_speed import ROWS, body, counted, generate, our_ways, padded, some_facts, timed
from sftqa_core.memory.estimating import AdaptiveProbe
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.loading import LoadedModel, load_model
from sftqa_core.records import LevelScheme, SamplerSettings

MODEL = "atlas-llama"
BATCHES = (2, 4, 8, 16, 32)  # prompts, of ten rows each


def main() -> None:
    """Measure in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=96)
    parser.add_argument("--slow-facts", type=int, default=12, help="facts for the slow ways, which are slower per fact, not per run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--shape", choices=("0.5b",), help="a model of this shape with random weights")
    parser.add_argument("--sweep", action="store_true", help="cost against facts, templates and samples")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    loaded = load_model(find_model(MODEL), "cpu")
    if options.shape:
        return worst_case(loaded, qwen_half_billion(loaded), "Qwen2 0.5B shape", options.rounds)
    facts = some_facts(max(options.facts, 2_000 if options.sweep else 0))
    return sweep(loaded, facts) if options.sweep else compare(loaded, facts[: options.facts], options)


def compare(loaded: LoadedModel, facts: list[WantedFact], options: argparse.Namespace) -> None:
    """All ways on one model, interleaved; `options`: slow_facts, rounds and threads."""
    prompts = list(fact_prompts(loaded, facts))
    few = prompts[: options.slow_facts]
    flat = [prompt for fact in few for prompt in fact]
    best = max(BATCHES, key=lambda size: told(f"generate, {size} prompts a batch", len(few), lambda: generate(loaded, flat, size)))
    ways = all_ways(loaded, facts, prompts)
    rates: dict[str, list[float]] = {name: [] for name in ("generate", *ways)}
    for _ in range(options.rounds):
        rates["generate"].append(len(few) / timed(lambda: generate(loaded, flat, best)))
        for name, (work, _) in ways.items():
            rates[name].append(len(facts) / timed(work))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    flops = matrix_rate(loaded)
    print(f"\n{loaded.card.name}, {len(facts)} facts, {options.threads} threads, matrix products {flops / 1e9:.0f} GFLOP/s")
    print("way | facts/s (all rounds) | x generate | forward tokens a fact | of the floor")
    for name, value in medians.items():
        tokens = ways[name][1]() if name in ways else None
        floor = flops / (2 * body(loaded) * tokens) if tokens else None
        shown = f"{tokens:.0f} | {value / floor:.0%}" if tokens and floor else "- | -"
        print(f"{name} | {value:.1f} ({', '.join(f'{v:.1f}' for v in rates[name])}) | {value / medians['generate']:.1f} | {shown}")
    drawn = [
        row for rows in make_sampler("shared", loaded, 512).sample((p for fact in prompts for p in fact), SamplerSettings()) for row in rows
    ]
    alone = (sum(len(p.ids) for fact in prompts for p in fact) + sum(row.count * (row.tokens - 1) for row in drawn)) / len(facts)
    print(f"each sample a row of its own, prompts read once: {alone:.0f} forward tokens a fact")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    told("continuous batching of transformers", len(few), lambda: continuous(loaded, flat))


def all_ways(
    loaded: LoadedModel, facts: list[WantedFact], prompts: list[list[Prompt]]
) -> dict[str, tuple[Callable[[], Any], Callable[[], float]]]:
    """name -> (the work, forward tokens a fact of the last time)."""
    flat = [prompt for fact in prompts for prompt in fact]
    size = at_once(loaded, max(len(p.ids) for p in flat), ROWS, LevelScheme().sampling.max_new_tokens)
    prefill, bolder = PackedModel(loaded), AdaptiveProbe(loaded, size)

    def read() -> Any:
        return Prefill(prefill, Load(size, size, 1), 0, "").run(sorted(flat, key=lambda p: p.ids))

    return {
        "prefill alone, plain": (lambda: plain_prefill(loaded, flat), lambda: sum(len(p.ids) for p in flat) / len(facts)),
        "prefill alone, prefix tree": counted(prefill, read, len(facts)),
        **our_ways(loaded, facts, prompts),
        "adaptive 0.9": counted(bolder.model, lambda: bolder.decide(prompts, replace(LevelScheme(), confidence=0.9)), len(facts)),
    }


class Prefill(Decoder[Prompt]):
    """Reads prompts and nothing else."""

    def texts(self, item: Prompt) -> list[tuple[int, ...]]:
        return [item.ids]

    def advance(self, reads: Any) -> list[int]:
        over = list(self.items)
        for place in over:
            self.finish(place)
        self.keep(self.place[:0])
        return over


@torch.no_grad()
def plain_prefill(loaded: LoadedModel, prompts: Sequence[Prompt], size: int = 64) -> None:
    """Padded batches through the model's own forward."""
    for ids, mask in padded(loaded, prompts, size):
        loaded.model(input_ids=ids, attention_mask=mask, use_cache=True, logits_to_keep=1)


def continuous(loaded: LoadedModel, prompts: Sequence[Prompt]) -> None:
    """transformers' continuous batching, each sample a request."""
    config = GenerationConfig(
        do_sample=True, temperature=0.7, top_k=0, max_new_tokens=32, eos_token_id=list(loaded.end_ids), pad_token_id=loaded.pad_id
    )
    asked = [list(p.ids) for p in prompts for _ in range(ROWS)]
    found = loaded.model.generate_batch(inputs=asked, generation_config=config, progress_bar=False)
    if len(found) != len(asked):
        raise RuntimeError(f"{len(found)} of {len(asked)} requests were answered")


def told(name: str, facts: int, work: Callable[[], None]) -> float:
    """Facts a second, printed; 0 and the reason where the work fails."""
    try:
        rate = facts / timed(work)
    except Exception as error:  # a peer that does not run on this machine is a result too
        print(f"{name}: does not run here ({type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''})", flush=True)
        return 0.0
    print(f"{name}: {rate:.2f} facts/s", flush=True)
    return rate


def matrix_rate(loaded: LoadedModel, size: int = 1024) -> float:
    """FLOP/s of the device's matrix products in the model's number format, best of 20."""
    a = torch.randn(size, size, device=loaded.device, dtype=loaded.model.dtype)
    return 2 * size**3 / min(timed(lambda: a @ a) for _ in range(20))


def qwen_half_billion(tiny: LoadedModel) -> LoadedModel:
    """The shape of Qwen2-0.5B with random weights."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=151_936, hidden_size=896, intermediate_size=4_864, num_hidden_layers=24, num_attention_heads=14,
        num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    return replace(tiny, model=Qwen2ForCausalLM(config).eval(), end_ids=(151_935,), pad_id=0)


def worst_case(tiny: LoadedModel, loaded: LoadedModel, name: str, rounds: int, count: int = 8, batches: Sequence[int] = (2, 4, 8)) -> None:
    """Random weights: what prefill-once allows against `generate` in FLOPs, and how much of that is reached."""
    facts = some_facts(max(1, count // 21))
    prompts = [p for fact in fact_prompts(tiny, facts) for p in fact][:count]
    settings, length = SamplerSettings(), sum(len(p.ids) for p in prompts) / len(prompts)
    new = settings.max_new_tokens
    allowed = ROWS * (length + new - 1) / (length + ROWS * (new - 1))
    sampler = make_sampler("shared", loaded, at_once(loaded, 24, ROWS, new))
    sizes = {size: timed(lambda size=size: generate(loaded, prompts, size)) for size in batches}  # type: ignore[misc]
    best = min(sizes, key=lambda size: sizes[size])
    slow, fast = [sizes[best]], []
    for _ in range(rounds):
        fast.append(timed(lambda: list(sampler.sample(prompts, settings))))
        slow.append(timed(lambda: generate(loaded, prompts, best)))
    ratio = statistics.median(slow) / statistics.median(fast)
    print(f"{name}, random weights, {len(prompts)} prompts of {length:.1f} tokens on average, {ROWS} samples of {new} tokens")
    print(f"generate by batch size: {', '.join(f'{size}: {seconds:.1f} s' for size, seconds in sizes.items())}")
    print(f"generate {[round(s, 1) for s in slow]} s, exact {[round(s, 1) for s in fast]} s, ratio {ratio:.3f}")
    print(f"prefill-once allows {allowed:.3f}; reached {ratio / allowed:.0%} of it")
    flops = 2 * loaded.model.num_parameters() * len(prompts) * (length + ROWS * (new - 1)) / statistics.median(fast)
    print(f"exact: {flops / 1e12:.2f} TFLOP/s, {flops / matrix_rate(loaded, 2048):.0%} of this device's matrix products")


def sweep(loaded: LoadedModel, facts: list[WantedFact]) -> None:
    """Seconds of the exact probe against facts, templates and samples."""
    prompts = list(fact_prompts(loaded, facts))
    sampler = make_sampler("shared", loaded, 512)

    def cost(what: str, facts: int, templates: int = 21, samples: int = 10) -> None:
        flat = [prompt for fact in prompts[:facts] for prompt in fact[:templates]]
        seconds = timed(lambda: list(sampler.sample(flat, SamplerSettings(samples=samples))))
        print(f"{what}: {seconds:.1f} s, {facts / seconds:.1f} facts/s", flush=True)

    for count in (100, 300, 1_000, len(facts)):
        cost(f"facts {count}", count)
    for templates in (1, 3, 7, 14, 21):
        cost(f"300 facts, templates {templates}", 300, templates=templates)
    for samples in (1, 3, 10):
        cost(f"300 facts, samples {samples}", 300, samples=samples)


if __name__ == "__main__":
    main()
