"""Estimated memory beside the measured peak, each work on each shape in a process of its own.

    OMP_NUM_THREADS=1 python benchmarks/memory.py [--shapes small,words,...] [--work full,lora,answer,probe] [--device cpu] [--read float32]
    OMP_NUM_THREADS=1 python benchmarks/memory.py --jobs atlas-llama,atlas-neox [--work full,lora,probe]

Models with random weights, so nothing that is sampled is shared or stops early: the most that a probe takes. On a processor the peak is
the process's largest resident size (VmHWM) above what it held after the same work on the smallest model, so that libraries
don't count; on a GPU it is what torch says it handed out at most. `--read bfloat16` stores the weights so, as most models are.
`--jobs` runs whole jobs with these models instead, and lays the forecast that a person sees beside the process's whole peak.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"kind": "llama", "hidden_size": 64, "layers": 2, "heads": 2, "inner": 128, "vocabulary": 3_000},
    "small": {"kind": "llama", "hidden_size": 512, "layers": 8, "heads": 8, "inner": 1_376, "vocabulary": 8_000},
    "words": {"kind": "qwen2", "hidden_size": 512, "layers": 8, "heads": 8, "key_heads": 2, "inner": 2_048, "vocabulary": 151_936},
    "neox": {"kind": "gpt_neox", "hidden_size": 768, "layers": 12, "heads": 12, "inner": 3_072, "vocabulary": 50_304, "tied": False},
    "large": {"kind": "llama", "hidden_size": 1_024, "layers": 20, "heads": 16, "key_heads": 4, "inner": 2_816, "vocabulary": 32_000},
}
WORK = ("full", "lora", "answer", "probe")
RANK, BATCH, EXAMPLES, NEW, SAMPLES, ANSWER = 8, 8, 32, 32, 10, 16


def main() -> None:
    """Measure all that is asked for, one process after the other, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", default="small,words,neox,large")
    parser.add_argument("--work", default=",".join(WORK))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--read", default="float32", choices=("float32", "bfloat16"), help="number format of the weight files")
    parser.add_argument("--places", type=int, default=24, help="prompts or questions under way together")
    parser.add_argument("--jobs", help="models (names or folders) to run whole jobs with")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one and options.jobs:
        print(json.dumps(job(options.jobs, options.one, options.device)))
        return
    if options.one:
        print(json.dumps(measured(*options.one.split("/"), options)))
        return
    print("model | parameters | work | estimate, MB | measured, MB | estimate / measured")
    for shape in (options.jobs or options.shapes).split(","):
        for work in options.work.split(","):
            if options.jobs and work == "answer":  # a part of each fine-tuning
                continue
            row = in_a_process(shape, work, options)
            ratio = row["estimate"]["total"] / row["peak"]
            print(
                f"{shape} | {row['parameters'] / 1e6:.0f} M | {work} | {mega(row['estimate']['total'])} | {mega(row['peak'])} | {ratio:.2f}"
            )
            parts = {name: mega(value) for name, value in row["estimate"].items() if value and name != "total"}
            print(f"    {parts}; process before {mega(row['before'])}, loaded {mega(row['loaded'])}", flush=True)


