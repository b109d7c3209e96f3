"""Predictions that changed: facts gained, lost and kept per level, and the predictions themselves."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import address, panels, pickers, resources
from pages._ui.downloads import csv_button
from pages._ui.facts.fact_list import plain, quoted
from pages._ui.links import open_page
from pages._ui.rows import clicked_row
from pages._ui.runs.result_panels import part_of
from sftqa_core.figures.levels import CHANGES, change_counts, change_table
from sftqa_core.records import DOMAIN_NAMES

SHOWN = 500  # rows on a page of the table; a download has them all
COLUMNS = {  # what changed comes first: a telephone shows three
    "subject": st.column_config.TextColumn("Subject", width=150),
    "change": st.column_config.TextColumn("Change", width=80),
    "level": st.column_config.TextColumn("Level", width=60),
    "after": st.column_config.TextColumn("Answer after"),
    "before": st.column_config.TextColumn("Answer before"),
    "answers": st.column_config.TextColumn("Correct answers"),
    "relation": st.column_config.TextColumn("Relation"),
}
_SEARCHED = {"facts": "subject, answers", "predictions": "predictions"}


@st.cache_resource(show_spinner=False, max_entries=24)
def _changes(run_id: str, part: str, labels: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """A run's changes, their counts by level, and the words on contested facts. Shared: the page does not change them."""
    predictions, facts, _ = resources.run_tables(run_id)
    predictions, facts = part_of((predictions, facts), part)
    table = change_table(predictions, facts, labels)
    names = resources.relation_labels()
    table["relation"] = table["relation"].map(lambda relation: names.get(relation, relation))
    return table, change_counts(table, labels), _rivals(predictions, facts)


@panels.piece
def change_panel(run: Any, part: str) -> None:
    """The table of a run's changes with its filters, counts and download. A row opens its fact, a row of the counts lists its level."""
    labels = run.settings.scheme.labels
    table, counts, rivals = _changes(run.id, part, labels)
    if table.empty:
        st.caption("This run has no stored predictions from before and after tuning.")
        return
    left, right = st.columns([2, 5], gap="large")
    with left:
        clicked = clicked_row(
            counts.reset_index(names="level"), "change-counts", column_config={"level": "Level"}, height=38 + 35 * len(counts)
        )
        if clicked is not None:
            address.put(level=str(counts.index[clicked]), page=None)
        st.caption(f"{rivals}Answers are greedy, so none changes without tuning. Click a level to list its facts.")
    with right:
        chosen = _filtered(table, [*labels, *(["unknown"] if "unknown" in counts.index else [])])
        st.caption(f"{len(chosen):,} of {len(table):,} test facts. Click a row, or press Enter on it, to open the fact.")
        page = pickers.linked_page(-(-len(chosen) // SHOWN) or 1)
        shown = chosen.iloc[(page - 1) * SHOWN : page * SHOWN]
        clicked = clicked_row(shown[list(COLUMNS)], "changes", height=330, column_config=COLUMNS)
        csv_button("Download these rows", chosen, f"{run.id}-changes", "changes-csv")
    if clicked is not None:
        link = {"model": run.settings.model, "source": run.settings.source, "fact": str(shown.iloc[clicked]["fact_id"]), "runs": run.id}
        open_page("pages/fact.py", {**link, **pickers.scheme_address(run.settings.scheme)})


def _filtered(table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    first, second, third, fourth = st.columns([3, 2, 2, 2])
    changes = pickers.linked_many("Change", CHANGES, "change", place=first, placeholder="all", usual=("gained", "lost"))
    levels = pickers.linked_many("Level", labels, "level", place=second, placeholder="all")
    domains = pickers.linked_many(
        "Domain", sorted(table["domain"].unique()), "in", lambda name: DOMAIN_NAMES.get(name, name), third, placeholder="both"
    )
    named = sorted(table["relation"].unique())
    relations = pickers.linked_many("Relation", list(map(quoted, named)), "relation", plain, fourth, placeholder="all")
    first, second = st.columns([3, 6], vertical_alignment="bottom")
    where = pickers.linked_choice("Search in", list(_SEARCHED), "where", _SEARCHED.__getitem__, first)
    words = pickers.linked_text("Search", "search", second, placeholder="words of an answer" if where != "facts" else "subject or answer")
    relations = list(map(plain, relations))
    for column, wanted in (("change", changes), ("level", levels), ("domain", domains), ("relation", relations)):
        if wanted:
            table = table[table[column].isin(wanted)]
    return table[_says(table, words, ("before", "after") if where == "predictions" else ("subject", "answers"))] if words else table


def _says(table: pd.DataFrame, words: str, columns: tuple[str, str]) -> Any:
    """Which rows have these words in one of the columns, whatever their case."""
    import pyarrow as pa
    import pyarrow.compute as pc

    says = [pc.match_substring(pa.array(table[column], pa.string()), words, ignore_case=True) for column in columns]
    return pc.or_(*says).to_numpy(zero_copy_only=False)


def _rivals(predictions: pd.DataFrame, facts: pd.DataFrame) -> str:
    """METHOD 8.8: answers that name a contested fact's rival are counted apart from other wrong ones."""
    if "contested" not in facts or "rival" not in predictions:
        return ""
    contested = set(facts.loc[facts["contested"].fillna(False).astype(bool), "fact_id"])
    rows = predictions[predictions["fact_id"].isin(contested)]
    before, after = (int(rows.loc[rows["stage"] == stage, "rival"].fillna(False).astype(bool).sum()) for stage in ("before", "after"))
    return (
        f"Of {len(contested):,} contested facts, {before:,} were answered with the rival before and {after:,} after. " if contested else ""
    )
