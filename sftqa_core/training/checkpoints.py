"""Heavy: a fine-tuning that was stopped, killed or cut off goes on from its last checkpoint.

    <cache>/unfinished/<key>/checkpoint-STEP/   transformers' own layout: weights or adapter, optimizer, scheduler, random
                                                state, trainer_state.json (steps done, the curve); manifest.json last
                             .lock              held while a process works on it

The key is a hash of everything that the next step depends on, number of threads included, so that whoever asks for the same
training again, in a job or on the command line, goes on with it, and the result is that of an undisturbed run. A checkpoint is
written once a minute, or less often where writing takes long; short trainings write none.
"""

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from filelock import FileLock, Timeout
from transformers import TrainerCallback

from sftqa_core.artifacts import damaged_files, read_manifest, seal, versions
from sftqa_core.errors import SftqaError, Stopped
from sftqa_core.jsonrecord import Keys, fingerprint, keyed
from sftqa_core.models.footprint import checkpoint_bytes
from sftqa_core.models.loading import LoadedModel
from sftqa_core.progress import Reporter
from sftqa_core.records import TrainSettings
from sftqa_core.training.encoding import EncodedExample
from sftqa_core.training.objectives import PLAIN, Objective
from sftqa_core.workspace import Workspace

EVERY_S = 60.0  # at least so long between two checkpoints
MOST_SHARE = 0.05  # of the time goes to writing them
_PREFIX = "checkpoint-"  # transformers' name


@dataclass
class Unfinished:
    """The checkpoints of one training."""

    folder: Path
    seconds: float = 0.0  # spent before this process took over

    @classmethod
    @contextlib.contextmanager
    def of(
        cls,
        loaded: LoadedModel,
        encoded: Sequence[EncodedExample],
        settings: TrainSettings,
        rate: float,
        objective: Objective = PLAIN,
        identity: Mapping[str, Any] | None = None,
    ) -> Iterator[Self | None]:
        """The checkpoints of this training, held for this process; None where another process holds them.

        The second one of two that do the same at once works without checkpoints: sharing them would mix two states. `identity`: what else
        tells it from others (the recipe and the stage that it is of).
        """
        key = _key(loaded, encoded, settings, rate, objective, identity or {})
        with held(Workspace.current().unfinished / key) as folder:
            yield None if folder is None else cls(folder)

    def newest(self) -> Path | None:
        """The last whole checkpoint; what a kill or a power cut left half-written is passed over."""
        for path in sorted(self.folder.glob(f"{_PREFIX}*"), key=step_of, reverse=True):
            try:
                manifest = read_manifest(path)
                if not damaged_files(path):
                    self.seconds = float(manifest["seconds"])
                    return path
            except (SftqaError, OSError, KeyError, ValueError):
                continue
        return None

    def seal(self, step: int, seconds: float) -> None:
        """Call a written checkpoint whole and remove the others."""
        newest = self.folder / f"{_PREFIX}{step}"
        seal(newest, {"kind": "checkpoint", "step": step, "seconds": round(self.seconds + seconds, 3)})
        for path in self.folder.glob(f"{_PREFIX}*"):
            if path != newest:
                shutil.rmtree(path, ignore_errors=True)

    def forget(self) -> None:
        """Remove them all: what came of the training is stored."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.with_name(f"{self.folder.name}.lock").unlink(missing_ok=True)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[Path | None]:
    """A folder of unfinished work, for this process alone; None where another process holds it. It need not be there, and goes if empty."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield None
        return
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()  # the Trainer makes it, though nothing was kept in it
        if not folder.exists():
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


@dataclass
class Keeper(TrainerCallback):
    """Writes a checkpoint when one is due, and one more before the training stops on request."""

    unfinished: Unfinished | None
    reporter: Reporter
    trained: int  # parameters
    stopped: Stopped | None = None
    began_s: float = field(default_factory=time.monotonic)
    kept_s: float = field(default_factory=time.monotonic)  # when something was kept last: of a recipe's stage, perhaps before it began
    _cost_s: float = 0.0  # of the last one
    _saves: int = 0
    _writing_s: float | None = None

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Called when a step is in the curve, before the checkpoint, if `control` asks for one, is written; once more at the end."""
        last = state.global_step >= state.max_steps
        if "loss" not in (logs or {}) or (control.should_training_stop and not last):
            return  # ended early, and over: going on from here would train a step too many
        try:
            self.reporter.check()
        except Stopped as stopped:
            self.stopped, control.should_training_stop = stopped, True
        due = time.monotonic() - self.kept_s >= max(EVERY_S, self._cost_s / MOST_SHARE)
        if (due or self.stopped or (last and self._saves)) and self._fits():
            control.should_save, self._writing_s = True, time.monotonic()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called when a checkpoint's files are written."""
        if self.unfinished and self._writing_s is not None:
            self.unfinished.seal(state.global_step, time.monotonic() - self.began_s)
            self.kept_s = time.monotonic()
            self._cost_s, self._saves = self.kept_s - self._writing_s, self._saves + 1

    def _fits(self) -> bool:
        """Whether there is a place to write to: a full disk must not end a training that only wanted to be safe."""
        if self.unfinished is None:
            return False
        free = shutil.disk_usage(self.unfinished.folder.parent).free
        if free > checkpoint_bytes(self.trained):
            return True
        self.reporter.log(f"No checkpoint was written: {free / 1e9:.1f} GB are free beside {self.unfinished.folder}.")
        self.kept_s = time.monotonic()
        return False


def _key(
    loaded: LoadedModel,
    encoded: Sequence[EncodedExample],
    settings: TrainSettings,
    rate: float,
    objective: Objective,
    identity: Mapping[str, Any],
) -> str:
    return fingerprint(
        {
            "model": loaded.fingerprint.to_dict(),
            "examples": [[list(e.ids), list(e.labels), *([e.columns] if e.columns else [])] for e in encoded],
            "settings": keyed(settings, Keys.TRAINING),
            "learning_rate": rate,
            "threads": torch.get_num_threads(),
            "versions": versions(),
            **({"objective": own} if (own := objective.identity()) else {}),
            **identity,
        }
    )


def step_of(path: Path) -> int:
    """The step in a name such as checkpoint-40 or best-40.safetensors; -1 in any other."""
    number = path.name.partition(".")[0].rpartition("-")[2]
    return int(number) if number.isdecimal() else -1
