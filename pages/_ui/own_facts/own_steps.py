"""The row of steps from facts to a comparison: what each is, how it stands, and how one is drawn.

A step's state is read from the cache, where what is finished lies, else from the queue: nothing is remembered by the page, so leaving,
coming back and reloading lose nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages._ui import background, resources, state
from pages._ui.panels import needs_torch
from pages._ui.runs.cost_panel import cost_panel
from pages._ui.runs.job_panel import STATES, job_panel
from pages._ui.wording import sentence
from sftqa_core.errors import SftqaError
from sftqa_core.jobs import current_executor
from sftqa_core.records import ACTIVE, Job, PretrainSettings, ProbeSettings, TrainSettings

TITLES = ("Facts", "Pre-train", "Probe", "Tune", "Compare")
_LATEST = 200  # jobs of a kind among which a step's own is looked for
_BADGES = {
    **STATES,
    "not started": ("not started", "gray", ":material/radio_button_unchecked:"),
    "waiting": ("waits", "gray", ":material/lock:"),
    "problem": ("can't go on", "red", ":material/error:"),
}
_FAILED = ("failed", "cancelled")
_TILE = 170  # pixels


@dataclass
class Step:
    """One step, as it stands."""

    number: int
    state: str = "waiting"
    said: Sequence[str] = ()  # the result, a sentence each
    job: Job | None = None

    @property
    def done(self) -> bool:
        return self.state == "done"

    @property
    def title(self) -> str:
        return f"{self.number}. {TITLES[self.number - 1]}"


def stands(number: int, kind: str, settings: PretrainSettings | ProbeSettings | TrainSettings | None, said: Sequence[str]) -> Step:
    """How a step stands whose work has these settings: done where its result is `said`, else as its latest job; None: it has to wait."""
    if settings is None:
        return Step(number)
    wanted = settings.to_dict()
    job = next((job for job in current_executor().jobs(_LATEST, kind=kind) if job.settings == wanted), None)
    if job is not None and job.state in ACTIVE:
        return Step(number, job.state, job=job)
    if said:
        return Step(number, "done", said)
    return Step(number, job.state, job=job) if job is not None and job.state in _FAILED else Step(number, "not started")


def row(steps: Sequence[Step], place: Any) -> None:
    """All steps side by side, with their states."""
    with place.container(horizontal=True, gap="small"):  # two in a row on a telephone
        for step in steps:
            name, colour, icon = _BADGES[step.state]
            with st.container(border=True, width=_TILE, key=f"own-tile-{step.number}"):
                st.markdown(f"**{step.title}**")
                st.badge(name, color=colour, icon=icon)


@contextmanager
def section(step: Step) -> Iterator[None]:
    """A step's part of the page: its title, its result, and what is drawn inside."""
    st.subheader(step.title, anchor=False)
    for said in step.said:
        st.markdown(f":green[:material/check_circle:] {sentence(said)}")
    yield


def work(step: Step, kind: str, settings: PretrainSettings | ProbeSettings | TrainSettings, label: str, needs: str) -> None:
    """What a step that is not done offers: its job as long as there is one to show, else its cost and the button that starts it.

    `label` is the button's; `needs` names the work where it lacks PyTorch.
    """
    if step.job is not None:
        job_panel(step.job, "own")
    if step.state in ACTIVE or step.done:
        return
    with st.container(border=True, key=f"own-cost-{step.number}"):
        ready = cost_panel(settings)
        if resources.missing_torch():
            needs_torch(needs)
            ready = False
        again = step.job is not None  # its panel resumes it from what is kept
        start = (background.submit, kind, settings, background.expected_s(settings) if ready else ())
        about: dict[str, Any] = {"on_click": _start, "args": start, "disabled": not ready, "key": f"own-start-{step.number}"}
        kept = "Starts a new job. Resume, above, goes on from what is kept." if again else None
        st.button(label, type="secondary" if again else "primary", icon=":material/play_arrow:", help=kept, **about)


def _start(submit: Any, *arguments: Any) -> None:
    """The page finds the job by its settings, so the address needs no name of it."""
    try:
        submit(*arguments)
    except SftqaError as error:
        state.keep_problem(str(error))
