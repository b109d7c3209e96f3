"""Where a person says that an adapter's base model lies, because the place in its adapter_config.json is another machine's.

One JSON file in the workspace: the adapter's folder -> the base's name. The adapter's own files stay as they are. A result's key holds
what the base's files are, not where they lie.
"""

from pathlib import Path

from sftqa_core.artifacts import changing, read_json, write_json
from sftqa_core.workspace import Workspace

SCHEMA = 1


def base_of(adapter: Path, workspace: Workspace) -> str | None:
    """The base's name as it was said for this adapter's folder; None where nothing was."""
    name = _bases(workspace).get(str(adapter.resolve()))
    return name if isinstance(name, str) and name else None


def keep_base(adapter: Path, name: str, workspace: Workspace) -> None:
    """Remember it. Raises `StorageError` where the disk refuses."""
    with changing(workspace.adapter_bases):
        write_json(workspace.adapter_bases, {"schema": SCHEMA, "bases": {**_bases(workspace), str(adapter.resolve()): name}})


def _bases(workspace: Workspace) -> dict[str, str]:
    stored = read_json(workspace.adapter_bases)
    bases = stored.get("bases") if isinstance(stored, dict) and stored.get("schema") == SCHEMA else None
    return bases if isinstance(bases, dict) else {}
