"""The Lab's forms: each returns a settings record, or raises every problem at once after all its fields are drawn.

What is filled in stands in the address (fields.py), so it survives a reload and opens in other tabs. A prompt that is too long for an
address holds for the session, and the form says so.
"""

import re
from typing import Any

import streamlit as st

from pages._ui import address, panels, pickers, resources
from pages._ui.fields import by_label, dropped, field, label, linked_record, linked_text, linked_value, other_fields, remember
from pages._ui.runs import recipe_fields
from pages._ui.titles import PROMPT_NAMES, model_name, prompt_kind
from pages._ui.wording import counted, literal
from sftqa_core.errors import SettingsError, SftqaError
from sftqa_core.jsonrecord import declared
from sftqa_core.records import PROMPTS, STUDIES, LevelScheme, PromptFormat, StudySettings, TrainSettings

ONE_SIZE = (60, 120, 240, 480, 960, 1920)
SHOTS = (1, 4, 16)
MAX_SEEDS = 20
OTHER_SIZE = 100  # where another size than those is asked for
WHAT = "what"  # in the address: one run, or a study
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_OWN = {"prompt-text": "prompt", "prompt-answer": "answer"}  # parameters of one's own prompt
_OWN_WIDGETS = {"prompt-text": "lab-prompt", "prompt-answer": "lab-answer"}
_OWN_CHAT = "lab.prompt-chat"


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
    _skip_baselines()
    folded, trouble = _folded(model, values)
    with panels.fold("More settings", "more", needed=trouble) as more:
        if more.open or _unlinked():
            values["relations"], values["recipe"] = _relations(), recipe_fields.pick_recipe(wrong)
            values["prompt"] = _prompt(model, wrong)
            values |= _shots()
            values = other_fields(TrainSettings, "lab", values, wrong)
        else:
            values = folded
    try:
        settings = TrainSettings(**values)
    except SettingsError as error:
        wrong += [by_label(TrainSettings, problem) for problem in error.problems]
    if wrong:
        raise SettingsError(wrong)
    return settings


