"""Run again with changes: opens the Lab with a run's settings filled in, and tells there what was changed."""

import contextlib

import streamlit as st

from pages._ui import address, background, resources
from pages._ui.fields import label, unasked
from pages._ui.links import page_link
from pages._ui.runs import forms
from pages._ui.titles import shown_value
from pages._ui.wording import literal
from sftqa_core.errors import SftqaError
from sftqa_core.jsonrecord import declared
from sftqa_core.records import TrainSettings

_ASIDE = ("model", "source", "n")  # always told first
LABEL = "Run again with changes"


def twin_button(settings: TrainSettings, where: str, of: str = "") -> None:
    """A link to the Lab with these settings filled in; nothing is started. `of`: the run or job that they come from, where it is known:
    else the newest run with these settings. `where` names the place."""
    of = of or next((run.id for run in resources.runs(background.stamp()) if getattr(run, "settings", None) == settings), "")
    with st.container(key=f"twin-{where}", width="content"):
        page_link("pages/lab.py", LABEL, f"twin-{where}", icon=":material/edit_note:", to=forms.lab_address(settings, of))


def changed_line(settings: TrainSettings | None) -> None:
    """On the Lab: what differs from the run or job that the form was filled in from, with a way back. `settings`: the form's; None while
    something in it is wrong."""
    if (of := address.value("twin")) is None:
        return
    original = original_of(of)
    if original is None:
        address.put(twin=None)
        address.say_wrong(f"There is no run or job '{literal(of[:80])}' here; changes are not told.")
        return
    changes = [] if settings is None else changes_of(original, settings)
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="twin-changes"):
        words = f"Changed from {of}: {', '.join(changes)}." if changes else f"Filled in from {of}; nothing is changed yet."
        st.markdown(literal(words), width="stretch")
        st.button(
            "Reset", icon=":material/undo:", key="twin-reset", disabled=settings is not None and not changes, on_click=forms.fill_in,
            args=(original, of),
        )  # fmt: skip
        st.button("Don't compare", key="twin-off", type="tertiary", on_click=address.put, kwargs={"twin": None})


def original_of(name: str) -> TrainSettings | None:
    """The settings of the run, or of the training job, of that name; None where there is none."""
    with contextlib.suppress(SftqaError):
        settings: TrainSettings = resources.run(name).settings
        return settings
    with contextlib.suppress(SftqaError):
        job = background.job(name)
        return TrainSettings.from_dict(job.settings) if job is not None and job.kind == "train" else None
    return None


def changes_of(original: TrainSettings, now: TrainSettings) -> list[str]:
    """Settings that differ, each with both values: "Examples (n) 60 → 240"."""
    known = declared(TrainSettings)
    changed = [name for name in (*_ASIDE, *(name for name in known if name not in _ASIDE)) if name not in unasked()]
    values = {name: (_value(name, original), _value(name, now)) for name in changed}
    return [f"{label(TrainSettings, name)} {before} → {after}" for name, (before, after) in values.items() if before != after]


def _value(name: str, settings: TrainSettings) -> str:
    about, value = declared(TrainSettings)[name], getattr(settings, name)
    if name == "learning_rate" and value is not None and forms.is_default_rate(settings):
        value = None
    if value is None:
        return about.unset or "none"
    if name == "n" and value == TrainSettings.ALL:
        return "all"
    if isinstance(value, tuple) and not value:
        return "none"
    return f"{value:g}" if isinstance(value, float) else shown_value(name, value, settings)
