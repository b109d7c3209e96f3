"""Studies: many runs that answer one question together."""

from dataclasses import dataclass, fields
from typing import Any

from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import Record, at_least, like, setting, shown, within
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
    untouched_as_size: bool = False  # whether 0 is one of them; other kinds have the base model anyway
    shots: bool = False  # whether the base model may be shown examples

    @property
    def address(self) -> str:
        """Where its page is: the title as an address has it."""
        return self.title.lower().rstrip("?").replace(" ", "-")


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
        "Which model?", "What each model knows, before and after tuning on the same examples.",
        "pages/which_model.py", ":material/compare_arrows:", (60,),
    ),
    "shift": StudyKind(
        "What moves?", "Levels probed again after tuning, compared with the base model probed again.",
        "pages/what_moves.py", ":material/swap_vert:", (60, 1920), many_sizes=True,
    ),
}  # fmt: skip
MOST = 100  # models, seeds or sizes of one study


@dataclass(frozen=True)
class StudySettings(Record):
    """One study as it is written in a YAML file. Everything but `kind` and `models` has the value that the paper, or the Lab, takes."""

    kind: str = setting(flag="kind", rank=0, help="which question: how much data, which level, which model, what moves")
    models: tuple[str, ...] = setting(label="Models", flag="--models", rank=0, help="models, with commas (default: the built-in ones)")
    source: str = like(TrainSettings, "source")
    seeds: tuple[int, ...] = setting(
        (0, 1, 2), label="Seeds", flag="--seeds", help="every run is repeated with each seed; seeds pick the examples and their order"
    )
    sizes: tuple[int, ...] | None = setting(
        None, label="Examples (n)", flag="--sizes", named={"all": ALL}, unset="the study's usual ones",
        help="numbers of examples, with commas: 0,60,240,all",
    )  # fmt: skip
    method: str = like(TrainSettings, "method", rank=1)
    learning_rate: float | None = like(TrainSettings, "learning_rate")
    epochs: int = like(TrainSettings, "epochs")
    batch_size: int = like(TrainSettings, "batch_size")
    lora_rank: int = like(TrainSettings, "lora_rank")
    prompt: PromptFormat = like(TrainSettings, "prompt")
    scheme: LevelScheme = like(TrainSettings, "scheme")
    match: str = like(TrainSettings, "match")
    max_answer_tokens: int = like(TrainSettings, "max_answer_tokens")
    test_limit: int | None = like(TrainSettings, "test_limit")
    retest_limit: int | None = setting(
        40, label="Facts per relation probed again", flag="--retest-limit", low=1, unit="facts", unset="all",
        help="after tuning, and on the base model with another seed: how much moves by chance",
    )  # fmt: skip
    device: str = like(TrainSettings, "device")
    shots: tuple[int, ...] = setting(
        (), label="k-shot examples instead of tuning", flag="--shots", later=True,
        help="study amount: the base model with k answered questions in front of each question, instead of tuning: 1,4,16",
    )  # fmt: skip
    gpus: int = like(TrainSettings, "gpus")
    sharding: str = like(TrainSettings, "sharding")
    optimizer: str = like(TrainSettings, "optimizer")
    micro_batch: int | None = like(TrainSettings, "micro_batch")
    gradient_checkpointing: bool = like(TrainSettings, "gradient_checkpointing")
    quantization: str = like(TrainSettings, "quantization")

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
        wrong += shots_problems("shots", self.shots)
        if self.shots and not self._kind.shots:
            wrong.append(f"A study of kind {self.kind} has no k-shot baselines: leave shots out.")
        if wrong:
            return wrong
        try:  # what a run would refuse is reported before the first one
            self.run(self.models[0], 0, 0)
        except SettingsError as error:
            wrong += error.problems
        return wrong

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
        own = {f.name for f in fields(TrainSettings)} - {"shots"}  # a study's are baselines beside its runs
        same = {f.name: getattr(self, f.name) for f in fields(self) if f.name in own}
        return TrainSettings(model=model, n=n, seed=seed, shots=0, save_model=False, **{**same, **more})


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
