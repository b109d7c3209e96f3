"""The papers' settings, to fill in the Lab's form with."""

import contextlib
from dataclasses import replace

import streamlit as st

from pages._ui import address, resources, state
from pages._ui.fields import dropped
from pages._ui.runs import form_reads, forms
from pages._ui.wording import literal
from sftqa_core.errors import SftqaError
from sftqa_core.records import TrainSettings
from sftqa_core.records.presets import PRESETS


def preset_button() -> None:
    """A popover with a line a preset and its source; a click fills in the form for the model that is picked."""
    with st.popover("Presets", icon=":material/menu_book:"):
        st.caption("Settings as the papers state them. What a paper is not known to say stays at its default.")
        for name, preset in PRESETS.items():
            st.button(preset.title, key=f"preset-{name}", on_click=_fill_in, args=(name,), width="stretch")
            st.caption(f"{literal(preset.about)} {literal(preset.source)}.")


def preset_line() -> None:
    """Which preset the form was filled in from, and what that left at its default."""
    wanted = address.value("preset")
    if wanted is not None and wanted not in PRESETS:
        dropped("preset", f"There is no preset {wanted[:40]!r} here.")
    elif wanted is not None:
        with contextlib.suppress(SftqaError):  # a model that is not there: the form says so
            _, notes = form_reads.preset(wanted, _model())
            st.caption(literal(f"Filled in from {PRESETS[wanted].title}, {PRESETS[wanted].source}. {' '.join(notes)}"))


def _fill_in(name: str) -> None:
    model = _model()
    try:
        values, _ = form_reads.preset(name, model)
    except SftqaError as error:
        state.keep_problem(str(error))
        return
    source = address.value("source") or TrainSettings(model).source
    forms.fill_in(replace(TrainSettings(model, source), **values), preset=name)


def _model() -> str:
    return address.value("model") or next(iter(resources.model_names()), "")
