"""Predictions that changed: facts gained, lost and kept per level, and the predictions themselves."""

import pandas as pd
import streamlit as st

from pages._ui import resources
from pages._ui.downloads import csv_button
from pages._ui.runs.result_panels import part_of
from sftqa_core.figures.levels import CHANGES, change_counts, change_table

SHOWN = 2_000  # rows a browser is handed at once; a download has them all
COLUMNS = {
    "subject": st.column_config.TextColumn("Subject"),
    "answers": st.column_config.TextColumn("Correct answers"),
    "after": st.column_config.TextColumn("Answer after"),
    "before": st.column_config.TextColumn("Answer before"),
    "change": st.column_config.TextColumn("Change", width="small"),
    "level": st.column_config.TextColumn("Level", width="small"),
    "relation": st.column_config.TextColumn("Relation"),
}


@st.cache_resource(show_spinner=False, max_entries=24)
def _changes(run_id: str, part: str, labels: tuple[str, ...]) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """A run's changes, their counts by level, and the words on contested facts. Shared: the page does not change them."""
    predictions, facts, _ = resources.run_tables(run_id)
    predictions, facts = part_of((predictions, facts), part)
    table = change_table(predictions, facts, labels)
    names = resources.relation_labels()
    table["relation"] = table["relation"].map(lambda relation: names.get(relation, relation))
    return table, change_counts(table, labels), _rivals(predictions, facts)


def change_panel(run_id: str, part: str, labels: tuple[str, ...]) -> None:
    """The table of a run's changes with its filters, counts and download."""
    table, counts, rivals = _changes(run_id, part, labels)
    if table.empty:
        st.caption("This run has no stored predictions from before and after tuning.")
        return
    left, right = st.columns([2, 5], gap="large")
    with left:
        st.dataframe(counts, width="stretch", height=38 + 35 * len(counts), alt="Facts gained, lost and kept per level")
        st.caption(f"{rivals}Answers are greedy, so none changes without tuning.")
    with right:
        chosen = _filtered(table, labels)
        st.dataframe(chosen[list(COLUMNS)].head(SHOWN), hide_index=True, height=330, column_config=COLUMNS)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"{len(chosen):,} of {len(table):,} test facts")
            csv_button("Download these rows", chosen, f"{run_id}-changes", "changes-csv")


def _filtered(table: pd.DataFrame, labels: tuple[str, ...]) -> pd.DataFrame:
    first, second, third, fourth = st.columns([3, 2, 2, 2])
    changes = first.multiselect("Change", CHANGES, default=["gained", "lost"], key="change-kinds", placeholder="all")
    levels = second.multiselect("Level", labels, key="change-levels", placeholder="all")
    relations = third.multiselect("Relation", sorted(table["relation"].unique()), key="change-relations", placeholder="all")
    words = fourth.text_input("Search", key="change-search", placeholder="subject or answer")
    for column, wanted in (("change", changes), ("level", levels), ("relation", relations)):
        if wanted:
            table = table[table[column].isin(wanted)]
    if words.strip():
        text = table["subject"] + "\n" + table["answers"] + "\n" + table["before"] + "\n" + table["after"]
        table = table[text.str.contains(words.strip(), case=False, regex=False)]
    return table


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
