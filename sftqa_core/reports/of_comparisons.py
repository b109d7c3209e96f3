"""The report of runs and cells beside each other: what the page Compare shows, with methods and settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from sftqa_core import workflows
from sftqa_core.figures.overlaid import Line, overlaid_figure
from sftqa_core.knowledge.atlas import PLANTED, PLANTED_HEAD, is_atlas
from sftqa_core.records import DOMAIN_NAMES, ComparedRun, Comparison
from sftqa_core.records.job import command_of
from sftqa_core.records.result_names import bundle_of, is_cell, study_and_rest
from sftqa_core.records.setting_words import ModelName, cell_words, differences, source_name
from sftqa_core.reports import comparison_words, methods
from sftqa_core.reports.blocks import Beside, Block, Chart, Paragraph, Report, Section, Table
from sftqa_core.reports.made_with import closing, default_rate, imported, model_names, settings_table
from sftqa_core.reports.private_names import Names

DIFFERENT = 200  # facts that were not answered alike, in the file


def comparison_report(names: Sequence[str], reference: str | None = None, pool: bool = False, against: str | None = None) -> Report:
    """Everything that Compare shows of these runs and cells. Raises `NotFound`, `SettingsError`."""
    compared = workflows.compare(names, reference, pool, against)
    comparison, named = compared.comparison, model_names()
    settings = [run.settings for run in comparison.runs]
    private = Names(tuple(settings))
    came = _bundles(comparison)
    commands = [command_of(private.settings(one)) for one in settings if one.n or one.more_shots]
    beside = ["sftqa", "compare", *(private.text(name) for name in names), *(["--pool"] if pool else [])]
    beside += [*(["--reference", reference] if reference else []), *(["--against", against] if against else [])]
    tables = [_settings(run, named) for run in comparison.runs]
    sections = [
        Section("What is compared", [*imported(came), *_legend(comparison, named)]),
        Section("What differs, and what moved", [_table(comparison, named)]),
        Section("Accuracy per memory level", list(_charts(comparison))),
        Section("Which is better?", list(_tests(comparison))),
        Section("Facts that were not answered alike", list(_facts(compared.items, comparison)), folded=True),
        *closing(
            methods.with_imports(methods.of_comparison(comparison, named), came),
            [" ".join(beside), *dict.fromkeys(commands)], [Beside(tables)], settings,
        ),
    ]  # fmt: skip
    title = "Comparison of runs" if len(comparison.runs) > 1 else f"Cell {names[0]}" if is_cell(names[0]) else f"Run {names[0]}"
    return Report(title, f"{len(comparison.runs)} side by side on {comparison.facts:,} test facts in common", sections, private)


def _bundles(comparison: Comparison) -> dict[str, str]:
    """Bundle -> labels of what was imported with it; no labels where nothing else is compared."""
    found: dict[str, list[str]] = {}
    for run in comparison.runs:
        for bundle in dict.fromkeys(filter(None, map(bundle_of, run.names))):
            found.setdefault(bundle, []).append(run.label)
    return {bundle: ", ".join(labels) if len(comparison.runs) > 1 else "" for bundle, labels in found.items()}


def _title(run: ComparedRun, named: ModelName) -> str:
    """One column of the comparison in a line."""
    settings = run.settings
    start = f"{named(settings.model)} · {source_name(settings.source)} · {cell_words(settings, seed=False)}"
    cell = is_cell(run.names[0])
    more = [word for word in differences(settings, default_rate) if not word.startswith(("levels ", "no k-shot", "seed "))]
    seeds = f"seed{'s' if len(run.seeds) > 1 else ''} {', '.join(map(str, run.seeds))}"
    where = f"cell of {study_and_rest(run.names[0])[0]}" if cell else f"run {', '.join(run.names)}"
    return " · ".join([start, *more, seeds, where])


def _legend(comparison: Comparison, named: ModelName) -> Iterator[Block]:
    yield from (Paragraph(_title(run, named), run.label) for run in comparison.runs)
    yield from (Paragraph(f"{named(base.model)} before tuning", base.label) for base in comparison.bases)
    if not comparison.facts:
        yield Paragraph(comparison_words.NO_FACTS)
    yield from (Paragraph(note, small=True) for note in comparison.notes)
    if is_atlas(comparison.runs[0].settings.source):
        yield Paragraph(PLANTED, PLANTED_HEAD)


def _settings(run: ComparedRun, named: ModelName) -> Table:
    table = settings_table(run.settings, ("model", "source", "n", "method"), named)
    return Table((run.label, "Value"), table.rows, f"All others are defaults. Seeds: {', '.join(map(str, run.seeds))}.")


def _table(comparison: Comparison, named: ModelName) -> Table:
    """A row for each accuracy and setting, a column for each of the comparison."""
    rows = comparison_words.settings_rows(comparison, named)
    head = ["", *(row[""] for row in rows)]
    lines = [[name, *(row.get(name, "") for row in rows)] for name in dict.fromkeys(name for row in rows for name in row) if name]
    return Table(head, lines, comparison_words.settings_caption(comparison))


def _charts(comparison: Comparison) -> Iterator[Block]:
    charts = []
    for domain in [domain for domain in DOMAIN_NAMES if comparison.runs[0].accuracy[domain].micro.n]:
        title = f"{DOMAIN_NAMES[domain].capitalize()} facts"
        lines = [Line(base.label, base.accuracy[domain], base=True) for base in comparison.bases]
        lines += [Line(run.label, run.accuracy[domain]) for run in comparison.runs]
        charts.append(Chart(overlaid_figure(lines), f"Accuracy per memory level of {len(comparison.runs)} runs. {title}.", title))
    if charts:
        yield Beside(charts)
        yield Paragraph(comparison_words.CHART_CAPTION, small=True)


def _tests(comparison: Comparison) -> Iterator[Block]:
    if len(comparison.runs) < 2 or not comparison.facts:
        return
    told, others = comparison_words.tests_headline(comparison)
    yield Paragraph(others.lstrip("; "), f"{told}{';' if others.startswith(';') else ''}")
    rows = comparison_words.test_rows(comparison)
    if rows:
        titles = {"difference": "Difference, points", "only first": "Only the first right", "only second": "Only the second right"}
        only = {name: [f"{row[name]:g}" for row in rows] for name in ("only first", "only second")}
        shown = pd.DataFrame(rows).assign(difference=[row["difference"] / 100 for row in rows], **only)
        yield Table.of(shown.rename(columns={"p": "p-value"}), titles)  # its texts are made
    yield from (Paragraph(why, small=True) for why in comparison_words.untested(comparison))
    yield Paragraph(comparison_words.TESTS_CAPTION, small=True)


def _facts(items: pd.DataFrame, comparison: Comparison) -> Iterator[Block]:
    if len(comparison.runs) < 2:
        return
    differ = items[items["differ"]]
    shown = differ.head(DIFFERENT)
    columns: dict[str, Any] = {"subject": shown["subject"], "level": shown["level"], "answers": shown["answers"]}
    for run in comparison.runs:
        share, text = shown[f"correct {run.label}"], shown[f"text {run.label}"]
        columns[run.label] = [_answer(right, words, len(run.seeds)) for right, words in zip(share, text, strict=True)]
    limit = f"; the first {DIFFERENT} are here, and `sftqa compare --items FILE` writes all" if len(differ) > DIFFERENT else ""
    words = "" if all(run.words for run in comparison.runs) else " Cells of studies keep which answers were right, not their words."
    yield Table.of(pd.DataFrame(columns), about=f"{len(differ):,} of {len(items):,} facts in common{limit}.{words}")


def _answer(right: float, words: str | None, seeds: int) -> str:
    mark = ("right" if right == 1 else "wrong" if right == 0 else "some") if seeds == 1 else f"{round(right * seeds)} of {seeds} right"
    return mark if words is None or words != words else f"{mark}: {words}"
