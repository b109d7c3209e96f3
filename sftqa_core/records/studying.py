"""Studies: many runs that answer one question together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sftqa_core.jsonrecord import Record, at_least, later, shown, within
from sftqa_core.records.schemes import MAX_SEED, LevelScheme
from sftqa_core.records.tuning import PromptFormat, TrainSettings, shots_problems

ALL = TrainSettings.ALL


@dataclass(frozen=True)
class StudyKind:
    """What a kind of study is called, where it is shown, and what its settings may say; studies/ holds how it is done."""

    title: str  # the question that it answers
    about: str  # how, in a sentence
    page: str
    icon: str
    sizes: tuple[int, ...]  # usual numbers of examples
    many_sizes: bool = False  # whether a study may have several of them
    untouched_as_size: bool = False  # whether 0 is one of them; other kinds have the untouched model anyway
    shots: bool = False  # whether the untouched model may be shown examples


STUDIES = {
    "amount": StudyKind(
        "How much data?", "Accuracy against the number of examples, and the smallest number that is enough.",
        "pages/how_much_data.py", ":material/stacked_line_chart:", (0, 10, 30, 60, 120, 240, 480, 960, 1920, ALL),
        many_sizes=True, untouched_as_size=True, shots=True,
    ),
    "level": StudyKind(
        "Which data?", "Training on facts of one memory level, tested on every level.",
        "pages/which_data.py", ":material/grid_on:", (240,),
    ),
    "models": StudyKind(
        "Which model?", "What each model knows, and what the same examples do to each.",
        "pages/which_model.py", ":material/compare_arrows:", (60,),
    ),
    "shift": StudyKind(
        "What moves?", "Levels probed again after tuning, beside the untouched model probed again.",
        "pages/what_moves.py", ":material/swap_vert:", (60, 1920), many_sizes=True,
    ),
}  # fmt: skip
MOST = 100  # models, seeds or sizes of one study


@dataclass(frozen=True)
class StudySettings(Record):
    """One study as it is written in a YAML file. Everything but `kind` and `models` has the value that the paper, or the Lab, takes."""

    kind: str  # a name of STUDIES
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
        object.__setattr__(self, "sizes", None if self.examples == self._kind.sizes else self.examples)

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
        elif not self._kind.many_sizes and len(self.examples) > 1:
            wrong.append(f"A study of kind {self.kind} takes one number of examples, got {shown(list(self.examples))}.")
        least = 0 if self._kind.untouched_as_size else 1
        wrong += [problem for n in self.examples if n != ALL for problem in at_least("sizes", n, least)]
        wrong += at_least("retest_limit", self.retest_limit, 1) + shots_problems("shots", self.shots)
        if self.shots and not self._kind.shots:
            wrong.append(f"A study of kind {self.kind} does not show examples to the untouched model: leave shots out.")
        return wrong or self._run_problems()

    @property
    def _kind(self) -> StudyKind:
        return STUDIES[self.kind]

    @property
    def examples(self) -> tuple[int, ...]:
        """Numbers of examples, with the kind's usual ones filled in; all (-1) comes last."""
        sizes = self._kind.sizes if self.sizes is None else self.sizes
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
