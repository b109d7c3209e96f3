"""One fine-tuning run from settings to run folder: levels, examples, answers before, training, answers after."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from sftqa_core.errors import SettingsError
from sftqa_core.evaluation import intervals, predictions
from sftqa_core.knowledge import matching
from sftqa_core.knowledge.sources import open_source
from sftqa_core.memory import profiles, speeds
from sftqa_core.memory.prober import Prober
from sftqa_core.models import catalogue, chat_templates, quantising
from sftqa_core.models.loading import LoadedModel
from sftqa_core.models.serving.addresses import KIND as SERVER
from sftqa_core.models.serving.served_models import ServedModel
from sftqa_core.models.serving.server_limits import refuse_on_server
from sftqa_core.planning.fit import likely_longest, try_examples
from sftqa_core.progress import Reporter
from sftqa_core.records import DOMAINS, RunSummary, TrainSettings
from sftqa_core.records.tuning import probe_settings
from sftqa_core.training import fine_tuning, optimizers, runs, trainer, trying
from sftqa_core.training.recipes import carry_out
from sftqa_core.training.recipes.stages import Made, Stages
from sftqa_core.training.selection import Selection, available, needs_levels, next_to_probe, select_examples, train_pool
from sftqa_core.training.time_limit import TimeLimit, UntilThen
from sftqa_core.training.watching import Observer, Right
from sftqa_core.workspace import Workspace

Look = Callable[[LoadedModel], Right]


class TrainingRun:
    """The state of one run while it is made. Use it once: `finish`, or `selection` alone."""

    def __init__(self, settings: TrainSettings, reporter: Reporter, prober: Prober | None = None, token: str | None = None):
        self.settings = settings
        self.token = token
        self._limit = TimeLimit.of(settings)  # runs from here
        self._unlimited = reporter
        self.reporter = UntilThen(reporter, self._limit) if self._limit else reporter
        self.prober = prober or Prober(profiles.open_for(settings.model, settings.source), probe_settings(settings), self.reporter)
        self.source = self.prober.source
        self.seconds: dict[str, float] = {}
        self._tried = False

    @cached_property
    def _all_facts(self) -> pd.DataFrame:
        """The source's own table. The majority object is counted on it, facts that a tiny model did not read included."""
        return open_source(self.settings.source).facts

    def finish(self) -> RunSummary:
        """Do everything and store it; returns the headline."""
        began = time.monotonic()
        quantising.refuse_second_adapter(self.prober.card, self.settings)
        facts = predictions.held_out_facts(self.source, self.settings)
        predictions.require_test_facts(facts, self.source.name)
        refuse_on_server(self.prober.card, self.settings)
        with self._timed("select"):
            selection = self.selection()  # first: a number that can't be supplied is reported before anything costs time
        self.settings = replace(self.settings, n=len(selection.facts))
        if len(selection.facts):  # one that does not fit is reported first, too
            trainer.encode_examples(self.prober.loaded, selection.facts, self.settings)
        predictions.encode_questions(self.prober.asked, facts, self.settings)
        for note in chat_templates.chat_notes(self.prober.asked.card, self.settings.prompt):
            self.reporter.log(note)
        self._try_first(selection.facts)
        with self._timed("probe"):
            levels = self.prober.levels(facts)
        before = self.base_answers(facts)
        self.reporter = self._unlimited  # from here on the training itself minds the time limit, and what comes after it has none
        with tempfile.TemporaryDirectory() as scratch:
            made = self._made(selection.facts, Path(scratch))
            self.seconds["train"] = made.tuned.seconds
            with self._timed("after"):
                after = self._answers_after(made.tuned, facts, before)
            if isinstance(made.tuned.loaded, LoadedModel):
                self.settings = replace(self.settings, learning_rate=made.tuned.learning_rate)
            stages = {**before, "after": after}
            self._remember(made.tuned.examples_seen, len(facts))
            summary = self._store(Path(scratch), selection, facts, levels, stages, made, began)
        made.settle()
        return summary

    def selection(self, label: bool = False) -> Selection:
        """The examples, probing train facts as far as the wanted levels need it; with `label`, or for a recipe that needs it, every
        example's level. For other recipes levels are told as far as they are known."""
        settings = self.settings
        label = label or (settings.recipe is not None and settings.recipe.needs_levels)
        if self.prober.card.kind == SERVER:
            _ = self.prober.asked  # levels that are known hold for the model that the server has now
        levels = None
        if needs_levels(settings):
            levels = self._levels_of_train()
        if settings.n == TrainSettings.ALL:
            self.settings = settings = replace(settings, n=available(self.source, levels, settings).total)
        while needs_levels(settings) and len(wanted := next_to_probe(self.source, levels, settings)):
            self.try_first()
            more = self.prober.levels(wanted)
            levels = more if levels is None else pd.concat([levels, more], ignore_index=True).drop_duplicates("fact_id", keep="last")
        chosen = select_examples(self.source, levels, settings)
        if (label or settings.recipe is not None) and not needs_levels(settings):
            levels = self.prober.levels(chosen.facts) if label else self.prober.known(chosen.facts)
            return select_examples(self.source, levels, settings)
        return chosen

    def try_first(self) -> None:
        """Where work on this device begins with a trial (training/trying.py): try the longest examples that may be drawn.

        Raises `OutOfMemory`.
        """
        pool = train_pool(self.source, self.settings)
        n = len(pool) if self.settings.n == TrainSettings.ALL else self.settings.n
        with contextlib.suppress(SettingsError):  # one that does not fit the model need not be drawn; if it is, the run reports it
            self._try_first(likely_longest(self.settings, pool, n))

    def _try_first(self, examples: pd.DataFrame) -> None:
        if not self._tried and self.settings.n and trying.tried_first(self.prober.device, self.prober.card.parameters, self.settings.gpus):
            self._tried = True
            try_examples(self.prober.loaded, examples, self.settings, self.reporter)

    def look(self) -> Look | None:
        """Counts right answers to a sample of dev facts, relations in turns; None where the settings ask for no evaluation."""
        if self.settings.eval_every is None:
            return None
        facts = predictions.held_out_facts(self.source, self.settings, "dev").head(self.settings.eval_facts)
        prompts = predictions.encode_questions(self.prober.asked, facts, self.settings)

        def look(tuned: LoadedModel) -> dict[str, tuple[int, int]]:
            right = predictions.predict(tuned, facts, self.settings, stage="dev", aliases=self.prober.aliases, prompts=prompts)["correct"]
            domains = facts["domain"].reset_index(drop=True)
            return {domain: (int((domains == domain).sum()), int(right[domains == domain].sum())) for domain in DOMAINS}

        return look

    def _levels_of_train(self) -> pd.DataFrame | None:
        """Levels of train facts known already; of all of them when every fact of a level is wanted."""
        pool = train_pool(self.source, self.settings)
        known = self.prober.known(pool)
        if self.settings.n == TrainSettings.ALL:
            if known is None or len(known) < len(pool):
                self.try_first()
            return self.prober.levels(pool)
        return known if known is not None and len(known) else None

    def _answers_after(self, tuned: fine_tuning.TuneResult[Any], facts: pd.DataFrame, before: dict[str, pd.DataFrame]) -> pd.DataFrame:
        """Of a model on a server, which was not tuned, those of before: asked again they would differ by the server's rounding alone."""
        if isinstance(tuned.loaded, ServedModel):
            return before["before"].assign(stage="after")
        return predictions.predict(tuned.loaded, facts, self.settings, self.reporter, stage="after", aliases=self.prober.aliases)

    def tune(
        self,
        examples: pd.DataFrame,
        folder: Path,
        look: Look | None = None,
        limit: TimeLimit | None = None,
        observer: Observer | None = None,
    ) -> Made:
        """Plain fine-tuning on the chosen facts, or the run's recipe, for runs and cells alike; its files go into `folder`. `limit`: a time
        limit that runs already. `observer`: asks the model things in the middle of plain fine-tuning; `SettingsError` for a recipe."""
        prober, limit = self.prober, limit or TimeLimit.of(self.settings)
        known = (self.source, prober.aliases, prober.levels)
        return carry_out(Stages(prober.loaded, self.settings, examples, *known, folder, self.reporter, look, limit, observer))

    def _made(self, examples: pd.DataFrame, folder: Path) -> Made:
        if isinstance(self.prober.asked, ServedModel):
            return Made(fine_tuning.not_tuned(self.prober.asked, folder), examples)
        return self.tune(examples, folder, self.look(), self._limit)

    def base_answers(self, facts: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """Predictions of the base model without and with examples, and of the majority object."""
        settings, loaded, aliases = self.settings, self.prober.asked, self.prober.aliases
        model = chat_templates.asked_by(loaded.fingerprint, loaded.card, settings.prompt)

        def few_shot(stage: str) -> Callable[[], pd.DataFrame]:
            return lambda: predictions.few_shot_predictions(loaded, facts, self.source.facts, settings, self.reporter, aliases, stage)

        makers = {"before": lambda: predictions.predict(loaded, facts, settings, self.reporter, stage="before", aliases=aliases)}
        makers |= {stage: few_shot(stage) for stage in settings.few_shot_stages}
        answers = {}
        for stage, make in makers.items():
            with self._timed(stage):
                table, cached = predictions.kept_predictions(
                    stage, model, facts, self.source, settings, aliases, make, catalogue.origin(loaded.card)
                )
                answers[stage] = table.assign(stage=stage)
            if cached:
                self.reporter.log(f"The base model's answers ({stage}) were cached.")
                self.seconds[stage] = 0.0
        answers["majority"] = predictions.majority_predictions(facts, self._all_facts, settings.match, aliases)
        return answers

    def _remember(self, examples: int, facts: int) -> None:
        """Speeds of this run; `examples` that its steps have seen, one in each epoch."""
        done = {"train": (examples, "train"), "answer": (facts, "after")}
        if self.settings.eval_every is not None or self.settings.recipe is not None:
            done.pop("train")  # its time holds answers, too, and it may have ended early
        work = {kind: (pieces, self.seconds.get(stage, 0.0)) for kind, (pieces, stage) in done.items()}
        for stage, shots in self.settings.few_shot_stages.items():
            if self.seconds.get(stage):  # one that was not known already
                work["few_shot"] = (speeds.few_shot_pieces(facts, shots), self.seconds[stage])
        speeds.remember(self.prober.asked.fingerprint, **work)

    def _store(
        self,
        scratch: Path,
        selection: Selection,
        facts: pd.DataFrame,
        levels: pd.DataFrame,
        stages: dict[str, pd.DataFrame],
        made: Made,
        began: float,
    ) -> RunSummary:
        run_id = runs.new_run_id(self.settings)
        self.seconds["eval"] = sum(self.seconds.get(stage, 0.0) for stage in ("before", *self.settings.few_shot_stages, "after"))
        self.seconds["all"] = time.monotonic() - began
        accuracy = {stage: intervals.accuracy_by_level(table, facts, levels, self.settings.scheme) for stage, table in stages.items()}
        plain = facts[~facts["echo"]]
        summary = RunSummary(
            run_id,
            len(made.examples),
            accuracy["before"],
            accuracy["after"],
            {stage: accuracy[stage] for stage in (*self.settings.few_shot_stages, "majority")},
            {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
            {stage: intervals.accuracy_by_level(table, plain, levels, self.settings.scheme) for stage, table in stages.items()},
            predictions.fewer_shown(stages, self.settings) or None,
        )
        answers, manifest = pd.concat(stages.values(), ignore_index=True), self._manifest(selection, made)
        contents = runs.RunContents(self.settings, summary, answers, facts, levels, made.examples, manifest)
        runs.write_run(Workspace.current(), run_id, contents, scratch)
        return summary

    def _manifest(self, selection: Selection, made: Made) -> dict[str, Any]:
        loaded, tuned = self.prober.asked, made.tuned
        steps = optimizers.training_steps(len(selection.facts), self.settings.batch_size, self.settings.epochs)
        planned = made.planned_steps or (tuned.steps if self.settings.recipe else steps)
        model = chat_templates.asked_by(loaded.fingerprint, loaded.card, self.settings.prompt)
        guesses = predictions.majority_objects(self._all_facts, self.prober.aliases)
        return {
            "model": {**catalogue.origin(loaded.card), **model.to_dict()},
            "token": self.token,
            "source": {"name": self.source.name, "fingerprint": self.source.fingerprint},
            "aliases": self.prober.aliases.fingerprint(),
            "matching": matching.VERSION,
            "device": loaded.device,
            "dtype": loaded.fingerprint.dtype,
            "examples": {"counts": selection.counts, "probed": selection.probed, "echo": selection.echo, "seen": tuned.examples_seen},
            "training": {
                "steps": tuned.steps,
                "planned_steps": planned,
                "kept_step": tuned.kept_step,
                "cut": tuned.cut,  # by the time limit
                "trained_parameters": tuned.trained_parameters,
                "modules": list(tuned.modules),
                "final_loss": tuned.final_loss,
            },
            **({"recipe": made.told()} if self.settings.recipe else {}),
            "majority": {relation: {"answer": g.answer, "split": g.split, "facts": g.facts, "of": g.of} for relation, g in guesses.items()},
        }

    @contextlib.contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        self.reporter.check()
        began = time.monotonic()
        yield
        self.seconds[stage] = time.monotonic() - began
