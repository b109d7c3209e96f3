"""One background job on a page: its state, progress and log, with buttons to cancel or resume it.

While the job is queued or running the panel is a fragment that reruns itself once a second and nothing else; when the job
ends it reruns the page once, so that the link to the result appears and the polling stops.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

import streamlit as st

from pages._ui import background, resources, state
from pages._ui.charts import draw
from pages._ui.labels import label_reads
from pages._ui.links import open_page, page_link
from pages._ui.panels import problem
from pages._ui.runs import forms
from pages._ui.runs.twin import twin_button
from pages._ui.titles import changed_words, job_title
from pages._ui.wording import duration, literal, moment, phase_words, sentence, step_of
from sftqa_core.artifacts import in_words
from sftqa_core.errors import SettingsError, SftqaError
from sftqa_core.figures.curves import loss_figure
from sftqa_core.jobs import current_executor
from sftqa_core.progress import LIBRARIES, MODEL, SLOW, Progress
from sftqa_core.records import ACTIVE, DEVICELESS, KEPT, MEASURES, STUDIES, Job, StudySettings, TrainSettings

RUNNING_S, WAITING_S = 1.0, 3.0  # seconds between two looks at a job
_USUALLY = {
    LIBRARIES: "usually 5 to 20 s, up to a minute on a slow machine; jobs that follow start at once",
    MODEL: "a second for a tiny model, up to some minutes for billions of parameters",
}
STATES = {
    "queued": ("queued", "gray", ":material/hourglass_empty:"),
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
            waits = job.state == "queued"
            st.fragment(_body, run_every=WAITING_S if waits else RUNNING_S)(job.id, where, charts, waits)
        else:
            _over(job, where)


def _body(job_id: str, where: str, charts: bool, waits: bool) -> None:
    job = background.job(job_id)
    if job is None or job.state not in ACTIVE or (waits and job.state != "queued"):
        st.rerun()  # over, or started: then it is looked at more often
    _head(job)
    steps = state.progress_history(job_id) if not waits else []
    progress_line(job, steps)
    trained = [step for step in steps if "loss" in step.values]
    losses = [(step.done, step.values["loss"]) for step in trained if step.phase == trained[-1].phase]  # of the stage that is under way
    if charts and losses:
        total = next(step.total for step in reversed(steps) if "loss" in step.values)
        figure = loss_figure([at for at, _ in losses], [loss for _, loss in losses], total)
        draw(figure, key=f"loss-{where}-{job_id}", alt="Training loss by step")
    _log(job_id, st.expander("Log", key=f"log-{where}-{job_id}", icon=":material/notes:"))
    if job.state == "stopping":
        st.caption("Stopping after the current step; killed after 30 s. What is finished is kept.")
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Cancel", key=f"cancel-{where}-{job_id}", icon=":material/stop:"):
            current_executor().cancel(job.id, job.turn)
            if where != "jobs":  # which shows all of them: elsewhere it stays for as long as it is the watched one
                state.watch(job.id)
            st.rerun(scope="fragment")
        twin_link(job, where)


def progress_line(job: Job, steps: Sequence[Progress], brief: bool = False) -> None:
    """How far a job is that waits or runs; `steps`: what it has reported so far. `brief`: a few words, for people who are shown it."""
    if job.state == "queued":
        st.progress(0.0, text="Queued" if brief else sentence(background.waits_for(job)))
    elif counted := [step for step in steps if step.total]:
        at, of = counted_steps(job, steps)
        words = f"Step {at} of {of}" if brief else _progress_words(counted[-1], at, of)
        st.progress((at - 1 + counted[-1].portion) / of, text=words)
    else:
        phase = steps[-1].phase if steps else LIBRARIES
        st.progress(0.0, text=f"{phase_words(phase).capitalize()}…" if brief else _beginning(job, phase))


def counted_steps(job: Job, steps: Sequence[Progress]) -> tuple[int, int]:
    """Which step of its work a running job is at, from 1, and of how many."""
    return step_of(job.kind, [step.phase for step in steps if step.total], job.settings.get("measures") or MEASURES)


def _over(job: Job, where: str) -> None:
    _head(job)
    if job.state == "cancelled":
        st.caption(sentence(job.error or "Cancelled while it was queued: nothing of it was done."))
    if job.state == "failed":
        why, _, lines = (job.error or "").strip().partition("\n")  # a process that died leaves its last log lines below
        problem(why or "The job's process ended without an error message.")
        st.caption("The last lines of its log:")
        st.code("\n".join(current_executor().log(job.id, 12)) or lines or "The log is empty.", language=None, wrap_lines=True)
    with st.container(horizontal=True, vertical_alignment="center"):
        if job.state == "done" and job.result and (job.kind, where) != ("probe", "memory"):
            with contextlib.suppress(SftqaError):  # settings of another version, or damaged ones: no link
                _result_link(job, where)
        if job.state == "failed" and job.reason == "memory":
            with contextlib.suppress(SettingsError):
                _smaller(job, where)
        if job.state in ("failed", "cancelled") and job.kind in KEPT:
            _again(job, where)
        twin_link(job, where)
        if job.state != "failed":
            _log(job.id, st.popover("Log", icon=":material/notes:", key=f"log-{where}-{job.id}"))


def twin_link(job: Job, where: str) -> None:
    """Of a training the link to the Lab's form with its settings."""
    if job.kind == "train":
        with contextlib.suppress(SftqaError):  # settings of another version, or damaged ones
            twin_button(TrainSettings.from_dict(job.settings), f"{where}-{job.id}", job.result or job.id)


