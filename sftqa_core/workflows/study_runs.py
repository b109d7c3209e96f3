"""Running what is left of a study. Each model is loaded once, and its test questions are encoded once."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import chain
from pathlib import Path

from sftqa_core.engine.perplexity import Perplexity, perplexity_of
from sftqa_core.errors import NotEnoughFacts
from sftqa_core.evaluation.predictions import Prompts, encode_questions, few_shot_predictions, predict
from sftqa_core.memory.probing import probe_facts
from sftqa_core.models import devices, quantising
from sftqa_core.models.catalogue import made_from, origin
from sftqa_core.models.loading import LoadedModel
from sftqa_core.models.serving.server_limits import refuse_on_server
from sftqa_core.progress import Phase, Reporter, Silent
from sftqa_core.records import PretrainSettings, StudySettings, TrainSettings
from sftqa_core.records.pieces import CellPiece
from sftqa_core.studies.model_study import ModelStudy
from sftqa_core.training.fine_tuning import TuneResult
from sftqa_core.training.recipes.stages import Made
from sftqa_core.training.selection import Selection
from sftqa_core.workflows.piecework import current_mapper, levels_of, require_here
from sftqa_core.workflows.training import TrainingRun

PHASE = "study"
HELD_OUT_DOCUMENTS = 1_000  # of pre-training text, for perplexity


class Quiet(Silent):
    """Passes on only the wish to stop: the steps of one run are not shown in a study of hundreds."""

    def __init__(self, reporter: Reporter):
        self.check = reporter.check  # type: ignore[method-assign]


def run_study(study: StudySettings, reporter: Reporter) -> None:
    """Probe and run everything that is missing, model after model. What is finished is kept when the work stops.

    Runs and probes are pieces: `current_mapper` does them.
    """
    parts = [ModelStudy(study, model, reporter) for model in study.models]
    for part in parts:  # before anything costs time
        for run in (*chain(*part.tried.values()), *part.grid()):
            refuse_on_server(part.prober.card, run)
            quantising.refuse_second_adapter(part.prober.card, run)
        part.require_facts()
    for part in parts:
        part.prober.bring_here()  # a model that can't be had is reported before another has taken hours
    phase = Phase(reporter, PHASE, sum(len(part.dev_left()) + len(part.left()) for part in parts), "runs")
    while parts:
        part = parts.pop(0)  # let go of each model before the next is loaded
        _try_first(part, reporter)
        reporter.log(f"{part.model}: levels of the test facts")
        for scheme, facts in part.wanted_levels():
            levels_of(part.prober.under(scheme), facts, reporter)
        if part.comparable() == 0:
            raise NotEnoughFacts(
                f"{part.model} has no train facts at one of the levels {', '.join(study.scheme.labels)}, so the levels can't be compared. "
                "Choose another model or source, or a level scheme with fewer levels."
            )
        runs = StudyRuns(part, reporter)
        if part.tried:
            _choose(runs, phase)
        left = part.left()
        reporter.log(f"{part.model}: {len(left)} of {len(part.grid())} runs are left")
        phase.total = phase.done + len(left) + sum(len(other.dev_left()) + len(other.left()) for other in parts)
        current_mapper().finish([CellPiece(study, run) for run in left], runs.do, phase)
        if current_mapper().workers:
            require_here(sum(not part.done(run) for run in left), len(left), "runs")


def _choose(runs: StudyRuns, phase: Phase) -> None:
    """Everything on dev facts that is missing, so that a value is chosen before a test fact is asked."""
    part, left = runs.part, runs.part.dev_left()
    runs.reporter.log(f"{part.model}: {len(left)} of {sum(map(len, part.tried.values()))} runs on dev facts are left")
    current_mapper().finish([CellPiece(part.study, run, on_dev=True) for run in left], runs.do, phase)
    if current_mapper().workers:
        require_here(len(part.dev_left()), len(left), "runs")
    runs.reporter.log(f"{part.model}: dev facts choose {part.chosen()}")


def _try_first(part: ModelStudy, reporter: Reporter) -> None:
    """Try one step of the largest run that is left, where work on this device begins with that. Raises `OutOfMemory`."""
    left = [run for run in (*part.dev_left(), *part.left()) if run.n != 0]
    if left and not current_mapper().workers:  # elsewhere whoever does a piece tries it first
        largest = max(left, key=lambda run: len(part.train_facts) if run.n == TrainSettings.ALL else run.n)
        TrainingRun(largest, reporter, part.prober).try_first()


class StudyRuns:
    """Runs of one model."""

    def __init__(self, part: ModelStudy, reporter: Reporter):
        self.part, self.reporter, self.quiet = part, reporter, Quiet(reporter)

    @property
    def loaded(self) -> LoadedModel:
        """The untouched model."""
        return self.part.prober.loaded

    @cached_property
    def questions(self) -> Prompts:
        """The test facts' prompts."""
        return encode_questions(self.loaded, self.part.facts, self.part.base)

    @cached_property
    def held_out(self) -> list[str]:
        """Text of the kind that the model was pre-trained on, which it did not read; empty for models not made here."""
        from sftqa_core.knowledge import corpus, sources

        details = made_from(self.loaded.card).details
        if details.get("kind") != "model":
            return []
        made = PretrainSettings.from_dict(details["settings"])
        return corpus.held_out_documents(made, sources.open_source(made.source), HELD_OUT_DOCUMENTS)

    @cached_property
    def dev_questions(self) -> Prompts:
        """The dev facts' prompts."""
        return encode_questions(self.loaded, self.part.dev_facts, self.part.base)

    def do(self, piece: CellPiece) -> None:
        """One piece of the study."""
        (self.try_on_dev if piece.on_dev else self.finish)(piece.run)

    def finish(self, run: TrainSettings) -> None:
        """Train and store what the study wants to know."""
        began = time.monotonic()
        with self._tuned(run) as (selection, made):
            if not self.part.cells.has(run):
                self._answers(run, selection, made, began)
            if self.part.shifts_levels(run):
                self._levels(run, selection, made.tuned, began)

    def try_on_dev(self, run: TrainSettings) -> None:
        """Train and store the answers to dev facts alone."""
        began, part = time.monotonic(), self.part
        with self._tuned(run) as (selection, made):
            asked, aliases = self.dev_questions, part.prober.aliases
            table = predict(made.tuned.loaded, part.dev_facts, run, self.quiet, stage="dev", aliases=aliases, prompts=asked)
            numbers, came_from = run_numbers(made.tuned, began), origin(self.loaded.card)
            part.dev_cells.write(run, table, len(made.examples), selection.counts, numbers, origin=came_from)

    @contextmanager
    def _tuned(self, run: TrainSettings) -> Iterator[tuple[Selection, Made]]:
        """The run's examples and what it makes; forgotten as soon as what came of it is stored."""
        work = TrainingRun(run, self.quiet, self.part.prober)
        selection = work.selection()
        with tempfile.TemporaryDirectory() as scratch:
            made = work.tune(selection.facts, Path(scratch))
        yield selection, made
        made.settle()
        devices.return_freed_ram()

    def _answers(self, run: TrainSettings, selection: Selection, made: Made, began: float) -> None:
        part, tuned = self.part, made.tuned
        if run.more_shots:
            (stage,) = run.few_shot_stages
            table = few_shot_predictions(tuned.loaded, part.facts, self.part.source.facts, run, self.quiet, part.prober.aliases, stage)
        else:
            table = predict(tuned.loaded, part.facts, run, self.quiet, stage="after", aliases=part.prober.aliases, prompts=self.questions)
        shown = {"shown": float(table["shown"].mean())} if "shown" in table and len(table) else {}
        numbers = {**run_numbers(tuned, began), **shown}
        told = made.told() if run.recipe else None
        seen, come = (len(made.examples), selection.counts, numbers), origin(self.loaded.card)
        part.cells.write(run, table, *seen, origin=come, told=told, tables=made.tables)

    def _levels(self, run: TrainSettings, selection: Selection, tuned: TuneResult, began: float) -> None:
        """Probed with the random numbers of the second probe: what moves beyond that one is the training's doing."""
        part = self.part
        settings = replace(part.prober.settings, scheme=part.retest_scheme)
        table = probe_facts(tuned.loaded, part.source, part.again, settings, part.prober.aliases, reporter=self.quiet)
        more = {}
        if self.held_out:
            after = perplexity_of(tuned.loaded, self.held_out)
            ratio, error = after.log_ratio(self._before)
            more = {"perplexity": after.value, "perplexity_before": self._before.value, "log_ratio": ratio, "log_ratio_se": error}
        numbers = {**run_numbers(tuned, began), **more}
        part.shifts.write(run, table, len(selection.facts), selection.counts, numbers, part.retest_scheme, origin(self.loaded.card))

    @cached_property
    def _before(self) -> Perplexity:
        return perplexity_of(self.loaded, self.held_out)


def run_numbers(tuned: TuneResult, began: float) -> dict[str, float]:
    """What a cell keeps of its run beside the answers."""
    numbers = {"learning_rate": tuned.learning_rate, "steps": tuned.steps, "train_s": round(tuned.seconds, 3)}
    loss = {} if tuned.final_loss is None else {"final_loss": tuned.final_loss}
    return {**numbers, **loss, "seconds": round(time.monotonic() - began, 3)}
