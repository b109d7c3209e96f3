"""Cached reads of what is known of real models, as in resources.py. Shared: pages change none of it."""

from typing import Any

import streamlit as st

from pages._ui import resources
from sftqa_core.figures.style import FEW


@st.cache_data(ttl=60, show_spinner=False)
def with_results() -> list[str]:
    """Names of the models of which something is measured; cheap, and loads no table: the first page asks."""
    from sftqa_core.models.measured import with_results

    return list(with_results())


def cards() -> list[Any]:
    """What is known of the files of all that ship with the program, measured or not."""
    from sftqa_core.models.measured import found_models

    return list(found_models().values())


def levels(stamp: str) -> dict[str, resources.Tables]:
    """Way of measuring -> its `levels` (of domains and relations) and its `shares` (of domains), for the ways that know any. The full
    probe comes first, unless it has too few facts to tell while another has more."""
    return _levels(stamp, _stamp())


def report(stamp: str) -> Any:
    """Every table (`workflows.real_models`)."""
    return _report(stamp, _stamp())


def _stamp() -> Any:
    from sftqa_core import workflows

    return workflows.real_stamp()


@st.cache_resource(show_spinner="Reading levels…", max_entries=2, ttl=600)
def _levels(stamp: str, own: Any) -> dict[str, resources.Tables]:
    from sftqa_core import workflows
    from sftqa_core.evaluation.real_tables import FULL

    table = workflows.real_levels()
    ways = {way: table[table["measured"] == way] for way in dict.fromkeys(table["measured"])}
    made = {way: resources.Tables(levels=rows, shares=rows[rows["by"] == "domain"]) for way, rows in ways.items()}
    return dict(sorted(made.items(), key=lambda one: (one[1]["shares"]["of"].max() < FEW, one[0] != FULL)))


@st.cache_resource(show_spinner="Comparing probes and answers…", max_entries=2, ttl=600)
def _report(stamp: str, own: Any) -> Any:
    from sftqa_core import workflows

    return workflows.real_models()
