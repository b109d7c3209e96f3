"""Studies: many runs that answer one question together."""

from dataclasses import dataclass, fields
from typing import Any

from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import Record, Setting, at_least, declared, like, setting, shown, within
from sftqa_core.records.recipes import RECIPES, Recipe
from sftqa_core.records.schemes import MAX_SEED, LevelScheme
from sftqa_core.records.texts import text_of, value_of
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
    recipe: bool = False  # whether it is about a recipe, and takes the recipe's number of examples

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
    "recipe": StudyKind(
        "What if?", "Another way of tuning beside plain tuning, and beside what else could explain its gain.",
        "pages/what_if.py", ":material/science:", (240,), recipe=True,
    ),
}  # fmt: skip
RECIPE_STUDY = next(kind for kind, study in STUDIES.items() if study.recipe)
# What a study of a recipe compares on test facts, beside the recipe itself; a control's own name stands behind CONTROL.
BASE, PLAIN_TUNING, OTHER_SEEDS, CONTROL = "base model", "plain tuning", "plain tuning, other seeds", "control: "
MOST = 100  # models, seeds or sizes of one study


@dataclass(frozen=True)
class StudySettings(Record):
    """One study as it is written in a YAML file. Everything but `kind` and `models` has the value that the paper, or the Lab, takes."""

    kind: str = setting(flag="kind", rank=0, help="which question: how much data, which level, which model, what moves, what if")
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
    recipe: Recipe | None = like(TrainSettings, "recipe", unset="none", help="study recipe: which one is set beside plain tuning")
    tried: tuple[str, ...] | None = setting(
        None, label="Values tried", flag="--tried", unset="the recipe's usual ones", later=True,
        help="study recipe: values of the recipe's main setting, among which dev facts choose: 0,0.2,1",
    )  # fmt: skip

    def __post_init__(self) -> None:
        """One study has one record: seeds and sizes in order, the kind's usual sizes and the recipe's usual values as None."""
        super().__post_init__()
        object.__setattr__(self, "seeds", tuple(sorted(self.seeds)))
        object.__setattr__(self, "sizes", None if self.examples == self._usual_sizes else self.examples)
        if self.recipe is not None and self.tried is not None:
            values = self._read_values()
            texts = tuple(text_of(self._knob, value) for value in values)
            object.__setattr__(self, "tried", None if values == self._usual_values else texts)

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
        wrong += self._recipe_problems()
        if wrong:
            return wrong
        try:  # what a run would refuse is reported before the first one
            self.run(self.models[0], 0, 0)
            if self.recipe is not None:
                runs = [self.tried_run(self.models[0], self.seeds[0], value) for value in self.values]
                _ = [run.recipe.controls(run) for run in runs if run.recipe]
        except SettingsError as error:
            wrong += error.problems
        return wrong

    def _recipe_problems(self) -> list[str]:
        """Whether there is a recipe where there has to be one, and values that it can take."""
        if not self._kind.recipe:
            given = [name for name in ("recipe", "tried") if getattr(self, name) is not None]
            return [f"A study of kind {self.kind} is of plain tuning: leave {' and '.join(given)} out."] if given else []
        if self.recipe is None:
            return [f"A study of kind {self.kind} needs a recipe: one of {', '.join(RECIPES)}."]
        try:
            values = self._read_values()
        except ValueError as error:
            return [str(error)]
        if not values:
            return ["tried must hold one or more values of the recipe's main setting, or be left out."]
        return [] if len(set(values)) == len(values) else [f"tried must name each value once, got {shown(list(self.tried or ()))}."]

    @property
    def _kind(self) -> StudyKind:
        return STUDIES[self.kind]

    @property
    def _usual_sizes(self) -> tuple[int, ...]:
        return self._kind.sizes if self.recipe is None else (self.recipe.usual_n,)

    @property
    def examples(self) -> tuple[int, ...]:
        """Numbers of examples, with the kind's (or the recipe's) usual ones filled in; all (-1) comes last."""
        sizes = self._usual_sizes if self.sizes is None else self.sizes
        return tuple(sorted(sizes, key=lambda n: (n == ALL, n)))

    # ---- of a recipe ----
    @property
    def _knob(self) -> Setting:
        assert self.recipe is not None
        return declared(type(self.recipe))[self.recipe.knob]

    @property
    def _usual_values(self) -> tuple[Any, ...]:
        """What the recipe tries, and what it is set to here."""
        assert self.recipe is not None
        return tuple(dict.fromkeys((*self.recipe.tried, getattr(self.recipe, self.recipe.knob))))

    def _read_values(self) -> tuple[Any, ...]:
        """Raises ValueError in a sentence for a text that the recipe's main setting can't be."""
        return self._usual_values if self.tried is None else tuple(value_of(self._knob, text) for text in self.tried)

    @property
    def values(self) -> dict[str, Any]:
        """Values of the recipe's main setting, by what they are called; dev facts choose among them."""
        return {text_of(self._knob, value): value for value in self._read_values()}

    @property
    def other_seeds(self) -> tuple[int, ...]:
        """As many seeds as the study has, the next numbers: what plain tuning with them differs by, chance alone does."""
        return next_seeds(self.seeds, len(self.seeds))

    def tried_run(self, model: str, seed: int, name: str) -> TrainSettings:
        """The recipe's run with its main setting at the value of that name."""
        assert self.recipe is not None
        run: TrainSettings = self.recipe.at(self.run(model, self.examples[0], seed), self.values[name])
        return run

    def run(self, model: str, n: int, seed: int, **more: Any) -> TrainSettings:
        """The settings of one cell's run; a recipe's is plain tuning unless `more` names the recipe."""
        own = {f.name for f in fields(TrainSettings)} - {"shots", "recipe"}  # shots of a study are baselines beside its runs
        same = {f.name: getattr(self, f.name) for f in fields(self) if f.name in own}
        return TrainSettings(model=model, n=n, seed=seed, shots=0, save_model=False, **{**same, **more})


def next_seeds(seeds: tuple[int, ...], count: int) -> tuple[int, ...]:
    """The next `count` numbers that are not among `seeds`, from 0 on."""
    return tuple(seed for seed in range(len(seeds) + count) if seed not in seeds)[:count]


def recipe_study(recipe: Recipe, models: tuple[str, ...], **more: Any) -> StudySettings:
    """The study of a recipe, with what the recipe asks of it where `more` does not say otherwise."""
    return StudySettings(**{"kind": RECIPE_STUDY, "models": models, "recipe": recipe, **recipe.needs, **more})


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
    bundle: str = setting("", later=True)  # that the study was imported with
