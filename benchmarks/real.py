"""The exact probe on a real model: speed, memory, and the distance from the processor's matrix products.

    python benchmarks/real.py MODEL [--source entity-questions] [--facts 4] [--places N] [--rounds 1]

MODEL and SOURCE are named as the explorer names them (a folder, a hub id; SFTQA_ENTITY_QUESTIONS may name a folder with that data).
Each run is a process's own: peak memory is the process's. `--places` is the number of prompts that are read together, else what
the engine chooses. The floor is the time that the tokens which went through the model take at the measured rate of matrix products.
"""

from __future__ import annotations

import argparse
import resource

import torch
from probing import matrix_rate

from sftqa_core.engine.capacity import at_once
from sftqa_core.engine.sampling import SharedPrefixSampler, fact_prompts
from sftqa_core.engine.wanted_facts import wanted_facts
from sftqa_core.evaluation.device_speed import ROWS, timed
from sftqa_core.knowledge.aliases import load_aliases
from sftqa_core.memory.prober import chosen_facts
from sftqa_core.memory.profiles import open_for
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.loading import load_model
from sftqa_core.records import LevelScheme, ProbeSettings
from sftqa_core.workspace import Workspace


def main() -> None:
    """Probe some facts and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--source", default="entity-questions")
    parser.add_argument("--facts", type=int, default=4)
    parser.add_argument("--places", type=int)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    loaded = load_model(find_model(options.model), "cpu")
    source = open_for(options.model, options.source)
    chosen = chosen_facts(source, ProbeSettings(options.model, limit=options.facts))
    facts = wanted_facts(source, chosen, load_aliases(Workspace.current()), "tokens")
    prompts = [prompt for fact in fact_prompts(loaded, facts) for prompt in fact]
    settings = LevelScheme().sampling
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    places = options.places or at_once(loaded, max(len(p.ids) for p in prompts), ROWS, settings.max_new_tokens)
    rate = matrix_rate(loaded, 2048)
    print(f"{loaded.card.name}, {len(facts)} facts, {places} prompts together, {torch.get_num_threads()} threads, {rate / 1e9:.0f} GFLOP/s")
    for _ in range(options.rounds):
        sampler = SharedPrefixSampler(loaded, places)
        seconds = timed(lambda: [row for rows in sampler.sample(prompts, settings) for row in rows])  # noqa: B023
        flops = 2 * loaded.model.num_parameters() * sampler.model.tokens / seconds
        print(
            f"{len(facts) / seconds:.3f} facts/s, {sampler.model.tokens / len(facts):.0f} forward tokens a fact, "
            f"{flops / 1e9:.0f} GFLOP/s, {flops / rate:.0%} of the floor, peak memory "
            f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB ({before:.2f} before)",
            flush=True,
        )


if __name__ == "__main__":
    main()
