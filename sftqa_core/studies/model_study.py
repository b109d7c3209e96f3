"""A study, model by model: which cells there are, which are left, what has to be probed. Never loads torch."""

from dataclasses import replace
from functools import cached_property
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
from sftqa_core.studies.statistics import Outcomes
from sftqa_core.training import optimizers, selection
from sftqa_core.workspace import Workspace


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
        require_test_facts(self.facts, source, self.model)

    def grid(self) -> list[TrainSettings]:
        """All runs of this model. A level study's n is lowered as soon as the levels of all train facts are known."""
        return registry.grid(self.study, self.model, self.comparable())

    def left(self) -> list[TrainSettings]:
        """Runs that are not done."""
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
        answers, _ = self._fullest(self._view_grid())
        same = {"model": answers.model, "source": self.source.fingerprint, "aliases": answers.aliases, "facts": answers.facts}
        return same if self._rule == self.study.match else {**same, "match": self._rule}

    @cached_property
    def _rule(self) -> str:
        """The matching rule, with its version where that makes a difference to the test facts."""
        return rule_of(self.facts, self.study.match, self.prober.aliases)

    def _view_grid(self) -> list[TrainSettings]:
        """The grid by levels from whatever device measured them."""
        levels = None
        if self.kind.by_level and self.source.large:
            stores = stored_levels.stores_of(self.prober.card, self.prober.settings)
            levels = profiles.level_table(self.model, self.study.source, self.study.scheme, stores).levels(self.train_facts)
        elif self.kind.by_level:
            levels = stored_levels.stored_levels(self.prober.card, self.source, self.train_facts, self.prober.settings)
        return registry.grid(self.study, self.model, self._scarcest(levels))

    def outcomes(self) -> Outcomes:
        """What is known now. Levels come from whatever device measured them, answers from the one that has most."""
        card, settings = self.prober.card, self.prober.settings
        levels = stored_levels.stored_levels(card, self.source, self.facts, settings)
        facts = self.facts.merge(levels, on="fact_id", how="left", validate="one_to_one").astype({"level": "Int64"})
        retest = stored_levels.stored_levels(card, self.source, self.again, replace(settings, scheme=self.retest_scheme))
        wanted = self._view_grid()
        answers, shifts = self._fullest(wanted)
        answered = {run: cell for run in wanted if (cell := answers.read(run))}
        moved = {run: cell for run in wanted if self.shifts_levels(run) and (cell := shifts.read(run, self.retest_scheme))}
        whole = retest if len(retest) == len(self.again) and facts["level"].notna().all() else None
        done = sum(run in answered and (run in moved or not self.shifts_levels(run)) for run in wanted)
        before = sum(cell.matching < VERSION for cell in (*answered.values(), *moved.values())) if self._rule != settings.match else 0
        return Outcomes(self.model, self.study.scheme, facts, answered, len(wanted), whole, moved, _mixture(card), done, before)

    def progress(self) -> tuple[int, int]:
        """Runs of which everything that the study wants is there, on the device that has most of them, and all runs."""
        wanted = self._view_grid()
        answers, shifts = self._fullest(wanted)
        done = (answers.has(run) and (not self.shifts_levels(run) or shifts.has(run, self.retest_scheme)) for run in wanted)
        return sum(done), len(wanted)

    def _fullest(self, wanted: list[TrainSettings]) -> tuple[Cells, Cells]:
        """The cells of the device that has done most of the runs: this machine's need not be the one that shipped them."""
        model = self._fingerprint.to_dict()
        names = dict.fromkeys((self.prober.device, *devices.NUMBER_FORMATS))
        formats = [{"device": name, "dtype": quantising.number_format(name, self.study.quantization)} for name in names]
        both = [(replace(self.cells, model=model | device), replace(self.shifts, model=model | device)) for device in formats]
        return max(both, key=lambda pair: sum(pair[0].folder(run) is not None for run in wanted))

    def folders(self) -> list[Path]:
        """Where the finished cells of this model lie."""
        wanted = self.grid()
        folders = [self.cells.folder(run) for run in wanted]
        folders += [self.shifts.folder(run, self.retest_scheme) for run in wanted if self.shifts_levels(run)]
        return [folder for folder in folders if folder is not None]

    def wanted_levels(self) -> list[tuple[LevelScheme, pd.DataFrame]]:
        """What has to be probed before the first run: under which scheme, and which facts."""
        scheme = self.study.scheme
        wanted = [(scheme, self.facts)]
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
