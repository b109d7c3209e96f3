"""The models that a person added to the lists, by hub id or folder: one JSON file in the workspace. Nothing is fetched or looked into."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sftqa_core.artifacts import fetching, set_aside, storing, write_json
from sftqa_core.errors import ArtifactDamaged, NotFound, OtherVersion, SettingsError, StorageError
from sftqa_core.jsonrecord import parse_json, shown
from sftqa_core.workspace import Workspace

SCHEMA = 1
MOST = 500  # models; lists have to stay readable
MAX_BYTES = 4_000_000
_LONGEST = 4_096  # characters, of a path
_WAIT_S = 10


def added_models(workspace: Workspace | None = None) -> list[str]:
    """Hub ids and folders in the order in which they were added, the first MOST of them; none where nothing was.

    Raises `ArtifactDamaged` for a file that can't be read, `OtherVersion` for one of a newer program, `StorageError` where the
    disk does not give it out.
    """
    return read_added((workspace or Workspace.current()).added_models)[:MOST]


def read_added(path: Path) -> list[str]:
    """All of one file, however many a person wrote into it."""
    if not path.exists() and not path.is_symlink():
        return []
    with fetching(path):
        try:
            if not path.is_file() or path.stat().st_size > MAX_BYTES:
                raise _damaged(path, f"it is no file, or has more than {MAX_BYTES:,} bytes")
            found = parse_json(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise _damaged(path, str(error)) from None
    if not isinstance(found, dict) or not isinstance(found.get("schema"), int):
        raise _damaged(path, "it is no list of this program")
    if found["schema"] > SCHEMA:
        raise OtherVersion(f"{path} was written by a newer version of the program (schema {found['schema']}). Use that one, or move it.")
    names = found.get("models")
    if not isinstance(names, list) or not all(isinstance(name, str) and 0 < len(name) <= _LONGEST for name in names):
        raise _damaged(path, f"its models must be a list of names, got {shown(names)}")
    if any("\ud800" <= letter <= "\udfff" for name in names for letter in name):
        raise _damaged(path, f"its models must be whole characters, got {shown(names)}")
    return list(dict.fromkeys(names))


def keep_added(name: str, workspace: Workspace | None = None) -> str:
    """Put a name on the list, if it is not there; returns what has to be told: where a damaged list was set aside, else nothing.

    Raises `SettingsError` when the list is full, `OtherVersion` and `StorageError` as above; then nothing has changed.
    """

    def with_it(names: list[str]) -> list[str]:
        if name not in names and len(names) >= MOST:
            raise SettingsError(f"{MOST} models are on the list, which is the most. Take one off first: sftqa models --remove NAME.")
        return list(dict.fromkeys([*names, name]))

    return _change(workspace or Workspace.current(), with_it)


def drop_added(name: str, workspace: Workspace | None = None) -> str:
    """Take a name off the list; its files stay. Returns as `keep_added`. Raises `NotFound` for one that is not on it."""

    def without(names: list[str]) -> list[str]:
        if name not in names:
            told = ", ".join(map(_quoted, names[:20])) or "none"
            raise NotFound(f"{_quoted(name)} is not among the added models. Added are: {told}.")
        return [other for other in names if other != name]

    return _change(workspace or Workspace.current(), without)


def _change(workspace: Workspace, change: Callable[[list[str]], list[str]]) -> str:
    path, told = workspace.added_models, ""
    with _alone(path):
        try:
            names = read_added(path)
        except OtherVersion:
            raise
        except ArtifactDamaged as error:
            names, moved = [], set_aside(path)
            if moved is None:
                raise
            told = f"{error} It was set aside as {moved.name}, with all that it holds, and a new list was begun."
        changed = change(names)
        if changed != names or told:
            write_json(path, {"schema": SCHEMA, "models": changed})
    return told


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two that change the list at once do it one after the other."""
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f".{path.name}.lock"))
        try:
            lock.acquire(timeout=_WAIT_S)
        except Timeout:
            raise StorageError(f"{path} is being changed by another process. Try again.") from None
        try:
            yield
        finally:
            lock.release()


def _damaged(path: Path, why: str) -> ArtifactDamaged:
    return ArtifactDamaged(f"{path}, the list of added models, can't be read: {why}.")


def _quoted(name: str) -> str:
    return name if name and name.isprintable() and len(name) <= 120 else shown(name)
