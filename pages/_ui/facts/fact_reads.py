"""Cached reads for single facts, as in resources.py: two-line wrappers over the core's workflows. `stamp` changes when a job ends."""

from typing import Any

import streamlit as st

from pages._ui import resources
from sftqa_core.records import LevelScheme


@st.cache_data(show_spinner="Searching completions…", max_entries=32)
def facts_saying(model: str, source: str, words: str, scheme: LevelScheme, stamp: str) -> list[str]:
    """Ids of facts with these words in a completion."""
    from sftqa_core import workflows

    return workflows.facts_saying(model, source, words, scheme)


def fact_levels(model: str, source: str, fact_id: str, scheme: LevelScheme, estimates: bool, stamp: str) -> list[dict[str, Any]]:
    """A fact's level in each model, a row for each way of measuring; read again when the source's files or the aliases change."""
    from sftqa_core import workflows

    listed = tuple((card.name, card.path) for card in resources.models())
    return _levels(source, fact_id, scheme, estimates, stamp, workflows.profile_stamp(model, source, scheme), listed)


@st.cache_data(show_spinner=False, max_entries=256)
def _levels(source: str, fact_id: str, scheme: LevelScheme, estimates: bool, stamp: str, known: str, listed: Any) -> list[dict[str, Any]]:
    from sftqa_core import workflows

    return workflows.fact_levels(source, fact_id, scheme, estimates, resources.models())


@st.cache_resource(show_spinner=False, max_entries=256)
def fact_in_runs(fact_id: str, run_ids: tuple[str, ...], stamp: str) -> Any:
    """A fact's answers in these runs, and whether they were trained on it. Shared: the page does not change them."""
    from sftqa_core import workflows

    return workflows.fact_in_runs(fact_id, run_ids, resources.runs(stamp))
