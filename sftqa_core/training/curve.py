"""The training curve: one line of JSON a step, written as it happens, so that a page can follow the run."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from sftqa_core.errors import SettingsError
from sftqa_core.progress import Phase


class CurveWriter(TrainerCallback):
    """Appends step, loss and learning_rate to the curve and reports progress."""

    def __init__(self, path: Path, phase: Phase, peak_rate: float):
        self.path, self._phase, self._peak_rate = path, phase, peak_rate
        self.last_loss: float | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called before the first step: the curve is what the steps done before say, which are none unless the run was resumed."""
        steps = [entry for entry in state.log_history if "loss" in entry]
        self.path.write_text("".join(_line(entry["step"], entry["loss"], entry["learning_rate"]) for entry in steps), encoding="utf-8")
        self._phase.done = state.global_step
        if steps:
            self.last_loss = steps[-1]["loss"]

    def read_again(self) -> None:
        """Where another process wrote the curve: what it says last."""
        lines = self.path.read_text(encoding="utf-8").splitlines()
        self.last_loss = json.loads(lines[-1])["loss"] if lines else None

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Called after each step, and once with the run's totals, which have no "loss".

        Raises `SettingsError` when the loss is not a number.
        """
        if not logs or "loss" not in logs:
            return
        loss, rate = float(logs["loss"]), float(logs["learning_rate"])
        if not math.isfinite(loss):
            raise SettingsError(
                f"The loss became {loss} in step {state.global_step} with a peak learning rate of {self._peak_rate:g}. "
                "Lower the learning rate."
            )
        self.last_loss = loss
        with self.path.open("a", encoding="utf-8") as handle:
            handle.write(_line(state.global_step, loss, rate))
        self._phase.tell(1, loss=loss, learning_rate=rate)


def _line(step: int, loss: float, rate: float) -> str:
    return json.dumps({"step": step, "loss": loss, "learning_rate": rate}) + "\n"
