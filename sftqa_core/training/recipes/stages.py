"""What a recipe works with, what it gives back, and what its stages cost. Loads torch only when a model is asked or tuned.

A recipe is a module with two functions, called after it:

    cost(settings, examples)   StageCosts, for whoever forecasts: of a run with so many examples
    run(stages, recipe)        does it, by means of `Stages`, and returns what was `Made`

It never asks for time, folders or progress: `Stages` keeps what a kill would lose, and tells what goes on.

    <cache>/unfinished/<key>/stage-NAME/   settings.json, examples.parquet, curve.jsonl, manifest.json: a stage that is done
                             table-NAME/   table.parquet, manifest.json: what later stages need of earlier ones

Weights are kept by the trainings' own checkpoints (checkpoints.py): a stage that took long goes on from its last step, and a short one
(less than a minute since something was kept) is trained again, to the same weights. All of it goes when what came of the run is stored.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftqa_core.artifacts import MANIFEST, is_finished, read_kept, read_manifest, versions, write_folder, write_json
from sftqa_core.jsonrecord import Record, digest, fingerprint
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.knowledge.relations import statement_prompts
from sftqa_core.models.loading import LoadedModel
from sftqa_core.progress import Reporter
from sftqa_core.records import TrainSettings
from sftqa_core.training import runs
from sftqa_core.training.objectives import PLAIN, Objective
from sftqa_core.training.optimizers import training_steps
from sftqa_core.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.training.fine_tuning import TuneResult
    from sftqa_core.training.time_limit import TimeLimit
    from sftqa_core.training.watching import Observer, Right

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TABLE = "table.parquet"
_MORE_DRAWS = 0.08  # time of one more draw to a few-shot question, that of reading and answering it being 1 (atlas-llama, T = 0.2)


@dataclass(frozen=True)
class StageCost:
    """What one stage asks of the machine."""

    name: str
    examples: int = 0  # that are trained on
    epochs: int = 1
    weight: float = 1.0  # time of one example, that of plain fine-tuning being 1: a teacher that reads it, too, adds a third
    read: int = 0  # examples that a model reads without being trained on them
    answers: int = 0  # questions that are answered
    sampled: int = 0  # answers that are drawn to questions without others in front
    few_shot: int = 0  # questions with four answered ones in front
    draws: int = 1  # answers to each of those, which share what is read
    objective: Objective = PLAIN  # what it needs beside the model is its `memory`

    def pieces(self) -> dict[str, float]:
        """Kinds of work (memory/speeds.py) -> how much; reading is a third of training."""
        trained = self.examples * self.epochs * self.weight + self.read / 3
        few_shot = self.few_shot * (1 + _MORE_DRAWS * (self.draws - 1))
        return {"train": trained, "answer": float(self.answers + self.sampled), "few_shot": few_shot}

    def steps(self, batch_size: int) -> int:
        """Of the optimizer."""
        return training_steps(self.examples, batch_size, self.epochs)

    def words(self) -> str:
        """ "reference: 240 examples x 2 epochs, 240 answers"."""
        counts = [
            f"{self.examples:,} examples" + (f" x {self.epochs:,} epochs" if self.epochs > 1 else "") if self.examples else "",
            f"{self.answers:,} answers" if self.answers else "",
            f"{drawn:,} drawn answers" if (drawn := self.sampled + (self.few_shot * self.draws if self.draws > 1 else 0)) else "",
            f"{self.few_shot:,} few-shot questions" if self.few_shot and self.draws == 1 else "",
        ]
        return (
            f"{self.name}: {', '.join(filter(None, counts)) or (f'reading worth {self.read:,} examples' if self.read else 'no training')}"
        )


@dataclass(frozen=True)
class StageDone(Record):
    """One training of a recipe, as the run's manifest tells it."""

    name: str
    examples: int
    steps: int
    planned_steps: int
    seconds: float
    learning_rate: float
    final_loss: float | None = None
    last: bool = False  # whether dev facts are looked at in it, and the time limit cuts it


