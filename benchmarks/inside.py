"""What looking inside a tuned model costs, beside one evaluation (greedy answers of the tuned model to the same test facts).

    python benchmarks/inside.py drift|restoration|knowledge [--model atlas-llama] [--n 240] [--rounds 5] [--threads 1]

Both in turn in one process, in processor time, so that other work on the machine matters less. One function a measure.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from sftqa_core.evaluation import predictions
from sftqa_core.evaluation.inside.pair import Pair
from sftqa_core.knowledge.aliases import load_aliases
from sftqa_core.progress import Silent
from sftqa_core.records import TrainSettings
from sftqa_core.records.inside import InsideSettings
from sftqa_core.workflows.training import TrainingRun


def main() -> None:
    """Tune once, then measure in turn and print medians and all rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measure", choices=sorted(MEASURED))
    parser.add_argument("--model", default="atlas-llama")
    parser.add_argument("--n", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as scratch:
        pair = tuned_pair(TrainSettings(model=options.model, source="atlas", n=options.n, shots=0, save_model=False), Path(scratch))
        evaluated, looked = [], []
        for _ in range(options.rounds):
            evaluated.append(processor_time(lambda: predictions.predict(pair.tuned, pair.test, pair.settings, aliases=pair.aliases))[0])
            seconds, tables = processor_time(lambda: MEASURED[options.measure](pair))
            looked.append(seconds)
    for name, times in (("one evaluation", evaluated), (options.measure, looked)):
        print(f"{name}: {statistics.median(times):.2f} s of processor time ({', '.join(f'{each:.2f}' for each in times)})")
    ratios = [one / other for one, other in zip(looked, evaluated, strict=True)]
    print(f"{statistics.median(ratios):.2f} x one evaluation on {len(pair.test):,} facts ({min(ratios):.2f} to {max(ratios):.2f})")
    print("Parquet, bytes: " + ", ".join(f"{name} {size(table):,}" for name, table in tables.items()))


def drift(pair: Pair) -> Any:
    """Next tokens and weights."""
    from sftqa_core.evaluation.inside import drift as measure

    return measure.look(pair, InsideSettings("run", pair.settings), Silent())


def restoration(pair: Pair) -> Any:
    """Accuracy of models with weights put back, on some of the facts."""
    from sftqa_core.evaluation.inside import restoration as measure

    return measure.look(pair, InsideSettings("run", pair.settings), Silent())


def knowledge(pair: Pair) -> Any:
    """Ranks of answers, on some of the facts, with the probe's dev facts."""
    from sftqa_core.evaluation.inside import knowledge as measure

    return measure.look(pair, InsideSettings("run", pair.settings), Silent())


MEASURED: dict[str, Callable[[Pair], Any]] = {"drift": drift, "restoration": restoration, "knowledge": knowledge}


def tuned_pair(settings: TrainSettings, scratch: Path) -> Pair:
    """A run made in this process, with its test facts and their stored levels."""
    run = TrainingRun(settings, Silent())
    examples, source = run.selection().facts, run.source
    tuned = run.tune(examples, scratch).tuned.loaded

    def labelled(facts: pd.DataFrame) -> pd.DataFrame:
        levels = run.prober.known(facts).set_index("fact_id")["level"]
        return facts.assign(level=facts["fact_id"].map(levels).astype("Int64"))

    test, dev = (labelled(predictions.held_out_facts(source, settings, split).reset_index(drop=True)) for split in ("test", "dev"))
    answers = {name: predictions.predict(model, test, settings) for name, model in (("base_", run.prober.loaded), ("", tuned))}
    test = test.assign(**{f"{name}{column}": table[column] for name, table in answers.items() for column in ("text", "correct")})
    return Pair(run.prober.loaded, tuned, settings, source, load_aliases(), test, dev, labelled(examples))


def size(table: Any) -> int:
    """Bytes of a table as it is stored."""
    written = io.BytesIO()
    table.to_parquet(written, compression="zstd", index=False)
    return len(written.getvalue())


def processor_time(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of processor time of all threads, and what the work gives back."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


if __name__ == "__main__":
    main()
