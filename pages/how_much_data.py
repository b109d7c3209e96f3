"""How much data does it take? Accuracy against the number of examples, and the smallest number that is enough."""

import streamlit as st

from pages._ui import panels
from pages._ui.columns import draw_table
from pages._ui.studies import study_panels
from pages._ui.studies.amount_panel import accuracy_by_amount
from sftqa_core.figures.curves import levels_by_amount_figure
from sftqa_core.reports import study_words

settings, report, tables = study_panels.study_head(
    "amount", "Accuracy after tuning on more and more facts. Each point is a run with its own examples; lines are means over seeds."
)
accuracy_by_amount(tables)
curve, enough = tables["curve"], tables["enough"]

st.subheader("One model, by level", anchor=False)
model = study_panels.pick_one_model(settings)
study_panels.draw_by_domain(
    curve[curve["model"] == model], "levels", "Accuracy by level against examples",
    lambda domain: levels_by_amount_figure(curve, model, domain, settings.scheme.labels), (tables, model),
)  # fmt: skip
if len(enough):
    rows = enough[enough["model"] == model].drop(columns="model")
    panels.folded(
        "Accuracy relative to the best, by number of examples", "enough", ":material/straighten:",
        lambda: draw_table(rows, study_words.ENOUGH_TITLES, study_panels.ENOUGH_HELPS),
    )  # fmt: skip
study_panels.study_tail(report, tables, model)
