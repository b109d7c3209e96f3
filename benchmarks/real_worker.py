"""One way of reading a model, for real.py, in a process of its own.

    python benchmarks/real_worker.py exact|likelihood|greedy|generate MODEL float32|bfloat16 PROMPTS.json SOURCE FACTS PLACES

Writes the prompts for other engines (real_peers.py), says that it is ready, and works once for each line of its input.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from probing import matrix_rate
from transformers import GenerationConfig

from sftqa_core.artifacts import write_json
from sftqa_core.engine import decoder, products
from sftqa_core.engine.capacity import at_once
from sftqa_core.engine.greedy import greedy
from sftqa_core.engine.sampling import Prompt, SharedPrefixSampler, fact_prompts
from sftqa_core.engine.wanted_facts import WantedFact, wanted_facts
from sftqa_core.evaluation.device_speed import ROWS, padded, timed
from sftqa_core.evaluation.predictions import encode_questions, held_out_facts
from sftqa_core.knowledge.aliases import load_aliases
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.memory.estimating import Likelihood, Question, answer_ids
from sftqa_core.memory.prober import chosen_facts
from sftqa_core.memory.profiles import open_for
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.loading import LoadedModel, load_model
from sftqa_core.records import LevelScheme, ProbeSettings, TrainSettings
from sftqa_core.workspace import Workspace

MARK = "RESULT "
SETTINGS = LevelScheme().sampling
BATCHES = (4, 8, 16)  # prompts of `generate`, tried on a third of the prompts, each with its samples as rows
MORE = {"likelihood": 8, "greedy": 256}  # facts or questions to one fact of the exact probe, which takes longer
Work = Callable[[], tuple[int, int, float]]  # -> facts, tokens, FLOPs


def main() -> None:
    """Load, and work as often as is asked."""
    way, model, name, prompts, source_name, facts, places = sys.argv[1:]
    loaded = in_format(load_model(find_model(model), "cpu"), name)
    if not decoder.packs(loaded):
        raise SystemExit(f"{model} can't be read in packed form in {name}, so nothing of ours would be measured.")
    source = open_for(model, source_name)
    wanted = some_facts(loaded, source, model, int(facts) * MORE.get(way, 1))
    write_prompts(loaded, wanted[: int(facts)], Path(prompts))
    said = products.said(loaded)
    shown = f" ({said['packed_layers']} packed layers)" if said and way != "generate" else ""
    work = {"exact": exact, "likelihood": likelihood, "greedy": answers, "generate": by_generate}[way](loaded, source, wanted, int(places))
    print(MARK + "{}", flush=True)
    for _ in sys.stdin:
        rate = matrix_rate(loaded, 2048)
        began = time.perf_counter()
        done, tokens, flops = work()
        result = {
            "facts": done,
            "seconds": time.perf_counter() - began,
            "tokens": tokens,
            "flops": flops,
            "matrix_rate": rate,
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "said": shown,
        }
        print(MARK + json.dumps(result), flush=True)


def in_format(loaded: LoadedModel, name: str) -> LoadedModel:
    """The model in a number format, whatever its own is."""
    return replace(loaded, model=loaded.model.to(getattr(torch, name)), dtype=name)


def some_facts(loaded: LoadedModel, source: FactSource, model: str, count: int) -> list[WantedFact]:
    """The first facts in the order that probes take them."""
    chosen = chosen_facts(source, ProbeSettings(model, limit=count))
    return wanted_facts(source, chosen, load_aliases(Workspace.current()), "tokens")


def write_prompts(loaded: LoadedModel, facts: list[WantedFact], path: Path) -> None:
    """What other engines are asked."""
    settings = {"new_tokens": SETTINGS.max_new_tokens, "samples": SETTINGS.samples, "temperature": SETTINGS.temperature}
    texts = [text for fact in facts for text in fact.prompts]
    model = {"ends": list(loaded.end_ids), "parameters": loaded.model.num_parameters()}
    write_json(path, {"facts": len(facts), "prompts": texts, **settings, **model})


def arithmetic(loaded: LoadedModel, tokens: float, outputs: float) -> float:
    """FLOPs of so many tokens' matrix products, and of the logits after some of them."""
    words = loaded.model.get_output_embeddings().weight.numel()
    body = loaded.model.num_parameters() - loaded.model.get_input_embeddings().weight.numel()
    if loaded.model.get_output_embeddings().weight is not loaded.model.get_input_embeddings().weight:
        body -= words
    return 2.0 * (body * tokens + words * outputs)


