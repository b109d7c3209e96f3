"""Cached reads for a tuned model's levels beside its base's. See resources.py."""

from typing import Any

import streamlit as st

from sftqa_core.records import LevelScheme


@st.cache_resource(show_spinner="Comparing with the base model…", max_entries=12, ttl=600)
def beside_base(model: str, base: str, source: str, split: str, domain: str, scheme: LevelScheme, stamps: tuple[str, str]) -> Any:
    """A tuned model's levels beside those of what it was tuned from; `stamps` change with the levels of either."""
    from sftqa_core import workflows

    return workflows.beside_base(model, base, source, split, domain, scheme)


def profile_stamp(model: str, source: str, scheme: LevelScheme) -> str:
    """Changes with a model's levels."""
    from sftqa_core import workflows

    return workflows.profile_stamp(model, source, scheme)
