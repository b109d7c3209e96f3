"""Heavy: the state of an unfinished pre-training, so that it goes on where it was stopped.

The checkpoint lies beside the model's future folder, under a hidden name, and holds everything the next step depends
on. It belongs to one piece of work: another recipe, source or library version starts afresh.
"""

from __future__ import annotations

import io
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sftqa_core.artifacts import read_file, read_manifest, set_aside, write_folder
from sftqa_core.errors import ArtifactDamaged, NotFound, OtherVersion

STATE = "state.pt"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """Where one pre-training's state is kept; `work` is the fingerprint of what is being done."""

    folder: Path
    work: str

    @classmethod
    def beside(cls, target: Path, work: str) -> Checkpoint:
        """The checkpoint that belongs to the model folder `target`."""
        return cls(target.with_name(f".{target.name}.unfinished"), work)

    def save(self, step: int, seconds: float, model: Any, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        """Keep the state after `step` steps; a reader sees the old state or the new one. Raises `StorageError`."""
        state = {
            "work": self.work,
            "step": step,
            "seconds": seconds,
            "model": model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            "random": torch.get_rng_state(),
        }

        def fill(work: Path) -> None:
            with (work / STATE).open("wb") as handle:  # a path would leave the writing, and its errors, to C++
                torch.save(state, handle)

        write_folder(self.folder, fill, {"kind": "checkpoint", "work": self.work, "step": step})

    def restore(self, model: Any, optimizers: Sequence[torch.optim.Optimizer]) -> tuple[int, float]:
        """Steps done and seconds spent before; (0, 0.0) and nothing changed if there is no whole state of this work.

        A damaged one is named in the log and set aside. Raises `OtherVersion` for one that `save` may not replace.
        """
        try:
            manifest = read_manifest(self.folder)
            if manifest.get("work") != self.work:
                return 0, 0.0
            state = torch.load(io.BytesIO(read_file(self.folder, STATE, manifest)), map_location="cpu", weights_only=True)
        except NotFound:
            return 0, 0.0
        except OtherVersion:
            raise
        except ArtifactDamaged as error:
            moved = set_aside(self.folder)
            _log.warning("%s The pre-training starts afresh%s.", error, f"; it was set aside as {moved.name}" if moved else "")
            return 0, 0.0
        model.load_state_dict(state["model"])
        for optimizer, kept in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        torch.set_rng_state(state["random"])
        return state["step"], state["seconds"]

    def forget(self) -> None:
        """Remove the state: the model is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)
