"""Fine-tuning: transformers' Trainer, with peft for LoRA, on question-answer examples (METHOD section 2).

Batch 8, AdamW without weight decay, gradients clipped at 1.0, cosine with 10% warm-up; the objective (objectives.py) says
what the loss is and which columns a batch has. The loaded base model stays as it was. Full fine-tuning works on a copy in float32 (on a GPU
under bfloat16 autocast: in pure bfloat16 a step of 1e-5 is smaller than the spacing of the weights and is lost), which needs about 16
bytes a parameter beside the base model (weights, gradients and two moments). LoRA copies the modules but shares the base
model's tensors, which it only reads, so it needs the adapter and the activations. Never merge such an adapter in place:
that would write into the shared base weights; reload it from the run's folder first.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from sftqa_core.engine import capacity, drawing
from sftqa_core.errors import OutOfMemory, SettingsError
from sftqa_core.models import devices, loading
from sftqa_core.records import TrainSettings
from sftqa_core.training import adapters, encoding, objectives, optimizers
from sftqa_core.training.checkpoints import Keeper

CURVE = "curve.jsonl"
MAX_GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class Training:
    """One training, wherever it is done: here, or by several processes."""

    loaded: loading.LoadedModel  # the base model
    encoded: list[encoding.EncodedExample]
    settings: TrainSettings
    objective: objectives.Objective
    rate: float  # the learning rate's peak


@dataclass(frozen=True)
class Collator:
    """Pads a batch on the right. Labels are masked by position, never by token id, so pad = eos loses no end token."""

    pad_id: int
    columns: Mapping[str, int | float] = field(default_factory=dict)  # an objective's: name -> padding

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """int64 tensors of shape (batch, longest): input_ids, attention_mask, labels; and a tensor a column."""
        rows = {name: [example[name] for example in examples] for name in ("input_ids", "labels", *self.columns)}
        rows["attention_mask"] = [[1] * len(ids) for ids in rows["input_ids"]]
        padding = {"input_ids": self.pad_id, "attention_mask": 0, "labels": encoding.IGNORED, **self.columns}
        return {name: _tensor(rows[name], value) for name, value in padding.items()}


def _tensor(rows: list[Any], padding: float) -> torch.Tensor:
    """A column of numbers, (batch,), or of sequences, padded to the longest: (batch, longest)."""
    if isinstance(rows[0], Sequence):
        width = max(map(len, rows))
        rows = [[*row, *[padding] * (width - len(row))] for row in rows]
    return torch.tensor(rows, dtype=torch.float32 if isinstance(padding, float) else torch.int64)


class ObjectiveTrainer(Trainer):
    """The Trainer under an objective: its loss over the whole batch's answer tokens, its order of examples."""

    def __init__(self, *, training: Training, **more: Any):
        super().__init__(compute_loss_func=training.objective.loss(training.loaded), **more)
        self.order = partial(training.objective.order, training.encoded, training.settings)

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """See `Trainer`, which counts `num_items_in_batch` over micro-batches and processes, and takes the mean over processes."""
        if self.compute_loss_func is None:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        return self.compute_loss_func(model, inputs, num_items_in_batch) * self.accelerator.num_processes

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return super()._get_train_sampler(train_dataset) if self.order(0) is None else _Ordered(self.order)


@dataclass
class _Ordered(torch.utils.data.Sampler[int]):
    """An objective's order of examples; accelerate tells it the epoch."""

    order: Callable[[int], Sequence[int] | None]
    epoch: int = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(self.order(self.epoch) or ())

    def __len__(self) -> int:
        return len(self.order(0) or ())


def encode_examples(
    loaded: loading.LoadedModel, examples: pd.DataFrame, settings: TrainSettings, objective: objectives.Objective = objectives.PLAIN
) -> list[encoding.EncodedExample]:
    """What is trained on, one a row of `examples`. Raises `SettingsError` when one does not fit the model's context window."""
    encoded = objective.encode(loaded, examples, settings)
    capacity.require_window(loaded, [len(example.ids) for example in encoded], 0, "training examples", examples["question"].tolist())
    return encoded


