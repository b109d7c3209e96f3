"""Facts by level before and after tuning, beside the same model probed twice."""

from functools import partial

import streamlit as st

from pages._ui import panels, pickers, resources
from pages._ui.charts import draw
from pages._ui.studies import study_panels
from sftqa_core.figures.level_shift import flows_figure, moves_figure
from sftqa_core.records import DOMAIN_NAMES
from sftqa_core.reports.study_words import UNTOUCHED

BASE = "base model, probed again"  # what the page calls UNTOUCHED


@panels.piece
def moves(tables: resources.Tables, model: str, labels: tuple[str, ...]) -> None:
    """What the model was tuned on and a domain to pick, and where the facts of each level went."""
    transitions = tables["transitions"]
    rows = transitions[transitions["model"] == model]
    tuned = [name for name in dict.fromkeys(rows["after"]) if name != UNTOUCHED]
    first, second = st.columns([2, 4], vertical_alignment="bottom")
    with first:
        after = pickers.linked("Tuned on", tuned or [UNTOUCHED], "tuned", lambda name: BASE if name == UNTOUCHED else name)
    domain = pickers.linked_choice("Domain", list(DOMAIN_NAMES), "domain", DOMAIN_NAMES.__getitem__, second)
    for name, column in zip(dict.fromkeys((after, UNTOUCHED)), st.columns(2, gap="large"), strict=False):
        with column:
            st.markdown(f"**{'After tuning, ' + name if name != UNTOUCHED else 'Base model, probed again: chance alone'}**")
            figure = partial(flows_figure, transitions, model, domain, name, labels)
            draw(figure, key=f"flows-{name}", alt=f"Facts by level before and after: {name}", of=(tables, model, domain))
    twice = int(rows.loc[(rows["domain"] == domain) & (rows["after"] == UNTOUCHED), "facts"].sum())
    st.caption(f"{twice:,} {DOMAIN_NAMES[domain]} test facts were probed before and after. Shares of both domains together: 'Which data?'.")
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.markdown("**Kept, lost, gained**")
        figure = partial(moves_figure, tables["moves"], model, domain)
        draw(figure, key="moves", alt="Shares of facts that kept or changed their level", of=(tables, model, domain))
    with right:
        study_panels.forgetting(tables["forgetting"], model)
