"""Fine-tuning: transformers' Trainer, with peft for LoRA, on question-answer examples (METHOD section 2).

Batch 8, AdamW without weight decay, gradients clipped at 1.0, cosine with 10% warm-up; the loss covers the answer and the
end token. The loaded base model stays as it was. Full fine-tuning works on a copy in float32 (on a GPU under bfloat16
autocast: in pure bfloat16 a step of 1e-5 is smaller than the spacing of the weights and is lost), which needs about 16
bytes a parameter beside the base model (weights, gradients and two moments). LoRA copies the modules but shares the base
model's tensors, which it only reads, so it needs the adapter and the activations. Never merge such an adapter in place:
that would write into the shared base weights; reload it from the run's folder first.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed
from transformers.trainer_callback import PrinterCallback

from sftqa_core.errors import OutOfMemory
from sftqa_core.memory.drawing import is_out_of_memory
from sftqa_core.memory.room import require_room
from sftqa_core.models.devices import torch_device
from sftqa_core.models.loading import no_progress_bar
from sftqa_core.progress import Phase, Reporter, Silent
from sftqa_core.records import TrainSettings
from sftqa_core.training.adapters import lora_modules, trainable_copy
from sftqa_core.training.asking import asking
from sftqa_core.training.batches import Collator
from sftqa_core.training.curve import CurveWriter
from sftqa_core.training.optimizers import learning_rate, make_optimizer
from sftqa_core.training.prompts import EncodedExample
from sftqa_core.training.saving import save_tuned, tuned_fingerprint
from sftqa_core.training.schedule import learning_rate_factor, training_steps
from sftqa_core.training.several.trainer import together_arguments
from sftqa_core.training.unfinished import Keeper, Unfinished
from sftqa_core.training.watching import DEV, Right, Watcher

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.models.loading import LoadedModel

CURVE = "curve.jsonl"
MODEL = "model"
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


@dataclass(frozen=True)
class TuneResult:
    """A tuned model and what was done to get it."""

    loaded: LoadedModel  # use it wherever the base model was used; for n = 0 it is the base model
    steps: int  # that were made: all, or those before it was stopped early
    examples_seen: int  # in those steps; an example counts in each epoch
    learning_rate: float  # the peak, resolved from the default when the settings left it open
    final_loss: float | None  # mean over the last step's answer tokens
    trained_parameters: int
    seconds: float  # those before an interruption included
    unfinished: Unfinished | None = None
    kept_step: int | None = None  # whose weights these are, if not the last one's (patience)
    modules: tuple[str, ...] = ()  # that LoRA sits on

    def settle(self) -> None:
        """Forget the training's checkpoints: what came of it is stored."""
        if self.unfinished is not None:
            self.unfinished.forget()


def fine_tune(
    loaded: LoadedModel,
    examples: pd.DataFrame,
    settings: TrainSettings,
    folder: Path,
    reporter: Reporter | None = None,
    look: Callable[[LoadedModel], Right] | None = None,
) -> TuneResult:
    """Train on `examples` (fact table rows; the first answer is taught) and write curve.jsonl and model/ into `folder`.

    `look` says how many dev facts a model answers rightly; it is asked as the settings say (watching.py).

    A training that was cut off before goes on from its last checkpoint (unfinished.py) until its result is `settle`d.
    The same seed gives the same weights on the same machine, versions and thread count; the process's random state is
    set by it. Raises `Stopped` when the person asked for it, `OutOfMemory`, and `SettingsError` when an example does not
    fit the model (before the first step) or the loss stops being a number.
    """
    from sftqa_core.training.several.group import train_together  # which needs this module

    started = time.monotonic()
    rate = learning_rate(settings, loaded.card.parameters or _size(loaded.model))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CURVE).touch()
    if examples.empty:
        return TuneResult(loaded, 0, 0, rate, None, 0, time.monotonic() - started)
    encoded = encode_examples(loaded, examples, settings)
    steps = training_steps(len(encoded), settings.batch_size, settings.epochs)
    curve = CurveWriter(folder / CURVE, Phase(reporter or Silent(), "train", steps, "steps"), rate)
    watcher = _watcher(loaded, settings, folder, reporter or Silent(), look)
    with _own_gradients(loaded.model), memory_errors(settings), Unfinished.of(loaded, encoded, settings, rate) as unfinished:
        set_seed(settings.seed)  # before the adapter's random start
        training = Training(loaded, encoded, settings, rate, unfinished, folder, curve, reporter or Silent())
        model, made = _trained_here(training, watcher) if settings.gpus == 1 else (train_together(training), steps)
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    tuned = _finished(model, loaded, settings)
    if settings.save_model:
        save_tuned(tuned, folder / MODEL)
    seconds = time.monotonic() - started + (unfinished.seconds if unfinished else 0.0)
    seen, kept = examples_in(made, len(encoded), settings), watcher.kept_step if watcher else None
    return TuneResult(tuned, made, seen, rate, curve.last_loss, trained, seconds, unfinished, kept, lora_modules(model))


