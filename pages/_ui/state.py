"""What a page remembers. The watched job is part of the address, so a reload or another tab shows it too."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from pages._ui import address, background
from pages._ui.wording import literal
from sftqa_core.errors import SftqaError
from sftqa_core.jobs import current_executor
from sftqa_core.progress import Progress
from sftqa_core.records import ACTIVE, Job

_MOST_WAITING = 2  # queued jobs shown on a page other than Jobs


def watch(job_id: str) -> None:
    """Show this job's panel from now on."""
    address.put(job=job_id)


def start(submit: Callable[..., Job], *arguments: Any) -> None:
    """A button's callback: submit or resume a job and show its panel. What goes wrong is shown on the next redraw."""
    try:
        watch(submit(*arguments).id)
    except SftqaError as error:
        keep_problem(str(error))


def watched_jobs(kind: str, fits: Callable[[Job], bool] = lambda job: True) -> list[Job]:
    """Jobs whose panel belongs on a page: those that run, the one that was started or looked at last, and the next in the queue.

    With `fits` only those.
    """
    if "woken" not in st.session_state:  # a queue whose worker died resumes when somebody opens a page
        current_executor().wake()
        st.session_state["woken"] = True
    wanted = address.value("job")
    looked_at = None if wanted is None else background.job(wanted)
    if wanted is not None and looked_at is None:
        address.put(job=None)
        address.say_wrong(f"There is no job '{literal(wanted[:80])}' here.")
    active = [job for job in reversed(current_executor().jobs(kind=kind, states=ACTIVE)) if fits(job)]
    others = {job.id for job in [job for job in active if job.state == "queued" and job.id != wanted][_MOST_WAITING:]}
    shown = [job for job in active if job.id not in others]
    mine = looked_at is not None and looked_at.kind == kind and fits(looked_at) and wanted not in {job.id for job in shown}
    return [looked_at, *shown] if mine and looked_at else shown


def queued_elsewhere(shown: list[Job]) -> None:
    """A link to the Jobs page that counts the queued jobs which this page does not show."""
    if more := current_executor().counts().get("queued", 0) - sum(job.state == "queued" for job in shown):
        st.page_link("pages/jobs.py", label=f"{more:,} more are queued", icon=":material/hourglass_empty:")


def keep_problem(text: str) -> None:
    """Remember what went wrong in a button's callback, where nothing can be drawn."""
    st.session_state["problem"] = text


def kept_problem() -> str | None:
    """What went wrong in a callback; once."""
    return st.session_state.pop("problem", None)


def toast_later(text: str) -> None:
    """Show this text on the next redraw, whatever causes it: a message drawn before a rerun would be lost."""
    st.session_state["toast"] = text


def show_toast() -> None:
    """Draw the text that `toast_later` was given; once."""
    if (text := st.session_state.pop("toast", None)) is not None:
        st.toast(text, icon=":material/check:", duration="long")


def progress_history(job_id: str) -> list[Progress]:
    """All progress that a job has reported; each redraw reads only what is new."""
    kept = st.session_state.setdefault("progress", {})
    seen, offset = kept.get(job_id, ([], 0))
    news, offset = current_executor().progress_since(job_id, offset)
    kept[job_id] = (seen + news, offset)
    return kept[job_id][0]
