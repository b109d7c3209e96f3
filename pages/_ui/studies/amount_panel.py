"""Accuracy against the number of examples: of the mean over levels, of all facts as they come, or of one level."""

import streamlit as st

from pages._ui import panels, pickers, resources
from pages._ui.studies import study_panels
from sftqa_core.figures.curves import amount_figure
from sftqa_core.reports import study_words

MEAN = "mean over levels"
NAMED = {"as facts come": "micro average"}  # what tables call it
PUBLISHED_HELP = "What the follow-up paper measured on a large model."
LEVELS_HELP = "The mean over levels, the micro average over all test facts, or one level."


@panels.piece
def accuracy_by_amount(tables: resources.Tables) -> None:
    """The curves with their pickers, beside published ones where they are wanted, and beside the untuned model with k-shot examples."""
    curve = tables["curve"]
    first, second = st.columns([4, 1], vertical_alignment="bottom")
    others = [name for name in dict.fromkeys(curve["level"]) if name != MEAN]
    missing = not curve.loc[curve["level"] == MEAN, "accuracy"].notna().any()  # a level holds no test facts, as with small real models
    levels = [*sorted(others, key=lambda name: name not in NAMED)] if missing else [MEAN, *others]
    place = first.container(key="accuracy-of")
    level = pickers.linked_choice("Accuracy of", levels, "level", lambda name: NAMED.get(name, name), place, help=LEVELS_HELP, wrap=True)
    beside = pickers.linked_toggle("Show published results", "published", second, help=PUBLISHED_HELP)
    reference, paper = resources.published("means") if beside and level == MEAN else (None, "")
    shown = study_panels.pick_shot_lines(tables.get("in_context"))
    study_panels.draw_by_domain(
        curve, "amount", "Accuracy against examples",
        lambda domain: amount_figure(study_panels.named(curve), domain, level, reference, in_context=study_panels.named(shown)),
        (tables, level, reference is not None, None if shown is None else tuple(shown["shots"].unique())),
    )  # fmt: skip
    if shown is not None:
        st.caption("Dashed lines: the base model with k-shot examples instead of tuning.")
    st.caption(f"{study_words.AMOUNT}{study_words.NO_MEAN if missing else ''}")
    if beside:
        without = "Only means over levels are published."
        st.caption(f"Dashed: {paper}. One line per training level; compare shapes, not values." if paper else without)
