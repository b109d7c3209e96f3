"""Studies: many runs that answer one question together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sftqa_core.jsonrecord import Record, at_least, later, shown, within
from sftqa_core.records.schemes import MAX_SEED, LevelScheme
from sftqa_core.records.tuning import PromptFormat, TrainSettings, shots_problems

ALL = TrainSettings.ALL
STUDIES = ("amount", "level", "models", "shift")
SIZES = {  # a study -> its usual numbers of examples
    "amount": (0, 10, 30, 60, 120, 240, 480, 960, 1920, ALL),
    "level": (240,),
    "models": (60,),
    "shift": (60, 1920),
}
MOST = 100  # models, seeds or sizes of one study
MANY_SIZES = ("amount", "shift")  # the other studies look at one number of examples


@dataclass(frozen=True)
class StudySettings(Record):
    """One study as it is written in a YAML file. Everything but `kind` and `models` has the value that the paper, or the Lab, takes."""

    kind: str  # amount, level, models or shift
    models: tuple[str, ...]
    source: str = "atlas"
    seeds: tuple[int, ...] = (0, 1, 2)  # of examples and training; each is a run of every cell
    sizes: tuple[int, ...] | None = None  # numbers of examples, -1 for all; None: this kind's usual ones
    method: str = "full"
    learning_rate: float | None = None
    epochs: int = 1
    batch_size: int = 8
    lora_rank: int = 8
    prompt: PromptFormat = field(default_factory=PromptFormat)
    scheme: LevelScheme = field(default_factory=LevelScheme)
    match: str = "tokens"
    max_answer_tokens: int = 16
    test_limit: int | None = None  # test facts a relation; None: all of a small source, 100 of a large one
    retest_limit: int | None = 40  # facts a relation that are probed again: after tuning, and untouched with another seed
    device: str = "auto"
    shots: tuple[int, ...] = later(())  # examples shown to the untouched model, beside tuning on them; of kind amount
    gpus: int = later(1)  # as in TrainSettings
    sharding: str = later("ddp")
    optimizer: str = later("adamw")
    micro_batch: int | None = later(None)  # examples on the device at once; a step is made of batch_size examples all the same
    gradient_checkpointing: bool = later(False)
    quantization: str = later("none")

    def __post_init__(self) -> None:
        """One study has one record: seeds and sizes in order, and the kind's usual sizes as None."""
        super().__post_init__()
        object.__setattr__(self, "seeds", tuple(sorted(self.seeds)))
        object.__setattr__(self, "sizes", None if self.examples == SIZES[self.kind] else self.examples)

    def problems(self) -> list[str]:
        if self.kind not in STUDIES:
            return [f"A study must be one of {', '.join(STUDIES)}, got {shown(self.kind)}."]
        wrong = [] if self.models else ["A study needs one or more models."]
        for name in ("models", "seeds", "sizes"):
            values = getattr(self, name) or ()
            wrong += [f"{name} must be named once each, got {shown(list(values))}."] if len(set(values)) != len(values) else []
            wrong += [f"A study may have {MOST} {name}, got {len(values):,}."] if len(values) > MOST else []
        wrong += [] if self.seeds else ["A study needs one or more seeds."]
        wrong += [problem for seed in self.seeds for problem in within("seed", seed, 0, MAX_SEED)]
        if self.sizes is not None and not self.sizes:
            wrong.append("sizes must hold one or more numbers of examples, or be left out.")
        elif self.kind not in MANY_SIZES and len(self.examples) > 1:
            wrong.append(f"A study of kind {self.kind} looks at one number of examples, got {shown(list(self.examples))}.")
        least = 0 if self.kind == "amount" else 1  # the others have the untouched model anyway
        wrong += [problem for n in self.examples if n != ALL for problem in at_least("sizes", n, least)]
        wrong += at_least("retest_limit", self.retest_limit, 1) + shots_problems("shots", self.shots)
        if self.shots and self.kind != "amount":
            wrong.append("Only a study of kind amount shows examples to the untouched model: leave shots out.")
        if wrong:
            return wrong
        return self._run_problems()

    @property
    def examples(self) -> tuple[int, ...]:
        """Numbers of examples, with the kind's usual ones filled in; all (-1) comes last."""
        sizes = SIZES[self.kind] if self.sizes is None else self.sizes
        return tuple(sorted(sizes, key=lambda n: (n == ALL, n)))

    def run(self, model: str, n: int, seed: int, **more: Any) -> TrainSettings:
        """The settings of one cell's run."""
        same = {name: getattr(self, name) for name in _SHARED}
        return TrainSettings(model=model, n=n, seed=seed, shots=0, save_model=False, **same, **more)

    def _run_problems(self) -> list[str]:
        """What a run would refuse, told before the first one."""
        from sftqa_core.errors import SettingsError

        try:
            self.run(self.models[0], 0, 0)
        except SettingsError as error:
            return list(error.problems)
        return []


_SHARED = (
    "source", "method", "learning_rate", "epochs", "batch_size", "lora_rank", "prompt", "scheme", "match", "max_answer_tokens",
    "test_limit", "device", "gpus", "sharding", "optimizer", "micro_batch", "gradient_checkpointing",
    "quantization",
)  # fmt: skip


@dataclass(frozen=True)
class Finding(Record):
    """One answer in plain words, made from the numbers by fixed rules (METHOD 8.9)."""

    about: str  # model, or models, and domain
    question: str
    verdict: str  # yes, no or cannot tell
    text: str  # a sentence with the numbers


@dataclass(frozen=True)
class StudyReport(Record):
    """What a study says so far: `sftqa study --json` prints it."""

    settings: StudySettings
    done: int  # runs that are finished
    planned: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]  # how the words were decided, what the built-in world makes true, what the paper saw
    tables: dict[str, list[Any]]  # name -> rows, each an object; columns are documented in studies/
