"""The report of one run: what the page Results shows, with methods and settings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from sftqa_core import reading, workflows
from sftqa_core.errors import SftqaError
from sftqa_core.figures.curves import looks_figure, loss_figure
from sftqa_core.figures.levels import accuracy_figure, change_counts, change_table
from sftqa_core.knowledge.atlas import PLANTED, PLANTED_HEAD, is_atlas
from sftqa_core.records import DOMAIN_NAMES
from sftqa_core.records.amounts import percent, points
from sftqa_core.records.job import command_of
from sftqa_core.records.result_names import bundle_of
from sftqa_core.records.setting_words import ModelName, differences, source_name
from sftqa_core.reports import methods, run_words
from sftqa_core.reports.blocks import Beside, Block, Chart, Number, Numbers, Paragraph, Report, Section, Table
from sftqa_core.reports.made_with import closing, default_rate, imported, model_names, settings_table
from sftqa_core.reports.private_names import Names
from sftqa_core.training.runs import Run

CHANGED = 200  # predictions that changed, in the file; the program has them all
_CHANGE_COLUMNS = ("subject", "change", "level", "before", "after", "answers", "relation")


def run_report(run_id: str) -> Report:
    """Everything that Results shows of a run, for offline reading. Raises `NotFound`, `ArtifactDamaged`."""
    run = workflows.run(run_id)
    names, settings = model_names(), run.settings
    facts = run.facts()
    tested = {domain: after.natural_n for domain, after in run.summary.after.items()}
    came = {bundle: ""} if (bundle := bundle_of(run_id)) else {}
    paragraph = methods.with_imports(methods.of_run(replace(settings, n=run.summary.n), tested, _templates(facts), names), came)
    private = Names((settings,))
    commands = [command_of(private.settings(settings))]
    about = [source_name(settings.source), *differences(settings, default_rate, "method"), f"run {run_id}"]
    sections = [
        Section("In short", [*imported(came), *_headline(run)]),
        Section("Accuracy per memory level", list(_accuracy(run, names))),
        Section("Predictions that changed", list(_changes(run, facts)), folded=True),
        Section("Training curves", list(_training(run)), folded=True),
        Section("All numbers", [Table.of(reading.accuracy(run_id), {"low": "95% from", "high": "to"})], folded=True),
        *closing(
            paragraph, commands, [settings_table(settings, ("model", "source", "n", "method", "seed"), names)], [settings],
            {str(name): str(at) for name, at in run.versions.items()},
        ),
    ]  # fmt: skip
    return Report(f"{names(settings.model)}, tuned on {run.summary.n:,} examples", " · ".join(about), sections, private)


def _templates(facts: pd.DataFrame) -> int | None:
    """Templates of a relation, where all have as many."""
    if "hits_per_template" not in facts:
        return None
    counts = {len(hits) for hits in facts["hits_per_template"] if hits is not None and not isinstance(hits, float)}
    return counts.pop() if len(counts) == 1 else None


def _headline(run: Run) -> list[Block]:
    numbers = [
        Number(
            tile.name, percent(tile.value),
            "" if tile.value is None or tile.before is None else f"{points(tile.value - tile.before)} points against the base model",
            tile.lines,
        )
        for tile in run_words.tiles(run.summary)
    ]  # fmt: skip
    missing = run_words.untested_domains(run.summary)
    return [*([Numbers(numbers)] if numbers else []), *([Paragraph(missing, small=True)] if missing else [])]


def _accuracy(run: Run, names: ModelName) -> Iterator[Block]:
    summary, settings = run.summary, run.settings
    stages = {shots: stage for stage, shots in settings.few_shot_stages.items() if stage != "few_shot" and stage in summary.baselines}
    charts = []
    for domain in [domain for domain, after in summary.after.items() if after.natural_n]:
        few_shot, majority = (summary.baselines.get(name, {}).get(domain) for name in ("few_shot", "majority"))
        more = {shots: summary.baselines[stage][domain] for shots, stage in stages.items()}
        figure = accuracy_figure(summary.before[domain], summary.after[domain], few_shot, majority, shots=settings.shots, more=more)
        title = f"{DOMAIN_NAMES.get(domain, domain).capitalize()} facts"
        charts.append(Chart(figure, f"Accuracy per memory level. {title}.", title, run_words.domain_words(domain, settings)))
    if charts:
        yield Beside(charts)
    moved = None
    with contextlib.suppress(SftqaError):  # model or facts are gone
        moved = workflows.moved_levels(run.id)
    yield Paragraph(f"{run_words.ACCURACY_CAPTION} {run_words.level_error(names(settings.model), moved)}", small=True)
    notes = [
        run_words.cut_note(run),
        run_words.fewer_shots_note(summary, settings),
        workflows.run_rule(run.id),
        *run_words.recipe_notes(run),
    ]
    yield from (Paragraph(note, small=True) for note in notes if note)
    if is_atlas(settings.source):
        yield Paragraph(PLANTED, PLANTED_HEAD)


def _changes(run: Run, facts: pd.DataFrame) -> Iterator[Block]:
    labels = run.settings.scheme.labels
    table = change_table(run.predictions(), facts, labels)
    if table.empty:
        yield Paragraph("This run has no stored predictions from before and after tuning.")
        return
    yield Table.of(change_counts(table, labels).reset_index(names="level"))
    changed = table[table["change"].isin(["gained", "lost"])]
    shown = changed.head(CHANGED)[list(_CHANGE_COLUMNS)]
    count = f"{len(changed):,} of {len(table):,} facts were gained or lost"
    limit = f"; the first {CHANGED} are here, and `sftqa_core.reading.predictions` has all." if len(changed) > CHANGED else "."
    yield Table.of(shown, about=f"{count}{limit} Answers are greedy, so none changes without tuning.")


def _training(run: Run) -> Iterator[Block]:
    curve = run.curve()
    steps = curve[curve["loss"].notna()] if len(curve) else curve
    if not len(steps):
        yield Paragraph("Nothing was trained in this run.")
        return
    charts = [Chart(loss_figure(steps["step"].tolist(), steps["loss"].tolist()), "Training loss by step", "Training loss")]
    looks = workflows.run_looks(run.id)
    if len(looks):
        figure = looks_figure(looks, run.manifest.get("training", {}).get("kept_step"))
        charts.append(Chart(figure, "Accuracy on dev facts by step", "Accuracy on dev facts"))
    yield Beside(charts)
