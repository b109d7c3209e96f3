"""Where a person says that an adapter's base model lies, because the place in its adapter_config.json is another machine's.

One JSON file in the workspace: the adapter's folder -> the base's name. The adapter's own files stay as they are. A result's key holds
what the base's files are, not where they lie.
"""

from pathlib import Path

from filelock import FileLock, Timeout

from sftqa_core.artifacts import read_json, storing, write_json
from sftqa_core.errors import StorageError
from sftqa_core.workspace import Workspace

SCHEMA = 1
_WAIT_S = 10


def base_of(adapter: Path, workspace: Workspace) -> str | None:
    """The base's name as it was said for this adapter's folder; None where nothing was."""
    name = _bases(workspace).get(str(adapter.resolve()))
    return name if isinstance(name, str) and name else None


def keep_base(adapter: Path, name: str, workspace: Workspace) -> None:
    """Remember it. Raises `StorageError` where the disk refuses."""
    path = workspace.adapter_bases
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(path.with_name(f".{path.name}.lock")).acquire(timeout=_WAIT_S)
        except Timeout:
            raise StorageError(f"{path} is being changed by another process. Try again.") from None
        with lock:
            write_json(path, {"schema": SCHEMA, "bases": {**_bases(workspace), str(adapter.resolve()): name}})


def _bases(workspace: Workspace) -> dict[str, str]:
    stored = read_json(workspace.adapter_bases)
    bases = stored.get("bases") if isinstance(stored, dict) and stored.get("schema") == SCHEMA else None
    return bases if isinstance(bases, dict) else {}
