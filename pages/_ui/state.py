"""What a page remembers. The job that is looked at stands in the address, so a reload or another tab shows it too."""

from __future__ import annotations

import streamlit as st

from pages._ui import resources
from pages._ui.wording import literal
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
    wanted, jobs = st.query_params.get("job"), resources.jobs()
    if wanted is not None and all(job.id != wanted for job in jobs):
        del st.query_params["job"]
        st.warning(f"There is no job '{literal(wanted[:80])}' here.", icon=":material/link_off:")
    return [job for job in jobs if job.kind == kind and (job.state in _ACTIVE or job.id == wanted)]


def keep_problem(text: str) -> None:
    """Remember what went wrong in a button's callback, where nothing can be drawn."""
    st.session_state["problem"] = text


def kept_problem() -> str | None:
    """What a callback left to be told; once."""
    return st.session_state.pop("problem", None)


def tell(text: str) -> None:
    """Say this on the next redraw, however that comes about: a message drawn before a rerun would be lost."""
    st.session_state["told"] = text


def tell_now() -> None:
    """Draw what `tell` was given; once."""
    if (text := st.session_state.pop("told", None)) is not None:
        st.toast(text, icon=":material/check:", duration="long")


def remembered_fact(place: str, picked: str | None) -> str | None:
    """The id of the fact that was picked last at `place` (a source: the pick stays when the model changes); `picked` is a new one."""
    kept = st.session_state.setdefault("picked-fact", {})
    if picked is not None:
        kept[place] = picked
    return kept.get(place)


def progress_history(job_id: str) -> list[Progress]:
    """Everything a job has told so far; each redraw reads only what is new."""
    kept = st.session_state.setdefault("progress", {})
    seen, offset = kept.get(job_id, ([], 0))
    news, offset = resources.progress_since(job_id, offset)
    kept[job_id] = (seen + news, offset)
    return kept[job_id][0]
