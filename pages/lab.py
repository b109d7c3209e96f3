"""What happens if I fine-tune on these facts? Choose, see the cost, launch, watch."""

import streamlit as st

from pages._ui import background, panels, pickers, resources, state
from pages._ui.facts.fetch_panel import facts_here
from pages._ui.runs import file_panel, forms, preset_panel, sweep_panel, twin
from pages._ui.runs.cost_panel import cost_panel
from pages._ui.runs.job_panel import job_panel
from sftqa_core.errors import SftqaError
from sftqa_core.jobs import current_executor
from sftqa_core.records import ACTIVE

st.title("Lab")
st.caption("Fine-tune a model on a few question-answer pairs. The run continues in the background when you leave or close this page.")

with panels.errors_shown():
    if not resources.models():
        panels.no_models()

state.show_toast()
KINDS = {"train": "One run", "study": "A study"}
with st.container(horizontal=True, vertical_alignment="center"):
    kind = pickers.linked_choice("What", list(KINDS), forms.WHAT, KINDS.__getitem__, label_visibility="collapsed")
    if kind == "train":
        preset_panel.preset_button()
    file = file_panel.pick_file(kind)
if kind == "train":
    preset_panel.preset_line()
if (trouble := state.kept_problem()) is not None:
    panels.problem(trouble)
changes = st.container()
left, right = st.container(key="lab-both").columns([3, 2], gap="large")
settings, wrong = None, ""
with left:
    try:
        settings = file_panel.settings_in(file, kind) or (forms.train_form() if kind == "train" else forms.study_form())
    except SftqaError as error:
        wrong = str(error)
    if kind == "train":
        sweep_panel.sweep_button(settings)

if kind == "train":
    with changes:
        twin.changed_line(settings)
with right:
    live = st.container(key="lab-live")  # first, where it is seen without scrolling
    st.subheader("What it will cost", anchor=False)
    with panels.errors_shown():
        watched = state.watched_jobs(kind)
        active = current_executor().jobs(kind=kind, states=ACTIVE)
        duplicate = settings is not None and any(job.settings == settings.to_dict() for job in active)
    if settings is None:
        panels.problem(wrong)
    with panels.errors_shown():
        ready = settings is not None and facts_here(settings.source, "lab") and cost_panel(settings, duplicate) and not duplicate
    expected = background.expected_s(settings) if ready and settings else ()
    if resources.missing_torch():
        panels.needs_torch("Fine-tuning")
        ready = False
    if duplicate:
        st.caption("A run with these settings is already in progress. Change something to queue another one.")
    if st.button("Launch", type="primary", icon=":material/rocket_launch:", disabled=not ready, width="stretch") and settings:
        with panels.errors_shown():
            state.watch(background.submit(kind, settings, expected).id)
        state.toast_later("Submitted. Its progress stands above the cost.")
        st.rerun()
    if settings is not None:
        file_panel.command_and_file(settings)
    for job in watched:
        with live:
            job_panel(job, "lab")
    watched += sweep_panel.sweep_jobs() if kind == "train" else []
    state.queued_elsewhere(watched)
