"""A study is one record a kind: `STUDY` of the module that bears the kind's name. What its settings may say is in `records.STUDIES`.

A new kind is a row there, a module here, a page and, where no chart fits, a figure.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import zip_longest
from typing import Any

import pandas as pd

from sftqa_core.records import DOMAIN_NAMES, STUDIES, Finding, LevelScheme, StudySettings, TrainSettings
from sftqa_core.studies.statistics import Outcomes, Trials

Rows = Sequence[Mapping[str, Any]]  # of a report
Tables = Mapping[str, pd.DataFrame]
OfOne = Mapping[str, Callable[[Outcomes], pd.DataFrame]]  # a table's name -> its rows for one model
OfAll = Mapping[str, Callable[[Sequence[Outcomes]], pd.DataFrame]]


def one_run(settings: StudySettings, model: str, n: int, seed: int, most: int | None) -> list[TrainSettings]:
    """Examples as they come."""
    return [settings.run(model, n, seed)]


@dataclass(frozen=True)
class Crossed:
    """How the command line prints a table of shares: a line for each combination of `down`, a column for each value of `across`."""

    table: str
    down: tuple[str, ...]
    across: str
    value: str
    only: Mapping[str, str] = field(default_factory=dict)  # column -> value of the rows that are printed

    def cells(self, rows: Rows) -> tuple[list[str], list[list[str]]]:
        """The heading and the lines."""
        lines: dict[tuple[str, ...], dict[str, float | None]] = {}
        for row in rows:
            if all(row[name] == value for name, value in self.only.items()):
                line = tuple(str(DOMAIN_NAMES.get(row[name], row[name])) for name in self.down)
                lines.setdefault(line, {})[str(row[self.across])] = row[self.value]
        columns = list(dict.fromkeys(column for cells in lines.values() for column in cells))
        shares = [[*line, *(_formatted(cells.get(column), ".1%") for column in columns)] for line, cells in lines.items()]
        return [*self.down, *columns], shares


@dataclass(frozen=True)
class Listed:
    """A table whose rows the command line prints as they are."""

    table: str
    columns: Mapping[str, tuple[str, str]]  # column -> heading, format

    def cells(self, rows: Rows) -> tuple[list[str], list[list[str]]]:
        """The heading and the lines."""
        lines = [[_formatted(row[name], form) for name, (_, form) in self.columns.items()] for row in rows]
        return [heading for heading, _ in self.columns.values()], lines


def _formatted(value: Any, form: str) -> str:
    return "-" if value is None else format(value, form)


@dataclass(frozen=True)
class Choosing:
    """How a study chooses a value on dev facts before a test fact is asked (METHOD 8.5), and what it then compares on test facts."""

    tried: Callable[[StudySettings, str], dict[str, list[TrainSettings]]]  # value's name -> its runs on dev facts, a seed each
    choose: Callable[[Trials, LevelScheme], str | None]  # None before all of them are finished
    compared: Callable[[StudySettings, str, str], dict[str, list[TrainSettings]]]  # with that value: name -> runs in the order of seeds


@dataclass(frozen=True)
class Study:
    """What a study of one kind runs, counts and says."""

    tables: OfOne
    findings: Callable[[Sequence[Outcomes], Tables], Iterator[Finding]]  # from the outcomes and their tables
    printed: tuple[Crossed | Listed, ...]
    papers: str  # what they report (METHOD sections 3 and 4); of the first one only the title's claim is used
    tables_of_shots: OfOne = field(default_factory=dict)  # where examples are shown to the untouched model
    tables_of_all: OfAll = field(default_factory=dict)  # models side by side
    runs: Callable[[StudySettings, str, int, int, int | None], list[TrainSettings]] = one_run  # of one n and seed
    by_level: bool = False  # trains on single levels: train facts are probed, and the scarcest level bounds n
    probed_twice: bool = True  # the untouched model is probed again
    probed_after: bool = False  # tuned models are probed again
    choosing: Choosing | None = None  # a value is chosen on dev facts first

    def counted(self, settings: StudySettings, outcomes: Sequence[Outcomes]) -> tuple[dict[str, pd.DataFrame], tuple[Finding, ...]]:
        """Every table by name, and the findings; both empty without outcomes. Columns are documented where a table is made."""
        if not outcomes:
            return {}, ()
        of_one = {**self.tables, **(self.tables_of_shots if settings.shots else {})}
        tables = {name: pd.concat([make(part) for part in outcomes], ignore_index=True) for name, make in of_one.items()}
        tables |= {name: make(outcomes) for name, make in self.tables_of_all.items()}
        return tables, tuple(self.findings(outcomes, tables))


def find_study(kind: str) -> Study:
    """The study of that kind."""
    study: Study = import_module(f"sftqa_core.studies.{kind}").STUDY
    return study


def grid(settings: StudySettings, model: str, most: int | None = None, chosen: str | None = None) -> list[TrainSettings]:
    """The runs of one model on test facts, seed after seed, so that a study that is stopped in the middle has whole seeds.

    `most` is the number of train facts at the scarcest level, where that matters and is known; `chosen` the value that dev facts chose,
    before which a study that chooses is planned with the first one. Without examples no seed matters, so the untouched model is listed
    once; which examples it is shown (`shots`) is the seed's choice again.
    """
    study = find_study(settings.kind)
    if study.choosing:
        compared = study.choosing.compared(settings, model, chosen or next(iter(settings.values))).values()
        return list(dict.fromkeys(run for runs in zip_longest(*compared) for run in runs if run is not None))
    runs = [] if STUDIES[settings.kind].untouched_as_size else [settings.run(model, 0, settings.seeds[0])]
    for seed in settings.seeds:
        for n in settings.examples:
            if n != 0 or seed == settings.seeds[0]:
                runs += study.runs(settings, model, n, seed, most)
        runs += [settings.run(model, 0, seed, more_shots=(shots,)) for shots in settings.shots]
    return runs
