"""Large sources as they were read once: reading a million rows of a person's file takes a minute, reading its fact table seconds.

`<cache>/sources/<hash of the name>/` holds the fact table as Parquet; its manifest says of which files, by size and time, and holds
the rest of the source. A file that changes, other built-in templates, or another version of the rules (SCHEMA) make it be read anew.
"""

from __future__ import annotations

import gc
import io
from functools import lru_cache
from pathlib import Path
from typing import Any

from sftqa_core.artifacts import read_file, read_manifest, write_folder
from sftqa_core.errors import SftqaError
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.knowledge.facts import FactSource, read_facts, write_facts
from sftqa_core.knowledge.relations import Relation, builtin_relations
from sftqa_core.records import SourceReport
from sftqa_core.workspace import Workspace

SCHEMA = 1  # raised when the same files would be read otherwise
LARGE = 50_000  # facts; smaller sources are read anew in less than the time that anyone notices
_FILE = "facts.parquet"


def prepared(name: str, stamp: tuple[object, ...], workspace: Workspace) -> FactSource | None:
    """The source as it was read from these very files; None where it was not, or what was kept can't be used."""
    try:
        folder = _folder(name, workspace)
        manifest = read_manifest(folder)
        if manifest["of"] != _of(name, stamp):
            return None
        relations = {key: Relation.from_dict(value) for key, value in manifest["relations"].items()}
        report = SourceReport.from_dict(manifest["report"])
        facts = read_facts(io.BytesIO(read_file(folder, _FILE, manifest)))  # its checksum first: damage can look like other facts
        gc.freeze()  # a million lists that live as long as the process need not be walked through by every collection
        return FactSource(name, facts, relations, report, manifest["fingerprint"], tuple(manifest["notes"]))
    except (SftqaError, KeyError, OSError, ValueError, TypeError, AttributeError):
        return None


def keep(source: FactSource, stamp: tuple[object, ...], workspace: Workspace) -> None:
    """Keep a large source that was read from files; a small one, or one without files, is left alone."""
    if not stamp or len(source.facts) < LARGE:
        return
    manifest = {
        "kind": "source",
        "of": _of(source.name, stamp),
        "relations": {key: relation.to_dict() for key, relation in source.relations.items()},
        "report": source.report.to_dict(),
        "fingerprint": source.fingerprint,
        "notes": list(source.notes),
    }
    write_folder(_folder(source.name, workspace), lambda folder: write_facts(source.facts, folder / _FILE), manifest)


def _folder(name: str, workspace: Workspace) -> Path:
    return workspace.root / "sources" / fingerprint(name)


def _of(name: str, stamp: tuple[object, ...]) -> dict[str, Any]:
    files = [list(map(str, entry)) if isinstance(entry, tuple) else str(entry) for entry in stamp]
    return {"name": name, "files": files, "rules": SCHEMA, "wording": _wording()}


@lru_cache(maxsize=1)
def _wording() -> str:
    """Changes with the built-in relations, whose templates a source may have taken over."""
    return fingerprint({name: relation.to_dict() for name, relation in builtin_relations().items()})
