"""Processor time of one pass of a real model by the tokens in it, with torch's own products and with packed weights, and of drawing.

    python benchmarks/passes.py MODEL [--rounds 3] [--rows 64,160,320,640] [--threads 1]

Everything in turn in one process, and processor time instead of seconds, so that other work on the machine matters less; with one
thread no waiting of threads for each other is in it. Every token of a pass stands alone and wants logits, as in most of a probe's
passes: attention costs nothing here. Packed are the layers that were measured to be faster so (engine/products.py).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from sftqa_core.engine import drawing, packed, products
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.loading import load_model


def main() -> None:
    """Measure in turn and print medians and all rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", default="64,160,320,640")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    loaded = load_model(find_model(options.model), "cpu")
    model, made = packed.PackedModel(loaded), products.of(loaded)
    words = loaded.model.get_output_embeddings().weight.shape[0]
    took: dict[tuple[int, str], list[float]] = defaultdict(list)
    for _ in range(options.rounds):
        for rows in map(int, options.rows.split(",")):
            tree = packed.PrefixTree.of([[word] for word in np.linspace(0, words - 1, rows).astype(int).tolist()])
            each = np.arange(rows)
            for name, kind in (("torch's own", products.NONE), ("packed", made)):
                model.products = kind
                read = [packed.Texts(packed.KeyValues(rows), tree, each, each)]
                seconds, (logits,) = processor_time(lambda read=read: model.read(read))  # type: ignore[misc]
                took[rows, name].append(1e3 * seconds / rows)
            numbers = torch.full((rows, 1), 0.37, dtype=torch.float64)
            seconds, _ = processor_time(lambda logits=logits, numbers=numbers: drawing.draw_tokens(logits, 0.7, numbers))  # type: ignore[misc]
            took[rows, "drawing"].append(1e3 * seconds / rows)
    print(f"{loaded.card.name}, {options.threads} threads, {products.said(loaded) or 'nothing packed'}")
    print("tokens | what | ms a token, median (rounds)")
    for (rows, name), times in took.items():
        print(f"{rows} | {name} | {statistics.median(times):.2f} ({', '.join(f'{t:.2f}' for t in times)})")


def processor_time(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of processor time of all threads, and what the work gives back."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


if __name__ == "__main__":
    main()
