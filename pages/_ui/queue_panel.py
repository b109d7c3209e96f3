"""The queue on the Jobs page: what waits, in which order, and ways to change that.

It is one fragment that looks every other second, whatever the queue's length; when a job starts it reruns the page.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages._ui import background
from pages._ui.titles import job_title
from pages._ui.wording import literal, moment, span

SHOWN = 20
_MOVES = {
    "first": (":material/vertical_align_top:", "Start it next"),
    "up": (":material/arrow_upward:", "One place earlier"),
    "down": (":material/arrow_downward:", "One place later"),
}


@st.fragment(run_every=2.0)
def queue_panel(drawn: tuple[str, ...]) -> None:
    """Draw the queue. `drawn`: the ids that waited when the page was drawn."""
    waiting = background.queue()
    if set(drawn) - {one.job.id for one in waiting}:  # one of them has started or is over: it belongs to another part of the page
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.subheader(f"Waiting ({len(waiting):,})", anchor=False)
        with st.popover("Empty the queue", icon=":material/delete_sweep:", disabled=not waiting):
            st.markdown(f"Cancels all {len(waiting):,} jobs that wait. What runs goes on.")
            st.button("Cancel all that wait", type="primary", key="queue-empty", on_click=background.empty_queue)
    if waiting and (holder := background.holder(waiting[0].job)):
        st.caption(f"The device is in use by {literal(holder)}.")
    for place, one in enumerate(waiting[:SHOWN], 1):
        _row(place, one, len(waiting))
    if len(waiting) > SHOWN:
        st.caption(f"The first {SHOWN} of {len(waiting):,} are shown; 'sftqa jobs' lists them all.")


def _row(place: int, one: Any, of: int) -> None:
    job = one.job
    with st.container(border=True, key=f"queued-{job.id}"):
        what, ways = st.columns([5, 2], vertical_alignment="center")
        with what:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.badge(f"{place:,}", color="gray")
                st.text(job_title(job))
            st.caption(literal(_when(one)))
        with ways, st.container(horizontal=True, horizontal_alignment="right"):
            for where, (icon, told) in _MOVES.items():
                useless = of == 1 or (place == of if where == "down" else place == 1)
                key = f"{where}-{job.id}"
                st.button(
                    "", key=key, icon=icon, help=told, on_click=background.move, args=(job.id, where), disabled=useless, type="tertiary"
                )
            st.button(
                "Cancel", key=f"queue-cancel-{job.id}", icon=":material/stop:", on_click=background.cancel, args=(job,), type="tertiary"
            )


def _when(one: Any) -> str:
    """When it was asked for, and when it starts as far as that is known."""
    told = f"asked for {moment(one.job.created)}"
    if one.job.error:
        return f"{told} · {one.job.error}"
    if one.starts_in_s is None:
        return told
    return f"{told} · starts in about {span(*one.starts_in_s)}" if one.starts_in_s[1] >= 1 else f"{told} · starts next"
