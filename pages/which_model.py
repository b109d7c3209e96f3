"""Which model? What several models know, and what the same examples do to each."""

from functools import partial

import streamlit as st

from pages._ui import panels
from pages._ui.charts import draw
from pages._ui.studies import model_panels, study_panels
from sftqa_core.figures.curves import amount_figure
from sftqa_core.figures.model_comparison import ranks_figure

settings, report, tables = study_panels.study_head("models", "Several models probed on the same facts and tuned on the same examples.")

st.subheader("What they know before tuning", anchor=False)
model_panels.shares(tables, settings.scheme.labels)
left, right = st.columns([2, 3], gap="large")
with left:
    st.markdown("**Do they know the same facts?** Rank correlation of memory scores")
    draw(partial(ranks_figure, study_panels.named(tables["ranks"])), key="ranks", alt="Rank correlations between models", of=tables)
with right:
    model_panels.known_by(tables["known_by"], len(settings.models))

st.subheader("After tuning on the same examples", anchor=False)
curve = tables["curve"]
study_panels.draw_by_domain(
    curve, "same", "Accuracy before and after", lambda domain: amount_figure(study_panels.named(curve), domain, "mean over levels"), tables
)
pairs = study_panels.named(tables["differences"])
panels.folded(
    "Every pair of models", "pairs", ":material/compare_arrows:",
    lambda: st.dataframe(pairs, hide_index=True, column_config=study_panels.PAIR_COLUMNS),
)  # fmt: skip

if len(tables["planted"]):
    st.subheader("Memory score against planted mentions", anchor=False)
    model_panels.planted(settings, tables["planted"])
study_panels.study_tail(report, tables)
