"""Cached reads of looks inside tuned models. See resources.py."""

from typing import Any

import streamlit as st


@st.cache_resource(show_spinner=False, max_entries=2, ttl=60)
def kept(stamp: str) -> list[Any]:
    """Every run that was looked at (`workflows.looks`)."""
    from sftqa_core import workflows

    return workflows.looks()


@st.cache_resource(show_spinner=False, max_entries=2, ttl=60)
def groups(stamp: str) -> list[list[Any]]:
    """The same by setting, seeds in their order; of two looks at one seed the newer one."""
    from sftqa_core import workflows

    settings: dict[Any, dict[int, Any]] = {}
    for look in kept(stamp):
        settings.setdefault(workflows.same_setting(look), {}).setdefault(look.settings.seed, look)
    return sorted(([seeds[seed] for seed in sorted(seeds)] for seeds in settings.values()), key=_order)


def by_name(stamp: str) -> dict[str, list[Any]]:
    """Each run's and cell's name -> the looks at its setting; where other aliases, levels or devices gave another look, the newer one."""
    named: dict[str, list[Any]] = {}
    group = {look.run: looks for looks in groups(stamp) for look in looks}
    for look in kept(stamp):
        for name in look.names:
            if look.run in group:
                named.setdefault(name, group[look.run])
    return named


def _order(looks: list[Any]) -> tuple[Any, ...]:
    """The person's first; then by model, training level and number of examples."""
    settings = looks[0].settings
    return looks[0].shipped, settings.model, settings.levels is not None, settings.levels or (), settings.n


def read(looks: list[Any], measures: tuple[str, ...], stamp: str) -> list[Any]:
    """What was seen in these runs; those that can't be read any more are left out."""
    found = [_read(look.run, tuple(str(piece.folder) for piece in look.pieces.values()), measures, stamp) for look in looks]
    return [look for look in found if look is not None]


@st.cache_resource(show_spinner=False, max_entries=64, ttl=600)
def _read(run: str, folders: tuple[str, ...], measures: tuple[str, ...], stamp: str) -> Any:
    from sftqa_core import workflows

    found = workflows.read_looks([look for look in kept(stamp) if look.run == run], measures)
    return found[0] if found else None


@st.cache_data(show_spinner="Reading what was seen inside…", max_entries=64, ttl=600)
def fact(source: str, fact_id: str, stamp: str) -> list[dict[str, Any]]:
    """One fact in every run that was looked at."""
    from sftqa_core import workflows

    return workflows.fact_inside(source, fact_id)


def summary(looks: list[Any], stamp: str) -> list[dict[str, Any]]:
    """The headline of the seeds of one setting, a row a domain; nothing without any."""
    return _summary(tuple(look.run for look in looks), stamp) if looks else []


@st.cache_data(show_spinner=False, max_entries=64, ttl=600)
def _summary(runs: tuple[str, ...], stamp: str) -> list[dict[str, Any]]:
    from sftqa_core import workflows

    seen = read([look for look in kept(stamp) if look.run in runs], ("drift", "knowledge"), stamp)
    return workflows.inside_summary(seen) if seen else []


@st.cache_data(show_spinner=False, max_entries=64, ttl=600)
def settings(name: str, measures: tuple[str, ...], stamp: str) -> Any:
    """How a run or cell would be looked at. Raises `SettingsError` for what can't be."""
    from sftqa_core import workflows

    return workflows.inside_settings(name, measures or None)
