"""What changed inside the runs that are compared: a line for each that was looked at, and the way to look at the others."""

from typing import Any

import streamlit as st

from pages._ui import panels
from pages._ui.inside import inside_reads, summary_table
from pages._ui.links import page_link
from sftqa_core.records import Comparison


def inside_panel(comparison: Comparison, stamp: str) -> None:
    """Drawn alone, and only while it is unfolded: reading looks takes a moment."""
    tuned = [run for run in comparison.runs if run.settings.n]
    if tuned:
        panels.folded("What changed inside", "inside", ":material/search:", lambda: _looks(tuned, stamp))


def _looks(runs: list[Any], stamp: str) -> None:
    seen: dict[str, Any] = {}
    for look in inside_reads.kept(stamp):  # of two with one name the newer first
        for name in look.names:
            seen.setdefault(name, look)
    rows: list[dict[str, Any]] = []
    for run in runs:
        looks = [seen[name] for name in run.names if name in seen]
        if len(looks) == len(run.names):
            rows += summary_table.rows_of(run.label, looks, stamp)
    summary_table.draw(rows)
    with st.container(horizontal=True):
        for run in runs:
            to = {"run": run.names[0]}
            page_link("pages/inside.py", f"{run.label}: look inside", f"inside-{run.label}", icon=":material/search:", to=to)