def exact(loaded: LoadedModel, source: FactSource, facts: list[WantedFact], places: int) -> Work:
    """The exact probe: tokens are those that went through the model."""
    prompts = flat_prompts(loaded, facts)
    size = places or at_once(loaded, max(len(p.ids) for p in prompts), ROWS, SETTINGS.max_new_tokens)
    sampler = SharedPrefixSampler(loaded, size)

    def work() -> tuple[int, int, float]:
        sampler.model.tokens = sampler.model.outputs = 0
        for _ in sampler.sample(prompts, SETTINGS):
            pass
        return len(facts), sampler.model.tokens, arithmetic(loaded, sampler.model.tokens, sampler.model.outputs)

    return work


def likelihood(loaded: LoadedModel, source: FactSource, facts: list[WantedFact], places: int) -> Work:
    """The likelihood of the answers: tokens are those of a plain prefill, each prompt read once with each answer."""
    ids = {w.fact_id: answer_ids(loaded.tokenizer, w.answers) for w in facts}
    questions = [Question(p.fact_id, p.template, p.ids, ids[p.fact_id]) for p in flat_prompts(loaded, facts) if ids[p.fact_id]]
    tokens = sum(len(q.ids) + len(answer) - 1 for q in questions for answer in q.answers)
    flops = arithmetic(loaded, tokens, sum(len(answer) for q in questions for answer in q.answers))
    longest = max(len(q.ids) + max(map(len, q.answers)) for q in questions)
    estimate = Likelihood(loaded, at_once(loaded, longest, 1, 0))

    def work() -> tuple[int, int, float]:
        for _ in estimate.estimate(questions, SETTINGS.temperature):
            pass
        return len(facts), tokens, flops

    return work


def answers(loaded: LoadedModel, source: FactSource, facts: list[WantedFact], places: int) -> Work:
    """Greedy answers to test questions: tokens are those of a plain prefill of each question with its answer."""
    settings = TrainSettings(loaded.card.name)
    asked = encode_questions(loaded, held_out_facts(source, settings).head(len(facts)), settings)

    def work() -> tuple[int, int, float]:
        drawn = sum(answer.tokens for answer in greedy(loaded, asked, settings.max_answer_tokens))
        read = sum(map(len, asked))
        return len(asked), read + drawn - len(asked), arithmetic(loaded, read + drawn - len(asked), drawn)

    return work


def by_generate(loaded: LoadedModel, source: FactSource, facts: list[WantedFact], places: int) -> Work:
    """transformers' `generate` at the best of some batch sizes: tokens are prompts once and those drawn, end tokens left out."""
    prompts = flat_prompts(loaded, facts)
    took = {size: timed(lambda size=size: generated(loaded, prompts[::3], size)) for size in BATCHES}  # type: ignore[misc]
    best = min(took, key=lambda size: took[size])
    print(f"generate, seconds on a third by prompts a batch: {took}", file=sys.stderr)

    def work() -> tuple[int, int, float]:
        drawn = generated(loaded, prompts, best)
        tokens = drawn + sum(len(p.ids) for p in prompts)
        return len(facts), tokens, arithmetic(loaded, tokens, drawn)

    return work


def generated(loaded: LoadedModel, prompts: list[Prompt], size: int) -> int:
    """Stock sampling, ten rows a prompt, padded on the left: how many tokens were drawn."""
    config = GenerationConfig(
        do_sample=True, temperature=SETTINGS.temperature, top_k=0, max_new_tokens=SETTINGS.max_new_tokens,
        num_return_sequences=SETTINGS.samples, eos_token_id=list(loaded.end_ids), pad_token_id=loaded.pad_id,
    )  # fmt: skip
    drawn = 0
    for ids, mask in padded(loaded, prompts, size):
        new = loaded.model.generate(input_ids=ids, attention_mask=mask, generation_config=config)[:, ids.shape[1] :]
        loaded.tokenizer.batch_decode(new, skip_special_tokens=True)
        drawn += int((new != loaded.pad_id).sum())
    return drawn


def flat_prompts(loaded: LoadedModel, facts: list[WantedFact]) -> list[Prompt]:
    """All facts' prompts."""
    return [prompt for fact in fact_prompts(loaded, facts) for prompt in fact]


if __name__ == "__main__":
    main()
