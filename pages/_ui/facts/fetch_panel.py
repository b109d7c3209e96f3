"""Facts that are not on this machine yet: a link to them opens nothing and asks nobody, it offers to fetch them."""

import streamlit as st

from pages._ui import background, state
from pages._ui.runs.job_panel import job_panel
from pages._ui.titles import source_name
from pages._ui.wording import literal
from sftqa_core.records import ACTIVE


def facts_here(source: str, where: str) -> bool:
    """Whether the facts can be opened without the network. If not, says so, with the button that fetches them in the background.

    `where` keeps the panels of two pages apart. Raises `SftqaError` where the queue can't be read.
    """
    if background.source_here(source):
        return True
    jobs = state.watched_jobs("facts", lambda job: job.settings.get("source") == source)
    with st.container(border=True):
        st.markdown(f"**These facts are not on this machine yet: {literal(source_name(source))}**")
        st.caption("Nothing has been downloaded. Fetching runs in the background; this page shows the facts when they are here.")
        if not any(job.state in ACTIVE for job in jobs):
            fetch = (background.fetch_facts, source)
            icon = ":material/download:"
            st.button("Fetch these facts", type="primary", icon=icon, key=f"fetch-{where}", on_click=state.start, args=fetch)
        for job in jobs:
            job_panel(job, where, charts=False)
    return False
