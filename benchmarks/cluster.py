"""Cells of a study a minute against workers: measured on this machine with a cluster of its own, and simulated for many.

    python benchmarks/cluster.py measure [--workers 0,1,2]     # needs ray; prints JSON
    python benchmarks/cluster.py simulate [--cell 20 --store 0.05 --start 60 --workers 1,2,4,64 --cells 200]

The simulation hands pieces out as the driver does: a worker starts (imports, loads the model) once, then does one piece after the other;
the store answers one request after another, and each piece makes `--requests` of them, which take `--store` seconds each. What it prints
are forecasts, not measurements.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import sys
import tempfile
import time
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


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=("measure", "simulate"))
    parser.add_argument("--workers", type=numbers, default=[1, 2])
    parser.add_argument("--cells", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=20, help="of each measured cell: more make it longer")
    parser.add_argument("--cell", type=float, default=20.0, help="seconds of a cell on one device")
    parser.add_argument("--store", type=float, default=0.05, help="seconds of one request to the shared store")
    parser.add_argument("--requests", type=int, default=6, help="requests of a cell that wait for one another")
    parser.add_argument("--start", type=float, default=60.0, help="seconds until a worker has its model")
    options = parser.parse_args()
    {"measure": measure, "simulate": simulate}[options.what](options)


if __name__ == "__main__":
    main()
