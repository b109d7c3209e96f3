"""Heavy: a run's time limit, and what ends the training when it has passed.

The time is that of the whole run: levels and answers of the base model, then training. What earlier attempts spent on training counts
too, as the checkpoint says it; what they measured of the base model is kept and not done again, so its time does not count twice.
Once it has passed, training stops at the end of the step, and the weights so far are evaluated, which takes its own time. How many
steps that is depends on the machine: such a run is never taken for another one's.

Of a recipe, all stages share it: the last one is cut, and where it passes before that one's first step, nothing could be evaluated.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from transformers import TrainerCallback

from sftqa_core.errors import OutOfTime
from sftqa_core.progress import Progress, Reporter
from sftqa_core.records import TrainSettings
from sftqa_core.records.tuning import minutes
from sftqa_core.training.checkpoints import Unfinished

clock: Callable[[], float] = time.monotonic  # seconds; tests have their own


@dataclass
class TimeLimit:
    """A clock that runs from when it is made."""

    minutes: int
    began_s: float = field(default_factory=lambda: clock())
    stages: bool = False  # whether they share it

    @classmethod
    def of(cls, settings: TrainSettings) -> "TimeLimit | None":
        """None where the settings have no limit, or train nothing."""
        if settings.time_limit_min is None or settings.n == 0:
            return None
        return cls(settings.time_limit_min, stages=settings.recipe is not None)

    def passed(self, earlier_s: float = 0.0) -> bool:
        """Whether it has passed, with the seconds of earlier attempts."""
        return clock() - self.began_s + earlier_s >= 60 * self.minutes

    def refuse_late_start(self) -> None:
        """Raise `OutOfTime` where nothing has been trained and the time has passed."""
        if self.passed():
            spent_s, what = clock() - self.began_s, "step of the last stage" if self.stages else "training step"
            raise OutOfTime(
                f"The time limit of {minutes(self.minutes)} passed before the first {what}: {spent_s / 60:.1f} minutes went into "
                f"what comes before. {'N' if self.stages else 'Nothing was trained, and n'}o run is stored. Set a longer limit, or none."
            )


@dataclass(frozen=True)
class UntilThen:
    """A reporter for the work before the training, which ends when the time limit passes."""

    reporter: Reporter
    limit: TimeLimit

    def progress(self, update: Progress) -> None:
        """See `Reporter`."""
        self.reporter.progress(update)

    def log(self, line: str) -> None:
        """See `Reporter`."""
        self.reporter.log(line)

    def check(self) -> None:
        """See `Reporter`. Raises `OutOfTime`, too."""
        self.reporter.check()
        self.limit.refuse_late_start()


@dataclass
class Timekeeper(TrainerCallback):
    """Stops the training at the end of the step in which the time limit passes, unless that is the last one."""

    limit: TimeLimit
    unfinished: Unfinished | None
    log: Callable[[str], None]
    cut: bool = False  # whether it stopped the training

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called before the first step, when what a checkpoint holds has been read. Raises `OutOfTime`."""
        if not state.global_step:
            self.limit.refuse_late_start()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called after each step; nothing is left to stop where it was the last one, or patience has ended the training."""
        earlier_s = self.unfinished.seconds if self.unfinished else 0.0
        over = control.should_training_stop or state.global_step >= state.max_steps
        if not over and self.limit.passed(earlier_s):
            self.cut = control.should_training_stop = True
            told = f"{state.global_step:,} of {state.max_steps:,} steps by the time limit of {minutes(self.limit.minutes)}"
            self.log(f"Stopped after {told}; the weights so far are kept and evaluated.")
