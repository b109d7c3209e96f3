"""One trial step before long work (training/trying.py): on which examples, and what is said of it.

Preflight, the machine's part: packages, device, memory, the trial step, disk. Never loads torch.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sftqa_core.engine.capacity import give_back
from sftqa_core.errors import MissingPackage, OutOfMemory, SettingsError
from sftqa_core.memory.profiles import open_for
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.devices import NUMBER_FORMATS, device_memory, resolve_device, visible_gpus, why_no_gpu
from sftqa_core.models.footprint import STATE_BYTES, TuningStep, coarse, tuning
from sftqa_core.models.quantising import INSTALL, NF4, PACKAGE, require_quantiser
from sftqa_core.planning.fit import PROCESS_BYTES, Memory, gigabytes, model_shape, shape_held
from sftqa_core.progress import Reporter, Silent
from sftqa_core.records import Check, ModelCard, TrainSettings
from sftqa_core.training.objectives import objective_of
from sftqa_core.training.trying import Trial, tried_first, try_one_step

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.models.loading import LoadedModel


def trial(settings: TrainSettings, reporter: Reporter | None = None) -> Check:
    """Load the model and try one step now, on whatever device; memory that does not suffice is the check's problem."""
    from sftqa_core.models.loading import load_model
    from sftqa_core.training.selection import train_pool

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
    """The batch of the pool's examples that are as long as the longest of a draw of `n` is likely to be (planning/fit.py)."""
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
    step = TuningStep(settings.method, settings.lora_rank, at_once, done.tokens, state, again)
    beside = objective_of(settings).memory(shape, device, step)
    return tuning(shape, device, step).total + beside + (PROCESS_BYTES[device] if device == "cpu" else 0)


PACKAGES = {"probe": ("torch", "transformers"), "train": ("torch", "transformers", "accelerate", "peft")}
LITTLE = 1_000_000_000  # bytes that should be left beside what is written
_FREE_SOME = "Free some space, or set {} to a folder on another disk."


def packages_check(kind: str, quantization: str = "none") -> Check:
    """Whether what the work imports is installed. It is looked for, not imported."""
    missing = [name for name in PACKAGES.get(kind, PACKAGES["train"]) if find_spec(name) is None]
    if missing:
        return Check("packages", "problem", f"{', '.join(missing)} must be installed first.", f"pip install {' '.join(missing)}")
    try:
        require_quantiser(quantization, "cpu")
    except MissingPackage:
        return Check("packages", "problem", f"Weights in 4 bits need {PACKAGE}, which must be installed first.", INSTALL)
    return Check("packages", "ok", "Everything that models need is installed.")


def device_check(setting: str, gpus: int = 1, quantization: str = "none") -> tuple[Check, str]:
    """What the device setting stands for here, and the device ("cpu" where it can't be used); whether there are so many GPUs."""
    try:
        device = resolve_device(setting)
        with contextlib.suppress(MissingPackage):  # another point's matter
            require_quantiser(quantization, device)
    except SettingsError as error:
        return Check("device", "problem", str(error), "Choose device cpu."), "cpu"
    there = 0 if device == "cpu" else len(visible_gpus())
    if gpus > 1 and gpus > there:
        return Check("device", "problem", f"{gpus} GPUs are asked for, and {there} can be used here.", "Ask for fewer GPUs."), device
    form = NUMBER_FORMATS[device] + (", its weights in 4 bits" if quantization == NF4 else "")
    if device == "cpu":
        why = "as chosen" if setting == "cpu" else why_no_gpu() or "no GPU can be used"
        return Check("device", "ok", f"It runs on the processor, in {form} ({why})."), device
    where = f"{gpus} GPUs" if gpus > 1 else "the GPU"
    if quantization == NF4:
        said = f"It runs on {where} ({device}), in {form}, which has not been verified on a GPU."
        return Check("device", "note", said, "Compare levels with those of the whole model on some facts first."), device
    return Check("device", "ok", f"It runs on {where} ({device}), in {form}."), device


