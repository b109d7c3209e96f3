"""What is clicked in a study's chart opens Compare with the runs behind it, on the facts behind it."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from pages._ui import background, links, panels
from pages._ui.charts import Point
from pages._ui.compare import compare_picks, compare_reads
from sftqa_core.figures.matrices import MIX, matrix_axes
from sftqa_core.figures.model_comparison import ranked
from sftqa_core.records import StudyReport, TrainSettings

Wanted = tuple[str, Callable[[TrainSettings], bool]]  # a model, and which of its cells


def matrix_cell(report: StudyReport, matrix: Any, model: str, value: str, domain: str, point: Point) -> None:
    """A cell of training and test level: all seeds of that training level beside those of the natural mix (of which that is told:
    untouched), on test facts of that level."""
    labels = report.settings.scheme.labels
    trains, tests = matrix_axes(matrix, model, domain, labels, value)
    x, y = _place(point)
    if not (0 <= x < len(tests) and 0 <= y < len(trains)):  # of a figure that has been replaced
        return
    train, test = trains[y], tests[x]
    beside = _untouched if train == MIX else _natural
    tuned = _natural if train == MIX else lambda run: run.levels == (labels.index(train),)
    open_compare(report, [(model, tuned), (model, beside)], facts=domain, level=test if test in labels else "")


def model_pair(report: StudyReport, ranks: Any, point: Point) -> None:
    """A cell of two models: all seeds of both, tuned on the same examples, fact by fact."""
    names, (x, y) = ranked(ranks), _place(point)
    if 0 <= x < len(names) and 0 <= y < len(names) and x != y:
        open_compare(report, [(names[y], _natural), (names[x], _natural)])


def open_compare(report: StudyReport, wanted: Sequence[Wanted], **filters: str) -> None:
    """Open Compare with the finished cells that are wanted, seeds pooled; says where there are none."""
    with panels.errors_shown():
        cells = {model: compare_reads.cell_names(report.settings, model, background.stamp(), report.bundle) for model, _ in wanted}
        kinds = [[name for name, run in cells[model].items() if fits(run)] for model, fits in wanted]
    names = list(dict.fromkeys(name for kind in kinds for name in kind))[: compare_picks.MOST]
    if not names:
        st.toast("No run behind this has finished yet.", icon=":material/info:")
        return
    link = {"runs": ",".join(names), "pool": "1" if any(len(kind) > 1 for kind in kinds) else "", **filters}
    links.open_page("pages/compare.py", {key: text for key, text in link.items() if text})


def _place(point: Point) -> tuple[int, int]:
    whole = [round(at) if isinstance(at, int | float) else -1 for at in (point.x, point.y)]
    return whole[0], whole[1]


def _natural(run: TrainSettings) -> bool:
    return run.levels is None and run.n != 0


def _untouched(run: TrainSettings) -> bool:
    return run.n == 0 and not run.more_shots
