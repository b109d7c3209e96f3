"""Cached reads for the Lab's form: a run's file, the papers' presets, a sweep's report. See resources.py."""

from typing import Any

import streamlit as st

from sftqa_core.records import SweepReport, SweepSettings, TrainSettings


def run_yaml(settings: TrainSettings) -> str:
    from sftqa_core import workflows

    return workflows.run_yaml(settings)


def run_of(text: str) -> TrainSettings:
    from sftqa_core import workflows

    return workflows.run_of(text)


@st.cache_data(show_spinner=False, ttl=600, max_entries=16)
def sweep_report(settings: SweepSettings, stamp: str) -> SweepReport:
    """What is known of a sweep."""
    from sftqa_core import workflows

    return workflows.sweep_report(settings)


@st.cache_data(show_spinner=False, max_entries=64)
def preset(name: str, model: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What a paper's preset states for a model, and what it leaves at its default."""
    from sftqa_core import workflows

    return workflows.preset(name, model)
