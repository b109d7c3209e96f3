"""Which report is meant, and writing it: of a run, a study, or runs and cells beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sftqa_core import workflows
from sftqa_core.artifacts import write_bytes
from sftqa_core.errors import SettingsError
from sftqa_core.records.result_names import is_cell
from sftqa_core.reports.rendering import as_page, plotly_source

if TYPE_CHECKING:
    from sftqa_core.reports.blocks import Report


def report_of(names: Sequence[str], reference: str | None = None, pool: bool = False, against: str | None = None) -> Report:
    """The report of one run, of one study, or of several runs and cells beside each other (of one cell, too).

    The last three are as `workflows.compare` takes them. Raises `NotFound` for a name that is none, `SettingsError` for a study among
    others, `MissingPackage` without plotly.
    """
    plotly_source()  # before work is done for nothing
    from sftqa_core.reports.of_comparisons import comparison_report
    from sftqa_core.reports.of_runs import run_report
    from sftqa_core.reports.of_studies import study_page

    names = list(dict.fromkeys(names))
    known = {study.name for study in workflows.studies()}
    if among := [name for name in names if name in known]:
        if len(names) > 1:
            raise SettingsError(f"{among[0]} is a study: a report is of one study, or of runs and cells. Make one for each study.")
        return study_page(names[0])
    if len(names) == 1 and not is_cell(names[0]):
        return run_report(names[0])
    return comparison_report(names, reference, pool, against)


def page_of(names: Sequence[str], reference: str | None = None, pool: bool = False, against: str | None = None) -> str:
    """The same as one self-contained HTML file."""
    return as_page(report_of(names, reference, pool, against))


def write_page(page: str, out: Path) -> int:
    """Write a page whole or not at all; its size in bytes."""
    content = page.encode("utf-8")
    write_bytes(out, content)
    return len(content)
