"""How far levels can be trusted: other ways of measuring them, and smaller budgets, beside the full probe."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages._ui import resources
from pages._ui.pickers import METHOD_NAMES
from pages._ui.probe_panel import second_probe_button
from pages._ui.wording import percent
from sftqa_core.figures.agreement import budget_figure, confusion_figure
from sftqa_core.figures.style import CHART_CONFIG

_NAMES = {"second probe": "a second full probe", "adaptive": "the adaptive probe", "likelihood": "the likelihood"}
_KAPPA = (
    "Cohen's kappa with linear weights: 1 is full agreement, 0 what chance would give; a level one step off counts less "
    "than one further away. The interval is a 95% bootstrap over facts."
)


def trust_panel(model: str, source: str, split: str, domain: str, stamp: str) -> None:
    """A closed section; what is in it is computed when it is opened."""
    if not st.toggle("How far can these levels be trusted?", key="trust", help="Compares what was probed; starts nothing."):
        return
    found = resources.trust(model, source, split, domain, stamp)
    with st.container(border=True):
        if not found.facts:
            st.caption("None of these facts has the full probe yet, so there is nothing to compare with.")
            return
        left, right = st.columns([2, 3], gap="large")
        with left:
            _agreements(found)
        with right:
            _budget(found)
        if "second probe" not in found.agreements:
            second_probe_button(model, source, split, domain)


def _agreements(found: Any) -> None:
    if not found.agreements:
        st.caption("Only the full probe was made. Pick another way under 'Measured by' and probe, to see how far it agrees.")
        return
    name = st.segmented_control(
        "compared", list(found.agreements), format_func=lambda key: METHOD_NAMES.get(key, key), default=next(iter(found.agreements)),
        required=True, key="trust-other", label_visibility="collapsed",
    )  # fmt: skip
    agreement = found.agreements[name]
    st.markdown(f"**The full probe against {_NAMES[name]}**, {agreement.facts:,} facts")
    figure = confusion_figure(agreement, "full probe", METHOD_NAMES.get(name, name))
    st.plotly_chart(figure, config=CHART_CONFIG, key="trust-confusion", alt="Facts by level in both ways of measuring")
    kappa = "too few facts to tell" if agreement.kappa is None else f"{agreement.kappa:.3f}"
    span = "" if agreement.kappa_low is None else f" ({agreement.kappa_low:.3f} to {agreement.kappa_high:.3f})"
    rank = "" if agreement.spearman is None else f" · Spearman of R {agreement.spearman:.3f}"
    st.caption(f"Same level {percent(agreement.same)} · kappa {kappa}{span}{rank}", help=_KAPPA)


def _budget(found: Any) -> None:
    if found.budget is None:
        return
    st.markdown("**What a smaller probe would give**")
    floor = "two full probes" if found.floor_measured else "two full probes, simulated"
    reference = "another full probe" if found.floor_measured else "the full probe"
    figure = budget_figure(found.budget, found.floor, floor, reference)
    st.plotly_chart(figure, config=CHART_CONFIG, key="trust-budget", alt="Agreement against completions per fact")
    if found.floor_measured:
        st.caption("Part of one full probe's templates and samples, against the levels of another: at the dotted line nothing is lost.")
    else:
        st.caption(
            "Part of the templates and samples, against the full probe that they are part of. That flatters small budgets, so the dotted "
            "line (simulated from this probe) is no border that they could cross. A second probe shows the real one."
        )