def _folded(model: str, values: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """`values` with the further settings as the address tells them, and whether a person has to look at these."""
    wrong: list[str] = []
    values = {**values, "relations": tuple(dict.fromkeys(linked_value(TrainSettings, "lab", "relations") or ())) or None}
    values["recipe"], values["prompt"] = recipe_fields.linked_recipe(wrong), (form := _linked_prompt(model, wrong))
    values |= _as_settings(_linked_shots())
    values = other_fields(TrainSettings, "lab", values, wrong, folded=True)
    try:
        TrainSettings(**values)
    except SettingsError as error:
        wrong += error.problems
    return values, bool(wrong or _unfilled(form.prompt, form.answer))


def lab_address(settings: TrainSettings, twin: str = "") -> dict[str, str]:
    """The Lab's address with these settings filled in. `twin`: the run or job that they come from, from which changes are told."""
    linked = {"model": settings.model, "source": settings.source, "twin": twin}
    linked |= linked_record(settings, "lab", ("model", "source", "prompt", "scheme"))
    if settings.learning_rate is not None and is_default_rate(settings):
        del linked["lab.learning_rate"]
    linked |= _prompt_address(settings.prompt) | pickers.scheme_address(settings.scheme) | recipe_fields.recipe_address(settings.recipe)
    return {key: text for key, text in linked.items() if text}


def fill_in(settings: TrainSettings, twin: str = "", preset: str | None = None) -> None:
    """A button's callback on the Lab: everything as these settings say. `preset`: the one that they are."""
    before = dict.fromkeys((*(key for key in st.query_params if key.startswith("lab.")), "twin", "levels", "cut", WHAT))
    address.put(**{**before, **lab_address(settings, twin), "preset": preset})


def is_default_rate(settings: TrainSettings) -> bool:
    """Whether the learning rate is what the form leaves open."""
    try:
        return settings.learning_rate == resources.default_learning_rate(settings.method, settings.model)
    except SftqaError:  # the model is gone: the form says so
        return False


def _examples(wrong: list[str]) -> dict[str, Any]:
    n = linked_value(TrainSettings, "lab", "n")
    sizes = [*ONE_SIZE, "all", "other"]
    st.session_state["lab-size"] = "all" if n == TrainSettings.ALL else n if n in ONE_SIZE else "other"
    size = st.segmented_control(
        label(TrainSettings, "n"),
        sizes,
        format_func=counted,
        required=True,
        key="lab-size",
        wrap=True,
        on_change=_remember_size,
        args=("lab-size",),
    )
    if size == "other":
        st.session_state["lab-n"] = max(n, 1)
        st.number_input("How many", 1, 1_000_000, key="lab-n", on_change=_remember_size, args=("lab-n",))
    zeroth, first, second = st.columns([2, 3, 3])
    with zeroth:
        scheme = pickers.picked_scheme(wrong)
    balance = field(second, TrainSettings, "balance", "lab", wrong)
    return {"n": n, "levels": _levels(first, scheme), "balance": balance, "scheme": scheme}


def _remember_size(widget: str) -> None:
    size = st.session_state[widget]
    n = {"all": TrainSettings.ALL, "other": OTHER_SIZE}.get(size, size)
    address.put(**{"lab.n": linked_text(declared(TrainSettings)["n"], n)})


def _levels(place: Any, scheme: LevelScheme) -> tuple[int, ...] | None:
    labels = scheme.labels
    kept = linked_value(TrainSettings, "lab", "levels") or ()
    st.session_state["lab-levels"] = [at for at in kept if 0 <= at < len(labels)]  # those of a scheme that had more are left out
    chosen = place.multiselect(
        label(TrainSettings, "levels"), range(len(labels)), format_func=lambda at: labels[at], placeholder="any level", key="lab-levels",
        help=f"Only facts at these levels are used as examples; empty: any. {labels[0]} is what the model does not know, {labels[-1]} what "
        "it knows best. Where levels are not known yet, facts are probed until there are enough.",
        on_change=remember, args=(TrainSettings, "lab", "levels"),
    )  # fmt: skip
    return tuple(sorted(chosen)) or None


def _relations() -> tuple[str, ...] | None:
    labels = resources.relation_labels()
    kept = linked_value(TrainSettings, "lab", "relations") or ()
    options = [*labels, *dict.fromkeys(name for name in kept if name not in labels)]  # a file may bring relations of its own
    st.session_state["lab-relations"] = list(dict.fromkeys(kept))
    chosen = st.multiselect(
        label(TrainSettings, "relations"), options, format_func=lambda name: f"{labels[name]} ({name})" if name in labels else name,
        placeholder="the in-domain ones", key="lab-relations", on_change=remember, args=(TrainSettings, "lab", "relations"),
    )  # fmt: skip
    return tuple(chosen) or None


def _prompt(model: str, wrong: list[str]) -> PromptFormat:
    """The prompt, with a look at one example."""
    why = resources.why_no_chat(model)
    advice = " (this one has none)" if why else ", recommended" if resources.is_chat_model(model) else ""
    names = {**PROMPT_NAMES, "chat": PROMPT_NAMES["chat"] + advice}
    help_text = "How a question is asked, in training and at test: a chat model by its own template, a base model in plain text."
    kind = _prompt_kind("lab.prompt", tuple(names))
    st.session_state["lab-prompt-kind"] = kind
    kind = st.selectbox(
        label(TrainSettings, "prompt"), list(names), format_func=names.get, help=help_text, key="lab-prompt-kind",
        on_change=_remember_prompt, args=("lab.prompt", "lab-prompt-kind"),
    )  # fmt: skip
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


def _linked_prompt(model: str, wrong: list[str]) -> PromptFormat:
    """The prompt as the address tells it, while its fields are folded away."""
    kind, why = _prompt_kind("lab.prompt", (*PROMPT_NAMES,)), resources.why_no_chat(model)
    try:
        if kind in PROMPTS:
            form = PROMPTS[kind]
        else:
            texts = {part: address.value(f"lab.{name}") or getattr(PromptFormat(), part) for name, part in _OWN.items()}
            form = PromptFormat("own", **texts, chat=address.value(_OWN_CHAT) == "1" and not why)
        if form.chat and why:
            wrong.append(why)
        else:
            resources.prompt_preview(model, form)
        return form
    except SettingsError as error:
        wrong += error.problems
    except SftqaError as error:
        wrong.append(str(error))
    return PromptFormat()


def _unlinked() -> bool:
    """Whether a text is too long for the address: its field must be drawn, folded or not, to keep it."""
    return any(len(st.session_state.get(widget) or "") > address.LONGEST for widget in _OWN_WIDGETS.values())


def _prompt_kind(key: str, kinds: tuple[str, ...]) -> str:
    wanted = address.value(key) or PromptFormat().name
    if wanted in kinds:
        return wanted
    dropped(key, f"There is no prompt {wanted[:40]!r}; showing {PROMPT_NAMES['qa']}.")
    return PromptFormat().name


def _remember_prompt(key: str, widget: str) -> None:
    kind = st.session_state[widget]
    own = {} if kind == "own" else dict.fromkeys((*(f"lab.{name}" for name in _OWN), _OWN_CHAT))
    address.put(**{key: None if kind == PromptFormat().name else kind, **own})


def _own_prompt(no_chat: bool, wrong: list[str]) -> PromptFormat:
    prompt = _own_text(st.text_area, "Custom prompt", "prompt-text", "Must contain {question} once.", height=80)
    answer = _own_text(st.text_input, "Completion", "prompt-answer", "Must contain {answer} once; starts with a space.")
    help_text = "The prompt is the user's message, the completion the model's reply; neither starts or ends with a space."
    st.session_state["lab-own-chat"] = address.value(_OWN_CHAT) == "1" and not no_chat
    chat = st.toggle("Use the model's chat template", help=help_text, key="lab-own-chat", disabled=no_chat, on_change=_remember_chat)
    if others := _unfilled(prompt, answer):
        st.warning(f"Only {{question}} and {{answer}} are filled in; {literal(' '.join(others))} is passed to the model unchanged.")
    try:
        return PromptFormat("own", prompt, answer, chat=chat and not no_chat)
    except SettingsError as error:
        wrong += error.problems
        return PromptFormat()


def _unfilled(prompt: str, answer: str) -> list[str]:
    """Placeholders that nothing fills in."""
    others = [name for name in _PLACEHOLDER.findall(prompt) if name != "{question}"]
    return others + [name for name in _PLACEHOLDER.findall(answer) if name != "{answer}"]


def _own_text(draw: Any, title: str, name: str, help_text: str, **more: Any) -> str:
    """A text of one's own prompt: in the address as far as it is short enough, else for the session."""
    part, widget = _OWN[name], _OWN_WIDGETS[name]
    kept = st.session_state.get(widget) or ""
    linked = address.value(f"lab.{name}")
    if linked is not None or len(kept) <= address.LONGEST:
        st.session_state[widget] = getattr(PromptFormat(), part) if linked is None else linked
    text: str = draw(title, help=help_text, key=widget, on_change=_remember_text, args=(name, widget), **more)
    if len(text) > address.LONGEST:
        st.caption(f"Too long for a link ({len(text):,} characters, {address.LONGEST:,} at most): a copied link leaves this text out.")
    return text


def _remember_text(name: str, widget: str) -> None:
    text = st.session_state[widget]
    usual = text == getattr(PromptFormat(), _OWN[name])
    address.put(**{f"lab.{name}": None if usual or len(text) > address.LONGEST else text})


def _remember_chat() -> None:
    address.put(**{_OWN_CHAT: "1" if st.session_state["lab-own-chat"] else None})


def _prompt_address(form: PromptFormat) -> dict[str, str]:
    kind = prompt_kind(form)
    if kind != "own":
        return {} if kind == PromptFormat().name else {"lab.prompt": kind}
    texts = {f"lab.{name}": getattr(form, part) for name, part in _OWN.items() if getattr(form, part) != getattr(PromptFormat(), part)}
    short = {key: text for key, text in texts.items() if len(text) <= address.LONGEST}
    return {"lab.prompt": "own", **short, **({_OWN_CHAT: "1"} if form.chat else {})}


def _shots() -> dict[str, Any]:
    """The k-shot baselines of a run: numbers of examples that the base model is shown."""
    st.session_state["lab-shots"] = _linked_shots()
    options = sorted({*SHOTS, *st.session_state["lab-shots"]})
    help_text = "The base model with k answered questions in front of each question: one baseline per k. "
    help_text += "Each takes about as long as reading that many more questions."
    about = label(TrainSettings, "shots")
    chosen = st.multiselect(about, options, placeholder="none", key="lab-shots", help=help_text, on_change=_remember_shots)
    return _as_settings(chosen)


def _linked_shots() -> list[int]:
    shots, more = (linked_value(TrainSettings, "lab", name) for name in ("shots", "more_shots"))
    return sorted({shots, *more} - {0})


def _as_settings(chosen: list[int]) -> dict[str, Any]:
    usual = TrainSettings(model="").shots
    first = usual if usual in chosen else min(chosen, default=0)
    return {"shots": first, "more_shots": tuple(sorted({*chosen} - {first}))}


def _remember_shots() -> None:
    known = declared(TrainSettings)
    chosen = _as_settings(st.session_state["lab-shots"])
    address.put(**{f"lab.{name}": linked_text(known[name], value) for name, value in chosen.items()})


def _skip_baselines() -> None:
    """A switch for a quick look: no k-shot baselines."""
    st.session_state["lab-skip"] = not _linked_shots()
    help_text = "For a quick look. Answers of the base model and of the majority object stay: they are needed for before and after."
    if st.toggle("Skip the k-shot baselines", key="lab-skip", help=help_text, on_change=_remember_skip):
        st.caption("Missing then: how well the base model answers with examples in the prompt. Another run with them measures that later.")


def _remember_skip() -> None:
    address.put(**{"lab.shots": "0" if st.session_state["lab-skip"] else None, "lab.more_shots": None})


# ---- a study ----
def study_form() -> StudySettings:
    """A study by fields. Raises `SettingsError` with every problem at once."""
    kind = linked_value(StudySettings, "study", "kind")
    if kind not in STUDIES:
        if kind is not ...:
            dropped("study.kind", f"There is no study {kind[:40]!r}; showing {next(iter(STUDIES.values())).title}")
        kind = next(iter(STUDIES))
    st.session_state["study-kind"] = kind
    st.segmented_control(
        "Question", list(STUDIES), format_func=lambda kind: STUDIES[kind].title, required=True, key="study-kind", wrap=True,
        on_change=_remember_study, args=("kind",),
    )  # fmt: skip
    st.caption(STUDIES[kind].about)
    wrong: list[str] = []
    recipe = recipe_fields.pick_recipe(wrong, recipe_fields.STUDY) if STUDIES[kind].recipe else None
    values: dict[str, Any] = {"kind": kind, "models": _models(), "source": pickers.pick_source(), "recipe": recipe}
    values["sizes"] = _sizes(kind, (recipe.usual_n,) if recipe else STUDIES[kind].sizes)
    first, second, third = st.columns(3)
    values["seeds"] = _seeds(first)
    values["method"] = field(second, StudySettings, "method", "study", wrong)
    values["learning_rate"] = field(third, StudySettings, "learning_rate", "study", wrong, placeholder="default for each model")
    with st.expander("More settings"):
        first, second = st.columns(2)
        help_text = "How a question is asked, in training and at test. The chat template needs models that have one."
        about = label(StudySettings, "prompt")
        st.session_state["study-prompt"] = _prompt_kind("study.prompt", tuple(PROMPTS))
        prompt = first.selectbox(
            about, list(PROMPTS), format_func=PROMPT_NAMES.get, help=help_text, key="study-prompt", on_change=_remember_prompt,
            args=("study.prompt", "study-prompt"),
        )  # fmt: skip
        values["prompt"] = PROMPTS[prompt]
        if STUDIES[kind].shots:
            help_text = "The base model with k answered questions in front of each question: a line across the chart."
            chosen = _many(second, "shots", sorted({*SHOTS, *linked_value(StudySettings, "study", "shots")}), "none", help_text)
            values["shots"] = tuple(sorted(chosen))
        values["scheme"] = pickers.picked_scheme(wrong)
        values = other_fields(StudySettings, "study", values, wrong)
    if wrong:
        raise SettingsError(wrong)
    return StudySettings(**values)


def file_button(settings: StudySettings) -> None:
    """A download of the study as YAML."""
    st.download_button(
        "Save as YAML", resources.study_yaml(settings), f"{resources.study_name(settings)}.yaml", "text/yaml", icon=":material/download:",
        help="The Lab and the command line read it: sftqa study --config FILE", on_click="ignore", key="yaml-file",
    )  # fmt: skip


def _models() -> tuple[str, ...]:
    known = resources.model_names()
    names = list(known)
    linked = linked_value(StudySettings, "study", "models")
    kept = names[:1] if linked is ... else list(dict.fromkeys(linked))
    st.session_state["study-models"] = kept
    options = [*names, *(name for name in kept if name not in names)]
    change: dict[str, Any] = {"on_change": _remember_study, "args": ("models",)}
    return tuple(
        st.multiselect(
            "Models",
            options,
            format_func=lambda name: known.get(name) or model_name(name),
            key="study-models",
            accept_new_options=True,
            **change,
        )
    )


def _remember_study(name: str) -> None:
    held = st.session_state[f"study-{name}"]
    value = tuple(held) if isinstance(held, list) else held
    usual = next(iter(STUDIES)) if name == "kind" else None
    address.put(**{f"study.{name}": None if value == usual else linked_text(declared(StudySettings)[name], value)})


def _many(place: Any, name: str, options: list[Any], placeholder: str, help_text: str = "") -> list[Any]:
    st.session_state[f"study-{name}"] = list(linked_value(StudySettings, "study", name) or ())
    chosen: list[Any] = place.multiselect(
        label(StudySettings, name), options, placeholder=placeholder, help=help_text, key=f"study-{name}", on_change=_remember_study,
        args=(name,),
    )  # fmt: skip
    return chosen


def _seeds(place: Any) -> tuple[int, ...]:
    """Seeds from 0 on; a file may hold others."""
    seeds = linked_value(StudySettings, "study", "seeds")
    if seeds != tuple(range(len(seeds))) or not 1 <= len(seeds) <= MAX_SEEDS:
        dropped("study.seeds", f"The form repeats runs with seeds from 0 on, 1 to {MAX_SEEDS} of them; other seeds need a YAML file.")
        seeds = declared(StudySettings)["seeds"].default
    st.session_state["study-seeds"] = len(seeds)
    help_text = "Every run is repeated with each seed: 0, 1, 2 and so on."
    return tuple(range(place.number_input("Number of seeds", 1, MAX_SEEDS, key="study-seeds", help=help_text, on_change=_remember_seeds)))


def _remember_seeds() -> None:
    seeds = tuple(range(st.session_state["study-seeds"]))
    address.put(**{"study.seeds": linked_text(declared(StudySettings)["seeds"], seeds)})


def _sizes(kind: str, usual: tuple[int, ...]) -> tuple[int, ...] | None:
    about = label(StudySettings, "sizes")
    linked = linked_value(StudySettings, "study", "sizes")
    kept = usual if linked is None or (not STUDIES[kind].many_sizes and len(linked) != 1) else linked
    sizes = dict.fromkeys((*(n for study in STUDIES.values() for n in study.sizes), *ONE_SIZE, *kept))
    words = {n: "all" if n == TrainSettings.ALL else counted(n) for n in sizes}
    if STUDIES[kind].many_sizes:
        key = f"study-sizes-{kind}"
        st.session_state[key] = list(dict.fromkeys(kept))
        chosen = st.multiselect(about, list(words), format_func=words.get, key=key, on_change=_remember_sizes, args=(usual, key))
    else:
        key, options = f"study-size-{kind}", [n for n in words if n != 0]
        st.session_state[key] = kept[0] if kept[0] in options else usual[0]
        chosen = [st.selectbox(about, options, format_func=words.get, key=key, on_change=_remember_sizes, args=(usual, key))]
    return None if set(chosen) == set(usual) else tuple(chosen)


def _remember_sizes(usual: tuple[int, ...], key: str) -> None:
    held = st.session_state[key]
    chosen = tuple(held) if isinstance(held, list) else (held,)
    address.put(**{"study.sizes": None if set(chosen) == set(usual) else linked_text(declared(StudySettings)["sizes"], chosen)})
