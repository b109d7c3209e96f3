"""A comparison fact by fact: one column a run and the base, right or wrong and what was answered."""

from collections.abc import Hashable
from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import panels, pickers, resources
from pages._ui.downloads import csv_button
from pages._ui.links import open_page
from pages._ui.rows import clicked_row
from sftqa_core.records import DOMAIN_NAMES, Comparison

SHOWN = 2_000  # rows a browser is handed at once; a download has them all
RIGHT, WRONG, SOME = "✓", "✗", "~"  # SOME: of several seeds


@st.cache_resource(show_spinner=False, max_entries=16, ttl=600)
def _shown(of: Hashable, _compared: Any) -> pd.DataFrame:
    """The items as the page shows them: a mark and the words in each column. Shared: the page does not change them."""
    items, comparison = _compared.items, _compared.comparison
    labels, names = _labels(comparison), resources.relation_labels()
    seeds = {run.label: len(run.seeds) for run in comparison.runs}
    columns = {label: _marks(items[f"correct {label}"], items[f"text {label}"], seeds.get(label, 1)) for label in labels}
    answers = items["answers"].map(lambda answers: " | ".join(map(str, answers)))
    relation = items["relation"].map(lambda relation: names.get(relation, relation))
    shown = items[["fact_id", "domain", "level", "subject", "question", "differ"]].assign(relation=relation, answers=answers, **columns)
    text = shown["subject"] + "\n" + shown["answers"] + "\n" + shown["question"] + "\n" + shown["relation"]
    for label in labels:
        text = text + "\n" + shown[label]
    return shown.assign(text=text.str.casefold())


def _labels(comparison: Comparison) -> list[str]:
    return [run.label for run in comparison.runs] + [base.label for base in comparison.bases]


def _marks(correct: pd.Series, texts: pd.Series, seeds: int) -> list[str]:
    """ "✓ Oslo"; of three seeds "~ 2 of 3 Oslo (2) | Bergen"; without the words where none are kept."""
    marks = [RIGHT if share == 1 else WRONG if share == 0 else SOME for share in correct]
    if seeds > 1:
        marks = [f"{mark} {round(share * seeds)} of {seeds}" for mark, share in zip(marks, correct, strict=True)]
    return [mark if text is None or text != text else f"{mark} {text}" for mark, text in zip(marks, texts, strict=True)]


@panels.piece
def item_table(compared: Any, of: Hashable) -> None:
    """The table with its filters; a row opens its fact."""
    comparison: Comparison = compared.comparison
    table = _shown(of, compared)
    chosen = _filtered(table, comparison)
    labels = _labels(comparison)
    ids = chosen["fact_id"].head(SHOWN).tolist()
    columns = ["subject", *labels, "answers", "level", "relation", "domain"]
    rows, height = chosen[columns].head(SHOWN), min(420, 38 + 35 * max(1, len(ids)))
    clicked = clicked_row(rows, "compare-items", height=height, column_config=_columns(comparison))
    with st.container(horizontal=True, vertical_alignment="center"):
        limit = f"; the first {SHOWN:,} are shown" if len(chosen) > SHOWN else ""
        st.caption(f"{len(chosen):,} of {len(table):,} facts in common{limit}. Click a row, or press Enter on it, to open the fact.")
        csv_button("Download these facts", lambda: _for_file(compared, chosen["fact_id"]), "comparison", "compare-items-csv")
    if not all(run.words for run in comparison.runs):
        st.caption("Cells of studies keep which answers were right, not their words. Make one again below to see them.")
    if clicked is not None:
        _open(comparison, ids[clicked])


def _filtered(table: pd.DataFrame, comparison: Comparison) -> pd.DataFrame:
    several = len(comparison.runs) > 1
    first, second, third, fourth = (None, *st.columns([2, 2, 3])) if not several else st.columns([3, 2, 2, 3], vertical_alignment="bottom")
    kinds, show = {"differ": "disagreements", "all": "all facts"}, "all"
    if several:
        show = pickers.linked_choice("Show", list(kinds), "show", kinds.__getitem__, place=first)
    domains = {"both": "both domains", **DOMAIN_NAMES}
    with second:
        domain = pickers.linked("Domain", list(domains), "facts", domains.__getitem__)
    levels = pickers.linked_many("Level", comparison.scheme.labels, "level", place=third, placeholder="all")
    words = pickers.linked_text("Search", "search", fourth, placeholder="subject, answer or prediction")
    if show == "differ":
        table = table[table["differ"]]
    if domain != "both":
        table = table[table["domain"] == domain]
    if levels:
        table = table[table["level"].isin(levels)]
    return table[table["text"].str.contains(words.casefold(), regex=False)] if words else table


def _columns(comparison: Comparison) -> dict[str, Any]:
    runs = {run.label: st.column_config.TextColumn(run.label, width=139) for run in comparison.runs}  # two stand on a telephone
    bases = {base.label: st.column_config.TextColumn(base.label.capitalize()) for base in comparison.bases}
    fixed = {
        "subject": st.column_config.TextColumn("Subject", width=110, pinned=False),
        "answers": st.column_config.TextColumn("Correct answers"),
        "level": st.column_config.TextColumn("Level", width="small"),
        "relation": st.column_config.TextColumn("Relation"),
        "domain": st.column_config.TextColumn("Domain", width="small"),
    }
    return fixed | runs | bases


def _open(comparison: Comparison, fact: str) -> None:
    """The fact's own page, with the runs that are compared."""
    reference = next(run for run in comparison.runs if run.label == comparison.reference)
    runs = [name for run in comparison.runs for name in run.names if ":" not in name]
    link = {"model": reference.settings.model, "source": reference.settings.source, "fact": fact}
    open_page("pages/fact.py", link | ({"runs": ",".join(runs)} if runs else {}))


def _for_file(compared: Any, ids: pd.Series) -> pd.DataFrame:
    """The chosen facts with every column, named by what the letters stand for."""
    items = compared.items[compared.items["fact_id"].isin(ids)]
    names = {run.label: f"{run.label} ({' '.join(run.names)})" for run in compared.comparison.runs}
    renamed = {f"{what} {label}": f"{what} {name}" for label, name in names.items() for what in ("correct", "text")}
    return items.rename(columns=renamed)
