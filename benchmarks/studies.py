"""How fast a study runs: cells of up to 240 examples with some 1,500 test facts, on one model that is loaded once.

    python benchmarks/studies.py [--cells 100]

In a workspace of its own over what ships, so no level has to be measured. Prints the time, the time a cell, and where it goes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time

MODEL = "atlas-llama"
SIZES = (10, 30, 60, 120, 240)
TEST_LIMIT = 63  # a relation: 1,512 facts
GOAL_S = 720.0  # 100 cells


def main() -> None:
    """Run the grid and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"SFTQA_CACHE": folder, "SFTQA_STATE": f"{folder}/state"}
        measure(options.cells)


def measure(cells: int) -> None:
    """One study of `cells` runs."""
    from sftqa_core import workflows
    from sftqa_core.progress import Silent
    from sftqa_core.records import StudySettings
    from sftqa_core.studies.model_study import ModelStudy

    seeds = tuple(range(-(-cells // len(SIZES))))
    study = StudySettings("amount", (MODEL,), seeds=seeds, sizes=SIZES, test_limit=TEST_LIMIT, device="cpu")
    began = time.monotonic()
    workflows.study(study, Silent())
    spent = time.monotonic() - began
    part = ModelStudy(study, MODEL)
    done = part.outcomes().runs
    print(f"{len(done)} cells of {MODEL}, n = {', '.join(map(str, SIZES))}, {len(part.facts):,} test facts, report included: {spent:.1f} s")
    print(f"{spent / len(done):.2f} s a cell; 100 cells {100 * spent / len(done):.0f} s (goal {GOAL_S:.0f} s)")
    for n in SIZES:
        told = [cell.numbers for run, cell in done.items() if run.n == n]
        whole, train = (statistics.median(numbers[name] for numbers in told) for name in ("seconds", "train_s"))
        print(f"n = {n}: {whole:.2f} s a cell, {train:.2f} s of it training (medians of {len(told)})", file=sys.stdout)


if __name__ == "__main__":
    main()
