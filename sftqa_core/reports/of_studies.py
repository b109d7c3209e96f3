"""The report of a study: what its page shows, of all its models, with methods and settings."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pandas as pd

from sftqa_core import reading, workflows
from sftqa_core.errors import NotFound, SftqaError
from sftqa_core.figures.curves import amount_figure
from sftqa_core.figures.level_shift import flows_figure, moves_figure
from sftqa_core.figures.matrices import matrix_figure
from sftqa_core.figures.model_comparison import ranks_figure, shares_figure
from sftqa_core.figures.recipe_effects import claims_figure, effects_figure, knob_figure
from sftqa_core.jsonrecord import declared
from sftqa_core.knowledge.atlas import PLANTED, PLANTED_HEAD, is_atlas
from sftqa_core.records import DOMAIN_NAMES, STUDIES, StudyReport, StudySettings
from sftqa_core.records.comparison import MACRO
from sftqa_core.records.job import command_of
from sftqa_core.records.setting_words import ModelName, study_words
from sftqa_core.reports import methods
from sftqa_core.reports import study_words as words
from sftqa_core.reports.blocks import Beside, Block, Chart, Finding, Paragraph, Quoted, Report, Section, Table
from sftqa_core.reports.made_with import closing, default_rate, model_names, settings_table
from sftqa_core.reports.private_names import Names

ROWS = 300  # of each table, in the file
Tables = Mapping[str, pd.DataFrame]


def study_page(name: str) -> Report:
    """Everything that a study's page shows. Raises `NotFound`, and what opening its facts raises."""
    settings, named = _settings_of(name), model_names()
    report = workflows.study_report(settings)
    tables = {title: _named(table, named) for title, table in reading.study_tables(name).items()}
    private = Names((settings,))
    public = private.settings(settings)
    kind = STUDIES[settings.kind]
    far = f"{report.done:,} of {report.planned:,} runs done"
    sections = [
        Section("Findings", list(_findings(report, named))),
        *(_charts(settings, tables, named) if report.done else []),
        Section(words.NOTES_TITLE, [Paragraph(_with_names(note, settings, named)) for note in report.notes], folded=True),
        *(Section(f"All numbers: {title.replace('_', ' ')}", [_numbers(table)], folded=True) for title, table in tables.items()),
        *closing(
            methods.of_study(report, report.notes[0] if report.notes else "", named),
            [command_of(public)], [settings_table(settings, ("models", "source", "seeds", "sizes"), named)], [settings],
        ),
        Section("The study as a file", [Quoted(workflows.study_yaml(public), "bibtex")], folded=True),
    ]  # fmt: skip
    about = f"{kind.about} {study_words(settings, default_rate, named)} · {far}"
    return Report(f"{kind.title} ({name})", about, sections, private)


def _settings_of(name: str) -> StudySettings:
    known = {study.name: study.settings for study in workflows.studies()}
    if name not in known:
        raise NotFound(f"There is no study {name[:80]!r} here. Studies: {', '.join(known) or 'none'}.")
    return known[name]


def _named(table: pd.DataFrame, named: ModelName) -> pd.DataFrame:
    columns = [column for column in ("model", "other") if column in table]
    return table.assign(**{column: table[column].map(named) for column in columns})


def _with_names(text: str, settings: StudySettings, named: ModelName) -> str:
    """A sentence that calls models as people do."""
    for model in sorted(settings.models, key=len, reverse=True):
        if (shown := named(model)) != model:
            text = text.replace(model, shown)
    return text


def _findings(report: StudyReport, named: ModelName) -> Iterator[Block]:
    if not report.findings:
        yield Paragraph(words.NO_FINDINGS if report.done else words.NO_RUNS)
    for question in dict.fromkeys(finding.question for finding in report.findings):
        yield Paragraph("", question)
        for finding in report.findings:
            if finding.question == question:
                about, text = (_with_names(one, report.settings, named) for one in (finding.about, finding.text))
                yield Finding(about, finding.verdict, text)
    if is_atlas(report.settings.source):
        yield Paragraph(PLANTED, PLANTED_HEAD)


def _numbers(table: pd.DataFrame) -> Table:
    limit = f"The first {ROWS} of {len(table):,} rows; `sftqa_core.reading.study_tables` has all." if len(table) > ROWS else ""
    return Table.of(table.head(ROWS), about=limit or ("No rows." if table.empty else ""))


# ---- charts ----
def _charts(settings: StudySettings, tables: Tables, named: ModelName) -> list[Section]:
    makers: dict[str, Callable[[StudySettings, Tables, ModelName], Iterator[Section]]] = {
        "amount": _amount, "level": _level, "models": _models, "shift": _shift, "recipe": _recipe,
    }  # fmt: skip
    return list(makers[settings.kind](settings, tables, named))


def _by_domain(table: pd.DataFrame, alt: str, figure: Callable[[str], Any]) -> list[Block]:
    """A chart of each domain that the table holds, side by side."""
    domains = [domain for domain in DOMAIN_NAMES if "domain" in table and (table["domain"] == domain).any()]
    charts = [Chart(figure(domain), f"{alt}, {domain}-domain", f"{DOMAIN_NAMES[domain].capitalize()} facts") for domain in domains]
    return [Beside(charts)] if charts else []


