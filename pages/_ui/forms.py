"""Forms: each returns a settings record; a record that cannot be built raises its own words."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages._ui import pickers, resources
from sftqa_core.records import LevelScheme, PromptFormat, TrainSettings

SIZES = (60, 120, 240, 480, 960, 1920)
BALANCES = {"relation": "equal counts per relation", "level": "equal counts per level too"}


def train_form() -> TrainSettings:
    """The Lab's form. Raises `SettingsError` with every problem at once."""
    first, second = st.columns(2)
    with first:
        model = pickers.pick_model()
    with second:
        source = pickers.pick_source()
    values = {"model": model, "source": source, **_examples(), **_recipe(model), **_more()}
    return TrainSettings(**values)


def _examples() -> dict[str, Any]:
    size = st.segmented_control("Examples (n)", [*SIZES, "all", "other"], default=SIZES[0], required=True, key="lab-size", wrap=True)
    n = st.number_input("How many", 1, 1_000_000, 100, key="lab-n") if size == "other" else size
    n = TrainSettings.ALL if n == "all" else int(n)
    labels = LevelScheme().labels
    first, second = st.columns(2)
    chosen = first.multiselect(
        "Memory levels to train on",
        range(len(labels)),
        format_func=lambda at: labels[at],
        placeholder="all, as they come",
        help="A list restricts the pool and keeps natural proportions. Train facts are probed until each quota is met.",
        key="lab-levels",
    )
    balance = second.selectbox("Balance", list(BALANCES), format_func=lambda name: BALANCES[name], key="lab-balance")
    return {"n": n, "levels": tuple(sorted(chosen)) or None, "balance": balance}


def _recipe(model: str) -> dict[str, Any]:
    first, second, third = st.columns(3)
    names = {"full": "all weights", "lora": "LoRA"}
    method = first.segmented_control("Train", list(names), format_func=names.get, default="full", required=True, key="lab-method")
    default = resources.default_learning_rate(method, model)
    rate = second.text_input("Learning rate", placeholder=f"{default:g} (default for this model)", key="lab-rate")
    seed = third.number_input("Seed", 0, 2**31 - 1, 0, key="lab-seed")
    return {"method": method, "learning_rate": _rate(rate), "seed": int(seed)}


def _more() -> dict[str, Any]:
    with st.expander("More settings"):
        first, second, third = st.columns(3)
        epochs = first.number_input("Epochs", 1, 1000, 1, key="lab-epochs")
        batch = second.number_input("Batch size", 1, 1024, 8, key="lab-batch")
        rank = third.number_input("LoRA rank", 1, 512, 8, key="lab-rank", help="Used with LoRA only.")
        labels = resources.relation_labels()
        relations = st.multiselect(
            "Relations",
            list(labels),
            format_func=lambda name: f"{labels[name]} ({name})",
            placeholder="the in-domain ones",
            key="lab-relations",
        )
        limit = st.number_input(
            "Test facts per relation", 1, None, None, placeholder="all of a small source, 100 of a large one", key="lab-limit"
        )
        form = PromptFormat()
        prompt = st.text_area("Prompt", form.prompt, height=80, help="Must hold {question} once.", key="lab-prompt")
        answer = st.text_input("Answer form", form.answer, help="Must hold {answer} once; it starts with a space.", key="lab-answer")
    return {
        "epochs": int(epochs),
        "batch_size": int(batch),
        "lora_rank": int(rank),
        "relations": tuple(relations) or None,
        "test_limit": int(limit) if limit else None,
        "prompt": PromptFormat(form.name if (prompt, answer) == (form.prompt, form.answer) else "own", prompt, answer),
    }


def _rate(text: str) -> float | None:
    from sftqa_core.errors import SettingsError

    try:
        return float(text) if text.strip() else None
    except ValueError as error:
        raise SettingsError(f"The learning rate must be a number such as 4e-4, got {text!r}.") from error
