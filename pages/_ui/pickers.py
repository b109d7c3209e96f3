"""Pickers: each draws one choice, keeps it in the page's address so that a link can be shared, and returns it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from pages._ui import resources
from pages._ui.titles import run_title, source_name
from pages._ui.wording import literal
from sftqa_core.records import DOMAIN_NAMES, METHODS, SPLITS

METHOD_NAMES = {"sampling": "full probe", "adaptive": "adaptive probe", "likelihood": "likelihood"}
METHOD_HELP = (
    "Full probe: every statement is completed ten times. Adaptive probe: fewer completions where the level is clear early. "
    "Likelihood: no completions, only how probable the answer is as the very next words; the fastest, and an estimate."
)
DOMAIN_CHOICES = {"all": "both domains", **DOMAIN_NAMES}


def linked(
    label: str, options: Sequence[str], key: str, names: Callable[[str], str] = str, keep: bool = True, first: str = "", **more: Any
) -> str:
    """A select box tied to the address's parameter `key`; what is picked holds on other pages too unless `keep` is off.

    A value in the address that is no option is dropped, and the page says so; `first` tells what the first option is.
    """
    widget, wanted = f"pick-{key}", st.query_params.get(key)
    if wanted in options:
        st.session_state[widget] = wanted
    elif st.session_state.get(widget) not in options:
        st.session_state[widget] = options[0]
    if wanted is not None and wanted not in options:
        del st.query_params[key]
        instead = (first if st.session_state[widget] == options[0] else "") or names(st.session_state[widget])
        st.warning(f"There is no {label.lower()} '{literal(wanted[:80])}' here; showing {literal(instead)}.", icon=":material/link_off:")
    elif st.session_state[widget] not in (wanted, options[0]):
        st.query_params[key] = st.session_state[widget]  # picked on another page: this page's address says it too

    def remember() -> None:
        st.query_params[key] = st.session_state[widget]

    kept = "session" if keep else None
    return st.selectbox(label, options, format_func=names, key=widget, on_change=remember, persist_state=kept, **more)


def typed(label: str, options: Sequence[str], key: str, help_text: str, names: Callable[[str], str] = str) -> str:
    """Like `linked`, but the person may also type something that is not in the list, and a link may hold it."""
    others = [value for value in (st.session_state.get(f"pick-{key}"), st.query_params.get(key)) if value and value not in options]
    return linked(label, [*options, *dict.fromkeys(others)], key, names, accept_new_options=True, help=help_text)


def pick_model() -> str:
    """A model's name: one that is on this machine, or a folder or hub id that the person types."""
    names = [card.name for card in resources.models()]
    return typed(
        "Model",
        names,
        "model",
        "Pick one, or type a local folder or a hub id (safetensors only, no remote code). The page Models shows what there is.",
    )


def pick_source() -> str:
    """A fact source's name: one that can be opened now, or a path or hub id that the person types."""
    return typed("Facts", resources.sources(), "source", "Pick a source, or type a file, a folder, or hub:owner/name.", source_name)


def pick_split() -> str:
    names = {"test": "test", "dev": "dev", "train": "train", "all": "all splits"}
    return linked("Split", ("test", *(s for s in SPLITS if s != "test"), "all"), "split", lambda split: names[split])


def pick_domain() -> str:
    return linked("Domain", tuple(DOMAIN_CHOICES), "domain", lambda domain: DOMAIN_CHOICES[domain])


def pick_method() -> str:
    """How levels are measured: a level scheme's method."""
    return linked("Measured by", METHODS, "method", lambda method: METHOD_NAMES[method], help=METHOD_HELP)


@st.cache_resource(show_spinner=False, ttl=60)
def _run_names(stamp: str) -> dict[str, str]:
    """Title of each run by its id; titles that stand twice end in the id's last signs."""
    titles = {run.id: run_title(run) for run in resources.runs(stamp)}
    twice = {title for title, times in Counter(titles.values()).items() if times > 1}
    return {key: f"{title} · {key[-4:]}" if title in twice else title for key, title in titles.items()}


def pick_run(stamp: str) -> str:
    """The id of one of `resources.runs(stamp)`, the newest first."""
    names = _run_names(stamp)
    return linked("Run", list(names), "run", names.__getitem__, keep=False, first="the newest")
