"""The Lab's forms: each returns a settings record, or raises every problem at once after all its fields are drawn.

What is filled in holds for the session, on other pages and while something in the form is wrong.
"""

import re
from typing import Any

import streamlit as st

from pages._ui import address, pickers, resources
from pages._ui.fields import KEPT, by_label, field, filled, label, other_fields
from pages._ui.titles import PROMPT_NAMES, prompt_kind
from sftqa_core.errors import SettingsError, SftqaError
from sftqa_core.records import PROMPTS, STUDIES, PromptFormat, StudySettings, TrainSettings

ONE_SIZE = (60, 120, 240, 480, 960, 1920)
SHOTS = (1, 4, 16)
MAX_SEEDS = 20
UNASKED = ("device",)  # a job of the pages takes this machine's device
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")


# ---- one run ----
def train_form() -> TrainSettings:
    """The Lab's form. Raises `SettingsError` with every problem at once."""
    wrong: list[str] = []
    first, second = st.columns(2)
    with first:
        model = pickers.pick_model()
    with second:
        source = pickers.pick_source()
    values = {"model": model, "source": source, **_examples(wrong)}
    first, second, third = st.columns(3)
    values["method"] = method = field(first, TrainSettings, "method", "lab", wrong)
    rate = "default for this model"
    try:
        rate = f"{resources.default_learning_rate(method, model):g} ({rate})"
    except SftqaError as error:
        wrong.append(str(error))
    values["learning_rate"] = field(second, TrainSettings, "learning_rate", "lab", wrong, placeholder=rate)
    values["seed"] = field(third, TrainSettings, "seed", "lab", wrong)
    with st.expander("More settings"):
        labels = resources.relation_labels()
        relations = st.multiselect(
            label(TrainSettings, "relations"), list(labels), format_func=lambda name: f"{labels[name]} ({name})",
            placeholder="the in-domain ones", key="lab-relations", **KEPT,
        )  # fmt: skip
        values["relations"] = tuple(relations) or None
        values["prompt"] = _prompt(model, wrong)
        values |= _shots()
        values = other_fields(TrainSettings, "lab", values, wrong, UNASKED)
    try:
        settings = TrainSettings(**values)
    except SettingsError as error:
        wrong += [by_label(TrainSettings, problem) for problem in error.problems]
    if wrong:
        raise SettingsError(wrong)
    return settings


def fill_in(settings: TrainSettings) -> None:
    """Put a run's settings into the form, for the person to look at before anything is started."""
    size = "all" if settings.n == TrainSettings.ALL else settings.n if settings.n in ONE_SIZE else "other"
    rate, prompt = settings.learning_rate, settings.prompt
    special = {
        "lab-kind": "train",
        "lab-size": size,
        "lab-levels": list(settings.levels or ()),
        "lab-relations": list(settings.relations or ()),
        "lab-learning_rate": "" if rate is None else f"{rate:g}",
        "lab-shots": sorted(settings.few_shot_stages.values()),
        "lab-prompt-kind": prompt_kind(prompt),
    }
    if prompt_kind(prompt) == "own":
        special |= {"lab-prompt": prompt.prompt, "lab-answer": prompt.answer, "lab-own-chat": prompt.chat}
    drawn = {key: value for key, value in filled(settings, "lab").items() if key not in ("lab-n", "lab-prompt")}
    st.session_state.update(drawn | special)
    pickers.bring_scheme(settings.scheme)
    address.bring(model=settings.model, source=settings.source)
    if size == "other":
        st.session_state["lab-n"] = settings.n


