"""What is running, what waits, what ended and how."""

from __future__ import annotations

import streamlit as st

from pages._ui import panels, resources
from pages._ui.job_panel import ACTIVE, job_panel

SHOWN = 30

st.title("Jobs")

with panels.told():
    resources.wake()
    jobs = resources.jobs()

if not jobs:
    panels.empty("Nothing has been started yet. Runs and probes go on here when you close the tab.", "pages/lab.py", "Open the Lab")
    st.stop()

active = [job for job in jobs if job.state in ACTIVE]
over = [job for job in jobs if job.state not in ACTIVE]

with panels.told():
    st.subheader(f"Under way ({len(active)})" if active else "Nothing is running", anchor=False)
    for job in reversed(active):
        job_panel(job, "jobs", charts=False)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader(f"Over ({len(over)})", anchor=False)
        if over and st.button("Clear the list", icon=":material/clear_all:", help="Takes these jobs and their logs away. Results stay."):
            resources.clear_jobs()
            st.rerun()
    for job in over[:SHOWN]:
        job_panel(job, "jobs", charts=False)
    if len(over) > SHOWN:
        st.caption(f"The {SHOWN} newest of {len(over):,} are shown; 'sftqa jobs' lists them all.")
