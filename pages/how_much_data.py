"""How much data does it take? Accuracy against the number of examples, and the smallest number that is enough."""

from __future__ import annotations

from functools import partial

import streamlit as st

from pages._ui import panels, resources, study_panels
from pages._ui.charts import draw
from sftqa_core.figures.curves import amount_figure, levels_by_amount_figure

MEAN = "mean over levels"
LEVELS_HELP = "All test facts, or those of one level."

st.title("How much data?")
st.caption("The same models tuned on more and more facts. Each point is a run with its own examples; lines are means over seeds.")
settings, report, tables = study_panels.study_head("amount")
curve, enough = tables["curve"], tables["enough"]

first, second = st.columns([4, 1], vertical_alignment="bottom")
levels = [MEAN, *(name for name in dict.fromkeys(curve["level"]) if name != MEAN)]
level = first.segmented_control("Accuracy of", levels, default=MEAN, required=True, key="amount-level", help=LEVELS_HELP, wrap=True)
beside = second.toggle("Published beside", key="amount-published", help="What the follow-up paper measured on a large model.")
reference, paper = resources.published("means") if beside and level == MEAN else (None, "")
shown = study_panels.shown_beside(tables.get("in_context"))
for domain, column in study_panels.domain_columns(curve):
    figure = partial(amount_figure, curve, domain, level, reference, in_context=shown)
    of = (tables, domain, level, reference is not None, None if shown is None else tuple(shown["shots"].unique()))
    draw(figure, key=f"amount-{domain}", alt=f"Accuracy against examples, {domain}-domain", place=column, of=of)
if shown is not None:
    st.caption("Dashed lines across: the untouched model with so many answered questions in front of each question, in place of tuning.")
st.caption("Bars: 95% intervals, facts resampled after averaging each over seeds. Small points: seeds.")
if beside:
    told = f"Dashes: {paper}. One line a training level; compare shapes, not values." if paper else "Published are means over levels only."
    st.caption(told)

st.subheader("One model, level by level", anchor=False)
model = study_panels.pick_one_model(settings)
for domain, column in study_panels.domain_columns(curve[curve["model"] == model]):
    figure = partial(levels_by_amount_figure, curve, model, domain, settings.scheme.labels)
    alt = f"Accuracy by level against examples, {domain}-domain"
    draw(figure, key=f"levels-{domain}", alt=alt, place=column, of=(tables, domain, model))

study_panels.findings(report, model)
if len(enough):
    with st.expander("Share of the best, size by size", icon=":material/straighten:"):
        st.dataframe(enough[enough["model"] == model].drop(columns="model"), hide_index=True, column_config=study_panels.ENOUGH_COLUMNS)
study_panels.numbers("amount", tables)
panels.planted(settings.source)
