"""What is running, queued, done or failed?"""

import streamlit as st

from pages._ui import address, background, panels, state
from pages._ui.runs.job_panel import job_panel
from pages._ui.runs.queue_panel import queue_panel
from sftqa_core.jobs import current_executor
from sftqa_core.records import OVER

SHOWN = 30

st.title("Jobs")

with panels.errors_shown():
    executor = current_executor()
    executor.wake()
    counts = executor.counts()

if not counts:
    panels.empty("No jobs yet. Runs and probes continue here when you close the tab.", "pages/lab.py", "Open the Lab")
    address.over()
if warning := background.state_warning():
    st.warning(warning, icon=":material/lan:")
if (trouble := state.kept_problem()) is not None:
    panels.problem(trouble)

with panels.errors_shown():
    running = executor.jobs(states=("running", "stopping"))
    st.subheader(f"Running ({len(running)})" if running else "Nothing is running", anchor=False)
    for job in reversed(running):
        job_panel(job, "jobs", charts=False)
    if counts.get("queued"):
        queue_panel(tuple(queued.job.id for queued in executor.queue()))
    ended = sum(counts.get(state_name, 0) for state_name in OVER)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader(f"Ended ({ended:,})", anchor=False)
        if ended and st.button("Clear the list", icon=":material/clear_all:", help="Removes these jobs and their logs. Results stay."):
            executor.remove()
            st.rerun()
    for job in executor.jobs(SHOWN, states=OVER):
        job_panel(job, "jobs", charts=False)
    if ended > SHOWN:
        st.caption(f"The {SHOWN} newest of {ended:,} are shown; 'sftqa jobs' lists them all.")