def one_step(loaded: LoadedModel, batch: Sequence[EncodedExample], settings: TrainSettings) -> None:
    """Train one step on a batch and throw all of it away (trying.py). Changes the random state; raises `OutOfMemory`."""
    with _own_gradients(loaded.model), memory_errors(settings), tempfile.TemporaryDirectory() as folder:
        set_seed(settings.seed)
        alone = replace(settings, epochs=1, gpus=1)
        model = trainable_copy(loaded.model, settings)
        trainer = make_trainer(model, list(batch), loaded, alone, settings.learning_rate or 1e-5, Path(folder))
        try:
            with no_progress_bar():
                trainer.train()
        finally:
            _let_go(trainer)


def _trained_here(training: Training, watcher: Watcher | None) -> tuple[Any, int]:
    """The model after all steps, and how many there were."""
    model, unfinished = trainable_copy(training.loaded.model, training.settings), training.unfinished
    keeper = Keeper(unfinished, training.reporter, sum(p.numel() for p in model.parameters() if p.requires_grad))
    trainer = make_trainer(model, training.encoded, training.loaded, training.settings, training.rate, (unfinished or training).folder)
    if watcher and unfinished:
        watcher.best = unfinished.folder
    return model, run_trainer(trainer, [training.curve, *([watcher] if watcher else []), keeper], keeper)


def encode_examples(loaded: LoadedModel, examples: pd.DataFrame, settings: TrainSettings) -> list[EncodedExample]:
    """What is trained on, one a row of `examples`. Raises `SettingsError` when one does not fit the model's positions."""
    asked = asking(loaded, settings.prompt)
    encoded = [asked.example(question, answers[0]) for question, answers in zip(examples["question"], examples["answers"], strict=True)]
    require_room(loaded, [len(example.ids) for example in encoded], 0, "training examples", examples["question"].tolist())
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


def _watcher(
    loaded: LoadedModel, settings: TrainSettings, folder: Path, reporter: Reporter, look: Callable[[LoadedModel], Right] | None
) -> Watcher | None:
    if look is None or settings.eval_every is None:
        return None

    def ask(model: Any) -> Right:
        return look(replace(loaded, model=model))

    return Watcher(ask, settings.eval_every, folder / DEV, settings.patience, folder / "best", reporter.log)


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
        _let_go(trainer)


def _let_go(trainer: Trainer) -> None:
    """Give model and optimizer back to the system."""
    trainer.model = trainer.model_wrapped = trainer.optimizer = trainer.lr_scheduler = None
    trainer.accelerator.free_memory()  # collects, too: Trainer and callbacks refer to each other and to the optimizer's state


def _finished(model: Any, loaded: LoadedModel, settings: TrainSettings) -> LoadedModel:
    """The tuned model in the base model's precision, ready to generate, under a fingerprint of its own."""
    model.eval()
    model.config.use_cache = loaded.model.config.use_cache  # the Trainer turned it off; generation and the saved config want it back
    if settings.method == "full":
        model.to(loaded.model.dtype)
    return replace(loaded, model=model, fingerprint=tuned_fingerprint(model, loaded))


@contextmanager
def _own_gradients(base: Any) -> Iterator[None]:
    """Give the base model's parameters their requires_grad flags back: peft freezes the shared ones."""
    flags = [(parameter, parameter.requires_grad) for parameter in base.parameters()]
    try:
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


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


def _size(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
