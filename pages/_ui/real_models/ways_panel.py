"""Whether the ways of measuring agree on real models, and what is answered of facts that one of them has at the lowest level."""

from typing import Any

import streamlit as st

from pages._ui import panels, pickers
from pages._ui.columns import draw_table
from pages._ui.facts import trust_panel
from pages._ui.links import page_link
from pages._ui.titles import model_name
from pages._ui.wording import literal
from sftqa_core.reports import real_words

_HELPS = {
    "kappa": "Cohen's, linear weights: 1 is full agreement, 0 what chance would give. Where nearly all facts are on one level, the share "
    "on the same level is high by chance alone, and kappa says what is left.",
    "same_known": "Share of the facts that both ways have at the lowest level, or both above it.",
    "tau": "SliCK's levels are others, so only the orders are compared.",
}


def ways(found: Any) -> None:
    """A line for each way and model; level against level for one model when it is unfolded."""
    st.subheader("Do the ways of measuring agree?", anchor=False)
    table = found.tables["agreement"]
    if not len(table):
        st.caption("No facts were measured in two ways yet.")
        return
    for name in dict.fromkeys(table["model"]):
        said(name, list(real_words.agreement(table, name)))
    shown = table.assign(compared=[real_words.WAYS.get(way, way) for way in table["compared"]]).dropna(axis=1, how="all")
    draw_table(shown, real_words.TITLES["agreement"], _HELPS, name="agreement of the ways")
    st.caption("Intervals: Wilson's of shares, of kappa and tau a bootstrap over facts, 95%.")
    names = list(found.crossed)
    if names:
        panels.folded("Level against level", "crossed", ":material/grid_on:", lambda: _crossed(found, names), "compared")


def _crossed(found: Any, names: list[str]) -> None:
    model = pickers.linked("Model", names, "compared", model_name)
    left, right = st.columns(2, gap="large")
    report = found.crossed[model]
    with left:
        trust_panel.agreements(report, "sampling")
    with right:
        if report.slick is not None:
            trust_panel.crossed(report.slick)
        to = {"model": model, "source": real_words.FACTS, "trust": "1"}
        page_link("pages/memory.py", "What a smaller probe would give, on Memory", "real-memory-trust", icon=":material/psychology:", to=to)


def asked(found: Any) -> None:
    """What is answered of facts at each level, the lowest first."""
    table = found.tables["asked"]
    lowest = table["level"].iloc[0] if len(table) else "L0"
    st.subheader(f"Is {lowest} unknown?", anchor=False)
    for about in found.models:
        said(about.name, list(real_words.asked(table, about.name)))
    if len(table):
        rows = table[table["level"] == lowest].drop(columns="level")
        draw_table(rows, real_words.TITLES["asked"], name="answers to facts at the lowest level")
        titles = real_words.TITLES["asked"]
        panels.folded("Every level", "asked", ":material/table:", lambda: draw_table(table, titles, name="answers by level"))
        st.caption(
            "The model as it is: greedy answers to the test questions. Examples in the prompt are drawn by a seed; several are averaged."
        )


def majority(found: Any) -> None:
    """How much of it is the relation's commonest object."""
    st.subheader("How much is the commonest object?", anchor=False)
    table = found.tables["majority"]
    for about in found.models:
        said(about.name, list(real_words.majority(table, about.name)))
    domains = {"in": "in-domain", "out": "out-of-domain", "all": "both"}
    rows = table.assign(model=table["model"].replace("", "whatever the model"), domain=table["domain"].map(domains))
    draw_table(rows, real_words.TITLES["majority"], name="the commonest object")
    st.caption("The commonest object among the train facts of a fact's relation. On all test facts: how often always saying it is right.")


def said(model: str, sentences: list[str]) -> None:
    """Sentences about a model, its name first."""
    if len(sentences) == 1:
        st.markdown(f"**{literal(model)}**. {literal(sentences[0])}")
    elif sentences:
        st.markdown("\n".join([f"**{literal(model)}**", "", *(f"- {literal(sentence)}" for sentence in sentences)]))
