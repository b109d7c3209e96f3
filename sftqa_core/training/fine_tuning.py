from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import set_seed

from sftqa_core.models.loading import no_progress_bar
from sftqa_core.progress import Phase, Reporter, Silent
from sftqa_core.records import TrainSettings
from sftqa_core.training.adapters import lora_modules, save_tuned, trainable_copy, tuned_fingerprint
from sftqa_core.training.encoding import EncodedExample
from sftqa_core.training.learning_rates import training_steps
from sftqa_core.training.optimizers import learning_rate
from sftqa_core.training.trainer import (
    CURVE,
    Training,
    encode_examples,
    examples_in,
    let_go,
    make_trainer,
    memory_errors,
    run_trainer,
)
from sftqa_core.training.unfinished import Keeper, Unfinished
from sftqa_core.training.watching import DEV, CurveWriter, Right, Watcher

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.models.loading import LoadedModel

MODEL = "model"


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
    from sftqa_core.training.distributed.group import train_together  # which needs this module

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
            let_go(trainer)


def _trained_here(training: Training, watcher: Watcher | None) -> tuple[Any, int]:
    """The model after all steps, and how many there were."""
    model, unfinished = trainable_copy(training.loaded.model, training.settings), training.unfinished
    keeper = Keeper(unfinished, training.reporter, sum(p.numel() for p in model.parameters() if p.requires_grad))
    trainer = make_trainer(model, training.encoded, training.loaded, training.settings, training.rate, (unfinished or training).folder)
    if watcher and unfinished:
        watcher.best = unfinished.folder
    return model, run_trainer(trainer, [training.curve, *([watcher] if watcher else []), keeper], keeper)


def _watcher(
    loaded: LoadedModel, settings: TrainSettings, folder: Path, reporter: Reporter, look: Callable[[LoadedModel], Right] | None
) -> Watcher | None:
    if look is None or settings.eval_every is None:
        return None

    def ask(model: Any) -> Right:
        return look(replace(loaded, model=model))

    return Watcher(ask, settings.eval_every, folder / DEV, settings.patience, folder / "best", reporter.log)


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


def _size(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
