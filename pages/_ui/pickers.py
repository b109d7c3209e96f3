"""Pickers: each draws one choice, keeps it in the page's address so that a link can be shared, and returns it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from pages._ui import resources
from pages._ui.wording import moment
from sftqa_core.records import SPLITS

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


def typed(label: str, options: Sequence[str], key: str, help_text: str, names: Callable[[str], str] = str) -> str:
    """Like `linked`, but the person may also type something that is not in the list, and a link may hold it."""
    others = [value for value in (st.session_state.get(f"pick-{key}"), st.query_params.get(key)) if value and value not in options]
    return linked(label, [*options, *dict.fromkeys(others)], key, names, accept_new_options=True, help=help_text)


def pick_model() -> str:
    """A model's name: one that is on this machine, or a folder or hub id that the person types."""
    names = [card.name for card in resources.models()]
    return typed("Model", names, "model", "Pick one, or type a local folder or a hub id (safetensors only, no remote code).")


def pick_source() -> str:
    """A fact source's name: one that can be opened now, or a path or hub id that the person types."""
    return typed("Facts", resources.sources(), "source", "Pick a source, or type a file, a folder, or hub:owner/name.", source_name)


def source_name(source: str) -> str:
    """A source as people call it: of an uploaded file its name, not where it is kept."""
    return Path(source).name if Path(source).is_absolute() else source


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
    return f"{run.model} · {source_name(run.source)} · n = {run.n} · {run.method} · {when}"
