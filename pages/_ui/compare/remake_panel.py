"""Makes a run or cell again whose weights or words were not kept, and says whether what came out is what was stored."""

import contextlib

import streamlit as st

from pages._ui import address, background, panels, pickers, state
from pages._ui.compare import compare_reads
from pages._ui.compare.compare_picks import short_titles
from pages._ui.runs.cost_panel import cost_panel
from pages._ui.runs.job_panel import job_panel
from pages._ui.wording import literal
from sftqa_core.errors import SftqaError
from sftqa_core.records import ACTIVE, Comparison, Remade

_AGAIN = "again"  # of the address: which one is made again


def remake_panel(comparison: Comparison, stamp: str) -> None:
    """Drawn where something was not kept: pick one, see what it costs, start it; or what came of it."""
    lacking = [
        name for run in comparison.runs
        if not (run.weights and run.words) and run.settings.n and run.settings.time_limit_min is None  # one that a limit cut can't be
        for name in run.names
    ]  # fmt: skip
    if not lacking:
        return
    watched = _watched(lacking, stamp)
    # the forecast, and the check of what was made again, take a moment: folded until somebody wants them
    title, draw = "Weights and words that were not kept", lambda: _pick(lacking, watched, stamp)
    panels.folded(title, "remake", ":material/replay:", draw, _AGAIN, opened=watched is not None)


def _pick(lacking: list[str], watched: str | None, stamp: str) -> None:
    st.caption(
        "These can be made again from their settings: a background run that keeps weights and words. When it has finished, its answers "
        "are checked against the stored ones, fact by fact."
    )
    titles = short_titles(lacking, stamp)
    _one(pickers.linked("Make again", lacking, _AGAIN, titles.__getitem__, default=watched), stamp)


def _watched(lacking: list[str], stamp: str) -> str | None:
    """Which of these the address's job makes again: a reload in mid-run, or another tab, shows it."""
    job = background.job(wanted) if (wanted := address.value("job")) else None
    if job is None or job.kind != "train":
        return None
    for name in lacking:
        with contextlib.suppress(SftqaError):  # damaged: unfolded, the panel says so
            if compare_reads.settings_again(name, stamp).to_dict() == job.settings:
                return name
    return None


def _one(name: str, stamp: str) -> None:
    made = compare_reads.made_again(name, stamp)
    for remade in made:
        _checked(remade)
    if any(remade.equal for remade in made):
        return  # it is here, whole
    settings = compare_reads.settings_again(name, stamp)
    jobs = state.watched_jobs("train", lambda job: job.settings == settings.to_dict())
    for job in jobs:
        job_panel(job, "compare", charts=False)
    if any(job.state in ACTIVE for job in jobs):
        return
    if cost_panel(settings):
        start = (background.submit, "train", settings, background.expected_s(settings))
        st.button("Make it again", key="remake-start", type="primary", icon=":material/replay:", on_click=state.start, args=start)


def _checked(remade: Remade) -> None:
    """What the check says, and a way to put the new run in the old one's place."""
    if remade.equal:
        st.success(literal(f"{remade.new}: {remade.said}"), icon=":material/task_alt:")
    else:
        st.warning(literal(f"{remade.new}: {remade.said}"), icon=":material/rule:")
    names = (address.value("runs") or "").split(",")
    instead = ",".join(dict.fromkeys(remade.new if name == remade.old else name for name in names))
    change = {"runs": instead, "job": None, _AGAIN: None}
    if st.button("Compare with the new one in its place", key=f"remake-use-{remade.new}", on_click=address.put, kwargs=change):
        st.rerun()  # the comparison stands outside this part
