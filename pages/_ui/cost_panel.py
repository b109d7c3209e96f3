"""What work will cost, and what stands in its way, before it starts."""

from __future__ import annotations

import streamlit as st

from pages._ui import background, resources
from pages._ui.checks_panel import checks_panel
from pages._ui.panels import problem
from pages._ui.wording import literal, span
from sftqa_core.errors import SftqaError
from sftqa_core.records import ProbeSettings, StudySettings, TrainSettings


def cost_panel(settings: TrainSettings | ProbeSettings | StudySettings) -> bool:
    """Draw the forecast; True when the work can start."""
    try:
        forecast = resources.forecast(settings, background.stamp())
    except SftqaError as error:
        problem(str(error))
        return False
    if forecast.problems:  # what can't be done costs nothing
        for text in forecast.problems:
            problem(text, ":material/block:")
        return False
    runs = forecast.runs if isinstance(settings, StudySettings) else 0
    if isinstance(settings, ProbeSettings):
        counts = {"Facts to probe": forecast.probes_needed}
    else:
        first = {"Runs left": runs} if isinstance(settings, StudySettings) else {"Examples": forecast.examples}
        counts = {**first, "Steps": forecast.steps, "Test facts": forecast.test_facts}
        counts |= {"Probes needed": forecast.probes_needed} if forecast.probes_needed else {}
    with st.container(horizontal=True, gap="large"):
        for label, count in counts.items():
            st.metric(label, f"{count:,}", width="content")
    if not isinstance(settings, TrainSettings) and not forecast.probes_needed + runs:
        st.caption("Nothing left to run.")
        return False
    st.markdown(f"**About {span(forecast.seconds_low, forecast.seconds_high)}** on this machine.")
    if forecast.fit is not None:
        st.markdown(f"**{forecast.fit.resource}:** {literal(forecast.fit.line())}")
    for note in forecast.notes:
        if forecast.fit is None or note != forecast.fit.stands_against:  # which stands among the checks
            st.caption(literal(note))
    return checks_panel(resources.preflight(settings, background.stamp(), forecast))
