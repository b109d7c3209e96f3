"""Start probing what is not known yet, and hand over facts of one's own."""

from __future__ import annotations

import streamlit as st

from pages._ui import resources, state
from pages._ui.cost_panel import cost_panel
from pages._ui.panels import needs_torch, told
from sftqa_core.records import ProbeSettings

UPLOADS = ("csv", "jsonl", "parquet", "zip")


def probe_button(model: str, source: str, split: str, domain: str, left: int) -> None:
    """A popover with what probing the remaining facts costs, and the button that starts it."""
    with st.popover("Probe", icon=":material/network_intelligence:", disabled=left == 0, on_change="rerun", key="probe") as popover:
        if not popover.open:
            return
        limit = st.number_input("At most this many facts", 1, None, None, placeholder=f"all {left:,} that are left", key="probe-limit")
        settings = ProbeSettings(model=model, source=source, split=split, domain=domain, limit=int(limit) if limit else None)
        ready = cost_panel(settings)
        if resources.missing_torch():
            needs_torch("Probing")
            ready = False
        if st.button("Start probing", type="primary", disabled=not ready, key="probe-start"):
            with told():
                state.watch(resources.submit("probe", settings).id)
            st.rerun()


def upload_button() -> None:
    """A popover that takes a file of facts and makes it the picked source."""
    with st.popover("Add your own facts", icon=":material/upload_file:"):
        st.markdown(
            "Triples or question-answer pairs, as CSV, JSON Lines or Parquet. "
            "Columns: `question`, `answers` and, for triples, `subject`, `relation`."
        )
        st.markdown("For the EntityQuestions data run `sftqa facts --source entity-questions --download` once.")
        file = st.file_uploader("File", type=UPLOADS, label_visibility="collapsed", key="upload")
        if file is not None and st.button("Use these facts", type="primary"):
            with told():
                name = resources.add_upload(file.name, file.getvalue())
            st.session_state.pop("pick-source", None)
            st.query_params["source"] = name
            st.rerun()
