"""The queue on the Jobs page: which jobs are queued, in which order, and ways to change that.

It is one fragment that looks every other second, whatever the queue's length; when a job starts it reruns the page.
"""

import streamlit as st

from pages._ui import background
from pages._ui.runs.job_panel import twin_link
from pages._ui.titles import job_title
from pages._ui.wording import literal, moment, sentence, span
from sftqa_core.jobs import current_executor
from sftqa_core.jobs.executor import Waiting

SHOWN = 20
_MOVES = {
    "first": (":material/vertical_align_top:", "Start next"),
    "up": (":material/arrow_upward:", "Move up"),
    "down": (":material/arrow_downward:", "Move down"),
}


@st.fragment(run_every=2.0)
def queue_panel(drawn: tuple[str, ...]) -> None:
    """Draw the queue. `drawn`: the ids that were queued when the page was drawn."""
    waiting = current_executor().queue()
    if set(drawn) - {queued.job.id for queued in waiting}:  # one has started or is over: it belongs to another part of the page
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader(f"Queued ({len(waiting):,})", anchor=False)
        with st.popover("Empty the queue", icon=":material/delete_sweep:", disabled=not waiting):
            st.markdown(f"Cancels all {len(waiting):,} queued jobs. Running jobs continue.")
            st.button("Cancel all queued jobs", type="primary", key="queue-empty", on_click=current_executor().empty)
    if waiting and waiting[0].holder:
        st.caption(f"Waiting: device in use by {literal(background.holder_words(waiting[0].holder))}.")
    for place, queued in enumerate(waiting[:SHOWN], 1):
        _row(place, queued, len(waiting))
    if len(waiting) > SHOWN:
        st.caption(f"The first {SHOWN} of {len(waiting):,} are shown; 'sftqa jobs' lists them all.")


def _row(place: int, queued: Waiting, of: int) -> None:
    job = queued.job
    with st.container(border=True, key=f"queued-{job.id}"):
        what, ways = st.columns([5, 2], vertical_alignment="center")
        with what:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.badge(f"{place:,}", color="gray")
                st.text(job_title(job))
            when = [f"submitted {moment(job.created)}"]
            if job.error:
                when.append(job.error)
            elif queued.starts_in_s is not None:
                when.append(f"starts in about {span(*queued.starts_in_s)}" if queued.starts_in_s[1] >= 1 else "starts next")
            st.caption(sentence(" · ".join(when)))
        executor = current_executor()
        with ways, st.container(horizontal=True, horizontal_alignment="right"):
            for where, (icon, help_text) in _MOVES.items():
                useless = of == 1 or (place == of if where == "down" else place == 1)
                key, act = f"{where}-{job.id}", {"on_click": executor.move, "args": (job.id, where)}
                st.button("", key=key, icon=icon, help=help_text, disabled=useless, type="tertiary", **act)
            twin_link(job, "queue")
            act = {"on_click": executor.cancel, "args": (job.id, job.turn)}
            st.button("Cancel", key=f"queue-cancel-{job.id}", icon=":material/stop:", type="tertiary", **act)