def make_trainer(model: Any, training: Training, folder: Path, kind: type[ObjectiveTrainer] = ObjectiveTrainer, **more: Any) -> Trainer:
    """The Trainer that `fine_tune` runs; its batches are what the model sees. `folder`: where its checkpoints go.

    `kind`, with `more` of its arguments: what trains, `SharedTrainer` where several processes do it together. Raises `SettingsError`
    where examples that the objective needs together would be parted.
    """
    settings, objective, encoded = training.settings, training.objective, training.encoded
    at_once = settings.micro_batch or settings.batch_size // settings.gpus
    if at_once % objective.together:
        raise SettingsError(f"{objective.name} reads {objective.together} examples together: {at_once} at once is no multiple of that.")
    optimizer = optimizers.make_optimizer(settings.optimizer, [p for p in model.parameters() if p.requires_grad], training.rate)
    steps = optimizers.training_steps(len(encoded), settings.batch_size, settings.epochs)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: optimizers.learning_rate_factor(step, steps))
    trainer = kind(
        model=model,
        args=_arguments(training, folder, **more),
        data_collator=Collator(training.loaded.pad_id, objective.columns),
        train_dataset=[{"input_ids": list(e.ids), "labels": list(e.labels), **e.columns} for e in encoded],
        optimizers=(optimizer, schedule),
        training=training,
    )
    trainer.remove_callback(PrinterCallback)  # standard output belongs to the command line's JSON
    if settings.dropout is not None or settings.lora_dropout:
        trainer.add_callback(adapters.Dropout(model, settings))
    return trainer


def _arguments(training: Training, folder: Path, **more: Any) -> TrainingArguments:
    loaded, settings = training.loaded, training.settings
    on_gpu = devices.torch_device(loaded.device) == "cuda"
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=settings.micro_batch or settings.batch_size,
        gradient_accumulation_steps=settings.batch_size // (settings.micro_batch or settings.batch_size),
        activation_checkpointing=settings.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if settings.gradient_checkpointing else None,
        num_train_epochs=settings.epochs,
        learning_rate=training.rate,
        max_grad_norm=MAX_GRADIENT_NORM,
        seed=settings.seed,
        data_seed=settings.seed,
        use_cpu=loaded.device == "cpu",
        bf16=on_gpu and loaded.dtype == "bfloat16",
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,  # a loss that is no number must be seen, not averaged away
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,  # an objective's
        dataloader_pin_memory=on_gpu,
        **more,
    )
    if on_gpu:
        arguments._n_gpu = 1  # the job leased one device; the Trainer would spread over all it sees
    return arguments


def run_trainer(trainer: Trainer, callbacks: Sequence[TrainerCallback], keeper: Keeper) -> int:
    """All steps that are left; returns how many were made in all.

    Raises `Stopped` after the checkpoint that a request to stop brings about.
    """
    for callback in callbacks:
        trainer.add_callback(callback)
    start = keeper.unfinished.newest() if keeper.unfinished else None
    if start:
        keeper.reporter.log(f"Resuming from the checkpoint of step {start.name.rpartition('-')[2]}.")
    try:
        with loading.no_progress_bar():
            trainer.train(resume_from_checkpoint=str(start) if start else None)
        if keeper.stopped:
            raise keeper.stopped
        return int(trainer.state.global_step)
    finally:
        let_go(trainer)


def let_go(trainer: Trainer) -> None:
    """Give model and optimizer back to the system."""
    trainer.model = trainer.model_wrapped = trainer.optimizer = trainer.lr_scheduler = trainer.compute_loss_func = None
    trainer.accelerator.free_memory()  # collects, too: Trainer and callbacks refer to each other and to the optimizer's state


@contextmanager
def memory_errors(settings: TrainSettings) -> Iterator[None]:
    """Out of memory in torch's words becomes `OutOfMemory`, which names the settings that need less."""
    try:
        yield
    except Exception as error:
        if not drawing.is_out_of_memory(error):
            raise
        at_once = settings.micro_batch or settings.batch_size
        size = f"batch size {settings.batch_size}" + (f", {at_once} at once" if settings.micro_batch else "")
        less = ["a smaller micro_batch"] if at_once > 1 else []
        less += [] if settings.gradient_checkpointing else ["gradient_checkpointing"]
        less += ["method lora in place of full"] if settings.method == "full" else []
        raise OutOfMemory(
            f"Fine-tuning needs more memory than the device has ({size}). Use {' or '.join(less) or 'a smaller model'}."
        ) from error
