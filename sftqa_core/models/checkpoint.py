"""Heavy: the state of an unfinished pre-training, so that it goes on where it was stopped.

The checkpoint lies beside the model's future folder, under a hidden name, and holds everything the next step depends
on. It belongs to one piece of work: another recipe, source or library version starts afresh.
"""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


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
        """Keep the state after `step` steps; a reader sees the old state or the new one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "work": self.work,
            "step": step,
            "seconds": seconds,
            "model": model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            "random": torch.get_rng_state(),
        }
        partial = self.folder / "state.partial"
        torch.save(state, partial)
        os.replace(partial, self.folder / "state.pt")

    def restore(self, model: Any, optimizers: Sequence[torch.optim.Optimizer]) -> tuple[int, float]:
        """Steps done and seconds spent before; (0, 0.0) and nothing changed if there is no state of this work."""
        try:
            state = torch.load(self.folder / "state.pt", map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
            return 0, 0.0
        if state.get("work") != self.work:
            return 0, 0.0
        model.load_state_dict(state["model"])
        for optimizer, kept in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        torch.set_rng_state(state["random"])
        return state["step"], state["seconds"]

    def forget(self) -> None:
        """Remove the state: the model is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)
