"""What is known of the real models whose results come with the program: every table that the page "Real models" and `sftqa real` show.

Read from stored results alone: levels, completions' hits, cells of studies, runs. Any part of them may be missing; then its rows are. Runs
no model and never loads torch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sftqa_core.artifacts import Kept
from sftqa_core.errors import SftqaError
from sftqa_core.knowledge.entity_sample import NAME as SOURCE
from sftqa_core.models import measured
from sftqa_core.records import SLICK, LevelScheme, StudySettings, SweepReport, TrainSettings
from sftqa_core.workflows.study_reports import studies, study_name, study_outcomes
from sftqa_core.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.evaluation.real_tables import Answers
    from sftqa_core.memory.profiles import Profile
    from sftqa_core.models.measured import Measured
    from sftqa_core.studies.statistics import Outcomes

AMOUNT, RECIPE = "amount", "recipe"
FEW = 60  # examples: the papers' number


@dataclass(frozen=True)
class RealStudy:
    """The study of amounts of one model."""

    settings: StudySettings
    done: int
    planned: int
    cells: tuple[str, ...] = ()  # names of those that answer "60 examples, or examples in the prompt?"; of a finished study

    @property
    def name(self) -> str:
        return study_name(self.settings)

    @property
    def finished(self) -> bool:
        return 0 < self.planned == self.done


@dataclass(frozen=True, eq=False)  # known by identity
class RealModels:
    """Everything that is known of them. Columns are documented where a table is made: real_tables.py, studies/real_amounts.py."""

    models: tuple[Measured, ...]  # whose cards ship, whether or not something is known of them
    # levels, agreement, asked, majority, curve and in_context (of studies.amount), tuned, beside_shown
    tables: Mapping[str, pd.DataFrame]
    crossed: Mapping[str, Any]  # model -> workflows.Trust: level against level
    studies: Mapping[str, RealStudy]  # by model
    rates: Mapping[str, tuple[SweepReport, ...]]  # by model: sweeps over learning rates on dev facts, one a method
    taught: tuple[Taught, ...] = ()  # models that went on from one of these, of which levels are stored


@dataclass(frozen=True, eq=False)
class Taught:
    """A real model that went on reading from another: its memory scores against how often it was told of each fact."""

    about: Measured
    way: str  # of measuring: the full probe, or likelihood where that is all there is
    facts: pd.DataFrame  # those that were told, also never, and have a level: exposures, contested, scores, level, subject, relation
    rank: pd.DataFrame  # studies.models.planted of them


def real_levels(scheme: LevelScheme | None = None) -> pd.DataFrame:
    """The table of levels alone, which is there at once."""
    from sftqa_core.evaluation.real_tables import LEVELS, empty

    tables = [_levels(name, scheme or LevelScheme())[1] for name in measured.found_models()]
    return _stacked(tables) if tables else empty(LEVELS)


def real_models(scheme: LevelScheme | None = None) -> RealModels:
    """Read it all; `scheme`: the levels (the paper's by default)."""
    from sftqa_core.studies import real_amounts

    about = measured.found_models()
    parts = [_OneModel(name, scheme or LevelScheme(), _common()) for name in about]
    tables = [part.tables() for part in parts]
    together = {name: _stacked([one[name] for one in tables]) for name in tables[0]} if tables else {}
    if parts:
        together["majority"] = _stacked([parts[0].always(), together["majority"]])
    together["beside_shown"] = real_amounts.told_together([row for part in parts for row in part.beside])
    crossed = {part.model: part.trust for part in parts if part.trust.facts}
    studied = {part.model: part.study for part in parts if part.study}
    rates = {name: measured.rates(name) for name in about}
    return RealModels(tuple(about.values()), together, crossed, studied, rates, tuple(_taught(scheme or LevelScheme())))


def _taught(scheme: LevelScheme) -> Iterator[Taught]:
    from sftqa_core.evaluation.real_tables import FULL, LIKELIHOOD
    from sftqa_core.studies.models import planted_rows

    ways = _ways(scheme)
    for name, about in measured.taught_models().items():
        for way in (FULL, LIKELIHOOD):
            known = _profile(name, ways[way])
            facts = known.take(known.rows)
            facts = facts[facts["exposures"].notna() & facts["score"].notna()] if "exposures" in facts else facts.head(0)
            if len(facts):
                yield Taught(about, way, facts.reset_index(drop=True), planted_rows(name, facts))
                break


def real_stamp() -> tuple[Any, ...]:
    """Changes with anything that `real_models` reads; lists folders only."""
    from sftqa_core.memory.profiles import profile_stamp

    workspace, stamps = Workspace.current(), list[Any]()
    for name in measured.measured_models(workspace):
        stamps += [name, *(profile_stamp(name, SOURCE, scheme) for scheme in (*_ways(LevelScheme()).values(), SLICK))]
    for folder in (layer / kind for layer in workspace.layers for kind in ("cells", "studies", "runs", measured.FOLDER, measured.RATES)):
        with contextlib.suppress(OSError):
            stamps.append(folder.stat().st_mtime_ns)
    return tuple(stamps)


def _ways(scheme: LevelScheme) -> dict[str, LevelScheme]:
    """By what they are called in the tables; and the full probe again."""
    from sftqa_core.evaluation.real_tables import FULL, LIKELIHOOD

    full = replace(scheme, method="sampling")
    again = replace(full, sampling=replace(full.sampling, seed=full.sampling.seed + 1))
    return {FULL: full, LIKELIHOOD: replace(scheme, method="likelihood"), "again": again}


def _levels(model: str, scheme: LevelScheme) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """By way of measuring the test facts that have a level (fact_id, domain, relation, level), and the shares of all ways."""
    from sftqa_core.evaluation.real_tables import FULL, LIKELIHOOD, level_shares

    known, ways = dict[str, Any](), _ways(scheme)
    for way in (FULL, LIKELIHOOD):
        profile = _profile(model, ways[way])
        facts = profile.take(profile.rows, ["fact_id", "domain", "relation", "level"])
        known[way] = facts[facts["level"].notna()]
    return known, _stacked([level_shares(model, way, facts, scheme.labels) for way, facts in known.items()])


def _profile(model: str, scheme: LevelScheme) -> Profile:
    from sftqa_core.memory.profiles import profile

    return profile(model, SOURCE, "test", "all", scheme)


def _common() -> pd.Series:
    """Whether the relation's commonest train object answers a test fact, by its id."""
    from sftqa_core.evaluation.real_tables import commonest
    from sftqa_core.knowledge.aliases import load_aliases
    from sftqa_core.knowledge.sources import open_source

    source, aliases = open_source(SOURCE), load_aliases()
    facts, match = source.facts, TrainSettings(SOURCE).match
    key = (source.fingerprint, aliases.fingerprint(), match)
    return _commons.get(key, lambda: commonest(facts[facts["split"] == "test"], facts, match, aliases))


_commons: Kept[pd.Series] = Kept(2)


def _stacked(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    return pd.concat([table for table in tables if len(table)] or list(tables[:1]), ignore_index=True)


class _OneModel:
    """All that is read of one model."""

    def __init__(self, model: str, scheme: LevelScheme, common: pd.Series):
        from sftqa_core.studies import real_amounts
        from sftqa_core.workflows.lookups import trust

        self.model, self.scheme, self.common = model, scheme, common
        self.trust = trust(model, SOURCE, scheme=replace(scheme, method="sampling"))
        own = [(settings, study_outcomes(replace(settings, models=(model,)))) for settings in _studies_of(model)]
        self.parts = {study_name(settings): (settings, part) for settings, parts in own for part in parts}
        self.answers = real_amounts.base_answers([part for _, part in self.parts.values()], _answers_of_runs(model))
        self.study, self.outcomes = self._amount()
        self.beside = real_amounts.beside_shown(self.outcomes, self.answers) if self.outcomes else []

    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table's rows of this model."""
        from sftqa_core.evaluation import real_tables

        levels, shares = _levels(self.model, self.scheme)
        labels, common = self.scheme.labels, self.common
        by_fact = {way: facts.set_index("fact_id")["level"].astype(int) for way, facts in levels.items()}
        full, likely = by_fact[real_tables.FULL], by_fact[real_tables.LIKELIHOOD]
        shared = full.index.intersection(likely.index)
        by_fact[real_tables.BOTH] = full.loc[shared][full.loc[shared] == likely.loc[shared]]
        asked = [real_tables.asked_by_level(self.model, way, known, self.answers, common, labels) for way, known in by_fact.items()]
        return {
            "levels": shares,
            "agreement": self._agreement(),
            "asked": _stacked(asked),
            "majority": self._majority(levels),
            **self._tuned(),
        }

    def always(self) -> pd.DataFrame:
        """What always saying the commonest object answers, of all test facts: the same for every model."""
        from sftqa_core.evaluation.real_tables import ALL_FACTS, majority_shares

        return majority_shares("", ALL_FACTS, self._domains(), self.common)

    def _domains(self) -> pd.Series:
        known = _profile(self.model, self.scheme)
        return known.take(known.rows, ["fact_id", "domain"]).set_index("fact_id")["domain"]

    def _agreement(self) -> pd.DataFrame:
        from sftqa_core.evaluation import real_tables

        rows = [real_tables.agreement_row(self.model, name, found) for name, found in self.trust.agreements.items()]
        rows += [real_tables.slick_row(self.model, self.trust.slick)] if self.trust.slick else []
        return _stacked(rows) if rows else real_tables.empty(real_tables.AGREEMENT)

    def _majority(self, levels: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        from sftqa_core.evaluation.real_tables import KNOWN, MAJORITY, RIGHT, empty, majority_shares

        tables, common = [], self.common
        for way, facts in levels.items():
            above = facts[facts["level"].astype(int) > 0].set_index("fact_id")["domain"]
            tables += [majority_shares(self.model, f"{KNOWN}{way}", above, common)] if len(facts) else []
        domains = self._domains()
        for prompt, table in self.answers.items():
            right = table.index[table.mean(axis=1) > 0.5].intersection(domains.index)  # with most seeds
            tables.append(majority_shares(self.model, f"{RIGHT}{prompt}", domains.loc[right], common))
        return _stacked(tables) if tables else empty(MAJORITY)

    def _tuned(self) -> dict[str, pd.DataFrame]:
        """Of a study that is finished."""
        from sftqa_core.evaluation.real_tables import empty
        from sftqa_core.studies import amount, real_amounts

        if self.outcomes is None:
            return {"curve": empty(amount.CURVE), "in_context": empty(amount.IN_CONTEXT), "tuned": empty(real_amounts.TUNED)}
        curve, shown = amount.curve(self.outcomes), real_amounts.in_context(self.outcomes, self.answers)
        return {"curve": curve, "in_context": shown, "tuned": real_amounts.tuned_stages(curve, shown, self.outcomes, self.common)}

    def _amount(self) -> tuple[RealStudy | None, Outcomes | None]:
        """The study of amounts that is farthest, and its outcomes where it is finished."""
        found = [(settings, part) for settings, part in self.parts.values() if settings.kind == AMOUNT]
        if not found:
            return None, None
        settings, part = max(found, key=lambda one: (0 < one[1].planned == one[1].done, one[1].done))
        whole = 0 < part.planned == part.done
        study = RealStudy(settings, part.done, part.planned, self._beside_cells(settings, part) if whole else ())
        return study, part if whole else None

    def _beside_cells(self, settings: StudySettings, part: Outcomes) -> tuple[str, ...]:
        """Cells of 60 examples (or of the fewest), then those with examples in the prompt, else the untouched one."""
        from sftqa_core.workflows.tested.tested_models import cell_name

        sizes = sorted({run.n for run in part.runs if run.n > 0})
        few = FEW if FEW in sizes else next(iter(sizes), 0)
        tuned = [run for run in part.runs if run.n == few and run.n > 0]
        shown = [run for run in part.runs if run.more_shots] or [run for run in part.runs if run.n == 0]
        return tuple(cell_name(settings, run) for run in (*tuned, *shown))


def _studies_of(model: str) -> list[StudySettings]:
    """Studies of plain tuning with this model on these facts, asked in the usual way; of one with several models this one's part."""
    usual, found = TrainSettings(model), list[StudySettings]()
    for known in studies():
        settings = known.settings
        same = (settings.source, settings.prompt, settings.match) == (SOURCE, usual.prompt, usual.match)
        if same and model in settings.models and settings.kind != RECIPE and settings.quantization == usual.quantization:
            found.append(settings)
    return found


def _answers_of_runs(model: str) -> Answers:
    """What finished runs kept of the untouched model's answers: with the plain prompt, and with as many examples in front."""
    import pandas as pd

    from sftqa_core.evaluation.real_tables import PLAIN, SHOTS, SHOWN
    from sftqa_core.training.runs import list_runs, read_run

    usual, columns = TrainSettings(model), {PLAIN: dict[int, pd.Series](), SHOWN: dict[int, pd.Series]()}
    for run in list_runs():
        settings = run.settings
        asked = (run.model, run.source, settings.prompt, settings.match, settings.quantization)
        if asked != (model, SOURCE, usual.prompt, usual.match, usual.quantization):
            continue
        with contextlib.suppress(SftqaError):  # one that can't be read: Results says so
            predictions = read_run(run.id).predictions()
            shown = next((stage for stage, shots in settings.few_shot_stages.items() if shots == SHOTS), None)
            for prompt, seed, stage in ((PLAIN, 0, "before"), (SHOWN, settings.seed, shown)):
                rows = predictions[predictions["stage"] == stage].set_index("fact_id")["correct"].astype(float)
                if len(rows):
                    before = columns[prompt].get(seed)
                    columns[prompt][seed] = rows if before is None else before.combine_first(rows)
    return {prompt: pd.DataFrame(by_seed) for prompt, by_seed in columns.items() if by_seed}
