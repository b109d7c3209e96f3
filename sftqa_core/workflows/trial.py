"""One trial step before long work (training/trying.py): on which examples, and what is said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sftqa_core.errors import OutOfMemory
from sftqa_core.memory.room import give_back
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.footprint import STATE_BYTES, TuningStep, tuning
from sftqa_core.progress import Reporter, Silent
from sftqa_core.records import Check, ModelCard, TrainSettings
from sftqa_core.training.trying import Trial, try_one_step
from sftqa_core.workflows.memory import PROCESS_BYTES, model_shape, shape_held
from sftqa_core.workflows.reading import open_for

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.models.loading import LoadedModel


def trial(settings: TrainSettings, reporter: Reporter | None = None) -> Check:
    """Load the model and try one step now, on whatever device; memory that does not suffice is the check's problem."""
    from sftqa_core.models.loading import load_model
    from sftqa_core.training.pools import train_pool

    try:
        loaded = load_model(find_model(settings.model), settings.device, quantization=settings.quantization)
        give_back()  # quantising leaves holes
        pool = train_pool(open_for(settings.model, settings.source), settings)
        n = len(pool) if settings.n == TrainSettings.ALL else settings.n
        done = try_examples(loaded, likely_longest(settings, pool, n), settings, reporter or Silent())
    except OutOfMemory as error:
        return Check.of_error("trial", str(error), "Choose a smaller model.")
    if done is None:
        return Check("trial", "ok", "There are no examples, so no step was tried.")
    return Check("trial", "ok", done.line(_expected(loaded.card, loaded.device, settings, done)))


def try_examples(loaded: LoadedModel, examples: pd.DataFrame, settings: TrainSettings, reporter: Reporter) -> Trial | None:
    """Try one step on the longest batch of `examples` (fact table rows) and tell the log. Raises `OutOfMemory`."""
    from sftqa_core.training.trainer import encode_examples

    done = try_one_step(loaded, encode_examples(loaded, examples, settings), settings)
    if done is not None:
        reporter.log(done.line(_expected(loaded.card, loaded.device, settings, done)))
    return done


def likely_longest(settings: TrainSettings, pool: pd.DataFrame, n: int) -> pd.DataFrame:
    """The batch of the pool's examples that are as long as the longest of a draw of `n` is likely to be (workflows/memory.py)."""
    if not n or pool.empty:
        return pool.head(0)
    length = pool["question"].str.len() + pool["answers"].map(lambda answers: len(answers[0]))
    order = length.sort_values(kind="stable").index
    rank = max(1, round(len(order) * n / (n + 1))) if n < len(order) else len(order)
    return pool.loc[order[max(0, rank - settings.batch_size) : rank]]


def _expected(card: ModelCard, device: str, settings: TrainSettings, done: Trial) -> int | None:
    """The estimate for that very step, in bytes as they were measured: of a GPU what torch holds, of a processor the whole process."""
    shape = shape_held(model_shape(card), settings.quantization)
    if shape is None:
        return None
    at_once = min(settings.micro_batch or settings.batch_size, done.examples)
    state, again = STATE_BYTES[settings.optimizer], settings.gradient_checkpointing
    found = tuning(shape, device, TuningStep(settings.method, settings.lora_rank, at_once, done.tokens, state, again))
    return found.total + (PROCESS_BYTES[device] if device == "cpu" else 0)
