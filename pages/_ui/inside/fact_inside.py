"""One fact inside tuned models: how far its answer moved, and whether the right one ranks first, run by run."""

from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import panels
from pages._ui.inside import inside_reads
from pages._ui.inside.inside_picks import words_of
from pages._ui.links import open_page
from pages._ui.rows import clicked_row

_COLUMNS = {
    "answered": st.column_config.TextColumn("Answered", width=110, help="Whether the base model and the tuned model answer it rightly."),
    "kl": st.column_config.NumberColumn("KL", format="%.3f", width=70, help="How far the first token after the question moved, in nats."),
    "logprob": st.column_config.TextColumn("log P", width=120, help="Of the answer's first token, before and after tuning, in nats."),
    "k": st.column_config.TextColumn(
        "K",
        width=120,
        help="Share of wrong answers that are less likely than the right one. 1: the right one ranks first, which is known in this sense.",
    ),
    "wrong": st.column_config.NumberColumn("Wrong answers", width=110, help="That the right one is ranked among."),
    "run": st.column_config.TextColumn("Run", width=330),
}


def fact_inside_section(source: str, fact_id: str, stamp: str) -> None:
    """Drawn where a run on these facts was looked at; a row opens the run's page."""
    if not any(look.settings.source == source for look in inside_reads.kept(stamp)):
        return
    panels.folded("Inside tuned models", "inside", ":material/search:", lambda: _table(inside_reads.fact(source, fact_id, stamp)))


def _table(rows: list[dict[str, Any]]) -> None:
    if not rows:
        st.caption("None of the runs that were looked at was tested on this fact.")
        return
    st.caption("Every run that was looked at. Click a row to see the whole model.")
    table = pd.DataFrame([_row(row) for row in rows])
    clicked = clicked_row(table, "fact-inside", height=min(38 + 35 * len(table), 388), column_config=_COLUMNS)
    if clicked is not None:
        open_page("pages/inside.py", {"run": rows[clicked]["run"]})


def _row(row: dict[str, Any]) -> dict[str, Any]:
    def both(name: str, digits: int) -> str:
        values = [row.get(f"{name}_{when}") for when in ("before", "after")]
        return "" if None in values else " → ".join(f"{value:.{digits}f}" for value in values)

    answered = " → ".join("✓" if row[when] else "✗" for when in ("before", "after"))
    title = f"{words_of(row['settings'])} · seed {row['settings'].seed}"
    numbers = {"logprob": both("logprob", 2), "k": both("k", 2), "wrong": row.get("wrong")}
    return {"answered": answered, "kl": row.get("kl"), **numbers, "run": title}
