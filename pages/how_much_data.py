"""How much data does it take? Accuracy against the number of examples, and the smallest number that is enough."""

import streamlit as st

from pages._ui import pickers, resources
from pages._ui.columns import readable
from pages._ui.studies import study_panels
from sftqa_core.figures.curves import amount_figure, levels_by_amount_figure

MEAN = "mean over levels"
LEVELS_HELP = "The mean over levels, the micro average over all test facts, or one level."

settings, report, tables = study_panels.study_head(
    "amount", "Accuracy after tuning on more and more facts. Each point is a run with its own examples; lines are means over seeds."
)
curve, enough = tables["curve"], tables["enough"]

first, second = st.columns([4, 1], vertical_alignment="bottom")
levels = [MEAN, *(name for name in dict.fromkeys(curve["level"]) if name != MEAN)]
named = {"as facts come": "micro average"}  # what tables call it
place = first.container(key="accuracy-of")
level = pickers.linked_choice("Accuracy of", levels, "level", lambda name: named.get(name, name), place, help=LEVELS_HELP, wrap=True)
beside = pickers.linked_toggle("Show published results", "published", second, help="What the follow-up paper measured on a large model.")
reference, paper = resources.published("means") if beside and level == MEAN else (None, "")
shown = study_panels.pick_shot_lines(tables.get("in_context"))
study_panels.draw_by_domain(
    curve, "amount", "Accuracy against examples",
    lambda domain: amount_figure(study_panels.named(curve), domain, level, reference, in_context=study_panels.named(shown)),
    (tables, level, reference is not None, None if shown is None else tuple(shown["shots"].unique())),
)  # fmt: skip
if shown is not None:
    st.caption("Dashed lines: the base model with k-shot examples instead of tuning.")
st.caption("Bars: 95% intervals; each fact is averaged over seeds, then facts are resampled. Small points: single seeds.")
if beside:
    without = "Only means over levels are published."
    st.caption(f"Dashed: {paper}. One line per training level; compare shapes, not values." if paper else without)

st.subheader("One model, by level", anchor=False)
model = study_panels.pick_one_model(settings)
study_panels.draw_by_domain(
    curve[curve["model"] == model], "levels", "Accuracy by level against examples",
    lambda domain: levels_by_amount_figure(curve, model, domain, settings.scheme.labels), (tables, model),
)  # fmt: skip
if len(enough):
    with st.expander("Accuracy relative to the best, by number of examples", icon=":material/straighten:"):
        rows = enough[enough["model"] == model].drop(columns="model")
        table, config = readable(rows, study_panels.ENOUGH_TITLES, study_panels.ENOUGH_HELPS)
        st.dataframe(table, hide_index=True, column_config=config)
study_panels.study_tail(report, tables, model)
