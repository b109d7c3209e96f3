"""What work will cost, and what stands in its way, before it starts."""

from __future__ import annotations

from typing import Any

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
    cells = [(label, value) for label, value in _cells(forecast, settings) if value is not None]
    with st.container(horizontal=True, gap="large"):
        for label, value in cells:
            st.metric(label, value, width="content")
    runs = forecast.runs if isinstance(settings, StudySettings) else 0
    if not isinstance(settings, TrainSettings) and not forecast.probes_needed + runs:
        st.caption("All of it is done already.")
        return False
    st.markdown(f"**About {span(forecast.seconds_low, forecast.seconds_high)}** on this machine.")
    if (memory := forecast.memory) is not None:
        st.markdown(f"**Memory:** {literal(memory.line())}")
    told = memory.stands_against if memory is not None else ""
    for note in forecast.notes:
        if note != told:  # stands among the checks
            st.caption(literal(note))
    return checks_panel(resources.preflight(settings, background.stamp(), forecast))


def _cells(forecast: Any, settings: Any) -> list[tuple[str, str | None]]:
    probes = f"{forecast.probes_needed:,}"
    if isinstance(settings, ProbeSettings):
        return [("Facts to probe", probes)]
    if isinstance(settings, StudySettings):
        left = [("Runs left", f"{forecast.runs:,}"), ("Steps", f"{forecast.steps:,}"), ("Test facts", f"{forecast.test_facts:,}")]
        return [*left, ("Probes needed", probes if forecast.probes_needed else None)]
    return [
        ("Examples", f"{forecast.examples:,}"),
        ("Steps", f"{forecast.steps:,}"),
        ("Test facts", f"{forecast.test_facts:,}"),
        ("Probes needed", probes if forecast.probes_needed else None),
    ]