def _examples(wrong: list[str]) -> dict[str, Any]:
    sizes = [*ONE_SIZE, "all", "other"]
    about = label(TrainSettings, "n")
    size = st.segmented_control(about, sizes, default=ONE_SIZE[0], required=True, key="lab-size", wrap=True, **KEPT)
    n = st.number_input("How many", 1, 1_000_000, 100, key="lab-n", **KEPT) if size == "other" else size
    n = TrainSettings.ALL if n == "all" else int(n)
    zeroth, first, second = st.columns([2, 3, 3])
    with zeroth:
        scheme = pickers.picked_scheme(wrong)
    labels = scheme.labels
    kept = st.session_state.get("lab-levels")
    if kept and max(kept) >= len(labels):  # levels of a scheme that had more
        st.session_state["lab-levels"] = [at for at in kept if at < len(labels)]
    chosen = first.multiselect(
        label(TrainSettings, "levels"), range(len(labels)), format_func=lambda at: labels[at], placeholder="any level", key="lab-levels",
        help=f"Only facts at these levels are used as examples; empty: any. {labels[0]} is what the model does not know, {labels[-1]} what "
        "it knows best. Where levels are not known yet, facts are probed until there are enough.",
        **KEPT,
    )  # fmt: skip
    balance = field(second, TrainSettings, "balance", "lab", wrong)
    return {"n": n, "levels": tuple(sorted(chosen)) or None, "balance": balance, "scheme": scheme}


def _prompt(model: str, wrong: list[str]) -> PromptFormat:
    """The prompt, with a look at one example."""
    why = resources.why_no_chat(model)
    advice = " (this one has none)" if why else ", recommended" if resources.is_chat_model(model) else ""
    names = {**PROMPT_NAMES, "chat": PROMPT_NAMES["chat"] + advice}
    help_text = "How a question is asked, in training and at test: a chat model by its own template, a base model in plain text."
    kind = st.selectbox(label(TrainSettings, "prompt"), list(names), format_func=names.get, help=help_text, key="lab-prompt-kind", **KEPT)
    form = PROMPTS[kind] if kind in PROMPTS else _own_prompt(bool(why), wrong)
    if form.chat and why:
        wrong.append(why)
        return form
    try:
        prompt, reply = resources.prompt_preview(model, form)
    except SftqaError as error:
        wrong.append(str(error))
        return form
    st.code(f"{prompt}\u2588{reply}", language=None, wrap_lines=True)
    st.caption("One example. The model continues at the block; it is trained on the text after the block and on where that ends.")
    return form


def _own_prompt(no_chat: bool, wrong: list[str]) -> PromptFormat:
    plain = PromptFormat()
    prompt = st.text_area("Custom prompt", plain.prompt, height=80, help="Must contain {question} once.", key="lab-prompt", **KEPT)
    answer = st.text_input("Completion", plain.answer, help="Must contain {answer} once; starts with a space.", key="lab-answer", **KEPT)
    help_text = "The prompt is the user's message, the completion the model's reply; neither starts or ends with a space."
    chat = st.toggle("Use the model's chat template", help=help_text, key="lab-own-chat", disabled=no_chat, **KEPT)
    others = [name for name in _PLACEHOLDER.findall(prompt) if name != "{question}"]
    others += [name for name in _PLACEHOLDER.findall(answer) if name != "{answer}"]
    if others:
        st.warning(f"Only {{question}} and {{answer}} are filled in; `{' '.join(others)}` is passed to the model unchanged.")
    try:
        return PromptFormat("own", prompt, answer, chat=chat and not no_chat)
    except SettingsError as error:
        wrong += error.problems
        return plain


def _shots() -> dict[str, Any]:
    """The k-shot baselines of a run: numbers of examples that the base model is shown."""
    usual = TrainSettings(model="").shots
    options = sorted({*SHOTS, *st.session_state.get("lab-shots", ())})
    help_text = "The base model with k answered questions in front of each question: one baseline per k. "
    help_text += "Each takes about as long as reading that many more questions."
    about = label(TrainSettings, "shots")
    chosen = st.multiselect(about, options, default=[usual], placeholder="none", key="lab-shots", help=help_text, **KEPT)
    first = usual if usual in chosen else min(chosen, default=0)
    return {"shots": first, "more_shots": tuple(sorted({*chosen} - {first}))}


