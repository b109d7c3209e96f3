"""A table of runs to sort, filter and pick from by a click on a row; what is picked stands in the address."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import address, drawn, pickers, resources
from pages._ui.compare import compare_reads
from pages._ui.titles import PINNED, model_name, source_name
from pages._ui.wording import moment
from sftqa_core.artifacts import in_words
from sftqa_core.jsonrecord import declared
from sftqa_core.records import Label, TrainSettings

_ACCURACY = {
    "in_macro": ("In: levels", "In-domain accuracy, mean over memory levels"),
    "in_micro": ("In: micro", "In-domain accuracy, all test facts alike"),
    "out_macro": ("Out: levels", "Out-of-domain accuracy, mean over memory levels"),
    "out_micro": ("Out: micro", "Out-of-domain accuracy, all test facts alike"),
}
COLUMNS = {  # what is looked for first stands where a phone shows it
    "name": st.column_config.TextColumn("Name", help="What it was called on Results; ★: pinned, which stands first"),
    "model": st.column_config.TextColumn("Model"),
    "n": st.column_config.NumberColumn("n", format="localized", width="small", help="Examples that it was tuned on"),
    **{name: st.column_config.NumberColumn(title, format="%.1f%%", width="small", help=text) for name, (title, text) in _ACCURACY.items()},
    "method": st.column_config.TextColumn("Method", width="small"),
    "recipe": st.column_config.TextColumn("Recipe", help="Another way of tuning; empty: plain"),
    "seed": st.column_config.NumberColumn("Seed", width="small"),
    "levels": st.column_config.TextColumn("Levels", width="small", help="Memory levels of the examples; empty: any"),
    "source": st.column_config.TextColumn("Facts"),
    "created": st.column_config.TextColumn("When"),
    "tags": st.column_config.ListColumn("Tags"),
    "size": st.column_config.TextColumn("Size", width="small", help="On the disk"),
    "id": st.column_config.TextColumn("Id", help="What the command line calls it"),
}
_WHERE_USED = ("name", "recipe", "tags")  # columns that are drawn where a run has something there
HEIGHT = 320


def shown_runs(stamp: str) -> pd.DataFrame:
    """All runs as the table shows them, pinned ones first, then newest first. Shared: the page does not change it."""
    return _shown_runs(resources.listed(stamp))


@st.cache_resource(show_spinner="Reading the list of runs…", max_entries=4, ttl=60)
def _shown_runs(stamp: str) -> pd.DataFrame:
    table = compare_reads.run_list(stamp)
    given = resources.labels().runs
    labels = [given.get(run, Label()) for run in table["id"]]
    methods = declared(TrainSettings)["method"].choices
    names = {name: model_name(name) for name in table["model"].unique()}
    shown = table.assign(
        **{name: table[name] * 100 for name in _ACCURACY},
        model=table["model"].map(names),
        source=table["source"].map(source_name),
        method=table["method"].map(lambda method: methods.get(method, method)),
        created=[
            "shipped" if shipped else f"{f'imported: {bundle}, ' if bundle else ''}{moment(when)}{', cut by its time limit' if cut else ''}"
            for shipped, when, cut, bundle in zip(table["shipped"], table["created"], table["cut"], table["bundle"], strict=True)
        ],
        name=[f"{PINNED} {label.name}".strip() if label.pinned else label.name for label in labels],
        tags=[list(label.tags) for label in labels],
        size=table["size_bytes"].map(in_words),
    )
    return shown.iloc[sorted(range(len(shown)), key=lambda at: not labels[at].pinned)]


def run_table(stamp: str, picked: Sequence[str], key: str = "runs", most: int | None = None) -> None:
    """Draw the table with its filters; `picked` are the ids (and other names) that the address's parameter `key` holds now.

    A click on a row adds that run to the parameter or takes it out; names that no row shows stay. With `most` no more can be picked.
    """
    table = shown_runs(stamp)
    if len(table) > 1:
        table = _filtered(table, key)
    ids = table["id"].tolist()
    widget = f"run-table-{key}"
    chosen = set(picked)
    st.session_state[widget] = {"selection": {"rows": [at for at, run in enumerate(ids) if run in chosen], "columns": [], "cells": []}}

    def pick() -> None:
        now = {ids[at] for at in st.session_state[widget]["selection"]["rows"]}
        kept = [name for name in picked if name in now or name not in ids]
        fresh = [run for run in ids if run in now and run not in chosen]
        address.put(**{key: ",".join([*kept, *fresh][:most])})

    height = min(HEIGHT, 38 + 35 * max(len(ids), 1))
    columns = [name for name in COLUMNS if name not in _WHERE_USED or table[name].map(bool).any()]
    drawn.note_table("runs", lambda: table)
    st.dataframe(
        table[columns], hide_index=True, height=height, column_config=COLUMNS, key=widget, selection_mode="multi-row", on_select=pick
    )


def _filtered(table: pd.DataFrame, key: str) -> pd.DataFrame:
    """The rows that the filters leave; each filter has a parameter of the address, apart from those that pages share."""
    tags = sorted({tag for own in table["tags"] for tag in own})
    first, second, third, *fourth = st.columns([3, 2, 2, 2] if tags else [3, 2, 2])
    words = pickers.linked_text("Search runs", f"{key}-find", first, placeholder="name, model, facts, method, recipe, n, date")
    models = pickers.linked_many("Models", sorted(table["model"].unique()), f"{key}-models", place=second, placeholder="all")
    sources = pickers.linked_many("Facts", sorted(table["source"].unique()), f"{key}-facts", place=third, placeholder="all")
    for place in fourth:
        wanted = set(pickers.linked_many("Tags", tags, f"{key}-tags", place=place, placeholder="all", help="Runs with any of these tags"))
        table = table[[not wanted.isdisjoint(own) for own in table["tags"]]] if wanted else table
    for column, chosen in (("model", models), ("source", sources)):
        if chosen:
            table = table[table[column].isin(chosen)]
    for word in words.casefold().split():
        table = table[_text(table).str.contains(word, regex=False)]
    if not len(table):
        st.caption("No run matches these filters.")
    return table


def _text(table: pd.DataFrame) -> Any:
    columns = ("id", "name", "tags", "model", "source", "method", "recipe", "levels", "created")
    text = "n=" + table["n"].astype(str) + " seed=" + table["seed"].astype(str)
    for column in columns:
        text = text + "\n" + table[column].astype(str)
    return text.str.casefold()
