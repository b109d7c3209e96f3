"""The Lab's fields for how a model is asked, and how many examples the untouched model is shown."""

from __future__ import annotations

import re
from typing import Any

import streamlit as st

from pages._ui import resources
from pages._ui.titles import FIELDS, PROMPT_NAMES, prompt_kind
from sftqa_core.errors import SettingsError, SftqaError
from sftqa_core.records import PROMPTS, PromptFormat, TrainSettings

SHOTS = (1, 4, 16)
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_HELP = (
    "How a question is put, in training and at test. A chat model (its name often says Instruct, Chat or it) was made to be asked by its "
    "own template; a base model by plain text."
)
KEPT: dict[str, Any] = {"persist_state": "session"}


def prompt_field(model: str, wrong: list[str]) -> PromptFormat:
    """The prompt, with a look at one example; what is wrong is added to `wrong`."""
    why = resources.why_no_chat(model)
    names = {**PROMPT_NAMES, "chat": PROMPT_NAMES["chat"] + (" (this one has none)" if why else _advice(model))}
    kind = st.selectbox(FIELDS["prompt"], list(names), format_func=names.get, help=_HELP, key="lab-prompt-kind", **KEPT)
    form = PROMPTS[kind] if kind in PROMPTS else _own(bool(why), wrong)
    if form.chat and why:
        wrong.append(why)
        return form
    try:
        prompt, reply = resources.prompt_preview(model, form)
    except SftqaError as error:
        wrong.append(str(error))
        return form
    st.code(f"{prompt}\u2588{reply}", language=None, wrap_lines=True)
    st.caption("One example. Where the block stands, the model begins to write; in training, the rest and its end are what it learns.")
    return form


def shots_field() -> dict[str, Any]:
    """How many examples the untouched model is shown, each number a base line of the run."""
    options = sorted({*SHOTS, *st.session_state.get("lab-shots", ())})
    chosen = st.multiselect(
        FIELDS["shots"], options, default=[TrainSettings(model="").shots], placeholder="none", key="lab-shots",
        help="The untouched model with so many answered questions in front of each question, as a line beside the tuned one. Several "
        "numbers make several lines; each takes about as long as reading that many more questions.",
        **KEPT,
    )  # fmt: skip
    usual = TrainSettings(model="").shots
    first = usual if usual in chosen else min(chosen, default=0)
    return {"shots": first, "more_shots": tuple(sorted({*chosen} - {first}))}


def filled(settings: TrainSettings) -> dict[str, Any]:
    """These fields' values for a run's settings."""
    form = settings.prompt
    told = {"lab-prompt-kind": prompt_kind(form), "lab-shots": sorted(settings.few_shot_stages.values())}
    return told | ({"lab-prompt": form.prompt, "lab-answer": form.answer, "lab-own-chat": form.chat} if prompt_kind(form) == "own" else {})


def _advice(model: str) -> str:
    return ", recommended" if resources.is_chat_model(model) else ""


def _own(no_chat: bool, wrong: list[str]) -> PromptFormat:
    plain = PromptFormat()
    prompt = st.text_area("Own prompt", plain.prompt, height=80, help="Must hold {question} once.", key="lab-prompt", **KEPT)
    answer = st.text_input("Answer form", plain.answer, help="Must hold {answer} once; it starts with a space.", key="lab-answer", **KEPT)
    told = "The prompt is what the user says, the answer form what the model replies; neither begins or ends with a blank."
    chat = st.toggle("Put it into the model's chat template", help=told, key="lab-own-chat", disabled=no_chat, **KEPT)
    others = [name for name in _PLACEHOLDER.findall(prompt) if name != "{question}"]
    others += [name for name in _PLACEHOLDER.findall(answer) if name != "{answer}"]
    if others:
        st.warning(f"Only {{question}} and {{answer}} are filled in; `{' '.join(others)}` is handed to the model as it stands.")
    try:
        return PromptFormat("own", prompt, answer, chat=chat and not no_chat)
    except SettingsError as error:
        wrong += error.problems
        return plain
