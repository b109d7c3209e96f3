"""Cached reads for how consistently a model answers, as in resources.py. `stamp` is a profile's: it changes with what was probed."""

from typing import Any

import streamlit as st

from sftqa_core.records import LevelScheme


@st.cache_resource(show_spinner="Comparing answers…", max_entries=12, ttl=600)
def _consistency(model: str, source: str, split: str, domain: str, scheme: LevelScheme, stamp: str) -> Any:
    from sftqa_core import workflows

    return workflows.consistency(model, source, split, domain, scheme)


def consistency(model: str, source: str, split: str, domain: str, scheme: LevelScheme) -> Any:
    """How consistently a model answers about these facts. Shared: pages do not change it."""
    return _consistency(model, source, split, domain, scheme, _stamp(model, source, scheme))


@st.cache_resource(show_spinner="Comparing with the base model…", max_entries=12, ttl=600)
def _change(model: str, base: str, source: str, split: str, domain: str, scheme: LevelScheme, stamps: tuple[str, str]) -> Any:
    from sftqa_core import workflows

    return workflows.consistency_change(model, base, source, split, domain, scheme)


def change(model: str, base: str, source: str, split: str, domain: str, scheme: LevelScheme) -> Any:
    """The same beside the model that it was tuned from."""
    stamps = _stamp(model, source, scheme), _stamp(base, source, scheme)
    return _change(model, base, source, split, domain, scheme, stamps)


@st.cache_data(show_spinner=False, max_entries=64)
def _fact(model: str, source: str, fact_id: str, stamp: str) -> Any:
    from sftqa_core import workflows

    return workflows.fact_answers(model, source, fact_id)


def fact(model: str, source: str, fact_id: str, scheme: LevelScheme) -> Any:
    """What a model answers about one fact; None without completions."""
    return _fact(model, source, fact_id, _stamp(model, source, scheme))


def of_all(model: str, source: str, scheme: LevelScheme) -> Any:
    """A row for each fact with completions. Shared and kept by the core: pages do not change it."""
    from sftqa_core import workflows

    return workflows.fact_consistency(model, source, scheme)


def _stamp(model: str, source: str, scheme: LevelScheme) -> str:
    from sftqa_core import workflows

    return workflows.profile_stamp(model, source, scheme)
