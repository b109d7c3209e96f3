"""A person's own facts as pages read and keep them: uploads, relations with their templates, aliases."""

from typing import Any

import streamlit as st

from pages._ui import resources
from sftqa_core.records import SPLITS, SourcePreview

MOST_UPLOADED = "200 MB"


@st.cache_data(show_spinner="Reading the file…", max_entries=8, ttl=600)
def preview_upload(name: str, content: bytes, query: str = "", templates: str = "") -> SourcePreview:
    """How a file handed over in the browser would be read."""
    from sftqa_core import workflows

    return workflows.preview_upload(name, content, query, templates)


def add_upload(name: str, content: bytes, query: str = "", templates: str = "") -> str:
    from sftqa_core import workflows

    resources.sources.clear()
    return workflows.add_upload(name, content, query, templates)


def own_relations(source: str) -> Any:
    """The relations of one's own in a file of facts, with some subjects of each; None for a source that can't have any."""
    from sftqa_core.knowledge.sources import own_file, source_stamp

    return _own_relations(source, str(source_stamp(source))) if own_file(source) else None


@st.cache_data(show_spinner="Reading the file…", max_entries=8)
def _own_relations(source: str, stamp: str) -> Any:
    from sftqa_core import workflows

    return workflows.own_relations(source)


def save_relations(source: str, relations: Any) -> None:
    """Put relations beside a file of facts; what was computed with others is computed again."""
    from sftqa_core import workflows

    workflows.save_relations(source, relations)
    for computed in (resources.trust, resources.completions, resources.forecast, resources.preflight):
        computed.clear()


def split_counts(source: str) -> dict[str, int]:
    """Facts of a source in each split."""
    from sftqa_core import workflows

    counts = workflows.facts(source).relations.values()
    return {split: sum(relation.get(split, 0) for relation in counts) for split in SPLITS}


def alias_rows() -> list[dict[str, str]]:
    from sftqa_core import workflows

    return workflows.alias_rows()


def save_aliases(rows: list[dict[str, str]] | None) -> None:
    """Keep the edited table (None: go back to the shipped one); levels are scored again with it."""
    from sftqa_core import workflows

    workflows.save_aliases(rows)
    resources.trust.clear()
    resources.study_report.clear()
    resources.completions.clear()
    resources.forecast.clear()
