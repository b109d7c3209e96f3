"""The cache of somebody who did a lot: a large file of own facts with a complete memory profile, many runs, a long queue.

    python benchmarks/load_world.py FOLDER [--facts 1000000] [--runs 1000]

Writes a cache of its own into FOLDER (what SFTQA_CACHE names), the same one each time: the numbers are drawn from a seed. The
queue (`queue_jobs`) is apart, because it lies in SFTQA_STATE.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sftqa_core.artifacts import finished, read_manifest, write_folder, write_json
from sftqa_core.engine.wanted_facts import wanted_facts
from sftqa_core.jobs.queue import JobStore, new_job
from sftqa_core.knowledge.aliases import load_aliases
from sftqa_core.knowledge.sources import open_source
from sftqa_core.memory.probe_stores import CompletionStore
from sftqa_core.memory.scores import samples_interval, templates_interval
from sftqa_core.models.catalogue import find_model, model_fingerprint
from sftqa_core.records import LevelScheme, ProbeSettings, Resources, StudySettings, TrainSettings
from sftqa_core.workspace import Workspace

MODEL = "atlas-llama"
MODELS = ("atlas-llama", "atlas-qwen", "atlas-llama-sparse", "atlas-neox")
RELATIONS = ("P17", "P19", "P20", "P36", "P69", "P106", "P112", "P127", "P170", "P175")  # five of either domain
FILE = "own-facts.parquet"
SEED = 11
PART = 20_000  # facts judged at once
VECTORS = 4_000  # different hit counts, dealt out to the facts
SIZES = (10, 30, 60, 120, 240, 480, 960, 1920)
_SYLLABLES = ("ka", "lo", "mi", "ren", "sta", "vor", "ne", "dul", "bry", "tha", "os", "fen", "gar", "wi", "pel", "zu")


def main() -> None:
    """Make the cache and say how long each part took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--facts", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=1_000)
    options = parser.parse_args()
    os.environ["SFTQA_CACHE"] = str(options.folder.absolute())
    workspace = Workspace.current()
    for made, told in ((write_facts, options.facts), (write_hits, options.facts), (write_runs, options.runs)):
        began = time.monotonic()
        made(workspace, told)
        print(f"{made.__name__.removeprefix('write_')}: {told:,} in {time.monotonic() - began:.1f} s", flush=True)


def fact_file(workspace: Workspace) -> Path:
    """The person's own facts: an uploaded file, so that it can be picked by name."""
    return workspace.uploads / FILE


def write_facts(workspace: Workspace, count: int) -> None:
    """`count` facts: every subject under each of the relations, objects from 5,000 names. Splits are left to be drawn."""
    draw = random.Random(SEED)
    subjects = -(-count // len(RELATIONS))
    objects = [_name(draw) for _ in range(5_000)]
    rows = {
        "relation": [relation for relation in RELATIONS for _ in range(subjects)][:count],
        "subject": [f"{_name(draw)} {number:,}" for number in range(subjects)] * len(RELATIONS),
        "object": draw.choices(objects, k=count),
    }
    rows["subject"] = rows["subject"][:count]
    workspace.uploads.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(rows), fact_file(workspace), compression="zstd")


def write_hits(workspace: Workspace, count: int) -> None:
    """What a full probe of MODEL leaves behind that the pages read: hits of every fact, with their intervals."""
    source, aliases, scheme = open_source(str(fact_file(workspace)), workspace), load_aliases(workspace), LevelScheme()
    model = model_fingerprint(find_model(MODEL, workspace), "float32", "cpu", workspace)
    store = CompletionStore.of(model.to_dict(), scheme.sampling, workspace)
    store.writable()
    draw, samples = np.random.default_rng(SEED), scheme.sampling.samples
    vectors = draw.binomial(samples, _rates(draw)[:, None], (VECTORS, 21))
    bounds = (*samples_interval(vectors, samples), *templates_interval(vectors, samples))
    match = ProbeSettings(MODEL).match
    for start in range(0, count, PART):
        wanted = wanted_facts(source, source.facts.iloc[start : start + PART], aliases, match)
        at = draw.integers(0, VECTORS, len(wanted))
        rows = pd.DataFrame([(w.fact_id, w.prompts_sha, w.answers_sha) for w in wanted], columns=["fact_id", "prompts_sha", "answers_sha"])
        rows = rows.assign(completions=samples * vectors.shape[1], hits=vectors[at].sum(1), hits_per_template=vectors[at].tolist())
        names = ("low_samples", "high_samples", "low_templates", "high_templates")
        store.add_hits(rows.assign(**{name: values[at].round(4) for name, values in zip(names, bounds, strict=True)}))


def write_runs(workspace: Workspace, count: int) -> None:
    """`count` finished runs: the shipped example's tables under other settings. Tables are one file with many names (hard links)."""
    example = max(finished([workspace.shipped / "runs"]).values())
    manifest = {key: value for key, value in read_manifest(example).items() if key not in ("files", "versions", "schema")}
    settings = TrainSettings.from_dict(manifest["settings"])
    tables = {path.name: path.read_bytes() for path in example.iterdir() if path.name not in ("settings.json", "manifest.json")}
    began = datetime(2026, 1, 1, tzinfo=UTC)
    first: Path | None = None
    for number in range(count):
        own = replace(settings, **_run_settings(number))
        created = began + timedelta(minutes=37 * number)
        name = f"{created:%Y%m%d-%H%M%S}-{own.model}-n{own.n}-{own.method}-s{own.seed}-{number:04x}"
        manifest |= {"settings": own.to_dict(), "n": own.n, "created": created.isoformat(timespec="seconds")}
        first = write_folder(workspace.runs / name, lambda folder, own=own, first=first: _fill(folder, own, tables, first), manifest)


def queue_jobs(workspace: Workspace, count: int) -> None:
    """`count` jobs that wait for the CPU: two thirds runs, most others probes, some studies."""
    store = JobStore(workspace)
    source = str(fact_file(workspace))
    for number in range(count):
        model = MODELS[number % len(MODELS)]
        if number % 25 == 24:
            kind = ("amount", "level", "models", "shift")[number // 25 % 4]
            settings = StudySettings(kind, (model,), seeds=(0, 1, number)).to_dict()
            job = new_job("study", settings)
        elif number % 3 == 2:
            job = new_job("probe", ProbeSettings(model, source if number % 2 else "atlas", limit=100 + number).to_dict())
        else:
            job = new_job("train", TrainSettings(model, "atlas", **_run_settings(number)).to_dict())
        store.insert(job, Resources(), str(workspace.root))


def _run_settings(number: int) -> dict[str, object]:
    """Settings that no other number has."""
    method = "lora" if number % 5 == 4 else "full"
    return {"n": SIZES[number % len(SIZES)], "method": method, "seed": number, "learning_rate": (1e-3, 4e-4, 2e-4)[number % 3]}


def _fill(folder: Path, settings: TrainSettings, tables: dict[str, bytes], first: Path | None) -> None:
    write_json(folder / "settings.json", settings.to_dict())
    for name, content in tables.items():
        if first is None:
            (folder / name).write_bytes(content)
        else:
            os.link(first / name, folder / name)


def _rates(draw: np.random.Generator) -> np.ndarray:
    """Chances of a hit: a fifth of the facts never, the others from hardly to nearly always."""
    return np.where(draw.random(VECTORS) < 0.2, 0.0, draw.beta(0.6, 0.9, VECTORS))


def _name(draw: random.Random) -> str:
    return "".join(draw.choices(_SYLLABLES, k=draw.randint(2, 4))).capitalize()


if __name__ == "__main__":
    main()
