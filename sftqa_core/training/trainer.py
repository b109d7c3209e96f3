"""Examples of different length as one batch.

Fine-tuning: transformers' Trainer, with peft for LoRA, on question-answer examples (METHOD section 2).

Batch 8, AdamW without weight decay, gradients clipped at 1.0, cosine with 10% warm-up; the loss covers the answer and the
end token. The loaded base model stays as it was. Full fine-tuning works on a copy in float32 (on a GPU under bfloat16
autocast: in pure bfloat16 a step of 1e-5 is smaller than the spacing of the weights and is lost), which needs about 16
bytes a parameter beside the base model (weights, gradients and two moments). LoRA copies the modules but shares the base
model's tensors, which it only reads, so it needs the adapter and the activations. Never merge such an adapter in place:
that would write into the shared base weights; reload it from the run's folder first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from sftqa_core.engine.capacity import require_window
from sftqa_core.engine.drawing import is_out_of_memory
from sftqa_core.errors import OutOfMemory
from sftqa_core.models.devices import torch_device
from sftqa_core.models.loading import no_progress_bar
from sftqa_core.progress import Reporter
from sftqa_core.records import TrainSettings
from sftqa_core.training.distributed.shared_trainer import together_arguments
from sftqa_core.training.encoding import IGNORED, EncodedExample, asking
from sftqa_core.training.learning_rates import learning_rate_factor, training_steps
from sftqa_core.training.optimizers import make_optimizer
from sftqa_core.training.unfinished import Keeper, Unfinished
from sftqa_core.training.watching import CurveWriter

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.models.loading import LoadedModel


@dataclass(frozen=True)
class Collator:
    """Pads a batch on the right. Labels are masked by position, never by token id, so pad = eos loses no end token."""

    pad_id: int

    def __call__(self, examples: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        """int64 tensors of shape (batch, longest): input_ids, attention_mask, labels."""
        width = max(len(example["input_ids"]) for example in examples)
        return {
            "input_ids": _padded([example["input_ids"] for example in examples], width, self.pad_id),
            "attention_mask": _padded([[1] * len(example["input_ids"]) for example in examples], width, 0),
            "labels": _padded([example["labels"] for example in examples], width, IGNORED),
        }


def _padded(rows: list[list[int]], width: int, value: int) -> torch.Tensor:
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows], dtype=torch.int64)


CURVE = "curve.jsonl"
MAX_GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class Training:
    """One training, wherever it is done: here, or by several processes."""

    loaded: LoadedModel  # the base model
    encoded: list[EncodedExample]
    settings: TrainSettings
    rate: float  # the learning rate's peak
    unfinished: Unfinished | None  # its checkpoints; None where another process holds them
    folder: Path
    curve: CurveWriter
    reporter: Reporter


def encode_examples(loaded: LoadedModel, examples: pd.DataFrame, settings: TrainSettings) -> list[EncodedExample]:
    """What is trained on, one a row of `examples`. Raises `SettingsError` when one does not fit the model's context window."""
    asked = asking(loaded, settings.prompt)
    encoded = [asked.example(question, answers[0]) for question, answers in zip(examples["question"], examples["answers"], strict=True)]
    require_window(loaded, [len(example.ids) for example in encoded], 0, "training examples", examples["question"].tolist())
    return encoded


def make_trainer(
    model: Any,
    encoded: list[EncodedExample],
    loaded: LoadedModel,
    settings: TrainSettings,
    rate: float,
    folder: Path,
    kind: type[Trainer] = Trainer,
) -> Trainer:
    """The Trainer that `fine_tune` runs; its batches are what the model sees. `folder`: where its checkpoints go.

    `kind`: what trains, `SharedTrainer` where several processes do it together.
    """
    optimizer = make_optimizer(settings.optimizer, [p for p in model.parameters() if p.requires_grad], rate)
    steps = training_steps(len(encoded), settings.batch_size, settings.epochs)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(step, steps))
    trainer = kind(
        model=model,
        args=_arguments(loaded, settings, rate, folder, **together_arguments(model, settings)),
        data_collator=Collator(loaded.pad_id),
        train_dataset=[{"input_ids": list(example.ids), "labels": list(example.labels)} for example in encoded],
        optimizers=(optimizer, schedule),
    )
    trainer.remove_callback(PrinterCallback)  # standard output belongs to the command line's JSON
    return trainer


def _arguments(loaded: LoadedModel, settings: TrainSettings, rate: float, folder: Path, **more: Any) -> TrainingArguments:
    on_gpu = torch_device(loaded.device) == "cuda"
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=settings.micro_batch or settings.batch_size,
        gradient_accumulation_steps=settings.batch_size // (settings.micro_batch or settings.batch_size),
        activation_checkpointing=settings.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if settings.gradient_checkpointing else None,
        num_train_epochs=settings.epochs,
        learning_rate=rate,
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
        remove_unused_columns=False,
        dataloader_pin_memory=on_gpu,
        **more,
    )
    if on_gpu:
        arguments._n_gpu = 1  # the job leased one device; the Trainer would spread over all it sees
    return arguments


def examples_in(steps: int, examples: int, settings: TrainSettings) -> int:
    """How many examples that many steps have seen; the last step of an epoch may be a short one."""
    epochs, rest = divmod(steps, training_steps(examples, settings.batch_size, 1))
    return epochs * examples + min(examples, rest * settings.batch_size)


def run_trainer(trainer: Trainer, callbacks: Sequence[TrainerCallback], keeper: Keeper) -> int:
    """All steps that are left; returns how many were made in all. Raises `Stopped` after the checkpoint that a request to stop
    brings about."""
    for callback in callbacks:
        trainer.add_callback(callback)
    start = keeper.unfinished.newest() if keeper.unfinished else None
    if start:
        keeper.reporter.log(f"Going on from step {start.name.rpartition('-')[2]}, where this training was cut off.")
    try:
        with no_progress_bar():
            trainer.train(resume_from_checkpoint=str(start) if start else None)
        if keeper.stopped:
            raise keeper.stopped
        return int(trainer.state.global_step)
    finally:
        let_go(trainer)


def let_go(trainer: Trainer) -> None:
    """Give model and optimizer back to the system."""
    trainer.model = trainer.model_wrapped = trainer.optimizer = trainer.lr_scheduler = None
    trainer.accelerator.free_memory()  # collects, too: Trainer and callbacks refer to each other and to the optimizer's state


@contextmanager
def memory_errors(settings: TrainSettings) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        at_once = settings.micro_batch or settings.batch_size
        told = f"batch size {settings.batch_size}" + (f", {at_once} at once" if settings.micro_batch else "")
        less = ["a smaller micro_batch"] if at_once > 1 else []
        less += [] if settings.gradient_checkpointing else ["gradient_checkpointing"]
        less += ["method lora in place of full"] if settings.method == "full" else []
        raise OutOfMemory(
            f"Fine-tuning needs more memory than the device has ({told}). Use {' or '.join(less) or 'a smaller model'}."
        ) from error