def in_a_process(shape: str, work: str, options: argparse.Namespace) -> dict[str, Any]:
    """What `measured` says in a fresh process, in a workspace that is thrown away."""
    with tempfile.TemporaryDirectory() as scratch:
        places = {"SFTQA_CACHE": f"{scratch}/cache", "SFTQA_STATE": f"{scratch}/state", "HF_HUB_OFFLINE": "1"}
        same = ["--device", options.device, "--read", options.read, "--places", str(options.places)]
        asked = ["--jobs", shape, "--one", work] if options.jobs else ["--one", f"{shape}/{work}"]
        command = [sys.executable, __file__, *asked, *same]
        done = subprocess.run(command, env={**os.environ, **places}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{shape}, {work}:\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measured(shape: str, work: str, options: argparse.Namespace) -> dict[str, Any]:
    """Peak bytes and the estimate of one work on one shape, after the same on the smallest one."""
    with tempfile.TemporaryDirectory() as scratch:
        folders = {name: Path(scratch) / name for name in ("tiny", shape)}
        for name, folder in folders.items():  # in a process of its own, which gives back what making it took
            made = ["-c", f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import memory; "
                    f"memory.make({name!r}, {str(folder)!r}, {options.read!r})"]  # fmt: skip
            subprocess.run([sys.executable, *made], check=True, capture_output=True)
        do(work, folders["tiny"], options)
        before = fresh_peak(options.device)
        found = do(work, folders[shape], options)
        peak = peak_bytes(options.device) - before
    return {**found, "peak": peak, "before": before}


def job(model: str, work: str, device: str) -> dict[str, Any]:
    """The forecast of a whole job beside what the process took, from Python's start on."""
    from sftqa_core import workflows
    from sftqa_core.models.catalogue import find_model
    from sftqa_core.records import LevelScheme, ProbeSettings, SamplerSettings, TrainSettings

    fresh = LevelScheme(sampling=SamplerSettings(seed=5))  # nothing that ships
    before = resident()
    if work == "probe":
        probing = ProbeSettings(model, limit=100, scheme=fresh, device=device)
        memory = workflows.forecast(probing).fit
        workflows.probe(probing)
    else:
        training = TrainSettings(model, method=work, lora_rank=RANK, test_limit=40, save_model=False, device=device)
        memory = workflows.forecast(training).fit
        workflows.train(training)
    if memory is None or memory.parts is None or memory.needed is None:
        raise RuntimeError(f"{model}: nothing was foretold")
    held = resident()
    estimate = {**asdict(memory.parts), "total": memory.needed}
    return {"estimate": estimate, "peak": peak_bytes(device), "before": before, "loaded": held, "parameters": find_model(model).parameters}


def make(name: str, folder: str, stored: str) -> None:
    """Write a model of this shape with random weights and a built-in model's tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from sftqa_core.models.catalogue import find_model

    shape = SHAPES[name]
    keys = {} if shape["kind"] == "gpt_neox" else {"num_key_value_heads": shape.get("key_heads", shape["heads"])}
    config = AutoConfig.for_model(
        shape["kind"], vocab_size=shape["vocabulary"], hidden_size=shape["hidden_size"], intermediate_size=shape["inner"],
        num_hidden_layers=shape["layers"], num_attention_heads=shape["heads"], tie_word_embeddings=shape.get("tied", True),
        bos_token_id=0, eos_token_id=0, pad_token_id=1, **keys,
    )  # fmt: skip
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).to(getattr(torch, stored)).save_pretrained(folder)
    for file in Path(find_model("atlas-llama").path or "").glob("tokenizer*"):
        shutil.copy(file, folder)


def do(work: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Load the model, work with it, and estimate what that takes."""
    from sftqa_core.models.catalogue import find_model
    from sftqa_core.models.loading import load_model

    loaded = load_model(find_model(str(folder)), options.device)
    for parameter in loaded.model.parameters():  # what lies in a mapped file is there when it is read
        parameter.sum()
    held = resident()
    estimate = {"full": tune, "lora": tune, "answer": answer, "probe": probe}[work](loaded, work, options)
    return {"estimate": estimate, "parameters": loaded.model.num_parameters(), "loaded": held}


def shape_of(loaded: Any) -> Any:
    """The shape as the forecast reads it from the folder."""
    from sftqa_core.models.footprint import Shape
    from sftqa_core.models.model_files import ModelFolder

    folder = ModelFolder(Path(loaded.card.path))
    return Shape.of(folder.config(), folder.parameters())


def tune(loaded: Any, work: str, options: argparse.Namespace) -> dict[str, int]:
    """Fine-tune on train facts of the atlas."""
    from sftqa_core.memory.profiles import open_for
    from sftqa_core.models.footprint import TuningStep, tuning
    from sftqa_core.records import TrainSettings
    from sftqa_core.training.fine_tuning import fine_tune
    from sftqa_core.training.trainer import encode_examples

    facts = open_for("atlas-llama", "atlas").facts.query("split == 'train'").head(EXAMPLES)
    settings = TrainSettings("any", method=work, lora_rank=RANK, batch_size=BATCH, save_model=False, device=options.device)
    longest = max(len(example.ids) for example in encode_examples(loaded, facts, settings))
    with tempfile.TemporaryDirectory() as scratch:
        fine_tune(loaded, facts, settings, Path(scratch))
    return asdict(tuning(shape_of(loaded), options.device, TuningStep(work, RANK, BATCH, longest)))


def answer(loaded: Any, work: str, options: argparse.Namespace) -> dict[str, int]:
    """Answer questions with four examples in front of each."""
    from sftqa_core.engine.greedy import greedy
    from sftqa_core.evaluation.predictions import encode_questions
    from sftqa_core.memory.profiles import open_for
    from sftqa_core.models.footprint import answering
    from sftqa_core.records import TrainSettings

    facts = open_for("atlas-llama", "atlas").facts
    prompts = encode_questions(loaded, facts.query("split == 'test'").head(2 * options.places), TrainSettings("any"), 4, facts)
    greedy(loaded, prompts, ANSWER, options.places)
    return asdict(answering(shape_of(loaded), options.device, options.places, max(map(len, prompts)), ANSWER))


def probe(loaded: Any, work: str, options: argparse.Namespace) -> dict[str, int]:
    """Complete statements, ten samples each."""
    from sftqa_core.engine.sampling import fact_prompts, make_sampler
    from sftqa_core.engine.wanted_facts import wanted_facts
    from sftqa_core.knowledge.aliases import load_aliases
    from sftqa_core.memory.prober import chosen_facts
    from sftqa_core.memory.profiles import open_for
    from sftqa_core.models.footprint import decoding
    from sftqa_core.records import ProbeSettings, SamplerSettings
    from sftqa_core.workspace import Workspace

    source = open_for("atlas-llama", "atlas")
    facts = wanted_facts(source, chosen_facts(source, ProbeSettings("any", limit=2)), load_aliases(Workspace.current()), "tokens")
    prompts = [prompt for fact in fact_prompts(loaded, facts) for prompt in fact]
    for _ in make_sampler("shared", loaded, options.places).sample(prompts[: options.places], SamplerSettings()):
        pass
    longest = max(len(prompt.ids) for prompt in prompts)
    return asdict(decoding(shape_of(loaded), options.device, options.places, SAMPLES, longest, NEW))


def fresh_peak(device: str) -> int:
    """Bytes held now; the peak is counted from here on."""
    gc.collect()
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
        return int(torch.cuda.memory_allocated())
    Path("/proc/self/clear_refs").write_text("5")
    return resident()


def resident(field: str = "VmRSS") -> int:
    """Bytes of this process that are in memory (VmRSS), or were at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def peak_bytes(device: str) -> int:
    """The most that was held since `fresh_peak`."""
    if device == "cpu":
        return resident("VmHWM")
    import torch

    return int(torch.cuda.max_memory_allocated())


def mega(value: float) -> str:
    """Bytes as megabytes."""
    return f"{value / 1e6:,.0f}"


if __name__ == "__main__":
    main()