def _amount(settings: StudySettings, tables: Tables, named: ModelName) -> Iterator[Section]:
    curve, shots = tables["curve"], tables.get("in_context")
    drawn = _by_domain(curve, "Accuracy against examples", partial(amount_figure, curve, level=MACRO, in_context=shots))
    yield Section(f"Accuracy ({MACRO}) against the number of examples", [*drawn, Paragraph(words.AMOUNT, small=True)] if drawn else [])
    if len(tables["enough"]):
        yield Section("Accuracy relative to the best", [Table.of(tables["enough"], words.ENOUGH_TITLES)], folded=True)


def _level(settings: StudySettings, tables: Tables, named: ModelName) -> Iterator[Section]:
    matrix, labels = tables["matrix"], settings.scheme.labels
    apart: dict[tuple[str, str, str], str] = {}
    with contextlib.suppress(SftqaError):
        apart = workflows.told_apart(tables)
    for model in map(named, settings.models):
        rows = matrix[matrix["model"] == model] if len(matrix) else matrix
        if not len(rows):
            continue
        found = {
            domain: {test: train for (whose, where, test), train in apart.items() if (whose, where) == (model, domain)}
            for domain in DOMAIN_NAMES
        }

        def figure(domain: str, model: str = model, found: dict[str, dict[str, str]] = found) -> Any:
            return matrix_figure(matrix, model, domain, labels, "accuracy", found[domain])

        drawn = _by_domain(rows, f"Accuracy by train and test level, {model}", figure)
        caption = words.matrix_caption(rows, any(found.values()))
        yield Section(f"{model}: accuracy by training level (rows) and test level (columns)", [*drawn, Paragraph(caption, small=True)])


def _models(settings: StudySettings, tables: Tables, named: ModelName) -> Iterator[Section]:
    shares, curve, labels = tables["shares"], tables["curve"], settings.scheme.labels
    yield Section(
        "What they know before tuning",
        _by_domain(shares, "Facts by level for each model", partial(shares_figure, shares, labels=labels)),
    )
    if len(tables["ranks"]):
        chart = Chart(ranks_figure(tables["ranks"]), "Rank correlations between models", "Rank correlation of memory scores")
        yield Section("Do they know the same facts?", [Beside([chart])])
    drawn = _by_domain(curve, "Accuracy before and after", partial(amount_figure, curve, level=MACRO))
    yield Section("After tuning on the same examples", [*drawn, Paragraph(words.AMOUNT, small=True)] if drawn else [])
    if len(tables["differences"]):
        yield Section("Every pair of models", [Table.of(tables["differences"], words.PAIR_TITLES)], folded=True)


def _shift(settings: StudySettings, tables: Tables, named: ModelName) -> Iterator[Section]:
    transitions, moves, labels = tables["transitions"], tables["moves"], settings.scheme.labels
    for model in map(named, settings.models):
        rows = transitions[transitions["model"] == model] if len(transitions) else transitions
        for after in dict.fromkeys(rows["after"]) if len(rows) else ():
            title = f"{model}: " + ("base model, probed again: chance alone" if after == words.UNTOUCHED else f"after tuning, {after}")
            flows = partial(flows_figure, transitions, model, after=after, labels=labels)
            drawn = _by_domain(rows[rows["after"] == after], f"Facts by level before and after: {after}", flows)
            yield Section(title, drawn, folded=after == words.UNTOUCHED)
        drawn = _by_domain(rows, "Shares of facts that kept or changed their level", partial(moves_figure, moves, model))
        yield Section(f"{model}: kept, lost, gained", drawn)


def _recipe(settings: StudySettings, tables: Tables, named: ModelName) -> Iterator[Section]:
    labels, recipe = settings.scheme.labels, settings.recipe
    assert recipe is not None
    knob_name = declared(type(recipe))[recipe.knob].label
    for model in map(named, settings.models):
        effect, claims, knob, cost, lost = (_of(tables[name], model) for name in ("effect", "claims", "knob", "cost", "forgetting"))
        if len(knob):
            chart = Chart(knob_figure(knob, knob_name), "Dev accuracy by value of the main setting", f"{knob_name}, chosen on dev facts")
            yield Section(f"{model}: what dev facts chose", [Beside([chart]), Paragraph(words.KNOB, small=True)])
        if len(effect):
            drawn = _by_domain(effect, "Accuracy by level of everything compared", partial(effects_figure, effect, labels=labels))
            yield Section(f"{model}: accuracy by level", [*drawn, Paragraph(words.EFFECT, small=True)])
        if len(claims):
            drawn = _by_domain(claims, "Differences with intervals", partial(claims_figure, claims, labels=labels))
            yield Section(f"{model}: differences", [*drawn, Paragraph(words.CLAIMS, small=True)])
        if len(cost):
            time = Table.of(cost.drop(columns=["model", "seeds", "seed_ratios"]), words.COST_TITLES, "Time, on the machine of each run.")
            forgotten = Table.of(
                lost.drop(columns=["model", "seeds", "per_seed"]), words.FORGETTING_TITLES, "Facts that were right before."
            )
            yield Section(f"{model}: what it cost", [Beside([time, forgotten])])


def _of(table: pd.DataFrame, model: str) -> pd.DataFrame:
    return table[table["model"] == model] if len(table) else table
