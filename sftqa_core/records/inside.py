"""Looking inside a tuned model: what is measured of which run."""

from __future__ import annotations

from dataclasses import dataclass

from sftqa_core.jsonrecord import Record, setting, shown
from sftqa_core.records.tuning import TrainSettings

MEASURES = {  # what can be looked at, in the order of the page
    "drift": "Where answers and weights moved",
    "restoration": "What putting weights back does",
    "knowledge": "What it knows and does not say",
    "curves": "How facts are learned, step by step",
}

FLAGS = {"drift": "--kl", "restoration": "--restore", "knowledge": "--k", "curves": "--curves"}  # that ask for one of them


@dataclass(frozen=True)
class InsideSettings(Record):
    """What to look at inside the model of a run, or of a study's cell."""

    name: str  # the run's id, or the cell's name
    run: TrainSettings  # what makes it again
    measures: tuple[str, ...] = setting(tuple(MEASURES), label="Measures")
    per_level: int = setting(
        60, label="Facts per level", flag="--per-level", low=1, high=100_000,
        help="test facts of each memory level and domain that restoration and knowledge are measured on, at most",
    )  # fmt: skip
    statements: int = setting(
        60, label="Statements per level", flag="--statements", low=1, high=100_000,
        help="test facts of each memory level and domain whose statements drift is measured at, at most; its questions are all facts'",
    )  # fmt: skip
    draws: int = setting(5, label="Draws", flag="--draws", low=1, high=20, help="how often restoration's controls are drawn by chance")
    wrong: int = setting(
        10, label="Wrong answers", flag="--wrong", low=2, high=50, help="wrong answers that the right one is ranked among, at most"
    )
    looks: int = setting(
        10, label="Looks", flag="--looks", low=2, high=200, help="how often learning curves look at the model during training, at most"
    )

    def problems(self) -> list[str]:
        wrong = [f"measures must be of {', '.join(MEASURES)}, got {shown(name)}." for name in self.measures if name not in MEASURES]
        wrong += ["measures must be named once each."] if len(set(self.measures)) < len(self.measures) else []
        return wrong + ([] if self.measures else ["Name one measure or more."])
