"""One background job on a page: where it stands, how far it is, its log, and a way to stop it.

While the job is under way the panel is a fragment that reruns itself once a second and nothing else; when the job
ends it reruns the page once, so that the link to the result appears and the polling stops.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages._ui import resources, state
from pages._ui.charts import draw
from pages._ui.panels import problem
from pages._ui.titles import job_title
from pages._ui.wording import PHASES, duration, literal, moment, step_of
from sftqa_core.figures.training import loss_figure
from sftqa_core.records import Job

STUDY_PAGES = {"amount": "pages/amount.py", "level": "pages/level.py", "models": "pages/models.py", "shift": "pages/shift.py"}
ACTIVE = ("queued", "running", "stopping")
STATES = {
    "queued": ("waiting", "gray", ":material/hourglass_empty:"),
    "running": ("running", "blue", ":material/play_circle:"),
    "stopping": ("stopping", "orange", ":material/stop_circle:"),
    "done": ("done", "green", ":material/check_circle:"),
    "failed": ("failed", "red", ":material/error:"),
    "cancelled": ("cancelled", "gray", ":material/cancel:"),
}


def job_panel(job: Job, where: str, *, charts: bool = True) -> None:
    """Draw a job in a bordered box; `where` keeps the widgets of two pages or places apart."""
    with st.container(border=True, key=f"job-{where}-{job.id}"):
        if job.state in ACTIVE:
            st.fragment(_body, run_every=1.0)(job.id, where, charts)
        else:
            _over(job, where)


def _body(job_id: str, where: str, charts: bool) -> None:
    job = resources.job(job_id)
    if job is None or job.state not in ACTIVE:
        st.rerun()
    _head(job)
    steps = state.progress_history(job_id)
    if steps:
        at, of = step_of(job.kind, [step.phase for step in steps])
        share = min(steps[-1].done / steps[-1].total, 1.0) if steps[-1].total else 1.0
        st.progress((at - 1 + share) / of, text=_progress_words(steps[-1], at, of))
    else:
        st.progress(0.0, text=literal(resources.waits_for(job_id)) if job.state == "queued" else "Starting…")
    losses = [(step.done, step.values["loss"]) for step in steps if "loss" in step.values]
    if charts and losses:
        total = next(step.total for step in reversed(steps) if "loss" in step.values)
        figure = loss_figure([at for at, _ in losses], [loss for _, loss in losses], total)
        draw(figure, key=f"loss-{where}-{job_id}", alt="Training loss by step")
    _log(job_id, st.expander("Log", key=f"log-{where}-{job_id}", icon=":material/notes:"))
    if job.state == "stopping":
        st.caption("Stopping after the piece of work at hand. What is finished is kept.")
    elif st.button("Cancel", key=f"cancel-{where}-{job_id}", icon=":material/stop:"):
        resources.cancel(job_id)
        st.rerun(scope="fragment")


def _over(job: Job, where: str) -> None:
    _head(job)
    with st.container(horizontal=True, vertical_alignment="center"):
        if job.state == "done" and job.result and (job.kind, where) != ("probe", "memory"):
            _result_link(job)
        if job.state != "failed":
            _log(job.id, st.popover("Log", icon=":material/notes:", key=f"log-{where}-{job.id}"))
    if job.state == "failed":
        sentence, _, lines = (job.error or "").strip().partition("\n")  # a process that died leaves its last log lines below
        problem(sentence or "The job's process ended without saying why.")
        st.caption("The last lines of its log:")
        st.code("\n".join(resources.log(job.id, 12)) or lines or "The log is empty.", language=None, wrap_lines=True)


def _result_link(job: Job) -> None:
    if job.kind == "train":
        st.page_link("pages/results.py", label="**See the results**", icon=":material/insights:", query_params={"run": str(job.result)})
    elif job.kind == "study" and job.result in STUDY_PAGES:
        link = {"study": resources.study_name(job.settings)}
        st.page_link(STUDY_PAGES[job.result], label="**See the study**", icon=":material/insights:", query_params=link)
    elif job.kind == "probe":
        link = {key: str(job.settings[key]) for key in ("model", "source", "split", "domain") if key in job.settings}
        st.page_link("pages/memory.py", label="**See the levels**", icon=":material/psychology:", query_params=link)


def _head(job: Job) -> None:
    name, colour, icon = STATES[job.state]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(name, color=colour, icon=icon)
        st.text(job_title(job))
    began = f"started {moment(job.started)}" if job.started else f"asked for {moment(job.created)}"
    ended = f", ended {moment(job.finished)}" if job.finished else ""
    st.caption(literal(f"{began}{ended} · {job.id}"))


def _log(job_id: str, box: Any) -> None:
    box.code("\n".join(resources.log(job_id, 40)) or "Nothing yet.", language=None, wrap_lines=True, height=220)


def _progress_words(now: Any, at: int, of: int) -> str:
    name = PHASES.get(now.phase, now.phase)
    words = literal(f"Step {at} of {of}, {name}: " if of > 1 else f"{name[:1].upper()}{name[1:]}: ")
    words += f"{now.done:,} of {now.total:,} {literal(now.unit)}"
    if now.rate:
        words += f", {now.rate:,.1f} a second"
    if now.left_s is not None and now.done < now.total:
        words += f", about {duration(now.left_s)} left" + (" in this step" if of > 1 else "")
    return words