def _again(job: Job, where: str) -> None:
    """The button that resumes a job from what is kept of it."""
    label, icon = ("Resume", ":material/resume:") if job.state == "cancelled" else ("Try again", ":material/replay:")
    resume = (current_executor().resume, job.id)
    st.button(label, key=f"again-{where}-{job.id}", icon=icon, help=KEPT[job.kind], on_click=state.start, args=resume)


def _smaller(job: Job, where: str) -> None:
    """The button that starts the work again with settings that need less memory, or fills in the Lab's form with them."""
    less = background.smaller_footprint(job)
    if less is None:
        return
    wanted = {**job.settings, **less}
    label = f"Retry with {changed_words(less)}"
    if job.kind != "train" or "device" in less:  # the form has no such field
        again = (background.submit_again, job.kind, wanted)
        st.button(label, key=f"less-{where}-{job.id}", icon=":material/compress:", on_click=state.start, args=again)
    elif st.button(label, key=f"less-{where}-{job.id}", icon=":material/compress:", help="Fills in the Lab's form; starts nothing."):
        open_page("pages/lab.py", forms.lab_address(TrainSettings.from_dict(wanted), job.id))


def _result_link(job: Job, where: str) -> None:
    chart, memory, key = ":material/insights:", ":material/psychology:", f"{where}-{job.id}"
    if job.kind == "train":
        page_link("pages/results.py", "**See the results**", f"results-{key}", icon=chart, to={"run": str(job.result)})
        if where != "compare":  # which puts the run in another's place
            page_link("pages/compare.py", "Compare with…", f"beside-{key}", icon=":material/compare_arrows:", to={"runs": str(job.result)})
    elif job.kind == "study" and job.result in STUDIES:
        link = {"study": resources.study_name(StudySettings.from_dict(job.settings))}
        page_link(STUDIES[job.result].page, "**See the study**", f"study-{key}", icon=chart, to=link)
    elif job.kind == "inside":
        page_link("pages/inside.py", "**See inside**", f"inside-{key}", icon=chart, to={"run": str(job.result)})
    elif job.kind == "pretrain":
        link = {"model": str(job.result), "source": str(job.settings["source"])}
        page_link("pages/memory.py", "**Open in Memory**", f"memory-{key}", icon=memory, to=link)
    elif job.kind == "fetch":
        page_link("pages/memory.py", "**Open in Memory**", f"memory-{key}", icon=memory, to={"model": str(job.settings["model"])})
    elif job.kind == "facts":
        page_link("pages/memory.py", "**Open in Memory**", f"memory-{key}", icon=memory, to={"source": str(job.settings["source"])})
    elif job.kind == "probe":
        link = {name: str(job.settings[name]) for name in ("model", "source", "split", "domain") if name in job.settings}
        page_link("pages/memory.py", "**See the levels**", f"memory-{key}", icon=memory, to=link)


def _head(job: Job) -> None:
    name, colour, icon = STATES[job.state]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(name, color=colour, icon=icon)
        st.text(" · ".join(filter(None, [_called(job), job_title(job)])))
    began = f"started {moment(job.started)}" if job.started else f"submitted {moment(job.created)}"
    ended = f", ended {moment(job.finished)}" if job.finished else ""
    turn = f" · attempt {job.turn}" if job.turn > 1 else ""
    where = f" · cluster at {job.cluster}" if job.cluster else ""
    st.caption(literal(f"{began}{ended} · {job.id}{turn}{where}"))


def _called(job: Job) -> str:
    """Name and tags of the run or study that a job made, or makes."""
    kind, name = ("run", job.result or "") if job.kind == "train" else ("run", str(job.settings.get("name")))
    if job.kind == "study":
        try:
            kind, name = "study", resources.study_name(job.settings)
        except SettingsError:  # a row of another version, or a damaged one
            return ""
    return label_reads.label_of(kind, name).words if job.kind in ("train", "inside", "study") else ""


def _log(job_id: str, box: Any) -> None:
    box.code("\n".join(current_executor().log(job_id, 40)) or "The log is empty.", language=None, wrap_lines=True, height=220)


def _beginning(job: Job, phase: str) -> str:
    """What a job does before anything can be counted, and how long that usually takes."""
    if job.kind in DEVICELESS:
        return "Starting…"
    return f"{phase_words(phase).capitalize()}: {_USUALLY[phase]}" if phase in _USUALLY else f"{phase_words(phase).capitalize()}…"


def _progress_words(now: Any, at: int, of: int) -> str:
    name = phase_words(now.phase)
    words = literal(f"Step {at} of {of}, {name}: " if of > 1 else f"{name[:1].upper()}{name[1:]}: ")
    if now.unit == "bytes":
        done, total, rate = in_words(now.done), in_words(now.total), in_words(now.rate or 0)
    else:
        done, total, rate = f"{now.done:,}", f"{now.total:,} {literal(now.unit)}", f"{now.rate or 0:,.1f}"
    words += f"{done} of {total}{literal(now.details)}" + (f", {rate} a second" if (now.rate or 0) >= SLOW else "")
    if now.done < now.total and now.left_s is None:
        words += ", estimating the time left…"
    elif now.done < now.total:
        words += f", about {duration(now.left_s)} left" + (" in this step" if of > 1 else "")
    return words
