"""What is written and watched while a model is trained.

The curve: one line of JSON a step, written as it happens, so that a page can follow the run: step, loss, learning_rate.

Evaluations on dev facts, never on test facts (METHOD 8.5), which may end the training early. They leave no trace: random numbers,
training mode and weights are as they were, so the training goes on as without it. What was counted stands in the trainer's own
history, which its checkpoints hold, and in `dev.jsonl` beside the curve: step, and for each domain ("in", "out") n, correct.

A recipe observes in the same way: what a model of some step says is handed over, so no weights need be kept (`Observer`).
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from sftqa_core.errors import SettingsError
from sftqa_core.progress import Phase
from sftqa_core.training.checkpoints import step_of


class CurveWriter(TrainerCallback):
    """Appends step, loss and learning_rate to the curve and reports progress."""

    def __init__(self, path: Path, phase: Phase, peak_rate: float):
        self.path, self._phase, self._peak_rate = path, phase, peak_rate
        self.last_loss: float | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called before the first step: the curve is what the steps done before say, which are none unless the run was resumed."""
        steps = [{name: entry[name] for name in ("step", "loss", "learning_rate")} for entry in state.log_history if "loss" in entry]
        self.path.write_text("".join(f"{json.dumps(entry)}\n" for entry in steps), encoding="utf-8")
        self._phase.resume(state.global_step)
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
            handle.write(json.dumps({"step": state.global_step, "loss": loss, "learning_rate": rate}) + "\n")
        self._phase.tell(1, loss=loss, learning_rate=rate)


DEV = "dev.jsonl"
_SEEN, _OBSERVED = "dev", "observed"  # in the trainer's history
Right = dict[str, tuple[int, int]]  # domain -> facts, facts answered rightly


@dataclass
class Watcher(TrainerCallback):
    """Every `every` steps, and at the end, asks `look` how many dev facts the model answers rightly."""

    look: Callable[[Any], Right]  # called with the model in evaluation mode
    every: int
    path: Path
    patience: int | None = None
    best: Path | None = None  # folder of the best weights so far; needed with patience
    log: Callable[[str], None] = lambda sentence: None
    kept_step: int | None = None  # whose weights the model has in the end, if not the last one's
    _looked: set[int] = field(default_factory=set)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called before the first step: what was seen before an interruption is what the history says."""
        rows = [entry for entry in state.log_history if _SEEN in entry]
        self._looked = {row["step"] for row in rows}
        self.path.write_text("".join(_line(row["step"], row[_SEEN]) for row in rows), encoding="utf-8")

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Called after each step, before it is in the curve."""
        step = state.global_step
        if step in self._looked or (step % self.every and step < state.max_steps):
            return
        seen = self._seen(model)
        state.log_history.append({"step": step, _SEEN: seen})
        self._looked.add(step)
        with self.path.open("a", encoding="utf-8") as handle:
            handle.write(_line(step, seen))
        self.log(f"Step {step:,}: {_words(seen)}.")
        if self.patience is not None:
            self._judge(state, control, model)

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Called after the last step: with patience the best look's weights are put back."""
        if self.patience is None or self.best is None:
            return
        best = _best(state.log_history)
        path = self.best / f"best-{best}.safetensors"
        if best is not None and best != state.global_step and not path.exists():
            self.log(f"The weights of step {best}, the best evaluation, are missing from {self.best}: the last ones are kept.")
        elif best is not None and best != state.global_step:
            saved = load_file(path)
            for name, parameter in model.named_parameters():
                if name in saved:
                    parameter.data.copy_(saved[name])
            self.kept_step = best

    def _seen(self, model: Any) -> Right:
        with undisturbed(model):
            return {domain: (int(facts), int(right)) for domain, (facts, right) in self.look(model).items()}

    def _judge(self, state: Any, control: Any, model: Any) -> None:
        looks = [entry["step"] for entry in state.log_history if _SEEN in entry]
        best = _best(state.log_history)
        if best is not None and best == state.global_step and self.best is not None:
            self.best.mkdir(parents=True, exist_ok=True)
            weights = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters() if p.requires_grad}
            save_file(weights, self.best / f"best-{best}.safetensors")
            self._clear(best)
        since = len([step for step in looks if best is not None and step > best])
        if self.patience is not None and since >= self.patience:
            control.should_training_stop = True
            self.log(f"Stopped early: {since} evaluations on dev facts without an improvement over step {best}.")

    def _clear(self, best: int) -> None:
        """Remove earlier best weights, but those that a training which goes on from a checkpoint would put back."""
        saved = {step_of(path): path for path in (self.best or Path()).glob("best-*.safetensors")}
        checkpoints = [step_of(path) for path in (self.best or Path()).glob("checkpoint-*")]
        needed = {best, *(max((step for step in saved if step <= at), default=best) for at in checkpoints)}
        for step in saved.keys() - needed:
            saved[step].unlink()


@dataclass
class Observer(TrainerCallback):
    """Asks `of` something of the model in `times` evenly spaced steps, the last one among them; fewer where there are fewer steps."""

    of: Callable[[Any], Sequence[float]]  # called with the model in evaluation mode
    times: int
    seen: dict[int, list[float]] = field(default_factory=dict)  # step -> what it said
    identity: Mapping[str, Any] = field(default_factory=dict)  # of what is asked: only the same may go on from its training's checkpoints

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called before the first step: what was seen before an interruption is in the history."""
        self.seen = {entry["step"]: entry[_OBSERVED] for entry in state.log_history if _OBSERVED in entry}

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Called after each step, before a checkpoint of it is written."""
        step = state.global_step
        if step not in self.seen and step in {max(1, round(state.max_steps * at / self.times)) for at in range(1, self.times + 1)}:
            with undisturbed(model):
                self.seen[step] = [float(value) for value in self.of(model)]
            state.log_history.append({"step": step, _OBSERVED: self.seen[step]})


@contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """Use a model in evaluation mode in the middle of its training: random numbers and modes are as they were afterwards."""
    was, cached = model.training, model.config.use_cache
    devices = sorted({p.device for p in model.parameters() if p.device.type == "cuda"}, key=str)  # the processor's are kept anyway
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        model.eval()
        try:
            yield
        finally:
            model.train(was)
            model.config.use_cache = cached


def _best(history: list[dict[str, Any]]) -> int | None:
    """The first step with the highest share of right answers."""
    looks = [(entry["step"], entry[_SEEN]) for entry in history if _SEEN in entry]

    def share(seen: Right) -> float:
        facts = sum(facts for facts, _ in seen.values())
        return sum(right for _, right in seen.values()) / facts if facts else 0.0

    return max(looks, key=lambda look: (share(look[1]), -look[0]))[0] if looks else None


def _words(seen: Right) -> str:
    rights = [
        f"{right} of {facts} {'out-of' if domain == 'out' else domain}-domain dev facts right"
        for domain, (facts, right) in seen.items()
        if facts
    ]
    return ", ".join(rights) or "no dev facts to evaluate on"


def _line(step: int, seen: Right) -> str:
    rows = {domain: {"n": facts, "correct": right} for domain, (facts, right) in seen.items()}
    return json.dumps({"step": step, **rows}) + "\n"
