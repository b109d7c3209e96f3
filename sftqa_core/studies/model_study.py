"""A study, model by model: which cells there are, which are left, what has to be probed. Never loads torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from sftqa_core.errors import NotEnoughFacts
from sftqa_core.evaluation.predictions import held_out_facts, require_test_facts
from sftqa_core.knowledge.aliases import rule_of
from sftqa_core.knowledge.facts import pick_facts
from sftqa_core.knowledge.matching import VERSION
from sftqa_core.memory import profiles, stored_levels
from sftqa_core.memory.prober import Prober
from sftqa_core.models import catalogue, chat_templates, devices, quantising, tuned
from sftqa_core.progress import Reporter, Silent
from sftqa_core.records import CorpusSettings, LevelScheme, ModelCard, StudySettings, TrainSettings
from sftqa_core.records.tuning import probe_settings
from sftqa_core.studies import registry
from sftqa_core.studies.cells import Cells
from sftqa_core.studies.statistics import Outcomes, Trials
from sftqa_core.training import optimizers, selection
from sftqa_core.workspace import Workspace


@dataclass(frozen=True)
class _Stored:
    """The cells of one device, and what follows from them."""

    answers: Cells
    shifts: Cells
    dev: Cells
    retest_scheme: LevelScheme
    chosen: str | None  # by the dev facts
    wanted: list[TrainSettings]  # the runs on test facts
    count: int  # of all runs those that have a folder

    def has_levels(self, run: TrainSettings) -> bool:
        """Whether the tuned model was probed again."""
        return self.shifts.has(run, self.retest_scheme)


class ModelStudy:
    """One model's part of a study."""

    def __init__(self, study: StudySettings, model: str, reporter: Reporter | None = None):
        self.study, self.model, self.kind = study, model, registry.find_study(study.kind)
        self.reporter = reporter or Silent()
        self.base = study.run(model, 0, study.seeds[0])
        self.prober = Prober(profiles.open_for(model, study.source), probe_settings(self.base), self.reporter)
        self.source = self.prober.source
        self.facts = held_out_facts(self.source, self.base)

    @cached_property
    def cells(self) -> Cells:
        """Answers to the test facts."""
        return self._cells(self.facts)

    @cached_property
    def dev_facts(self) -> pd.DataFrame:
        """What a study that chooses a value chooses by."""
        return held_out_facts(self.source, self.base, "dev")

    @cached_property
    def dev_cells(self) -> Cells:
        """Answers to the dev facts."""
        return self._cells(self.dev_facts)

    @cached_property
    def tried(self) -> dict[str, list[TrainSettings]]:
        """Runs on dev facts by the value that they try; empty for a study that chooses none."""
        return self.kind.choosing.tried(self.study, self.model) if self.kind.choosing else {}

    @cached_property
    def again(self) -> pd.DataFrame:
        """The test facts that are probed a second time: by the shift study after tuning too."""
        return pick_facts(self.facts, None, None, seed=0, per_relation=self.study.retest_limit)

    @cached_property
    def shifts(self) -> Cells:
        """Levels afterwards of the facts that are probed again."""
        return self._cells(self.again)

    @cached_property
    def train_facts(self) -> pd.DataFrame:
        """What examples are chosen from."""
        return selection.train_pool(self.source, self.base)

    @property
    def _fingerprint(self) -> catalogue.ModelFingerprint:
        """What answers. Raises `SettingsError` for a chat with a model that knows none."""
        return chat_templates.asked_by(self.prober.fingerprint, self.prober.card, self.study.prompt)

    def _cells(self, facts: pd.DataFrame) -> Cells:
        rate = optimizers.default_learning_rate(self.study.method, self.prober.card.parameters)
        model, aliases = self._fingerprint.to_dict(), self.prober.aliases.fingerprint()
        return Cells.of(Workspace.current(), model, self.source.fingerprint, aliases, list(facts["fact_id"]), rate)

    @property
    def retest_scheme(self) -> LevelScheme:
        """The same levels by other random numbers: what chance alone moves."""
        scheme = self.study.scheme
        return replace(scheme, sampling=replace(scheme.sampling, seed=scheme.sampling.seed + 1))

    def require_facts(self) -> None:
        """Raise `NotEnoughFacts` for a size that the source can't supply, and where there is nothing to measure on."""
        most, source = len(self.train_facts), self.study.source
        if large := [n for n in self.study.examples if n > most]:
            asked = f"{max(large):,} examples were asked for, but {source} has {most:,} train facts for {self.model}."
            raise NotEnoughFacts(f"{asked} Leave out the sizes {', '.join(f'{n:,}' for n in large)}.")
        if self.tried and (large := [run.n for run in chain(*self.tried.values(), self.grid()) if run.n > most]):
            asked = f"A run of this study takes {max(large):,} examples, but {source} has {most:,} train facts for {self.model}."
            raise NotEnoughFacts(f"{asked} Choose fewer examples, or other values of the recipe's main setting.")
        require_test_facts(self.facts, source, self.model)
        if self.tried and self.dev_facts.empty:
            raise NotEnoughFacts(f"{source} has no dev facts, and nothing may be chosen on test facts. Choose another source.")

    def grid(self) -> list[TrainSettings]:
        """All runs of this model on test facts. A level study's n is lowered as soon as the levels of all train facts are known; before a
        value is chosen on dev facts, the first one stands for it."""
        return registry.grid(self.study, self.model, self.comparable(), self.chosen())

    def chosen(self) -> str | None:
        """The value that dev facts chose; None before every run on them is done, and for a study that chooses none."""
        return self._trials(self.dev_cells).chosen if self.tried else None

    def dev_left(self) -> list[TrainSettings]:
        """Runs on dev facts that are not done, value after value."""
        return [run for runs in self.tried.values() for run in runs if not self.dev_cells.has(run)]

    def left(self) -> list[TrainSettings]:
        """Runs on test facts that are not done. Before a value is chosen no answer to a test fact is read: they are counted by their
        folders."""
        if self.tried and self.chosen() is None:
            return [run for run in self.grid() if self.cells.folder(run) is None]
        return [run for run in self.grid() if not self.done(run)]

    def done(self, run: TrainSettings) -> bool:
        """Whether everything that the study wants of this run is there."""
        return self.cells.has(run) and (not self.shifts_levels(run) or self.shifts.has(run, self.retest_scheme))

    def shifts_levels(self, run: TrainSettings) -> bool:
        """Whether the run's model is probed again."""
        return self.kind.probed_after and run.n != 0

    def comparable(self) -> int | None:
        """Train facts of the scarcest level; None where that is not known, or does not matter."""
        return self._scarcest(profiles.known_levels(self.prober, self.train_facts)) if self.kind.by_level else None

    def _scarcest(self, levels: pd.DataFrame | None) -> int | None:
        if not self.kind.by_level or levels is None or len(levels) < len(self.train_facts):
            return None
        counts = levels["level"].value_counts()
        return int(min(counts.get(level, 0) for level in range(len(self.study.scheme.labels))))

    def identity(self) -> dict[str, Any]:
        """Everything that a finished study's numbers depend on, beside its settings; cheap, and the same wherever files lie."""
        stored = self._fullest()
        answers = stored.answers
        same = {"model": answers.model, "source": self.source.fingerprint, "aliases": answers.aliases, "facts": answers.facts}
        if self.tried:
            same["dev"] = stored.dev.facts
        return same if self._rule == self.study.match else {**same, "match": self._rule}

    @cached_property
    def _rule(self) -> str:
        """The matching rule, with its version where that makes a difference to the test facts."""
        return rule_of(self.facts, self.study.match, self.prober.aliases)

    def _view_levels(self) -> int | None:
        """`comparable`, by levels from whatever device measured them."""
        levels = None
        if self.kind.by_level and self.source.large:
            stores = stored_levels.stores_of(self.prober.card, self.prober.settings)
            levels = profiles.level_table(self.model, self.study.source, self.study.scheme, stores).levels(self.train_facts)
        elif self.kind.by_level:
            levels = stored_levels.stored_levels(self.prober.card, self.source, self.train_facts, self.prober.settings)
        return self._scarcest(levels)

    def outcomes(self) -> Outcomes:
        """What is known now. Levels come from whatever device measured them, answers from the one that has most."""
        card, settings = self.prober.card, self.prober.settings
        facts = self._with_levels(self.facts)
        retest = stored_levels.stored_levels(card, self.source, self.again, replace(settings, scheme=self.retest_scheme))
        stored = self._fullest()
        wanted, trials = stored.wanted, self._trials(stored.dev) if self.tried else None
        if trials and trials.chosen and self.study.recipe:
            trials = replace(trials, tables=self._own_tables(stored.answers, trials.compared[self.study.recipe.title]))
        readable = wanted if trials is None or trials.chosen else ()  # before a value is chosen no answer to a test fact is read
        answered = {run: cell for run in readable if (cell := stored.answers.read(run))}
        moved = {run: cell for run in wanted if self.shifts_levels(run) and (cell := stored.shifts.read(run, self.retest_scheme))}
        whole = retest if len(retest) == len(self.again) and facts["level"].notna().all() else None
        done = sum(run in answered and (run in moved or not self.shifts_levels(run)) for run in wanted)
        cells, planned = [*answered.values(), *moved.values()], len(wanted)
        if trials is not None:
            cells += trials.cells.values()
            done, planned = done + len(trials.cells), planned + sum(map(len, trials.runs.values()))
        before = sum(cell.matching < VERSION for cell in cells) if self._rule != settings.match else 0
        return Outcomes(self.model, self.study.scheme, facts, answered, planned, whole, moved, _mixture(card), done, before, trials)

    def _with_levels(self, facts: pd.DataFrame) -> pd.DataFrame:
        """Facts with their levels as far as they are known, from whatever device measured them."""
        levels = stored_levels.stored_levels(self.prober.card, self.source, facts, self.prober.settings)
        return facts.merge(levels, on="fact_id", how="left", validate="one_to_one").astype({"level": "Int64"})

    def _trials(self, dev: Cells) -> Trials:
        """What these answers to dev facts say."""
        choosing = self.kind.choosing
        assert choosing is not None
        cells = {run: cell for runs in self.tried.values() for run in runs if (cell := dev.read(run))}
        trials = Trials(self._with_levels(self.dev_facts), self.tried, cells, None, {}, {})
        chosen = choosing.choose(trials, self.study.scheme)
        return trials if chosen is None else replace(trials, chosen=chosen, compared=choosing.compared(self.study, self.model, chosen))

    def _own_tables(self, answers: Cells, runs: Sequence[TrainSettings]) -> dict[TrainSettings, dict[str, pd.DataFrame]]:
        """The tables that a recipe's runs gave, and where they are of facts, the levels of these as far as they are known."""
        own = {run: answers.recipe_tables(run) for run in runs}
        for tables in own.values():
            for name, table in tables.items():
                if "fact_id" in table:
                    facts = self.source.facts[self.source.facts["fact_id"].isin(table["fact_id"])]
                    known = self._with_levels(facts).set_index("fact_id")["level"]
                    given = table["level"].astype("Int64") if "level" in table else pd.Series(pd.NA, table.index, dtype="Int64")
                    tables[name] = table.assign(level=given.fillna(table["fact_id"].map(known).astype("Int64")))
        return own

    def progress(self) -> tuple[int, int]:
        """Runs of which everything that the study wants is there, on the device that has most of them, and all runs."""
        stored = self._fullest()
        tried = [run for runs in self.tried.values() for run in runs]
        done = sum(stored.dev.has(run) for run in tried)
        if not tried or stored.chosen:  # before that no answer to a test fact is read
            done += sum(stored.answers.has(run) and (not self.shifts_levels(run) or stored.has_levels(run)) for run in stored.wanted)
        return done, len(stored.wanted) + len(tried)

    def _fullest(self) -> _Stored:
        """The cells of the device that has done most of the runs: this machine's need not be the one that shipped them."""
        model, most = self._fingerprint.to_dict(), self._view_levels()
        names = dict.fromkeys((self.prober.device, *devices.NUMBER_FORMATS))
        formats = [{"device": name, "dtype": quantising.number_format(name, self.study.quantization)} for name in names]
        return max((self._stored(model | device, most) for device in formats), key=lambda stored: stored.count)

    def _stored(self, model: dict[str, Any], most: int | None) -> _Stored:
        answers, shifts, dev = (replace(cells, model=model) for cells in (self.cells, self.shifts, self.dev_cells))
        tried = [run for runs in self.tried.values() for run in runs]
        found = sum(dev.folder(run) is not None for run in tried)
        chosen = self._trials(dev).chosen if tried and found == len(tried) else None
        wanted = registry.grid(self.study, self.model, most, chosen)
        found += sum(answers.folder(run) is not None for run in wanted)
        return _Stored(answers, shifts, dev, self.retest_scheme, chosen, wanted, found)

    def folders(self) -> list[Path]:
        """Where the finished cells of this model lie."""
        wanted = self.grid()
        folders = [self.cells.folder(run) for run in wanted]
        folders += [self.shifts.folder(run, self.retest_scheme) for run in wanted if self.shifts_levels(run)]
        folders += [self.dev_cells.folder(run) for runs in self.tried.values() for run in runs]
        return [folder for folder in folders if folder is not None]

    def wanted_levels(self) -> list[tuple[LevelScheme, pd.DataFrame]]:
        """What has to be probed before the first run: under which scheme, and which facts."""
        scheme = self.study.scheme
        wanted = [(scheme, self.facts)]
        if self.tried:
            wanted.insert(0, (scheme, self.dev_facts))
        if self.kind.by_level:
            wanted.append((scheme, self.train_facts))
        if self.kind.probed_twice:
            wanted.append((self.retest_scheme, self.again))
        return wanted


def _mixture(card: ModelCard) -> str:
    """What a model that was made here read, in a sentence."""
    if card.kind == tuned.KIND:
        return f"{card.name}: {card.note}"
    corpus, made = card.details.get("corpus", {}), card.details.get("settings", {})
    if not corpus or not made:
        return ""
    documents, mix = corpus["documents"], CorpusSettings.from_dict(made["corpus"])
    words = f"{card.name} ({card.architecture}, {card.parameters or 0:,} parameters) read {documents['statements']:,} statements"
    words += f" and {documents['questions']:,} question documents, {mix.qa_answered_share:.0%} of those with a reply answered rightly"
    changed = [
        f"mentions times {mix.exposure_scale:g}" if mix.exposure_scale != 1 else "",
        f"those of {mix.redealt_share:.0%} of the facts dealt out anew" if mix.redealt_share else "",
        f"{mix.contested_kept:.0%} of the contested facts contested" if mix.contested_kept != 1 else "",
    ]
    return f"{words}; {', '.join(filter(None, changed)) or 'mentions as the world has them'}."
