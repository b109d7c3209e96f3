"""Heavy: transformers' Trainer as one of several that train one model together, on the batches of a single one.

Every process goes through the batches that one process would have, in the same order, and takes its part of each; the loss is the
mean over the answer tokens of the whole batch. So the result is that of one process, to rounding. accelerate's own way would give
each process batches of its own and fill up the last ones with examples that were seen already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from torch import distributed
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback

from sftqa_core.errors import Stopped
from sftqa_core.records import TrainSettings
from sftqa_core.training.encoding import IGNORED
from sftqa_core.training.unfinished import Keeper


def together_arguments(model: Any, settings: TrainSettings) -> dict[str, Any]:
    """What transformers' TrainingArguments must say beside what one process says."""
    if settings.gpus == 1:
        return {}
    if settings.sharding == "ddp":
        return {"ddp_find_unused_parameters": False}
    layers = sorted(model._no_split_modules) if settings.method == "full" else sorted(model.get_base_model()._no_split_modules)
    return {"fsdp": True, "fsdp_config": {"version": 2, "transformer_layer_cls_to_wrap": layers}}


@dataclass(frozen=True)
class Share:
    """A collator of one process's part of each batch."""

    collate: Any
    rank: int
    of: int

    def __call__(self, examples: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        size = -(-len(examples) // self.of)
        mine = examples[self.rank * size : (self.rank + 1) * size]
        # a last batch smaller than the number of processes: who gets nothing reads an example without learning from it
        return self.collate(mine or [{**examples[0], "labels": [IGNORED] * len(examples[0]["labels"])}])


class SharedTrainer(Trainer):
    """The optimizer is handed in as for one process; FSDP exchanges its parameters for parts of them."""

    def __init__(self, *, optimizers: tuple[Any, Any], data_collator: Any, **more: Any):
        share = Share(data_collator, distributed.get_rank(), distributed.get_world_size())
        super().__init__(data_collator=share, **more)
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
