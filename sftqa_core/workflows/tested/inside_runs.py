"""Looking inside one tuned model: both models at hand, each measure taken and kept. Heavy: this loads torch.

The tuned model is the one that the run kept, or it is trained again from the run's settings: where no weights were kept, as in every cell
of a study, and for learning curves, which need the training itself. Either way its answers are compared with the stored ones.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from sftqa_core.errors import SettingsError
from sftqa_core.evaluation import predictions
from sftqa_core.evaluation.inside import curves, drift, kept_looks, knowledge, restoration
from sftqa_core.evaluation.inside.kept_looks import KeptLook
from sftqa_core.evaluation.inside.look import Look
from sftqa_core.evaluation.inside.pair import Pair
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.knowledge.aliases import rule_of
from sftqa_core.knowledge.sources import open_source
from sftqa_core.models import catalogue, loading
from sftqa_core.models.tuned import PREFIX
from sftqa_core.progress import Reporter
from sftqa_core.records import InsideSettings, TrainSettings
from sftqa_core.studies.cells import canonical
from sftqa_core.training import runs
from sftqa_core.training.selection import train_pool
from sftqa_core.workflows.tested.insides import refuse
from sftqa_core.workflows.tested.tested_models import tested
from sftqa_core.workflows.training import TrainingRun
from sftqa_core.workspace import Workspace

if TYPE_CHECKING:
    from sftqa_core.training.watching import Observer

Tables = Mapping[str, pd.DataFrame]


class InsideRun:
    """The state of one look while it is taken; what is kept already is not done again. Use it once: `finish`."""

    def __init__(self, settings: InsideSettings, reporter: Reporter):
        self.settings, self.reporter = settings, reporter
        self.model = tested(settings.name)
        refuse(self.model, settings.measures)
        self.run = TrainingRun(replace(settings.run, shots=0, more_shots=(), save_model=False), reporter)
        self.workspace = Workspace.current()
        self._observer: Observer | None = None
        self._settle: Callable[[], None] = lambda: None  # forgets the checkpoints of a training that was made again
        self._again = False  # whether the tuned model was trained again

    def finish(self) -> KeptLook:
        """Take what is missing, keep each measure as soon as it is there, and return all that is known of this run."""
        if missing := self.missing():
            self._take(missing)
        keys = {measure: self._key(measure) for measure in self.settings.measures}
        found = kept_looks.kept(self.workspace, self._identity, keys)
        if self.settings.name not in found.names:  # a run of the same settings was looked at under its own name
            about = Look(self.settings.name, self._told, found.labels, self._test, {})
            kept_looks.write(self.workspace, self._key(kept_looks.NAME), {}, self.run.source, about)
            found = kept_looks.kept(self.workspace, self._identity, keys)
        return found

    def _take(self, missing: list[str]) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            pair = self._pair(missing, Path(scratch))
            about, source = self._about(pair), open_source(self.settings.run.source)  # whole: a tiny model may not have read all of it
            for measure in missing:
                self.reporter.check()
                tables = self._look(measure, pair)
                kept_looks.write(self.workspace, self._key(measure), tables, source, about)
            self._settle()

    def missing(self) -> list[str]:
        """Measures that were not taken yet, the answers among them."""
        # curves before what takes long: they are of the training that has just been made
        measures = (kept_looks.ANSWERS, *sorted(self.settings.measures, key=lambda measure: measure != "curves"))
        return [measure for measure in measures if kept_looks.find(self.workspace, self._key(measure)) is None]

    def _key(self, measure: str) -> dict[str, object]:
        read = {"templates": self._templates, "examples": self._levels_trained_on}
        return kept_looks.key_of(self._identity, measure, self.settings, read)

    @cached_property
    def _identity(self) -> dict[str, object]:
        """What the tuned model and its test facts depend on."""
        prober = self.run.prober
        return {
            "settings": canonical(self.settings.run).to_dict(),
            "model": prober.fingerprint.to_dict(),
            "source": self.run.source.fingerprint,
            "aliases": prober.aliases.fingerprint(),
            "facts": fingerprint(list(self._test["fact_id"])),
            "match": rule_of(self._test, self.settings.run.match, prober.aliases),
            "levels": _levels(self._test),
            "dev": _levels(self._dev),
        }

    def _templates(self) -> str:
        """Which statements drift is measured at, and what chose them: a fingerprint."""
        run, prober = self.run, self.run.prober
        return fingerprint(drift.best_templates(prober.card, run.source, self._test, run.settings, prober.aliases).to_dict("list"))

    def _levels_trained_on(self) -> str:
        """Which examples the run was trained on, and the levels that are known of them: a fingerprint. Those that a recipe makes follow
        from these, but may be other facts of the source: of a recipe's run all train facts count."""
        facts = self._trained_on
        if self.run.settings.recipe is not None:
            pool = train_pool(self.run.source, self.run.settings)
            facts = pd.concat([facts, pool[~pool["fact_id"].isin(facts["fact_id"])]])
        facts = facts.sort_values("fact_id", ignore_index=True)
        return fingerprint([list(facts["fact_id"]), _levels(self._labelled(facts))])

    @cached_property
    def _trained_on(self) -> pd.DataFrame:
        """The examples that the run's settings choose, in the order in which they are drawn."""
        return self.run.selection().facts

    @cached_property
    def _dev(self) -> pd.DataFrame:
        return self._labelled(predictions.held_out_facts(self.run.source, self.settings.run, "dev"))

    @property
    def _told(self) -> TrainSettings:
        """The run's settings as looks are compared by them: equal for a run and for a cell of the same settings."""
        return replace(self.settings.run, shots=0, more_shots=(), save_model=True, device="auto")

    @cached_property
    def _test(self) -> pd.DataFrame:
        """The test facts with the levels that the run had, and its stored answers; relations in turns.

        Raises `SettingsError` where the source has none of them any more.
        """
        facts = predictions.held_out_facts(self.run.source, self.settings.run)
        stored = self.model.facts.set_index("fact_id")
        facts = facts[facts["fact_id"].isin(stored.index)].reset_index(drop=True)
        if facts.empty:
            raise SettingsError(f"None of the test facts of {self.model.name} is in {self.run.source.name} any more.")
        at = stored.loc[facts["fact_id"]]
        return facts.assign(level=at["level"].astype("Int64").array, stored=at["correct"].to_numpy().astype(bool))

    # ---- both models ----
    def _pair(self, missing: list[str], scratch: Path) -> Pair:
        run, settings = self.run, self.settings.run
        if self.model.weights and "curves" not in missing:
            self.reporter.log(f"Loading the weights that {self.model.name} kept ...")
            tuned = loading.load_model(catalogue.find_model(f"{PREFIX}{self.model.name}"), settings.device, reporter=self.reporter)
            examples = runs.read_run(self.model.name).examples()  # of a recipe not those that were chosen
        else:
            self.reporter.log(f"Training {self.model.name} again from its settings ...")
            self._again, selected = True, self._trained_on
            if "curves" in missing:
                self._observer = curves.observer(
                    run.prober.loaded, self._labelled(selected), self._dev, settings, self.settings, self.reporter
                )
            made = run.tune(selected, scratch, run.look(), observer=self._observer)
            self._settle = made.settle
            tuned, examples = made.tuned.loaded, made.examples
        before = run.base_answers(self._test)["before"]
        after = predictions.predict(tuned, self._test, settings, self.reporter, stage="after", aliases=run.prober.aliases)
        test = self._test.assign(
            base_text=before["text"], base_correct=before["correct"], text=after["text"], correct=after["correct"]
        )  # fmt: skip
        return Pair(run.prober.loaded, tuned, settings, run.source, run.prober.aliases, test, self._dev, self._labelled(examples))

    def _labelled(self, facts: pd.DataFrame) -> pd.DataFrame:
        """Facts with their levels as far as these are known."""
        known = self.run.prober.known(facts)
        levels = {} if known is None else dict(zip(known["fact_id"], known["level"], strict=True))
        return facts.assign(level=pd.array([levels.get(fact) for fact in facts["fact_id"]], dtype="Int64"))

    def _about(self, pair: Pair) -> Look:
        """What stands in every manifest; says whether the model at hand is the one that was stored."""
        differing, facts = int((pair.test["correct"] != pair.test["stored"]).sum()), len(pair.test)
        again = "Trained again from its settings" if self._again else "The weights that it kept"
        same = f"right and wrong are as stored on all {facts:,} facts" if not differing else (
            f"{differing:,} of {facts:,} facts differ in right or wrong from what was stored ({differing / facts:.1%})"
        )  # fmt: skip
        self.reporter.log(f"{again}: {same}.")
        return Look(self.model.name, self._told, tuple(self.settings.run.scheme.labels), pair.test, {}, f"{again}: {same}.")

    # ---- measures ----
    def _look(self, measure: str, pair: Pair) -> Tables:
        if measure == kept_looks.ANSWERS:
            return {kept_looks.ANSWERS: pair.test[["fact_id", "level", "base_correct", "correct"]].astype({"level": "Int8"})}
        if measure == "curves":
            assert self._observer is not None
            return curves.look(pair, self.settings, self.reporter, self._observer.seen)
        looks: dict[str, Callable[[Pair, InsideSettings, Reporter], Tables]] = {
            "drift": drift.look, "restoration": restoration.look, "knowledge": knowledge.look,
        }  # fmt: skip
        return looks[measure](pair, self.settings, self.reporter)


def _levels(facts: pd.DataFrame) -> str:
    """Fingerprint of the levels of some facts."""
    return fingerprint([None if pd.isna(level) else int(level) for level in facts["level"]])