@dataclass(frozen=True)
class Made:
    """What a recipe, or plain fine-tuning, has made."""

    # the model that is evaluated and stored (of a server, the untouched one), with the figures of the training that it came of
    tuned: TuneResult[Any]
    examples: pd.DataFrame  # what was really trained on: rows as a fact table's, and level; the first answer is the one that was taught
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)  # the recipe's own; one row a fact has its `fact_id`
    notes: tuple[str, ...] = ()  # what a person should know, in plain words
    stages: tuple[StageDone, ...] = ()  # filled in: recipes leave it
    settle: Callable[[], None] = lambda: None  # forgets what was kept for going on, as soon as what came of it is stored; filled in, too

    @property
    def planned_steps(self) -> int | None:
        """Of the last stage; None for plain fine-tuning, and for a recipe that has no last one."""
        return next((stage.planned_steps for stage in self.stages if stage.last), None)

    def told(self) -> dict[str, Any]:
        """What a run's manifest says of it."""
        tables = {name: len(table) for name, table in self.tables.items()}
        return {"stages": [stage.to_dict() for stage in self.stages], "tables": tables, "notes": list(self.notes)}


@dataclass
class Stages:
    """One run's model, settings and facts; the work that a recipe may ask for."""

    loaded: LoadedModel  # the untouched model: it stays as it is
    run: TrainSettings
    examples: pd.DataFrame  # the run's chosen facts, and their level as far as it is known
    source: FactSource
    aliases: Aliases
    levels: Callable[[pd.DataFrame], pd.DataFrame]  # the levels table of facts, which are probed if need be
    folder: Path  # where this run's files go
    reporter: Reporter
    look: Callable[[LoadedModel], Right] | None = None  # right answers to dev facts; the last stage is watched by it
    limit: TimeLimit | None = None  # runs already
    observer: Observer | None = None  # of plain fine-tuning; recipes give their stages one of their own
    _place: Path = field(init=False)  # what is kept for going on
    _kept_s: float = field(init=False, default_factory=time.monotonic)  # when something was kept last
    _done: dict[str, StageDone] = field(init=False, default_factory=dict)  # stages of this process
    _earlier_s: float = field(init=False, default=0.0)  # spent on them by processes before it

    @property
    def settings(self) -> TrainSettings:
        """The run's settings as its stages have them: without the recipe, and without what is for the last stage alone."""
        return replace(self.run, recipe=None, save_model=False, eval_every=None, patience=None, time_limit_min=None)

    @property
    def pool(self) -> pd.DataFrame:
        """The other train facts of the run's relations, in its seeded order; none asks the question of an example."""
        from sftqa_core.training.selection import train_pool

        pool = train_pool(self.source, self.run)
        taken = pool["fact_id"].isin(self.examples["fact_id"]) | pool["question"].isin(self.examples["question"])
        return pool[~taken].reset_index(drop=True)

    def tune(
        self,
        name: str,
        examples: pd.DataFrame,
        *,
        objective: Objective | None = None,
        settings: TrainSettings | None = None,
        base: LoadedModel | None = None,
        start: LoadedModel | None = None,
        observer: Observer | None = None,
        last: bool = False,
    ) -> TuneResult[LoadedModel]:
        """One training on `examples` (rows as `Made.examples` has them, in the order that the objective reads).

        `settings`: made of `self.settings`. `base`: the model that is tuned, in place of the run's. `start`: a model tuned from `base` by
        the same method, with whose weights it begins. `observer`: asks the model things in the middle of it. `last`: the stage whose
        model the run is about, which is one: dev facts are looked at, and only it is cut by the time limit, which runs from the run's
        beginning. One that passes before its first step raises `OutOfTime`. Raises what `fine_tune` raises. (A recipe whose model comes
        of no training alone, such as an average, has no last stage: it refuses eval_every and time_limit_min.)
        """
        from sftqa_core.training.fine_tuning import Part, fine_tune
        from sftqa_core.training.time_limit import UntilThen

        if not _NAME.fullmatch(name) or name == "tables" or name in self._done:
            raise ValueError(f"A stage needs a name of its own, of letters, digits and dashes, got {name!r}.")
        settings, work, look, limit = settings or self.settings, self.folder / "stages" / name, None, None
        reporter: Reporter = UntilThen(self.reporter, self.limit) if self.limit and not last else self.reporter
        if last:
            watched = {part: getattr(self.run, part) for part in ("eval_every", "eval_facts", "patience", "time_limit_min")}
            settings, look, limit = replace(settings, **watched), self.look, self.limit
        identity = {"recipe": self._recipe, "stage": name, **({"start": start.fingerprint.to_dict()} if start else {})}
        part = Part(f"train: {name}", identity, start, observer, self._kept_s)
        tuned = fine_tune(base or self.loaded, examples, settings, work, reporter, look, objective, limit, part)
        planned = training_steps(len(examples), settings.batch_size, settings.epochs)
        seconds, rate = round(tuned.seconds, 3), tuned.learning_rate
        done = StageDone(name, len(examples), tuned.steps, planned, seconds, rate, tuned.final_loss, last)
        self._keep_stage(done, examples, settings, tuned, work)
        return tuned

    def table(self, name: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """What `make` gives, kept: after a kill it is read, and `make`, with the stages in it, is not called again.

        For what later stages are made of (labels, predictions). `name` tells it from the recipe's other tables.
        """
        folder, key, before = self._place / f"table-{name}", {"table": name, "of": self._place.name}, set(self._done)
        kept = read_kept(folder, key, _TABLE, lambda manifest, content: runs.table_of(content), own=True)
        if kept is not None:
            return kept
        table = make()
        write_folder(folder, lambda work: table.to_parquet(work / _TABLE, index=False), {"kind": "recipe's table", "settings": key})
        self._kept_s = time.monotonic()
        for stage in self._done.keys() - before:  # nobody will ask for its weights again
            self._forget_checkpoints(stage)
        return runs.table_of((folder / _TABLE).read_bytes())  # as it would be read after a kill

    def answers(self, name: str, model: LoadedModel, facts: pd.DataFrame) -> pd.DataFrame:
        """What a model answers to the questions of `facts`, greedily: fact_id, text, correct (by the run's matching rule)."""
        from sftqa_core.training.recipes.answering import greedy_answers

        return greedy_answers(model, facts, self.run, self.aliases, self.reporter, name)

    def samples(
        self, name: str, model: LoadedModel, facts: pd.DataFrame, count: int, temperature: float, shots: int = 0, seed: int | None = None
    ) -> pd.DataFrame:
        """`count` answers drawn to each question: fact_id, text, count, correct; a row a distinct text, in order of the facts.

        `shots` answered facts of the pool stand in front of each question. The draws depend on the fact, its question and `seed` (the
        run's) alone; the right answer has no part in them.
        """
        from sftqa_core.training.recipes.answering import Drawn, sampled_answers

        drawn = Drawn(count, temperature, shots, self.run.seed if seed is None else seed)
        return sampled_answers(model, facts, self.pool if shots else None, self.run, drawn, self.aliases, self.reporter, name)

    def statements(self, fact: Mapping[Any, Any]) -> list[str]:
        """A fact (a row of a fact table) as its relation's templates state it, up to the object, in an order that hangs on the fact."""
        prompts = statement_prompts(self.source.relations[fact["relation"]], fact["subject"], fact["question"])
        return sorted(prompts, key=lambda text: digest(f"{fact['fact_id']} {text}"))

    def log(self, sentence: str) -> None:
        """Tell the run's log."""
        self.reporter.log(sentence)

    # ---- for whoever carries a recipe out ----
    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Keep what is done while the recipe runs, under a key of all that it depends on; the second of two that do the same at once keeps
        nothing that others could read."""
        from sftqa_core.training.checkpoints import held

        with held(Workspace.current().unfinished / self._key()) as folder:
            self._place = folder or self.folder / "kept"
            yield

    def finished(self, made: Made, began_s: float) -> Made:
        """`made` with its stages and all the time that it took, its files in the run's folder."""
        target, found = self.folder / "recipe", self._stage_folders()
        for folder in found:
            shutil.copytree(folder, target / folder.name.removeprefix("stage-"), ignore=shutil.ignore_patterns(MANIFEST))
        (target / "tables").mkdir(parents=True, exist_ok=True)
        for name, table in made.tables.items():
            table.to_parquet(target / "tables" / f"{name}.parquet", index=False)
        stages = tuple(StageDone.from_dict(read_manifest(folder)["stage"]) for folder in found)
        of_run = next((stage.name for stage in stages if stage.last), stages[-1].name if stages else "")
        for name in ("curve.jsonl", "dev.jsonl"):  # of the run as a whole: those of the training that its model came of
            if (curve := self.folder / "stages" / of_run / name).exists():
                shutil.copy(curve, self.folder / name)
        before_s = sum(stage.seconds for stage in stages if stage.name not in self._done) + self._earlier_s
        tuned = replace(made.tuned, seconds=time.monotonic() - began_s + before_s)
        return replace(made, tuned=tuned, stages=stages, settle=self._settle)

    def _key(self) -> str:
        import torch

        examples = self.examples.assign(answers=self.examples["answers"].map(list), level=self.examples["level"].astype(str))
        decisive = ["fact_id", "question", "answers", *(["level"] if self.run.recipe and self.run.recipe.needs_levels else [])]
        rows = [list(row) for row in examples[decisive].itertuples(index=False)]
        same = {"model": self.loaded.fingerprint.to_dict(), "source": self.source.fingerprint, "aliases": self.aliases.fingerprint()}
        how = {"threads": torch.get_num_threads(), "versions": versions(), "run": replace(self.run, save_model=True).to_dict()}
        return fingerprint({"kind": "recipe", "examples": rows, **same, **how})

    @property
    def _recipe(self) -> dict[str, Any]:
        return self.run.recipe.to_dict() if self.run.recipe else {}

    def _keep_stage(
        self, done: StageDone, examples: pd.DataFrame, settings: TrainSettings, tuned: TuneResult[LoadedModel], work: Path
    ) -> None:
        name, checkpoints = done.name, tuned.unfinished.folder if tuned.unfinished else None

        def fill(folder: Path) -> None:
            write_json(folder / "settings.json", replace(settings, learning_rate=tuned.learning_rate).to_dict())
            examples.reset_index(drop=True).to_parquet(folder / "examples.parquet")
            shutil.copy(work / "curve.jsonl", folder / "curve.jsonl")

        turns = {folder.name.removeprefix("stage-"): turn for turn, folder in enumerate(self._stage_folders())}
        manifest = {"kind": "recipe's stage", "stage": done.to_dict(), "turn": turns.get(name, len(turns))}
        write_folder(self._place / f"stage-{name}", fill, {**manifest, "checkpoints": checkpoints.name if checkpoints else None})
        self._done[name] = done
        self._earlier_s += tuned.unfinished.seconds if tuned.unfinished else 0.0
        if checkpoints is not None and any(checkpoints.glob(f"*/{MANIFEST}")):
            self._kept_s = time.monotonic()

    def _stage_folders(self) -> list[Path]:
        """Of finished stages, in the order in which they were first done."""
        found = [folder for folder in self._place.glob("stage-*") if is_finished(folder)]
        return sorted(found, key=lambda folder: int(read_manifest(folder)["turn"]))

    def _forget_checkpoints(self, stage: str) -> None:
        from sftqa_core.training.checkpoints import Unfinished

        if name := read_manifest(self._place / f"stage-{stage}")["checkpoints"]:
            Unfinished(Workspace.current().unfinished / name).forget()

    def _settle(self) -> None:
        from sftqa_core.training.checkpoints import Unfinished

        for folder in self._stage_folders():
            self._forget_checkpoints(folder.name.removeprefix("stage-"))
        Unfinished(self._place).forget()