def memory_check(
    memory: Memory | None, device: str, method: str | None = None, parameters: int | None = None, quantization: str = "none"
) -> Check:
    """The estimate beside what there is; for a model that is not here, by the size that the hub tells."""
    if memory is None:
        return Check("memory", "ok", "Nothing has to be computed, so no memory is needed.")
    if memory.needed is None or memory.least is None:
        room = device_memory(device)
        if not parameters or room is None:
            return Check("memory", "unknown", "How much memory it needs is not known before the model is on this machine.")
        least = coarse(parameters, device, method, quantization == NF4).total
        said = f"By its size alone it needs {gigabytes(least)} of memory or more"
        if least > room.total:
            fix = "Choose a smaller model" + (" or LoRA." if method == "full" else ".")
            return Check("memory", "problem", f"{said}, and there are {gigabytes(room.total)} in all.", fix)
        return Check("memory", "note", f"{said}; {gigabytes(room.free)} are free.", "More is known when the model is on this machine.")
    if memory.stands_against:
        said, _, fix = memory.stands_against.partition(". ")
        return Check("memory", "problem" if memory.least > (memory.total or 0) else "note", f"{said}.", fix or "Choose a smaller model.")
    return Check("memory", "ok", f"Memory: {memory.line().rstrip('.')}.")


def trial_check(device: str, parameters: int | None, trains: bool, gpus: int = 1) -> Check:
    """Whether one step is tried on the device before the work (training/trying.py)."""
    if trains and gpus > 1:
        return Check("trial", "ok", f"No step is tried first: that of one GPU would say little of {gpus} that share the work.")
    if trains and tried_first(device, parameters):
        place = "the processor" if device == "cpu" else "the GPU"
        return Check("trial", "ok", f"One step is tried on {place} first, so that too little memory shows before any time is lost.")
    why = "the model is small and runs on the processor" if trains else "a probe that is short of memory goes on with fewer prompts at once"
    return Check("trial", "ok", f"No step has to be tried first: {why}.")


@dataclass(frozen=True)
class Writing:
    """Bytes that the work writes somewhere."""

    what: str
    folder: Path
    size: int
    variable: str = "SFTQA_CACHE"  # that names another folder


def tuned_files(root: Path, size: int) -> list[Writing]:
    """A tuned model's files, which are first written beside other temporary ones and then moved."""
    temporary = Path(tempfile.gettempdir())
    moved = [] if _disk(temporary) == _disk(root) else [Writing("the tuned model on its way", temporary, size, "TMPDIR")]
    return [Writing("the tuned model", root, size), *moved]


def disk_check(writings: Sequence[Writing], root: Path, checkpoint: int = 0) -> Check:
    """Room for all of it, disk by disk. `checkpoint`: bytes beside the cache that a training can do without, but not go on from."""
    by_disk: dict[int, list[Writing]] = {}
    for writing in [Writing("results", root, 0), *writings]:
        by_disk.setdefault(_disk(writing.folder), []).append(writing)
    least_left = None
    for some in by_disk.values():
        size, free = sum(writing.size for writing in some), shutil.disk_usage(_existing(some[0].folder)).free
        if size > free:
            most = max(some, key=lambda writing: writing.size)
            said = f"The disk has {gigabytes(free)} free beside {most.folder}, and {most.what} needs {gigabytes(size)}."
            return Check("disk", "problem", said, _FREE_SOME.format(most.variable))
        least_left = min(free - size, least_left if least_left is not None else free)
    return _left(least_left or 0, sum(writing.size for writing in writings), checkpoint, root)


def _left(left: int, size: int, checkpoint: int, root: Path) -> Check:
    if left < LITTLE:
        return Check("disk", "note", f"Only {gigabytes(left)} will be left on the disk of {root}.", _FREE_SOME.format("SFTQA_CACHE"))
    if checkpoint > left:
        said = f"There is no room for a checkpoint ({gigabytes(checkpoint)}), so a training that is cut off would begin again."
        return Check("disk", "note", said, _FREE_SOME.format("SFTQA_CACHE"))
    written = f"{gigabytes(size)} will be written, and " if size >= LITTLE / 10 else ""
    return Check("disk", "ok", f"Disk: {written}{gigabytes(left)} stay free.")


def _existing(folder: Path) -> Path:
    return next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))


def _disk(folder: Path) -> int:
    return os.stat(_existing(folder)).st_dev
