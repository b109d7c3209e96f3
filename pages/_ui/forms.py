"""Forms: each returns a settings record, or raises every problem at once after all its fields are drawn.

What is filled in holds for the session, on other pages and while something in the form is wrong.
"""

from __future__ import annotations

import re
from typing import Any

import streamlit as st

from pages._ui import pickers, prompt_form, resources, scheme_picker, step_form
from pages._ui.gpu_fields import filled_in as gpus_filled_in
from pages._ui.gpu_fields import gpu_fields
from pages._ui.titles import BALANCES, FIELDS, METHODS
from sftqa_core.errors import SettingsError, SftqaError
from sftqa_core.records import MAX_SEED, TrainSettings

_SETTING = re.compile(r"\b[a-z]+_[a-z]+\b")
SIZES = (60, 120, 240, 480, 960, 1920)


def train_form() -> TrainSettings:
    """The Lab's form. Raises `SettingsError` with every problem at once."""
    wrong: list[str] = []
    first, second = st.columns(2)
    with first:
        model = pickers.pick_model()
    with second:
        source = pickers.pick_source()
    values = {"model": model, "source": source, **_examples(wrong), **_recipe(model, wrong)}
    with st.expander("More settings"):
        values |= _more(values["method"])
        values |= step_form.weights_field(values["method"])
        values |= step_form.step_fields()
        values |= gpu_fields()
        values["prompt"] = prompt_form.prompt_field(model, wrong)
        values |= prompt_form.shots_field()
        values |= step_form.look_fields()
    try:
        settings = TrainSettings(**values)
    except SettingsError as error:
        wrong += [_by_label(problem) for problem in error.problems]
    if wrong:
        raise SettingsError(wrong)
    return settings


def fill_in(settings: TrainSettings) -> None:
    """Put a run's settings into the form, for the person to look at before anything is started."""
    size = "all" if settings.n == TrainSettings.ALL else settings.n if settings.n in SIZES else "other"
    filled = (
        {
            "pick-model": settings.model,
            "pick-source": settings.source,
            "lab-kind": "train",
            "lab-size": size,
            "lab-levels": list(settings.levels or ()),
            "lab-balance": settings.balance,
            "lab-method": settings.method,
            "lab-rate": "" if settings.learning_rate is None else f"{settings.learning_rate:g}",
            "lab-seed": settings.seed,
            "lab-epochs": settings.epochs,
            "lab-batch": settings.batch_size,
            "lab-rank": settings.lora_rank,
            "lab-relations": list(settings.relations or ()),
            "lab-limit": settings.test_limit,
        }
        | prompt_form.filled(settings)
        | gpus_filled_in(settings)
        | step_form.filled(settings)
        | scheme_picker.filled(settings.scheme)
    )
    st.session_state.update(filled | ({"lab-n": settings.n} if size == "other" else {}))


def _examples(wrong: list[str]) -> dict[str, Any]:
    sizes = [*SIZES, "all", "other"]
    size = st.segmented_control("Examples (n)", sizes, default=SIZES[0], required=True, key="lab-size", wrap=True, persist_state="session")
    n = st.number_input("How many", 1, 1_000_000, 100, key="lab-n", persist_state="session") if size == "other" else size
    n = TrainSettings.ALL if n == "all" else int(n)
    zeroth, first, second = st.columns([2, 3, 3])
    with zeroth:
        scheme = scheme_picker.picked_scheme(wrong)
    labels = scheme.labels
    kept = st.session_state.get("lab-levels")
    if kept and max(kept) >= len(labels):  # levels of a scheme that had more
        st.session_state["lab-levels"] = [at for at in kept if at < len(labels)]
    chosen = first.multiselect(
        FIELDS["levels"],
        range(len(labels)),
        format_func=lambda at: labels[at],
        placeholder="any level",
        help=f"Only facts at these levels are used as examples; empty: any. {labels[0]} is what the model does not know, {labels[-1]} what "
        "it knows best. Where levels are not known yet, facts are probed until there are enough.",
        key="lab-levels",
        persist_state="session",
    )
    balance = second.selectbox(
        FIELDS["balance"],
        list(BALANCES),
        format_func=lambda name: BALANCES[name],
        help="Every relation (topic) gives as many examples as the others; with the second choice, so does every level.",
        key="lab-balance",
        persist_state="session",
    )
    return {"n": n, "levels": tuple(sorted(chosen)) or None, "balance": balance, "scheme": scheme}


def _recipe(model: str, wrong: list[str]) -> dict[str, Any]:
    first, second, third = st.columns(3)
    method = first.segmented_control(
        FIELDS["method"],
        list(METHODS),
        format_func=METHODS.get,
        default="full",
        required=True,
        key="lab-method",
        help="LoRA trains a small addition and leaves the model's own weights as they are.",
        persist_state="session",
    )
    default = "default for this model"
    try:
        default = f"{resources.default_learning_rate(method, model):g} ({default})"
    except SftqaError as error:
        wrong.append(str(error))
    rate = second.text_input(FIELDS["learning_rate"], placeholder=default, key="lab-rate", persist_state="session")
    seed = third.number_input(
        FIELDS["seed"], 0, MAX_SEED, 0, key="lab-seed", help="Another seed picks other examples.", persist_state="session"
    )
    return {"method": method, "learning_rate": read_rate(rate, wrong), "seed": int(seed)}


def _more(method: str) -> dict[str, Any]:
    first, second, third = st.columns(3)
    epochs = first.number_input(
        FIELDS["epochs"], 1, 10_000, 1, key="lab-epochs", help="How often each example is seen.", persist_state="session"
    )
    batch = second.number_input(FIELDS["batch_size"], 1, 65_536, 8, key="lab-batch", help="Examples a step.", persist_state="session")
    rank = (
        third.number_input(FIELDS["lora_rank"], 1, 4_096, 8, key="lab-rank", help="More: a larger addition.", persist_state="session")
        if method == "lora"
        else TrainSettings(model="").lora_rank
    )
    labels = resources.relation_labels()
    relations = st.multiselect(
        FIELDS["relations"],
        list(labels),
        format_func=lambda name: f"{labels[name]} ({name})",
        placeholder="the in-domain ones",
        key="lab-relations",
        persist_state="session",
    )
    limit = st.number_input(
        FIELDS["test_limit"],
        1,
        None,
        None,
        placeholder="all of a small source, 100 of a large one",
        key="lab-limit",
        persist_state="session",
    )
    return {
        "epochs": int(epochs),
        "batch_size": int(batch),
        "lora_rank": int(rank),
        "relations": tuple(relations) or None,
        "test_limit": int(limit) if limit else None,
    }


def read_rate(text: str, wrong: list[str]) -> float | None:
    """A learning rate that was typed, None for an empty field; what is wrong is added to `wrong`."""
    try:
        return float(text) if text.strip() else None
    except ValueError:
        wrong.append(f"{FIELDS['learning_rate']} must be a number such as 4e-4, got {text!r}.")
        return None


def _by_label(problem: str) -> str:
    """A record's sentence with the field's visible name in place of the setting's."""
    name, _, rest = problem.partition(" ")
    return f"{FIELDS.get(name, name)} {_SETTING.sub(lambda found: FIELDS.get(found[0], found[0]), rest)}"
