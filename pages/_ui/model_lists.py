"""The catalogue's table, and models that are put on the lists or taken off: two-line wrappers, as in resources."""

from __future__ import annotations

from typing import Any

import streamlit as st

from pages._ui import resources
from sftqa_core.records import ModelCard


@st.cache_data(ttl=30, show_spinner=False)  # what is free changes
def offered(device: str, stamp: str) -> Any:
    """Every model that can be chosen, with what it needs on that device (workflows.offered). `stamp` changes when a job ends: what
    it fetched is then on the pickers' lists, too."""
    from sftqa_core import workflows

    resources.models.clear()
    return workflows.offered_models(device)


def add_model(name: str) -> tuple[ModelCard, str]:
    """Put a hub id or a folder on the lists; its card, and what has to be told besides."""
    from sftqa_core import workflows

    added = workflows.add_model(name)
    resources.models.clear()
    offered.clear()
    return added


def remove_model(name: str) -> str:
    """Take an added model off the lists; what has to be told."""
    from sftqa_core import workflows

    told = workflows.remove_model(name)
    resources.models.clear()
    offered.clear()
    return told
