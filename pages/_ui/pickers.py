"""Pickers: each draws one choice, keeps it in the page's address so that a link can be shared, and returns it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from pages._ui import resources
from pages._ui.wording import moment
from sftqa_core.records import SPLITS, ModelCard

DOMAIN_NAMES = {"all": "both domains", "in": "in-domain", "out": "out-of-domain"}


def linked(label: str, options: Sequence[str], key: str, names: Callable[[str], str] = str, default: int = 0, **more: Any) -> str:
    """A select box tied to the address's parameter `key`. A value there that is no option is dropped."""
    wanted = st.query_params.get(key)
    if wanted is not None and wanted not in options:
        del st.query_params[key]
    widget = f"pick-{key}"
    if wanted in options and widget not in st.session_state:
        st.session_state[widget] = wanted
    if st.session_state.get(widget) not in options:
        st.session_state[widget] = options[default]

    def remember() -> None:
        st.query_params[key] = st.session_state[widget]

    return st.selectbox(label, options, format_func=names, key=widget, on_change=remember, **more)


def pick_model() -> str:
    """A model's name: one that is on this machine, or a folder or hub id that the person types."""
    names = [card.name for card in resources.models()]
    typed = [value for value in (st.session_state.get("pick-model"), st.query_params.get("model")) if value and value not in names]
    help_text = "Pick one, or type a local folder or a hub id (safetensors only, no remote code)."
    return linked("Model", [*names, *dict.fromkeys(typed)], "model", accept_new_options=True, help=help_text)


def card_of(model: str) -> ModelCard | None:
    return next((card for card in resources.models() if card.name == model), None)


def pick_source() -> str:
    """A fact source's name."""
    return linked("Facts", resources.sources(), "source")


def pick_split() -> str:
    names = {"test": "test", "dev": "dev", "train": "train", "all": "all splits"}
    return linked("Split", ("test", *(s for s in SPLITS if s != "test"), "all"), "split", lambda split: names[split])


def pick_domain() -> str:
    return linked("Domain", tuple(DOMAIN_NAMES), "domain", lambda domain: DOMAIN_NAMES[domain])


def pick_run(runs: Sequence[Any]) -> str:
    """A run's id; `runs` stand newest first."""
    by_id = {run.id: run for run in runs}
    return linked("Run", list(by_id), "run", lambda run_id: run_title(by_id[run_id]))


def run_title(run: Any) -> str:
    """What tells runs apart: model, facts, n, method, when, and whether it came with the program."""
    when = "shipped example" if run.shipped else moment(run.created)
    return f"{run.model} · {run.source} · n = {run.n} · {run.method} · {when}"
