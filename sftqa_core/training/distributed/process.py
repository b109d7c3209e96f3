"""Heavy: one of the processes that train a model together (group.py starts them, one a GPU), and their Trainer.

Every process goes through the batches that one process would have, in the same order, and takes its part of each; the loss is the
mean over the answer tokens of the whole batch. So the result is that of one process, to rounding. accelerate's own way would give
each process batches of its own and fill up the last ones with examples that were seen already.
"""

import os
import threading
from dataclasses import dataclass, replace
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from safetensors.torch import save_file
from torch import distributed
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader
from transformers import TrainerCallback, set_seed

from sftqa_core.errors import SftqaError, Stopped
from sftqa_core.models.loading import load_model
from sftqa_core.progress import Phase, Progress, Reporter, Silent
from sftqa_core.records import ModelCard, TrainSettings
from sftqa_core.training import adapters, encoding, objectives, optimizers, trainer, watching
from sftqa_core.training.unfinished import Keeper, Unfinished

TUNED = "tuned.safetensors"


@dataclass(frozen=True)
class Work:
    """What all the processes of one training get."""

    card: ModelCard
    device: str  # resolved; cpu only in tests, since nobody gains from several processes on one processor
    settings: TrainSettings
    objective: objectives.Objective
    rate: float
    encoded: list[encoding.EncodedExample]
    curve: Path
    checkpoints: Path | None  # held by the process that started this one
    folder: Path  # where they meet, and where the first one writes the trained numbers
    threads: int  # of each, on a processor


@dataclass(frozen=True)
class Relay:
    """A reporter in the process that started this one, which sends something back when the training is to stop."""

    connection: Connection

    def progress(self, update: Progress) -> None:
        """See `Reporter`."""
        self.connection.send(update)

    def log(self, line: str) -> None:
        """See `Reporter`."""
        self.connection.send(line)

    def check(self) -> None:
        """See `Reporter`."""
        if self.connection.poll():
            raise Stopped("Stopped on request.")


def take_part(rank: int, connection: Connection, work: Work) -> None:
    """All that one process does; it ends with status 0 also when the training was stopped on request.

    Sends `Progress` and lines for the log (the first process), and an exception before it fails.
    """
    threading.Thread(target=end_with_parent, daemon=True).start()
    os.dup2(2, 1)  # standard output belongs to the command line's JSON
    try:
        with trainer.memory_errors(work.settings):
            _meet(rank, work)
            _train(rank, connection, work)
            distributed.destroy_process_group()
    except Stopped:
        return
    except Exception as error:
        connection.send(error if isinstance(error, SftqaError) else RuntimeError(str(error) or type(error).__name__))
        raise


def end_with_parent() -> None:
    """Wait for the end of the process that started this one, which may be killed, and end as well."""
    if parent := parent_process():
        parent.join()
    os._exit(1)


def _meet(rank: int, work: Work) -> None:
    """Find the others through a file: a port could be taken by somebody else."""
    count, backend = work.settings.gpus, "gloo"
    about = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    os.environ.update({name: str(value) for name, value in about.items()})
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="29500")  # looked at, though they meet in a file
    if work.settings.sharding == "fsdp":
        os.environ["ACCELERATE_USE_FSDP"] = "true"
    if work.device == "cpu":
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        torch.set_num_threads(work.threads)
    else:
        torch.cuda.set_device(rank)
        backend = "cuda:nccl,cpu:gloo"
    where = f"file://{(work.folder / 'meeting').absolute()}"
    distributed.init_process_group(backend, init_method=where, rank=rank, world_size=count)


