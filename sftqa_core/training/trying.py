"""One trial step before long work: does the device hold the longest batch? It takes seconds and comes before hours of probing.

When: on a GPU always, since what its memory really holds is only known by trying (fragments, other processes, kernels' own
room), and on a processor for models from 300 million parameters on, whose step takes seconds where their run takes hours. A
small model on a processor is not tried: its whole run is hardly longer.

What: the same copy (or adapter), optimizer and batch size as the training, on the examples with most tokens; forward, backward, one
step of AdamW. All of it is thrown away and the random state put back, so that the run after it gives the very same numbers.
"""

import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sftqa_core.models.devices import torch_device
from sftqa_core.models.loading import LoadedModel
from sftqa_core.records import TrainSettings
from sftqa_core.records.amounts import signed
from sftqa_core.training.encoding import EncodedExample
from sftqa_core.training.objectives import Objective, objective_of

LARGE = 300_000_000  # parameters


def tried_first(device: str, parameters: int | None, gpus: int = 1) -> bool:
    """Whether work on this device with a model of this size begins with a trial; see the module."""
    return gpus == 1 and (device != "cpu" or (parameters or 0) >= LARGE)  # one GPU's step is not that of several that share it


@dataclass(frozen=True)
class Trial:
    """What one step took."""

    examples: int
    tokens: int  # of the longest example
    seconds: float
    peak_bytes: int | None  # of the device's memory; None where it can't be measured

    def line(self, expected_bytes: int | None = None) -> str:
        """One sentence for the log, with the estimate beside the measurement where there are both."""
        tried = f"Tried one step on the {self.examples} longest examples (up to {self.tokens} tokens): {self.seconds:.1f} s"
        if self.peak_bytes is None:
            return f"{tried}."
        peak = f", {self.peak_bytes / 1e9:.1f} GB at the peak"
        if not expected_bytes:
            return f"{tried}{peak}."
        return f"{tried}{peak}, {expected_bytes / 1e9:.1f} GB were expected ({signed(100 * (self.peak_bytes / expected_bytes - 1), 0)}%)."


def longest_batch(encoded: Sequence[EncodedExample], batch_size: int) -> list[EncodedExample]:
    """The batch that takes most memory: the examples with most tokens."""
    return sorted(encoded, key=lambda example: len(example.ids), reverse=True)[:batch_size]


def try_one_step(
    loaded: LoadedModel, encoded: Sequence[EncodedExample], settings: TrainSettings, objective: Objective | None = None
) -> Trial | None:
    """Train one step on the longest batch of `encoded` and throw it away; None without examples.

    Raises `OutOfMemory` where it does not fit, with the words and the ways out that the training itself has.
    """
    if not encoded:
        return None
    from transformers import set_seed

    from sftqa_core.models.loading import no_progress_bar
    from sftqa_core.training import adapters, trainer

    batch, alone = longest_batch(encoded, settings.batch_size), replace(settings, epochs=1, gpus=1)
    training = trainer.Training(loaded, batch, alone, objective or objective_of(settings), settings.learning_rate or 1e-5)
    began = time.monotonic()
    with (
        _random_state(), _peak(loaded.device) as peak, adapters.own_gradients(loaded.model), trainer.memory_errors(settings),
        tempfile.TemporaryDirectory() as folder,
    ):  # fmt: skip
        set_seed(settings.seed)
        made = trainer.make_trainer(adapters.trainable(loaded.model, alone, training.objective), training, Path(folder))
        try:
            with no_progress_bar():
                made.train()
        finally:
            trainer.let_go(made)
    return Trial(len(batch), len(batch[0].ids), time.monotonic() - began, peak[0])


@contextmanager
def _random_state() -> Iterator[None]:
    """Put every random state back that a step, or a new adapter, draws from."""
    import numpy as np
    import torch

    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    on_apples = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
        if on_gpus is not None:
            torch.cuda.set_rng_state_all(on_gpus)
        if on_apples is not None:
            torch.mps.set_rng_state(on_apples)


@contextmanager
def _peak(device: str) -> Iterator[list[int | None]]:
    """One number, filled in at the end: the most memory in bytes that this process held on the device meanwhile."""
    import torch

    peak: list[int | None] = [None]
    on_gpu = torch_device(device) == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    try:
        yield peak
    finally:
        if on_gpu:
            peak[0] = torch.cuda.max_memory_reserved()
            torch.cuda.empty_cache()
        elif device == "cpu":
            peak[0] = _most_resident()


def _most_resident() -> int | None:
    """The most memory that this process ever held, in bytes."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
