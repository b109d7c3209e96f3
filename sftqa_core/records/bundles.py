"""Bundles: results of one explorer as a zip that another one imports."""

from dataclasses import dataclass, field
from typing import Any

from sftqa_core.jsonrecord import Record

MAX_FILE_BYTES = 200_000_000  # of a bundle; what an upload may have, too (.streamlit/config.toml)
ORIGIN = (
    "Checksums show damage, not origin: anybody can write a bundle, and its answers are what its maker says. Accuracies, tables and "
    "findings were counted here from these answers."
)


@dataclass(frozen=True)
class BundleManifest(Record):
    """bundle.json: what a bundle says of itself. Nothing in it is proof of where it comes from."""

    schema: int
    title: str  # plain text; part of the name that it is imported under
    made: str  # ISO 8601, UTC
    program: str  # version of this program that wrote it
    versions: dict[str, str]  # of Python and libraries there
    licences: dict[str, str]  # of each model and source of facts, as far as known there
    runs: tuple[str, ...]
    studies: tuple[str, ...]  # those that are whole, and those of which only some cells are in it
    files: dict[str, dict[str, Any]]  # name -> sha256, bytes


@dataclass(frozen=True)
class ImportedBundle(Record):
    """A bundle that was imported."""

    name: str  # of its folder
    title: str
    made: str  # ISO 8601, UTC: by whoever made it
    imported: str  # ISO 8601, UTC
    program: str  # version of this program that made it
    runs: tuple[str, ...]  # names that they go by here
    studies: tuple[str, ...]
    size_bytes: int
    licences: dict[str, str] = field(default_factory=dict)
