"""Heavy: one of the processes that train together (group.py starts them, one a GPU).

    RANK=0 WORLD_SIZE=2 LOCAL_RANK=0 python -m sftqa_core.training.distributed.process FOLDER

It reads FOLDER/work.json and takes its part of every batch. The first process tells progress in FOLDER/told.jsonl and writes the
trained numbers to FOLDER/tuned.safetensors; one that fails leaves FOLDER/failed-RANK.json. It ends when the process that started
it does, which is seen from standard input.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import distributed
from torch.distributed.tensor import DTensor

from sftqa_core.errors import SftqaError, Stopped
from sftqa_core.jsonrecord import Record
from sftqa_core.models.loading import LoadedModel, load_model
from sftqa_core.processes import end_with_starter
from sftqa_core.progress import Phase, Progress, Reporter, Silent
from sftqa_core.records import ModelCard, TrainSettings
from sftqa_core.training.adapters import trainable_copy
from sftqa_core.training.distributed.shared_trainer import SharedTrainer, Together
from sftqa_core.training.encoding import EncodedExample
from sftqa_core.training.learning_rates import training_steps
from sftqa_core.training.trainer import make_trainer, memory_errors, run_trainer
from sftqa_core.training.unfinished import Keeper, Unfinished
from sftqa_core.training.watching import CurveWriter

WORK, TOLD, TUNED, STOP = "work.json", "told.jsonl", "tuned.safetensors", "stop"


@dataclass(frozen=True)
class Work(Record):
    """What all the processes of one training are told."""

    card: ModelCard
    device: str  # resolved; cpu only in tests, since nobody gains from several processes on one processor
    settings: TrainSettings
    rate: float
    examples: tuple[dict[str, Any], ...]  # fields of EncodedExample
    curve: str  # file
    checkpoints: str | None  # folder, held by the process that started this one


@dataclass(frozen=True)
class Relay:
    """A reporter that another process reads."""

    folder: Path

    def progress(self, update: Progress) -> None:
        """See `Reporter`."""
        self._tell({"progress": update.to_dict()})

    def log(self, line: str) -> None:
        """See `Reporter`."""
        self._tell({"log": line})

    def check(self) -> None:
        """See `Reporter`."""
        if (self.folder / STOP).exists():
            raise Stopped("Stopped on request.")

    def _tell(self, told: dict[str, Any]) -> None:
        with (self.folder / TOLD).open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(told) + "\n")


def main(arguments: list[str]) -> int:
    """Train along; 0 also when the training was stopped on request."""
    end_with_starter()
    folder, rank = Path(arguments[0]), int(os.environ["RANK"])
    work = Work.from_dict(json.loads((folder / WORK).read_text(encoding="utf-8")))
    try:
        with memory_errors(work.settings):
            _meet(folder, rank, work)
            _train(folder, rank, work)
    except Stopped:
        return 0
    except Exception as error:
        traceback.print_exc()
        told = {"kind": type(error).__name__ if isinstance(error, SftqaError) else "", "text": str(error) or type(error).__name__}
        (folder / f"failed-{rank}.json").write_text(json.dumps(told), encoding="utf-8")
        return 1
    distributed.destroy_process_group()
    return 0


def _meet(folder: Path, rank: int, work: Work) -> None:
    """Find the others through a file: a port could be taken by somebody else."""
    backend = "gloo"
    if work.device != "cpu":
        torch.cuda.set_device(rank)
        backend = "cuda:nccl,cpu:gloo"
    where = f"file://{(folder / 'meeting').absolute()}"
    distributed.init_process_group(backend, init_method=where, rank=rank, world_size=work.settings.gpus)


def _train(folder: Path, rank: int, work: Work) -> None:
    from transformers import set_seed

    settings, loaded = work.settings, _loaded(work)
    set_seed(settings.seed)  # before the adapter's random start
    model = _trainable(loaded, settings)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    encoded = [EncodedExample(tuple(fields["ids"]), fields["prompt_length"]) for fields in work.examples]
    reporter: Reporter = Relay(folder) if rank == 0 else Silent()
    unfinished = Unfinished(Path(work.checkpoints)) if work.checkpoints else None
    keeper = Keeper(unfinished, reporter, trained)
    phase = Phase(reporter, "train", training_steps(len(encoded), settings.batch_size, settings.epochs), "steps")
    callbacks = [CurveWriter(Path(work.curve), phase, work.rate)] if rank == 0 else []
    checkpoints = unfinished.folder if unfinished else folder
    trainer = make_trainer(model, encoded, loaded, settings, work.rate, checkpoints, SharedTrainer)
    run_trainer(trainer, [*callbacks, Together(keeper, rank)], keeper)
    state = {name: _whole(p) for name, p in model.named_parameters() if p.requires_grad}
    if rank == 0:
        save_file(state, folder / TUNED)
    distributed.barrier()


def _loaded(work: Work) -> LoadedModel:
    """Under FSDP the whole model is in main memory first: it may fit no GPU."""
    sharded = work.settings.sharding == "fsdp"
    loaded = load_model(work.card, "cpu" if sharded or work.device == "cpu" else work.device)
    return replace(loaded, device=work.device)


def _trainable(loaded: LoadedModel, settings: TrainSettings) -> Any:
    if settings.method == "full":  # nobody needs the base model in this process
        return loaded.model.float().requires_grad_(True)
    return trainable_copy(loaded.model, settings)


def _whole(parameter: torch.Tensor) -> torch.Tensor:
    """All of a parameter, on the processor; its parts are fetched from all processes, so that each of them must ask."""
    value = parameter.detach()
    value = value.full_tensor() if isinstance(value, DTensor) else value
    return value.cpu().contiguous().clone()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
