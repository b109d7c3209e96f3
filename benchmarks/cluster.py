"""Cells of a study a minute against workers: measured on this machine with a cluster of its own, and simulated for many.

    python benchmarks/cluster.py measure [--workers 0,1,2]     # needs ray; prints JSON
    python benchmarks/cluster.py simulate [--cell 20 --store 0.05 --start 60 --workers 1,2,4,64 --cells 200]
    python benchmarks/cluster.py labelling [--facts 97112 --tokens 6463,9030]

The simulation hands pieces out as the driver does: a worker starts (imports, loads the model) once, then does one piece after the other;
the store answers one request after another, and each piece makes `--requests` of them, which take `--store` seconds each. What it prints
are forecasts, not measurements. So are the GPU hours of labelling: tokens that our probes measured, through published throughput.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from sftqa_core.progress import Progress, Silent


def simulated_s(workers: int, cells: int, cell_s: float, store_s: float, requests: int, start_s: float, spread: float, seed: int) -> float:
    """Seconds until the last of `cells` is done; a cell takes `cell_s` times a factor between 1 - spread and 1 + spread."""
    chance, given = random.Random(seed), 0
    done: list[float] = []  # when workers come to the store with what they have
    store_free_s = 0.0
    for _ in range(min(workers, cells)):
        heapq.heappush(done, start_s + cell_s * chance.uniform(1 - spread, 1 + spread))
        given += 1
    while done:
        store_free_s = max(store_free_s, heapq.heappop(done)) + store_s * requests
        if given < cells:
            heapq.heappush(done, store_free_s + cell_s * chance.uniform(1 - spread, 1 + spread))
            given += 1
    return store_free_s


def simulate(options: argparse.Namespace) -> None:
    """A row for each number of workers: cells a minute, the share of the ideal, and what limits."""
    print("forecast: cells a minute, by simulation")
    for workers in options.workers:
        about = (workers, options.cells, options.cell, options.store, options.requests, options.start, 0.3)
        times = [simulated_s(*about, seed) for seed in range(20)]
        seconds = sum(times) / len(times)
        per_minute, ideal = options.cells * 60 / seconds, workers * 60 / options.cell
        print(f"{workers:4} workers: {per_minute:8.1f} a minute, {per_minute / ideal:5.0%} of {workers} x one, {seconds:8.0f} s in all")


class Timed(Silent):
    """Keeps when each cell of a study was done."""

    def __init__(self) -> None:
        self.done_s: list[float] = []

    def progress(self, update: Progress) -> None:
        if update.phase == "study":
            self.done_s.append(time.monotonic())


def measure(options: argparse.Namespace) -> None:
    """The tests' tiny study of as many cells, by each number of workers (0: this process alone); each time in an empty cache. What starting
    costs is left out: it counts from the first cell that is done to the last."""
    import os

    from sftqa_core import workflows
    from sftqa_core.jobs.cluster.ray_mapper import on_cluster
    from sftqa_core.processes import our_environment, talking
    from sftqa_core.records import LevelScheme, SamplerSettings, StudySettings
    from tests.jobs.cluster.ray_cluster import ENVIRONMENT
    from tests.workflows.conftest import pretrain_settings, working_in, write_world

    os.environ.update(ENVIRONMENT)
    scheme = LevelScheme("two", ("low", "high"), (0.15,), sampling=SamplerSettings(samples=2, max_new_tokens=4))
    for workers in options.workers:
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log, working_in(Path(folder)):
            source = Path(folder) / "facts.csv"
            write_world(source)
            workflows.pretrain(pretrain_settings(source))
            grid = {"sizes": (48,), "seeds": tuple(range(options.cells)), "epochs": options.epochs}
            study, recorder = StudySettings("amount", ("tiny",), str(source), scheme=scheme, **grid), Timed()
            if workers == 0:
                workflows.study(study, recorder)
            else:
                about = {**our_environment(), **ENVIRONMENT, "NODES": str(workers)}
                with talking("tests.jobs.cluster.ray_cluster", log, about) as talk:
                    with on_cluster(talk.heard.get(timeout=600)["address"], "auto", 1, recorder):
                        workflows.study(study, recorder)
                    talk.ask({"end": True})
                    talk.process.wait(60)
            per_minute = 60 * (len(recorder.done_s) - 1) / (recorder.done_s[-1] - recorder.done_s[0])
            told = {"workers": workers, "cells": options.cells, "epochs": options.epochs, "cells_a_minute": round(per_minute, 1)}
            print(json.dumps({**told, "load": round(os.getloadavg()[0], 1)}), flush=True)


@dataclass(frozen=True)
class Gpu:
    """A GPU, and what a 7B model was published to give on it, or None."""

    name: str
    tflops: float  # dense, 16 bits
    gb_per_s: float  # of its memory
    out_tokens_per_s: float | None = None


PARAMETERS = 6.74e9  # LLaMA 7B
# NVIDIA TensorRT-LLM 0.6.1, docs/source/performance.md, "A100 GPUs (FP16)": LLaMA 7B, batch of 384, 128 tokens read and 128 written. Of
# the H100 it tells 8 bits alone.
A100 = Gpu("A100 80 GB", 312, 2_039, 5_586)
H100 = Gpu("H100 80 GB", 989, 3_350)


def token_rates(gpu: Gpu) -> tuple[float, float]:
    """Tokens a second at worst and at best. Worst: as in the published run each token written costs one read besides, and has hundreds
    before it, where a probe's has tens. Best: any token costs the same arithmetic, at the share of the peak that run reached. A GPU
    that nothing was published of gets the worst by its memory's rate, and the best by its peak."""
    written = A100.out_tokens_per_s or 0.0
    return written * gpu.gb_per_s / A100.gb_per_s, 2 * written * gpu.tflops / A100.tflops


