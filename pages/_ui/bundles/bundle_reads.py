"""Cached reads of imported bundles; what of `resources` only their panel and the notes on imported results need."""

import tempfile
from pathlib import Path

import streamlit as st

from sftqa_core.errors import SftqaError
from sftqa_core.records.bundles import ImportedBundle
from sftqa_core.workspace import Workspace


def stamp() -> str:
    """Changes when a bundle is imported or removed; empty where none ever was."""
    try:
        return f" {Workspace.current().imports.stat().st_mtime_ns}"
    except OSError:
        return ""


def imported() -> list[ImportedBundle]:
    """What was imported, the latest first."""
    return _imported(stamp())


@st.cache_data(show_spinner=False, max_entries=2)
def _imported(stamp: str) -> list[ImportedBundle]:
    from sftqa_core import workflows

    return workflows.imported_bundles() if stamp else []


def import_upload(name: str, content: bytes) -> tuple[ImportedBundle | None, str]:
    """Check a file and import it: the bundle, or why it is refused."""
    from sftqa_core import workflows

    try:
        return workflows.import_upload(name, content), ""
    except SftqaError as error:
        return None, str(error)


def packed(names: tuple[str, ...], title: str) -> bytes:
    """These runs, cells and studies as a bundle of this title. Raises `SftqaError`."""
    from sftqa_core import workflows

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{title}.zip"
        workflows.pack(names, file)
        return file.read_bytes()


def remove(bundle: str) -> str:
    """Remove an imported bundle; what went wrong, if anything did."""
    from sftqa_core import workflows

    try:
        workflows.remove_bundle(bundle)
    except (SftqaError, OSError) as error:
        return str(error)
    return ""
