"""Heavy: one fine-tuning from examples to a tuned model, here or by several processes, from its last checkpoint where there is one."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import pandas as pd
from transformers import set_seed

from sftqa_core.models.loading import LoadedModel
from sftqa_core.models.serving.served_models import ServedModel
from sftqa_core.progress import Phase, Reporter, Silent
from sftqa_core.records import TrainSettings
from sftqa_core.training import adapters, objectives, optimizers, trainer
from sftqa_core.training.checkpoints import Keeper, Unfinished
from sftqa_core.training.distributed import train_together
from sftqa_core.training.time_limit import Timekeeper, TimeLimit
from sftqa_core.training.watching import DEV, CurveWriter, Observer, Right, Watcher

MODEL = "model"


Model = TypeVar("Model", LoadedModel, ServedModel)


@dataclass(frozen=True)
class TuneResult(Generic[Model]):
    """A tuned model and what was done to get it."""

    loaded: Model  # use it wherever the base model was used; for n = 0 it is the base model
    steps: int  # that were made: all, or those before it was stopped early
    examples_seen: int  # in those steps; an example counts in each epoch
    learning_rate: float  # the peak, resolved from the default when the settings left it open
    final_loss: float | None  # mean over the last step's answer tokens
    trained_parameters: int
    seconds: float  # those before an interruption included
    unfinished: Unfinished | None = None
    kept_step: int | None = None  # whose weights these are, if not the last one's (patience)
    modules: tuple[str, ...] = ()  # that LoRA sits on
    cut: bool = False  # whether the time limit ended it

    def settle(self) -> None:
        """Forget the training's checkpoints: what came of it is stored."""
        if self.unfinished is not None:
            self.unfinished.forget()


@dataclass(frozen=True)
class Part:
    """What is particular to a training that is one stage of a recipe, or is observed."""

    phase: str  # that progress is told under
    identity: Mapping[str, Any]  # tells its checkpoints from those of other trainings on the same examples
    start: LoadedModel | None = None  # a tuned model whose trained weights it begins with; the same method, on the same base
    observer: Observer | None = None
    kept_s: float | None = None  # when something was kept last, by time.monotonic


_left_out = False  # whether somebody has left what lives out of collections; remembered, since counting that walks through all of it


@contextmanager
def quick_collections() -> Iterator[None]:
    """Leave what lives already out of garbage collections, of which a training ends with two: of all that is imported, they would take
    longer than a short training. Whoever has left it out before keeps it so."""
    global _left_out
    _left_out = _left_out or gc.get_freeze_count() > 0
    if _left_out:
        yield
        return
    gc.freeze()
    _left_out = True
    try:
        yield
    finally:
        gc.unfreeze()
        _left_out = False


@quick_collections()
def fine_tune(
    loaded: LoadedModel,
    examples: pd.DataFrame,
    settings: TrainSettings,
    folder: Path,
    reporter: Reporter | None = None,
    look: Callable[[LoadedModel], Right] | None = None,
    objective: objectives.Objective | None = None,
    limit: TimeLimit | None = None,
    part: Part | None = None,
) -> TuneResult[LoadedModel]:
    """Train on `examples` (fact table rows; the first answer is taught) and write curve.jsonl and model/ into `folder`.

    `look` says how many dev facts a model answers rightly; it is asked as the settings say (watching.py). `objective` is what to train
    for where it is not what the settings say. `limit` is a time limit that runs already; else one of the settings runs from here.
    `part`: what a recipe's stage, or a training that is observed, has beside that.

    A training that was cut off before goes on from its last checkpoint (unfinished.py) until its result is `settle`d.
    The same seed gives the same weights on the same machine, versions and thread count; the process's random state is
    set by it. Raises `Stopped` when the person asked for it, `OutOfTime` when the time limit passes before the first step,
    `OutOfMemory`, and `SettingsError` when an example does not fit the model (before the first step) or the loss stops being a number.
    """
    limit, timekeeper, part = limit or TimeLimit.of(settings), None, part or Part("train", {})
    started, reporter, objective = time.monotonic(), reporter or Silent(), objective or objectives.objective_of(settings)
    rate = optimizers.learning_rate(settings, loaded.card.parameters or sum(p.numel() for p in loaded.model.parameters()))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / trainer.CURVE).touch()
    if examples.empty:
        return TuneResult(loaded, 0, 0, rate, None, 0, time.monotonic() - started)
    encoded = trainer.encode_examples(loaded, examples, settings, objective)
    steps = optimizers.training_steps(len(encoded), settings.batch_size, settings.epochs)
    curve = CurveWriter(folder / trainer.CURVE, Phase(reporter, part.phase, steps, "steps"), rate)
    training, watcher = trainer.Training(loaded, encoded, settings, objective, rate), None
    if look is not None and settings.eval_every is not None:
        watcher = Watcher(lambda m: look(replace(loaded, model=m)), settings.eval_every, folder / DEV, settings.patience, log=reporter.log)
    with (
        adapters.own_gradients(loaded.model),
        trainer.memory_errors(settings),
        Unfinished.of(loaded, encoded, settings, rate, objective, part.identity) as unfinished,
    ):
        set_seed(settings.seed)  # before the adapter's random start
        if settings.gpus > 1:
            model = train_together(training, curve, unfinished, reporter)
        else:
            model = _begin(loaded, settings, objective, part)
            keeper = Keeper(unfinished, reporter, adapters.trained_parameters(model), kept_s=part.kept_s or time.monotonic())
            checkpoints = unfinished.folder if unfinished else folder
            if watcher:
                watcher.best = unfinished.folder if unfinished else folder / "best"
            timekeeper = Timekeeper(limit, unfinished, reporter.log) if limit else None
            callbacks = [curve, *(callback for callback in (part.observer, watcher, timekeeper) if callback), keeper]
            steps = trainer.run_trainer(trainer.make_trainer(model, training, checkpoints), callbacks, keeper)
        trained = adapters.trained_parameters(model)
    tuned = _finished(model, loaded, settings)
    if settings.save_model:
        adapters.save_tuned(tuned, folder / MODEL)
    seconds = time.monotonic() - started + (unfinished.seconds if unfinished else 0.0)
    seen, kept = optimizers.examples_in(steps, len(encoded), settings), watcher.kept_step if watcher else None
    modules, cut = adapters.lora_modules(model), timekeeper is not None and timekeeper.cut
    return TuneResult(tuned, steps, seen, rate, curve.last_loss, trained, seconds, unfinished, kept, modules, cut)


def _begin(loaded: LoadedModel, settings: TrainSettings, objective: objectives.Objective, part: Part) -> Any:
    """The model to train, with the weights that it begins with."""
    model = adapters.trainable(loaded.model, settings, objective)
    if part.start is not None:
        adapters.take_weights(model, part.start.model)
    return model


def not_tuned(served: ServedModel, folder: Path) -> TuneResult[ServedModel]:
    """A model on a server, which can't be tuned, as training on no examples leaves one; writes an empty curve.jsonl into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / trainer.CURVE).touch()
    return TuneResult(served, 0, 0, 0.0, None, 0, 0.0)


def _finished(model: Any, loaded: LoadedModel, settings: TrainSettings) -> LoadedModel:
    """The tuned model in the base model's precision, ready to generate, under a fingerprint of its own."""
    model.eval()
    model.config.use_cache = loaded.model.config.use_cache  # the Trainer turned it off; generation and the saved config want it back
    if settings.method == "full":
        model.to(loaded.model.dtype)
    return replace(loaded, model=model, fingerprint=adapters.tuned_fingerprint(model, loaded))
