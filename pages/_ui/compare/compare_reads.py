"""Cached reads of runs and cells side by side; what of `resources` only Compare and tables of runs need."""

from typing import Any

import streamlit as st

from pages._ui import resources
from sftqa_core.records import StudySettings, TrainSettings


def run_list(stamp: str) -> Any:
    """A row a run with its accuracies (workflows/tested/run_lists.py)."""
    return _run_list(resources.listed(stamp))


@st.cache_resource(show_spinner=False, max_entries=2, ttl=60)
def _run_list(stamp: str) -> Any:
    from sftqa_core import workflows

    return workflows.run_list()


def compared(names: tuple[str, ...], reference: str | None, pool: bool, against: str | None, stamp: str) -> Any:
    """Runs and cells beside each other: the comparison, and the facts behind it; again when a run's files have changed or gone."""
    from sftqa_core import workflows

    return _compared(names, reference, pool, against, stamp, workflows.stamp_of(names))


@st.cache_resource(show_spinner="Comparing…", max_entries=16, ttl=600)
def _compared(names: tuple[str, ...], reference: str | None, pool: bool, against: str | None, stamp: str, files: tuple[Any, ...]) -> Any:
    from sftqa_core import workflows

    return workflows.compare(names, reference, pool, against)


@st.cache_data(show_spinner="Reading the study…", max_entries=16, ttl=600)
def cell_names(settings: StudySettings, model: str, stamp: str, bundle: str = "") -> dict[str, TrainSettings]:
    """A study's finished cells of one model: name -> settings. `bundle`: that the study was imported with."""
    from sftqa_core import workflows

    return workflows.cell_names(settings, model, bundle)


def known_settings(names: tuple[str, ...], stamp: str) -> dict[str, TrainSettings]:
    """Settings of those of these runs and cells that are here."""
    from sftqa_core import workflows

    return _known_settings(names, stamp, workflows.stamp_of(names))


@st.cache_data(show_spinner="Reading the study…", max_entries=64, ttl=600)
def _known_settings(names: tuple[str, ...], stamp: str, files: tuple[Any, ...]) -> dict[str, TrainSettings]:
    from sftqa_core import workflows

    return workflows.known_settings(names)


@st.cache_data(show_spinner=False, max_entries=64, ttl=600)
def settings_again(name: str, stamp: str) -> TrainSettings:
    """The settings of the run that makes a run or cell again and keeps its weights."""
    from sftqa_core import workflows

    return workflows.settings_again(workflows.tested(name))


@st.cache_data(show_spinner="Checking what was made again…", max_entries=64, ttl=600)
def made_again(name: str, stamp: str) -> list[Any]:
    """Runs of the same settings that keep their weights, newest first, each checked against the stored answers."""
    from sftqa_core import workflows

    return [workflows.check_again(name, other) for other in workflows.made_again(workflows.tested(name))]
