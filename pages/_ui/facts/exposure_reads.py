"""Cached reads of counts in a model's training corpus, as in resources.py. Nothing here asks a service."""

from typing import Any

import streamlit as st

from sftqa_core.records import LevelScheme


@st.cache_resource(show_spinner=False, max_entries=12, ttl=600)
def _exposures(model: str, source: str, split: str, domain: str, scheme: LevelScheme, stamps: tuple[str, str]) -> Any:
    from sftqa_core import workflows

    return workflows.exposures(model, source, split, domain, scheme)


def exposures(model: str, source: str, split: str, domain: str, scheme: LevelScheme) -> Any:
    """Counts beside the memory score; None where there are none. Shared: pages do not change it."""
    from sftqa_core import workflows

    if not (kept := workflows.exposures_stamp()):
        return None
    return _exposures(model, source, split, domain, scheme, (kept, workflows.profile_stamp(model, source, scheme)))


def words(ranks: Any) -> str:
    """One row of correlations in a sentence."""
    from sftqa_core.evaluation.exposure_ranks import ranks_words

    return ranks_words(ranks)
