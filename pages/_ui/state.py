"""What a page remembers. The job that is looked at stands in the address, so a reload or another tab shows it too."""

from __future__ import annotations

import streamlit as st

from pages._ui import resources
from sftqa_core.progress import Progress
from sftqa_core.records import Job

_ACTIVE = ("queued", "running", "stopping")


def watch(job_id: str) -> None:
    """Show this job's panel from now on."""
    st.query_params["job"] = job_id


def watched_jobs(kind: str) -> list[Job]:
    """Jobs whose panel belongs on a page: those under way, and the one that was started or looked at last."""
    if "woken" not in st.session_state:  # a queue whose worker died goes on when somebody looks
        resources.wake()
        st.session_state["woken"] = True
    wanted = st.query_params.get("job")
    return [job for job in resources.jobs() if job.kind == kind and (job.state in _ACTIVE or job.id == wanted)]


def keep_problem(text: str) -> None:
    """Remember what went wrong in a button's callback, where nothing can be drawn."""
    st.session_state["problem"] = text


def kept_problem() -> str | None:
    """What a callback left to be told; once."""
    return st.session_state.pop("problem", None)


def progress_history(job_id: str) -> list[Progress]:
    """Everything a job has told so far; each redraw reads only what is new."""
    kept = st.session_state.setdefault("progress", {})
    seen, offset = kept.get(job_id, ([], 0))
    news, offset = resources.progress_since(job_id, offset)
    kept[job_id] = (seen + news, offset)
    return kept[job_id][0]
