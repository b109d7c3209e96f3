"""Results as a folder of static pages that need no server: an index, and a report for each study and run, linked; plotly.js once.

Every link names a file beside the page, so the folder can lie anywhere: on a disk, in an archive, behind any address.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sftqa_core import workflows
from sftqa_core.artifacts import write_bytes
from sftqa_core.errors import NotFound, SettingsError, SftqaError
from sftqa_core.progress import Phase, Reporter, Silent
from sftqa_core.records import STUDIES, ModelCard, StudySettings
from sftqa_core.records.setting_words import ModelName, study_words
from sftqa_core.reports.blocks import Block, Finding, Link, Paragraph, Report, Section, Table
from sftqa_core.reports.made_with import default_rate, model_names
from sftqa_core.reports.private_names import Names
from sftqa_core.reports.rendering import PLOTLY, as_page, file_name, plotly_source
from sftqa_core.reports.study_words import NO_FINDINGS
from sftqa_core.training.runs import RunInfo

INDEX = "index.html"
PHASE = "site"
SAID = 3  # findings of a study on the index: those that say yes or no come first
_log = logging.getLogger(__name__)


def write_site(out: Path, own: bool = True, reporter: Reporter | None = None) -> list[str]:
    """Write the folder `out`, whole or not at all: its files' names. `own`: what was made here, too, not only what ships.

    What can't be read is left out, and the index says so. Raises `SettingsError` where `out` exists, `NotFound` where there is nothing to
    show, `MissingPackage` without plotly.
    """
    if out.exists():
        raise SettingsError(f"{out} exists already. Name a new folder.")
    plotly = plotly_source()
    studies = [study for study in workflows.studies() if own or study.shipped]
    runs = [run for run in workflows.runs() if own or run.shipped]
    if not studies and not runs:
        raise NotFound("There is no study and no run to show yet. Start one in the Lab, or with `sftqa train`.")
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=".site-") as made:
        folder = Path(made) / out.name
        folder.mkdir()
        write_bytes(folder / PLOTLY, plotly.encode("utf-8"))
        pages, left_out = _reports(folder, [study.name for study in studies], [run.id for run in runs], reporter or Silent())
        index = _index([(study.name, study.settings) for study in studies], runs, pages, left_out)
        write_bytes(folder / INDEX, as_page(index, shared=True).encode("utf-8"))
        names = sorted(path.name for path in folder.iterdir())
        folder.replace(out)
    return names


def _reports(folder: Path, studies: list[str], runs: list[str], reporter: Reporter) -> tuple[dict[str, str], dict[str, str]]:
    """Write the report of each: name -> its file, and name -> why it was left out."""
    from sftqa_core.reports.of_runs import run_report
    from sftqa_core.reports.of_studies import study_page

    pages: dict[str, str] = {}
    left_out: dict[str, str] = {}
    phase = Phase(reporter, PHASE, len(studies) + len(runs), "reports")
    for name, make in [*((name, study_page) for name in studies), *((name, run_report) for name in runs)]:
        try:
            report = make(name)
        except SftqaError as error:
            left_out[name] = str(error)
            _log.warning("%s is left out of the site: %s", name, error)
        else:
            pages[name] = file_name(name, [PLOTLY, INDEX, *pages.values()])
            back = Section("Where this belongs", [Link("All studies and runs", INDEX)])
            page = Report(report.title, report.about, [*report.sections, back], report.names)
            write_bytes(folder / pages[name], as_page(page, shared=True).encode("utf-8"))
        phase.advance(1)
    return pages, left_out


# ---- the index ----
def _index(
    studies: list[tuple[str, StudySettings]], runs: list[RunInfo], pages: dict[str, str], left_out: dict[str, str]
) -> Report:  # fmt: skip
    named = model_names()
    private = Names((*(settings for _, settings in studies), *(run.settings for run in runs)))
    used = {model for _, settings in studies for model in settings.models} | {run.model for run in runs}
    cards = [card for card in workflows.models() if card.name in used]
    listed = [(name, settings) for name, settings in studies if name in pages]
    sections = [
        Section("Models", [_models(cards, {card.name: named(card.name) for card in cards})] if cards else []),
        Section("Studies", [block for name, settings in listed for block in _study(settings, pages[name], named)]),
        Section("Runs", [_run(run, pages[run.id], named(run.model)) for run in runs if run.id in pages]),
        Section("Left out", [Paragraph(why, f"{name}:", small=True) for name, why in left_out.items()]),
    ]
    about = "What does fine-tuning do to what a language model knows? Everything here opens without a server and without the network."
    return Report("SFT-QA Explorer: results", about, sections, private)


def _models(cards: list[ModelCard], names: dict[str, str]) -> Table:
    rows = [(names[card.name], card.architecture or "", "" if card.parameters is None else f"{card.parameters:,}") for card in cards]
    return Table(("Model", "Architecture", "Parameters"), rows)


def _study(settings: StudySettings, file: str, named: ModelName) -> Iterator[Block]:
    yield Link(STUDIES[settings.kind].title, file, study_words(settings, default_rate, named))
    try:
        findings = workflows.study_report(settings).findings
    except SftqaError:  # its page was made a moment ago: a model has gone since
        return
    told = sorted(findings, key=lambda finding: finding.verdict == "cannot tell")  # in their order otherwise
    for finding in told[:SAID]:
        yield Finding(f"{finding.about}. {finding.question}", finding.verdict, finding.text)
    if len(told) > SAID:  # which ones are here is a choice: say so
        open_ones = sum(finding.verdict == "cannot tell" for finding in told)
        yield Paragraph(f"{SAID} of {len(told)} answers, yes and no first; {open_ones} cannot tell. All are on its page.", small=True)
    if not findings:
        yield Paragraph(NO_FINDINGS, small=True)


def _run(run: RunInfo, file: str, model: str) -> Link:
    when = "shipped" if run.shipped else f"{run.created.replace('T', ' ')[:16]} UTC"
    return Link(f"{model}, n = {run.n:,}, {run.method}, seed {run.seed}", file, f"{run.id} · {when}")