# ---- a study ----
def study_form() -> StudySettings:
    """A study by fields, or by a file, which then goes before the fields. Raises `SettingsError` with every problem at once."""
    with st.popover("Use a YAML file", icon=":material/upload_file:"):
        help_text = "Written by a study page or the command line."
        file = st.file_uploader("A study's file", type=["yaml", "yml"], key="study-file", help=help_text)
    if file is not None:
        st.caption("The file's study is used; remove the file to fill in the form.")
        try:
            return resources.study_of(file.getvalue().decode("utf-8"))
        except UnicodeDecodeError as error:
            raise SettingsError(f"{file.name} is not UTF-8 text: {error}.") from error
    kind = st.segmented_control(
        "Question", list(STUDIES), format_func=lambda kind: STUDIES[kind].title, default=next(iter(STUDIES)), required=True,
        key="study-kind", wrap=True, **KEPT,
    )  # fmt: skip
    st.caption(STUDIES[kind].about)
    names = [card.name for card in resources.models()]
    models = st.multiselect("Models", names, default=names[:1], key="study-models", accept_new_options=True, **KEPT)
    wrong: list[str] = []
    values: dict[str, Any] = {"kind": kind, "models": tuple(models), "source": pickers.pick_source(), "sizes": _sizes(kind)}
    first, second, third = st.columns(3)
    help_text = "Every run is repeated with each seed: 0, 1, 2 and so on."
    values["seeds"] = tuple(range(first.number_input("Number of seeds", 1, MAX_SEEDS, 3, key="study-seeds", help=help_text, **KEPT)))
    values["method"] = field(second, StudySettings, "method", "study", wrong)
    values["learning_rate"] = field(third, StudySettings, "learning_rate", "study", wrong, placeholder="default for each model")
    with st.expander("More settings"):
        first, second = st.columns(2)
        help_text = "How a question is asked, in training and at test. The chat template needs models that have one."
        about = label(StudySettings, "prompt")
        prompt = first.selectbox(about, list(PROMPTS), format_func=PROMPT_NAMES.get, help=help_text, key="study-prompt", **KEPT)
        values["prompt"] = PROMPTS[prompt]
        if STUDIES[kind].shots:
            help_text = "The base model with k answered questions in front of each question: a line across the chart."
            about = label(StudySettings, "shots")
            values["shots"] = tuple(sorted(second.multiselect(about, SHOTS, placeholder="none", help=help_text, key="study-shots", **KEPT)))
        values["scheme"] = pickers.picked_scheme(wrong)
        values = other_fields(StudySettings, "study", values, wrong, UNASKED)
    if wrong:
        raise SettingsError(wrong)
    return StudySettings(**values)


def file_button(settings: StudySettings) -> None:
    """A download of the study as YAML."""
    st.download_button(
        "Save as YAML", resources.study_yaml(settings), f"{resources.study_name(settings)}.yaml", "text/yaml", icon=":material/download:",
        help="The Lab and the command line read it: sftqa study --config FILE", on_click="ignore",
    )  # fmt: skip


def _sizes(kind: str) -> tuple[int, ...] | None:
    usual, about = STUDIES[kind].sizes, label(StudySettings, "sizes")
    sizes = dict.fromkeys((*(n for study in STUDIES.values() for n in study.sizes), *ONE_SIZE))
    words = {n: "all" if n == TrainSettings.ALL else str(n) for n in sizes}
    if STUDIES[kind].many_sizes:
        chosen = st.multiselect(about, list(words), default=usual, format_func=words.get, key=f"study-sizes-{kind}", **KEPT)
    else:
        options = [n for n in words if n != 0]
        chosen = [st.selectbox(about, options, options.index(usual[0]), format_func=words.get, key=f"study-size-{kind}", **KEPT)]
    return None if set(chosen) == set(usual) else tuple(chosen)
