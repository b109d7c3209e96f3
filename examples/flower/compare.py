"""Federated rounds by Flower and by this project's own loop, with the same clients and seeds: how far do the averaged adapters differ?

    python examples/flower/compare.py

Compares recipe `federated` (naive averages) with adapter_rounds.py, exports Flower's adapter, and loads it with plain peft. Everything
goes to build/flower. Fails where the adapters differ by more than rounding.
"""

import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from adapter_rounds import averaged, base_model
from peft import PeftModel
from transformers import AutoModelForCausalLM

from sftqa_core.models import loading
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.loading import LoadedModel
from sftqa_core.progress import Silent
from sftqa_core.records import TrainSettings
from sftqa_core.records.recipes import Federated
from sftqa_core.training import adapters
from sftqa_core.training.recipes import low_rank
from sftqa_core.training.recipes.federated import divided
from sftqa_core.workflows.training import TrainingRun

RECIPE = Federated(aggregation="naive", partition="level", rounds=2)
SETTINGS = TrainSettings("atlas-llama", n=60, method="lora", recipe=RECIPE, device="cpu", save_model=False)
ROUNDING = 1e-3  # of the norm of what the adapter adds to the weights: Adam makes a last bit of one round larger in the next
FOLDER = Path("build/flower")


def main() -> None:
    """Both, and how far they differ."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    os.environ["SFTQA_CACHE"] = str(FOLDER / "cache")
    run = TrainingRun(SETTINGS, Silent())
    examples = run.selection().facts
    clients = divided(examples, RECIPE, SETTINGS)
    print(f"{RECIPE.rounds} rounds, {len(clients)} clients: {', '.join(f'{client.name} {len(client.examples)}' for client in clients)}")

    began = time.monotonic()
    files = [FOLDER / f"client-{number}.parquet" for number in range(1, len(clients) + 1)]
    for client, file in zip(clients, files, strict=True):
        client.examples.to_parquet(file)
    by_flower = averaged(replace(SETTINGS, recipe=None), files, RECIPE.rounds)
    print(f"Flower: {time.monotonic() - began:.0f} s")
    began = time.monotonic()
    made = run.tune(examples, FOLDER / "own")
    made.settle()
    by_us = low_rank.factors_of(made.tuned.loaded)
    print(f"own loop: {time.monotonic() - began:.0f} s. {' '.join(made.notes)}")

    numbers = [(one - other).abs().max().item() for layer in by_us for one, other in zip(by_flower[layer], by_us[layer], strict=True)]
    update, wanted = low_rank.update_of(by_flower), low_rank.update_of(by_us)
    apart = low_rank.relative(low_rank.difference(update, wanted), wanted)
    print(f"{len(by_us)} layers. Largest difference of a number in A or B: {max(numbers):.2g}. Of BA, relative to its norm: {apart:.2g}")
    tuned = low_rank.adapter_on(base_model(SETTINGS), SETTINGS, by_flower)
    folder = adapters.save_tuned(tuned, FOLDER / "adapter")
    print(
        f"Plain peft loads {folder}. Largest difference of a logit from our own loop's model: {logits_apart(folder, made.tuned.loaded):.2g}"
    )
    if not apart <= ROUNDING:
        sys.exit("The adapters differ by more than rounding.")


def logits_apart(folder: Path, own: LoadedModel) -> float:
    """How far the exported adapter's logits, with transformers and peft alone, are from those of another model with an adapter."""
    with loading.no_progress_bar(), loading.without_stale_warning():
        base = AutoModelForCausalLM.from_pretrained(find_model(SETTINGS.model).path, dtype=torch.float32)
        plain = PeftModel.from_pretrained(base, folder)
    ids = torch.arange(5, 37)[None]
    with torch.no_grad():
        return float((plain(ids).logits - own.model(ids).logits).abs().max())


if __name__ == "__main__":
    main()
