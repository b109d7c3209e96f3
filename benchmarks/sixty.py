"""How far 60 examples go: the in-domain macro mean at n = 60 over the best of n in {60, 240, 960}.

    python benchmarks/sixty.py [--model atlas-llama] [--rates 2e-4 4e-4 6e-4 8e-4] [--dev-seeds 3] [--seeds 5]

The learning rate is chosen first and on dev facts only: the one whose in-domain macro mean, averaged over n in {60, 240,
960} and the dev seeds, is highest. Only then are test facts looked at. Prints every mean, and the ratio with a paired
bootstrap interval over facts (METHOD 8.5, 8.9).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd

from sftqa_core.evaluation.comparing import mean_over_seeds, paired_ratio
from sftqa_core.evaluation.intervals import accuracy_by_level
from sftqa_core.evaluation.predictions import held_out_facts, predict
from sftqa_core.memory.prober import Prober
from sftqa_core.memory.profiles import open_for
from sftqa_core.records import DomainAccuracy, TrainSettings
from sftqa_core.records.tuning import probe_settings
from sftqa_core.training.fine_tuning import fine_tune
from sftqa_core.training.selection import select_examples

SIZES = (60, 240, 960)


class Bench:
    """One model on one source, loaded once."""

    def __init__(self, model: str):
        from sftqa_core.progress import Silent

        self.settings = TrainSettings(model, save_model=False)
        self.source = open_for(model, "atlas")
        self.prober = Prober(self.source, probe_settings(self.settings), Silent())
        self.facts = {split: held_out_facts(self.source, self.settings, split) for split in ("dev", "test")}
        self.levels = {split: self.prober.levels(facts) for split, facts in self.facts.items()}

    def answers(self, split: str, n: int, rate: float, seed: int) -> pd.DataFrame:
        """Predictions on held-out facts after tuning on n examples (n = 0: of the base model)."""
        settings = replace(self.settings, n=n, learning_rate=rate, seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            examples = select_examples(self.source, None, settings).facts
            tuned = fine_tune(self.prober.loaded, examples, settings, Path(folder)).loaded
        return predict(tuned, self.facts[split], settings, stage="after", aliases=self.prober.aliases)

    def row(self, split: str, predictions: pd.DataFrame) -> tuple[float, float, str]:
        """In-domain and out-of-domain macro mean, and the in-domain levels. Ends the program where a level holds no facts."""
        found = accuracy_by_level(predictions, self.facts[split], self.levels[split], self.settings.scheme)
        inside, outside = (_macro(found[domain], f"{split} facts ({domain}-domain)") for domain in ("in", "out"))
        return inside, outside, " ".join(f"{level.accuracy:.3f}" for level in found["in"].per_level)


def _macro(accuracy: DomainAccuracy, what: str) -> float:
    if accuracy.macro is None:
        empty = ", ".join(level.level for level in accuracy.per_level if not level.n)
        raise SystemExit(f"The {what} have no macro mean: no fact has level {empty}. Choose a model that knows some facts of every level.")
    return accuracy.macro


def main() -> None:
    """Choose on dev, measure on test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="atlas-llama")
    parser.add_argument("--rates", type=float, nargs="+", default=[2e-4, 4e-4, 6e-4, 8e-4])
    parser.add_argument("--dev-seeds", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    bench, began = Bench(options.model), time.monotonic()

    means = {}
    for rate in options.rates:
        scores = {}
        for n in SIZES:
            rows = [bench.row("dev", bench.answers("dev", n, rate, 100 + seed)) for seed in range(options.dev_seeds)]
            scores[n] = sum(row[0] for row in rows) / len(rows)
        means[rate] = sum(scores.values()) / len(scores)
        print(
            f"dev lr {rate:g}: " + ", ".join(f"n={n} {score:.4f}" for n, score in scores.items()) + f", mean {means[rate]:.4f}", flush=True
        )
    rate = max(means, key=lambda key: means[key])
    print(f"chosen on dev: lr {rate:g}", flush=True)

    scores, levels = {}, bench.levels["test"].set_index("fact_id")["level"]
    inside = bench.facts["test"].loc[bench.facts["test"]["domain"] == "in", "fact_id"]
    for n in (0, *SIZES):
        tables = [bench.answers("test", n, rate, seed) for seed in range(options.seeds if n else 1)]
        for seed, table in enumerate(tables):
            macro_in, macro_out, text = bench.row("test", table)
            print(f"test n={n} seed {seed}: in {macro_in:.4f} [{text}] out {macro_out:.4f}", flush=True)
        scores[n] = mean_over_seeds(tables).loc[inside]
    sizes = {n: scores[n] for n in SIZES}
    for n, series in scores.items():
        per_level = series.groupby(series.index.map(levels)).mean()
        print(f"test n={n} mean of seeds, in-domain: macro {per_level.mean():.4f}, levels {per_level.round(3).tolist()}")
    ratio = paired_ratio(sizes[60], sizes, levels, bench.settings.scheme)
    print(f"ratio n=60 / best of {SIZES}: {ratio.value:.4f}, 95% [{ratio.low:.4f}, {ratio.high:.4f}], {len(inside)} facts")
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
