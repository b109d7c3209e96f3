"""Which model? What several models know, and what the same examples do to each."""

from functools import partial

import streamlit as st

from pages._ui import panels
from pages._ui.charts import draw
from pages._ui.columns import draw_table
from pages._ui.studies import model_panels, open_cells, study_panels
from sftqa_core.figures.curves import amount_figure
from sftqa_core.figures.model_comparison import ranks_figure
from sftqa_core.reports import study_words

settings, report, tables = study_panels.study_head("models", "Several models probed on the same facts and tuned on the same examples.")

st.subheader("What they know before tuning", anchor=False)
st.caption("Known means here: completed statements name the right answer, by memory level.")
model_panels.shares(tables, settings.scheme.labels)
left, right = st.columns([2, 3], gap="large")
with left:
    st.markdown("**Do they know the same facts?** Rank correlation of memory scores")
    figure = partial(ranks_figure, study_panels.named(tables["ranks"]))
    if (point := draw(figure, key="ranks", alt="Rank correlations between models", of=tables, clickable=True)) is not None:
        open_cells.model_pair(report, tables["ranks"], point)
    st.caption("Click a pair to compare both after tuning, fact by fact.")
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
    lambda: draw_table(pairs, study_words.PAIR_TITLES),
)  # fmt: skip

if len(tables["planted"]):
    st.subheader("Memory score against planted mentions", anchor=False)
    model_panels.planted(settings, tables["planted"])
study_panels.study_tail(report, tables)
