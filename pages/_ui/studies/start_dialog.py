"""What a study costs, before it is started from its page."""

from typing import Any

import streamlit as st

from pages._ui import address, background, panels, resources, state
from pages._ui.runs.cost_panel import cost_panel
from pages._ui.titles import study_title
from pages._ui.wording import literal
from sftqa_core.errors import SftqaError
from sftqa_core.records import StudySettings


def ask_to_start(title: str, settings: StudySettings) -> None:
    """Open a dialog with the cost and a button that starts the study: it may take hours."""
    show: Any = st.dialog(title, width="medium", icon=":material/timer:")(_dialog)
    show(settings)


def _dialog(settings: StudySettings) -> None:
    st.markdown(f"**{literal(study_title(settings))}**")
    ready = cost_panel(settings)
    if resources.missing_torch():
        panels.needs_torch("A study")
        ready = False
    if (trouble := state.kept_problem()) is not None:
        panels.problem(trouble)
        ready = False
    start = (settings, background.expected_s(settings) if ready else ())
    if st.button(
        "Start", type="primary", icon=":material/rocket_launch:", key="study-start", disabled=not ready, on_click=_start, args=start
    ):
        st.rerun()  # closes the dialog


def _start(settings: StudySettings, expected: tuple[float, ...]) -> None:
    try:
        job = background.submit("study", settings, expected)
    except SftqaError as error:
        state.keep_problem(str(error))
    else:
        address.put(study=resources.study_name(settings), job=job.id)
