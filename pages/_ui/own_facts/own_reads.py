"""Cached reads for the page of own facts: settings that follow from a few choices, and what was found. See resources.py."""

from typing import Any

import streamlit as st

from pages._ui import resources
from sftqa_core.knowledge.sources import source_stamp
from sftqa_core.records import PretrainSettings, TrainSettings


def own_model(source: str, like: str, spread: str, limit: int | None) -> PretrainSettings:
    """The pre-training that these choices stand for. Raises `SftqaError` for facts that can't be opened."""
    return _own_model(source, like, spread, limit, str(source_stamp(source)))


@st.cache_data(show_spinner="Counting the facts…", max_entries=64)
def _own_model(source: str, like: str, spread: str, limit: int | None, stamp: str) -> PretrainSettings:
    from sftqa_core.workflows import own_models

    return own_models.own_model(source, like, spread, limit)


@st.cache_data(show_spinner=False)
def architectures() -> dict[str, str]:
    """Built-in models whose sizes can be taken -> what they are called."""
    from sftqa_core.workflows import own_models

    return own_models.ARCHITECTURES


def usual_limit(source: str) -> int | None:
    from sftqa_core.workflows import own_models

    return own_models.usual_limit(source)


def source_notes(source: str) -> tuple[str, ...]:
    from sftqa_core import workflows

    return tuple(workflows.source_notes(source))


def made(settings: PretrainSettings, stamp: str) -> Any:
    """The card of the model of these settings; None while there is none. `stamp` changes when a job ends."""
    return _made(settings, str(source_stamp(settings.source)), stamp)


@st.cache_resource(show_spinner=False, ttl=60, max_entries=64)
def _made(settings: PretrainSettings, source: str, stamp: str) -> Any:
    from sftqa_core.workflows import own_models

    if not own_models.is_made(settings):
        return None
    resources.forget_models()
    return resources.model_card(settings.name)


@st.cache_data(show_spinner=False, ttl=60, max_entries=64)
def finished_run(settings: TrainSettings, stamp: str) -> str:
    """The newest run of these settings; empty where there is none."""
    from sftqa_core.workflows import own_models

    return own_models.finished_run(settings)


@st.cache_data(show_spinner="Reading levels…", ttl=600, max_entries=64)
def levels_by_mentions(model: str, source: str, stamp: str) -> Any:
    """Levels of the test facts against how often they were stated; None while nothing is probed."""
    from sftqa_core.workflows import own_models

    return own_models.levels_by_mentions(model, source)


@st.cache_data(show_spinner=False, max_entries=64)
def tuned_words(run_id: str) -> list[str]:
    from sftqa_core.workflows import own_models

    return own_models.tuned_words(run_id)


@st.cache_data(show_spinner=False, max_entries=64)
def compared_words(first: str, second: str) -> list[str]:
    from sftqa_core.workflows import own_models

    return own_models.compared_words(first, second)


def report(source: str) -> Any:
    """What a source holds. Raises `SftqaError`."""
    from sftqa_core import workflows

    return workflows.facts(source)


def has_mentions(source: str) -> bool:
    """Whether the facts themselves say how often each is stated."""
    from sftqa_core.workflows import own_models

    return own_models.has_mentions(source)