def _train(rank: int, connection: Connection, work: Work) -> None:
    settings, sharded = work.settings, work.settings.sharding == "fsdp"
    # under FSDP the whole model is in main memory first: it may fit no GPU
    loaded = replace(load_model(work.card, "cpu" if sharded else work.device), device=work.device)
    set_seed(settings.seed)  # before the adapter's random start
    model = adapters.trainable(loaded.model, settings, work.objective, copied=False)
    reporter: Reporter = Relay(connection) if rank == 0 else Silent()
    unfinished = Unfinished(work.checkpoints) if work.checkpoints else None
    keeper = Keeper(unfinished, reporter, adapters.trained_parameters(model))
    phase = Phase(reporter, "train", optimizers.training_steps(len(work.encoded), settings.batch_size, settings.epochs), "steps")
    callbacks = [watching.CurveWriter(work.curve, phase, work.rate)] if rank == 0 else []
    training = trainer.Training(loaded, work.encoded, settings, work.objective, work.rate)
    more = together_arguments(model, settings)
    made = trainer.make_trainer(model, training, work.checkpoints or work.folder, SharedTrainer, **more)
    trainer.run_trainer(made, [*callbacks, Together(keeper, rank)], keeper)
    state = {name: _whole(p) for name, p in model.named_parameters() if p.requires_grad}
    if rank == 0:
        save_file(state, work.folder / TUNED)
    distributed.barrier()


def _whole(parameter: torch.Tensor) -> torch.Tensor:
    """All of a parameter, on the processor; its parts are fetched from all processes, so that each of them must ask."""
    value = parameter.detach()
    value = value.full_tensor() if isinstance(value, DTensor) else value
    return value.cpu().contiguous().clone()


def together_arguments(model: Any, settings: TrainSettings) -> dict[str, Any]:
    """What transformers' TrainingArguments must say beside what one process says."""
    if settings.sharding == "ddp":
        return {"ddp_find_unused_parameters": False}
    layers = sorted(model._no_split_modules) if settings.method == "full" else sorted(model.get_base_model()._no_split_modules)
    return {"fsdp": True, "fsdp_config": {"version": 2, "transformer_layer_cls_to_wrap": layers}}


@dataclass(frozen=True)
class Share:
    """A collator of one process's part of each batch; `together` neighbours stay together."""

    collate: Any
    rank: int
    of: int
    together: int = 1

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        size = -(-len(examples) // (self.of * self.together)) * self.together
        mine = examples[self.rank * size : (self.rank + 1) * size]
        # a last batch smaller than the number of processes: who gets nothing reads examples without learning from them
        return self.collate(mine or [{**some, "labels": [encoding.IGNORED] * len(some["labels"])} for some in examples[: self.together]])


class SharedTrainer(trainer.ObjectiveTrainer):
    """The optimizer is handed in as for one process; FSDP exchanges its parameters for parts of them."""

    def __init__(self, *, training: trainer.Training, optimizers: tuple[Any, Any], data_collator: Any, **more: Any):
        share = Share(data_collator, distributed.get_rank(), distributed.get_world_size(), training.objective.together)
        super().__init__(training=training, data_collator=share, **more)
        self._own = optimizers

    def create_optimizer(self, model: Any = None) -> Any:
        """See `Trainer`."""
        self.optimizer = self._own[0]
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """See `Trainer`."""
        self.lr_scheduler = self._own[1]
        return self.lr_scheduler

    def get_train_dataloader(self) -> DataLoader:
        """The one that a single process has."""
        sampler = self._get_train_sampler()
        loader = DataLoader(self.train_dataset, self._train_batch_size, sampler=sampler, collate_fn=self.data_collator)
        seed = self.args.data_seed
        return prepare_data_loader(loader, num_processes=1, process_index=0, put_on_device=False, use_seedable_sampler=True, data_seed=seed)


@dataclass
class Together(TrainerCallback):
    """The first process decides when to write a checkpoint and when to stop, and the others do the same in the same step."""

    keeper: Keeper
    rank: int

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Called in all processes when a step is in the curve."""
        if "loss" not in (logs or {}):
            return
        if self.rank == 0:
            self.keeper.on_log(args, state, control, logs)
        decided = torch.tensor([self.keeper.stopped is not None, control.should_save], dtype=torch.int64)
        distributed.broadcast(decided, 0)
        stop, control.should_save = (bool(value) for value in decided.tolist())
        if stop and self.keeper.stopped is None:
            self.keeper.stopped, control.should_training_stop = Stopped("Stopped with the first process."), True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called in all processes when their files of a checkpoint are written."""
        distributed.barrier()
        if self.rank == 0:
            self.keeper.on_save(args, state, control)
