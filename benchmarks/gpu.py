"""Probing on a GPU: an atlas model of 100 million parameters, pre-trained by this script, and the shape of a 7B model.

    python benchmarks/gpu.py [--device cuda] [--rounds 3] [--facts 256] [--skip-7b]

Prints what `benchmarks/probing.py` prints, on the GPU in bfloat16: the goals are 10 times `generate` and twice continuous
batching for the pre-trained model, 90% of the ratio that prefill-once allows and half of the matrix products' rate for the
7B shape with random weights. `--small` pre-trains a tiny model and a tiny "7B" instead: a trial of the script itself.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from probing import compare, worst_case

from sftqa_core import workflows
from sftqa_core.cli.console import Console
from sftqa_core.knowledge.aliases import load_aliases
from sftqa_core.memory.wanted import wanted_facts
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.loading import LoadedModel, load_model
from sftqa_core.records import CorpusSettings, PretrainSettings, ProbeSettings
from sftqa_core.workflows.probing import chosen_facts
from sftqa_core.workflows.reading import open_for
from sftqa_core.workspace import Workspace

NAME = "atlas-100m"


def main() -> None:
    """Pre-train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--facts", type=int, default=256)
    parser.add_argument("--slow-facts", type=int, default=32)
    parser.add_argument("--skip-7b", action="store_true")
    parser.add_argument("--small", action="store_true", help="a trial of this script")
    options = parser.parse_args()
    options.threads = torch.get_num_threads()
    name = f"{NAME}-trial" if options.small else NAME
    if not (Workspace.current().models / name).is_dir():
        workflows.pretrain(settings(name, options), Console())
    loaded = load_model(find_model(name), options.device)
    source = open_for(name, "atlas")
    chosen = chosen_facts(source, ProbeSettings(name, limit=options.facts))
    compare(loaded, wanted_facts(source, chosen, load_aliases(Workspace.current()), "tokens"), options)
    if not options.skip_7b:
        prompts, batches = (8, (2, 4)) if options.small else (168, (16, 32, 64))
        worst_case(loaded, seven_billion(loaded, options.small), "Llama 7B shape", options.rounds, prompts, batches)


def settings(name: str, options: argparse.Namespace) -> PretrainSettings:
    """12 layers of 768: 85 million parameters and the embeddings."""
    corpus = CorpusSettings(qa_documents=20_000, qa_answered_share=0.36)
    if options.small:
        return PretrainSettings(name, hidden_size=32, layers=2, heads=2, intermediate_size=64, limit=240, device=options.device)
    return PretrainSettings(
        name, hidden_size=768, layers=12, heads=12, intermediate_size=2_048, batch_size=32, learning_rate=2e-3, epochs=2, corpus=corpus,
        device=options.device,
    )  # fmt: skip


def seven_billion(like: LoadedModel, small: bool) -> LoadedModel:
    """Llama-2-7B's shape, random, on the same device."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2} if small else {}
    with torch.device(like.device):
        torch.set_default_dtype(like.model.dtype)
        model = LlamaForCausalLM(LlamaConfig(**shape)).eval()
        torch.set_default_dtype(torch.float32)
    return replace(like, model=model, end_ids=(31_999,), pad_id=0)


if __name__ == "__main__":
    main()
