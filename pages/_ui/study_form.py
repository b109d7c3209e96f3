"""The Lab's form for a study, and a study's file in and out."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages._ui import resources
from pages._ui.forms import SIZES as ONE_SIZE
from pages._ui.forms import read_rate
from pages._ui.pickers import pick_source
from pages._ui.prompt_form import SHOTS
from pages._ui.scheme_picker import picked_scheme
from pages._ui.step_form import step_fields, weights_field
from pages._ui.titles import FIELDS, METHODS, PROMPT_NAMES
from sftqa_core.errors import SettingsError
from sftqa_core.records import PROMPTS, STUDIES, StudySettings, TrainSettings

MAX_SEEDS = 20
KEPT: dict[str, Any] = {"persist_state": "session"}  # what is filled in holds on other pages too


def study_form() -> StudySettings:
    """A study by fields, or by a file, which then goes before the fields. Raises `SettingsError` with every problem at once."""
    with st.popover("Use a YAML file", icon=":material/upload_file:"):
        file = st.file_uploader(
            "A study's file", type=["yaml", "yml"], key="study-file", help="What a study page or the command line wrote."
        )
    if file is not None:
        st.caption("The study of the file is used; take it away to fill in the form.")
        try:
            return resources.study_of(file.getvalue().decode("utf-8"))
        except UnicodeDecodeError as error:
            raise SettingsError(f"{file.name} is no text in UTF-8: {error}.") from error
    kind = st.segmented_control(
        "Question", list(STUDIES), format_func=lambda kind: STUDIES[kind].title, default=next(iter(STUDIES)), required=True,
        key="study-kind", wrap=True, **KEPT,
    )  # fmt: skip
    st.caption(STUDIES[kind].about)
    names = [card.name for card in resources.models()]
    models = st.multiselect("Models", names, default=names[:1], key="study-models", accept_new_options=True, **KEPT)
    source = pick_source()
    wrong: list[str] = []
    values = {"sizes": _sizes(kind), **_training(wrong)}
    with st.expander("More settings"):
        values |= _more(kind)
        values |= weights_field(values["method"], "study") | step_fields("study")
        values["scheme"] = picked_scheme(wrong)
    if wrong:
        raise SettingsError(wrong)
    return StudySettings(kind, tuple(models), source, **values)


def file_button(settings: StudySettings) -> None:
    """The study as a file to take away."""
    st.download_button(
        "Save as YAML", resources.study_yaml(settings), f"{resources.study_name(settings)}.yaml", "text/yaml", icon=":material/download:",
        help="The Lab and the command line read it: sftqa study --config FILE", on_click="ignore",
    )  # fmt: skip


def _sizes(kind: str) -> tuple[int, ...] | None:
    usual = STUDIES[kind].sizes
    sizes = dict.fromkeys((*(n for study in STUDIES.values() for n in study.sizes), *ONE_SIZE))
    words = {n: "all" if n == TrainSettings.ALL else str(n) for n in sizes}
    if STUDIES[kind].many_sizes:
        chosen = st.multiselect(FIELDS["sizes"], list(words), default=usual, format_func=words.get, key=f"study-sizes-{kind}", **KEPT)
    else:
        options = [n for n in words if n != 0]
        chosen = [st.selectbox(FIELDS["sizes"], options, options.index(usual[0]), format_func=words.get, key=f"study-size-{kind}", **KEPT)]
    return None if set(chosen) == set(usual) else tuple(chosen)


def _training(wrong: list[str]) -> dict[str, Any]:
    first, second, third = st.columns(3)
    told = "Every run is made once with each of them: 0, 1, 2 and so on."
    seeds = first.number_input("How many seeds", 1, MAX_SEEDS, 3, key="study-seeds", help=told, **KEPT)
    method = second.segmented_control(
        FIELDS["method"], list(METHODS), format_func=METHODS.get, default="full", required=True, key="study-method", **KEPT
    )
    rate = third.text_input(FIELDS["learning_rate"], placeholder="default for each model", key="study-rate", **KEPT)
    return {"seeds": tuple(range(int(seeds))), "method": method, "learning_rate": read_rate(rate, wrong)}


def _more(kind: str) -> dict[str, Any]:
    first, second = st.columns(2)
    usual = "all of a small source, 100 of a large one"
    epochs = first.number_input(FIELDS["epochs"], 1, 1000, 1, key="study-epochs", **KEPT)
    batch = second.number_input(FIELDS["batch_size"], 1, 1024, 8, key="study-batch", **KEPT)
    test = first.number_input(FIELDS["test_limit"], 1, None, None, placeholder=usual, key="study-test", **KEPT)
    told = "After tuning, and of the untouched model: how much moves by chance."
    again = second.number_input(FIELDS["retest_limit"], 1, None, 40, key="study-again", help=told, **KEPT)
    told = "How a question is put, in training and at test. Only models with a chat template can be asked by it."
    prompt = first.selectbox(FIELDS["prompt"], list(PROMPTS), format_func=PROMPT_NAMES.get, help=told, key="study-prompt", **KEPT)
    shots: list[int] = []
    if STUDIES[kind].shots:
        told = "The untouched model with so many answered questions in front of each question: a line across the chart."
        shots = second.multiselect("Examples shown in place of tuning", SHOTS, placeholder="none", help=told, key="study-shots", **KEPT)
    more = {"prompt": PROMPTS[prompt], "shots": tuple(sorted(shots))}
    return more | {"epochs": int(epochs), "batch_size": int(batch), "test_limit": int(test) if test else None, "retest_limit": int(again)}