def gpu_hours(facts: int, tokens_a_fact: float, tokens_per_s: float) -> float:
    """Hours on one GPU."""
    return facts * tokens_a_fact / tokens_per_s / 3600


def labelling(options: argparse.Namespace) -> None:
    """GPU hours for the levels of all of the paper's facts by a 7B model: with the fewest tokens at the best rate, and the other way."""
    least, most = options.tokens
    used = 2 * PARAMETERS * token_rates(A100)[1] / (A100.tflops * 1e12)
    print(
        f"forecast, not measured: {options.facts:,} facts x 210 completions, a model of {PARAMETERS / 1e9:.2f} billion parameters, 16 bits"
    )
    print(f"{least:,} to {most:,} tokens a fact; the published run used {used:.0%} of the A100's peak")
    for gpu in (A100, H100):
        slow, fast = token_rates(gpu)
        hours = gpu_hours(options.facts, least, fast), gpu_hours(options.facts, most, slow)
        said = "published throughput" if gpu.out_tokens_per_s else "scaled from the A100's"
        print(f"{gpu.name}: {slow:,.0f} to {fast:,.0f} tokens/s ({said}): {hours[0]:.0f} to {hours[1]:.0f} GPU hours")


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=("measure", "simulate", "labelling"))
    parser.add_argument("--workers", type=numbers, default=[1, 2])
    parser.add_argument("--cells", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=20, help="of each measured cell: more make it longer")
    parser.add_argument("--cell", type=float, default=20.0, help="seconds of a cell on one device")
    parser.add_argument("--store", type=float, default=0.05, help="seconds of one request to the shared store")
    parser.add_argument("--requests", type=int, default=6, help="requests of a cell that wait for one another")
    parser.add_argument("--start", type=float, default=60.0, help="seconds until a worker has its model")
    parser.add_argument("--facts", type=int, default=97_112, help="that are labelled: the paper's")
    words = "through the model for one fact: least (measured, prefixes shared) and most (each prompt read for each completion)"
    parser.add_argument("--tokens", type=numbers, default=[6_463, 210 * (11 + 32)], help=words)
    options = parser.parse_args()
    {"measure": measure, "simulate": simulate, "labelling": labelling}[options.what](options)


if __name__ == "__main__":
    main()
