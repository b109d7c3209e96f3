"""What looking inside a tuned model costs, beside one evaluation (greedy answers of the tuned model to the same test facts).

    python benchmarks/inside.py drift|restoration|knowledge [--model atlas-llama] [--n 240] [--rounds 5] [--threads 1]
    python benchmarks/inside.py curves [--n 240] [--rounds 3]    one look at the watched facts, beside the training
    python benchmarks/inside.py chapters [--rounds 3]            what stands before the first view of a chapter, of what ships

Both in turn in one process, in processor time, so that other work on the machine matters less. One function a measure; a chapter is read in
a process of its own, since the second view finds all in RAM.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
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
from sftqa_core.records import MEASURES, TrainSettings
from sftqa_core.records.inside import InsideSettings
from sftqa_core.workflows.training import TrainingRun


def main() -> None:
    """Tune once, then measure in turn and print medians and all rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measure", choices=[*sorted(MEASURED), "curves", "chapters"])
    parser.add_argument("--model", default="atlas-llama")
    parser.add_argument("--n", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    settings = TrainSettings(model=options.model, source="atlas", n=options.n, shots=0, save_model=False)
    if options.measure == "curves":
        return curves(settings, options.rounds)
    if options.measure == "chapters":
        return chapters(options.rounds)
    with tempfile.TemporaryDirectory() as scratch:
        pair = tuned_pair(settings, Path(scratch))
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


def curves(settings: TrainSettings, rounds: int) -> None:
    """Print what one look costs, and the training, in turn."""
    from sftqa_core.evaluation.inside import curves as measure

    run = TrainingRun(settings, Silent())
    examples = labelled(run, run.selection().facts)
    dev = labelled(run, predictions.held_out_facts(run.source, settings, "dev").reset_index(drop=True))
    observer = measure.observer(run.prober.loaded, examples, dev, settings, InsideSettings("run", settings), Silent())
    trained, looked = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as scratch, torch.no_grad():
            looked.append(processor_time(lambda: observer.of(run.prober.loaded.model))[0])
            with torch.enable_grad():
                trained.append(processor_time(lambda: run.tune(examples, Path(scratch)))[0])
    for name, times in (("the training", trained), ("one look", looked)):
        print(f"{name}: {statistics.median(times):.2f} s of processor time ({', '.join(f'{each:.2f}' for each in times)})")
    facts = len(measure.watched(dev, examples))
    ratio = statistics.median(looked) * observer.times / statistics.median(trained)
    print(f"{observer.times} looks at {facts:,} facts: {ratio:.2f} x the training")


def chapters(rounds: int) -> None:
    """Print what each chapter of what ships costs before it can be shown, the largest setting first in its process."""
    spawn = multiprocessing.get_context("spawn")
    for measure in MEASURES:
        with spawn.Pool(1, maxtasksperchild=1) as fresh:
            times = [fresh.apply(first_view, (measure,)) for _ in range(rounds)]
        parts = zip(("facts", "looks", "words"), zip(*times, strict=True), strict=True)
        told = ", ".join(f"{name} {statistics.median(part):.2f} s ({', '.join(f'{each:.2f}' for each in part)})" for name, part in parts)
        print(f"{measure}: {told}")


def first_view(measure: str) -> tuple[float, float, float]:
    """Processor time of opening the source, of reading all looks on it, and of the words."""
    from sftqa_core import workflows
    from sftqa_core.knowledge.sources import open_source

    kept = workflows.looks()
    source = processor_time(lambda: open_source(kept[0].settings.source))[0]
    read, looks = processor_time(lambda: workflows.read_looks(kept, (measure,)))
    most = workflows.same_setting(max(kept, key=lambda look: look.settings.n))
    chosen = [look for look, one in zip(looks, kept, strict=True) if workflows.same_setting(one) == most]
    return source, read, processor_time(lambda: workflows.inside_words(chosen, looks, measure))[0]


def tuned_pair(settings: TrainSettings, scratch: Path) -> Pair:
    """A run made in this process, with its test facts and their stored levels."""
    run = TrainingRun(settings, Silent())
    examples, source = run.selection().facts, run.source
    tuned = run.tune(examples, scratch).tuned.loaded

    test, dev = (labelled(run, predictions.held_out_facts(source, settings, split).reset_index(drop=True)) for split in ("test", "dev"))
    answers = {name: predictions.predict(model, test, settings) for name, model in (("base_", run.prober.loaded), ("", tuned))}
    test = test.assign(**{f"{name}{column}": table[column] for name, table in answers.items() for column in ("text", "correct")})
    return Pair(run.prober.loaded, tuned, settings, source, load_aliases(), test, dev, labelled(run, examples))


def labelled(run: TrainingRun, facts: pd.DataFrame) -> pd.DataFrame:
    """Facts with their stored levels."""
    levels = run.prober.known(facts).set_index("fact_id")["level"]
    return facts.assign(level=facts["fact_id"].map(levels).astype("Int64"))


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
