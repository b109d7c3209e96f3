"""Cached reads of looks inside tuned models. See resources.py."""

from typing import Any

import streamlit as st


@st.cache_resource(show_spinner=False, max_entries=2, ttl=60)
def kept(stamp: str) -> list[Any]:
    """Every run that was looked at (`workflows.looks`)."""
    from sftqa_core import workflows

    return workflows.looks()


@st.cache_resource(show_spinner=False, max_entries=2, ttl=60)
def groups(stamp: str) -> dict[str, list[Any]]:
    """The same by setting: name of the first seed -> the looks of all seeds, seeds in their order."""
    from sftqa_core import workflows

    settings: dict[Any, list[Any]] = {}
    for look in kept(stamp):
        settings.setdefault(workflows.same_setting(look), []).append(look)
    ordered = [sorted(looks, key=lambda look: look.settings.seed) for looks in settings.values()]
    return {looks[0].name: looks for looks in sorted(ordered, key=_order)}


def _order(looks: list[Any]) -> tuple[Any, ...]:
    """The person's first; then by model, training level and number of examples."""
    settings = looks[0].settings
    return looks[0].shipped, settings.model, settings.levels is not None, settings.levels or (), settings.n


def read(looks: list[Any], measures: tuple[str, ...], stamp: str) -> list[Any]:
    """What was seen in these runs. Raises `NotFound` where their facts have changed."""
    return [_read(look.run, tuple(map(str, look.folders.values())), measures, stamp) for look in looks]


@st.cache_resource(show_spinner=False, max_entries=64, ttl=600)
def _read(run: str, folders: tuple[str, ...], measures: tuple[str, ...], stamp: str) -> Any:
    from sftqa_core import workflows

    return workflows.read_look(next(look for look in kept(stamp) if look.run == run), measures)


@st.cache_data(show_spinner="Reading what was seen inside…", max_entries=64, ttl=600)
def fact(source: str, fact_id: str, stamp: str) -> list[dict[str, Any]]:
    """One fact in every run that was looked at."""
    from sftqa_core import workflows

    return workflows.fact_inside(source, fact_id)


def summary(looks: list[Any], stamp: str) -> list[dict[str, Any]]:
    """The headline of the seeds of one setting, a row a domain."""
    from sftqa_core import workflows

    return workflows.inside_summary(read(looks, ("drift", "knowledge"), stamp))


@st.cache_data(show_spinner=False, max_entries=64, ttl=600)
def settings(name: str, measures: tuple[str, ...], stamp: str) -> Any:
    """How a run or cell would be looked at. Raises `SettingsError` for what can't be."""
    from sftqa_core import workflows

    return workflows.inside_settings(name, measures or None)
