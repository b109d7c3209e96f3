"""Results on disk: a folder is complete or it is not there.

A result is written into a temporary folder beside its place, its manifest (settings, versions, a SHA-256 for each
file) is written last, all is flushed to the disk, and the folder is renamed into place. A folder without a manifest was
never finished. Whoever reads a result checks it against its manifest.

`disk` writes files whole and sweeps up after killed processes, `refusals` words what the disk refuses, `kept` caches values in RAM.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import logging
import platform
import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from sftqa_core.artifacts import disk
from sftqa_core.artifacts.disk import (
    changing,
    is_dead,
    is_set_aside,
    keep_json,
    left_behind,
    read_json,
    remove,
    set_aside,
    size_bytes,
    write_bytes,
    write_json,
)
from sftqa_core.artifacts.kept import Kept
from sftqa_core.artifacts.refusals import fetching, in_sentence, in_words, refusal, storing
from sftqa_core.errors import ArtifactDamaged, NotFound, OtherVersion, StorageError, reason
from sftqa_core.jsonrecord import fingerprint

SCHEMA = 1  # of every manifest; raised when a reader of the old one would misread the new one
MANIFEST = "manifest.json"
_DIGEST = "digest"  # in a manifest: the fingerprint of all else in it
_TRIES = 10  # to read a result that others replace meanwhile
_RECORDED = ("torch", "transformers", "tokenizers", "peft", "numpy", "pandas", "datasets", "bitsandbytes")
_log = logging.getLogger(__name__)
_T = TypeVar("_T")


def write_folder(target: Path, fill: Callable[[Path], None], manifest: dict[str, Any]) -> Path:
    """Create `target` whole: `fill` writes the files, then `manifest` gains schema, versions and checksums.

    An existing `target` is replaced; after a kill or a power cut at any moment the old one or the new one is there. An error in
    `fill` passes through and leaves nothing behind. Raises `StorageError` when the disk refuses, `OtherVersion` when
    another version's result stands there.
    """
    with storing(target):
        disk.make_folder(target.parent)
        disk.sweep(target.parent)
        if error := other_version(target):
            raise error
        work = Path(tempfile.mkdtemp(prefix=disk.prefix(target.name), dir=target.parent))
        try:
            fill(work)
            seal(work, manifest)
            disk.put(work, target)
        except BaseException:
            remove(work)
            raise
    return target


def seal(folder: Path, manifest: dict[str, Any]) -> None:
    """Flush the files of a folder to the disk, then write its manifest, which makes it a result."""
    for path in _files(folder):
        path.chmod(0o644)  # safetensors writes 0600, which would hide a shared cache from its other users
        disk.flush(path)
    for path in folder.rglob("*/"):
        disk.flush(path)
    folder.chmod(0o755)
    content = {**manifest, "schema": SCHEMA, "versions": versions(), "files": checksums(folder)}
    write_json(folder / MANIFEST, {**content, _DIGEST: _digest(content)})


def is_finished(folder: Path) -> bool:
    """Whether a finished result lies there; one that a killed process moved aside comes back."""
    return (folder / MANIFEST).exists() or disk.returned(folder) == folder


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished result, an object with `schema` and `files`.

    Raises `NotFound` without one, `OtherVersion` for another schema, `ArtifactDamaged` if it can't be read or is nothing that
    `write_folder` wrote, `StorageError` when the disk refuses.
    """
    path = folder / MANIFEST
    try:
        with fetching(path):
            manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        if disk.returned(folder) == folder:
            return read_manifest(folder)
        raise NotFound(f"{folder} holds no finished result: it has no {MANIFEST}.") from None
    except StorageError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactDamaged(f"{path} is not readable JSON ({reason(error)}). Delete the folder and run the work again.") from error
    if not isinstance(manifest, dict):
        raise ArtifactDamaged(f"{path} must hold a JSON object, got {type(manifest).__name__}. Delete the folder and run the work again.")
    if manifest.get("schema", SCHEMA) != SCHEMA:
        raise OtherVersion(
            f"{path} has schema {manifest['schema']}, this version reads {SCHEMA}: another version of the program wrote it, and it is "
            "left as it is. Use that version, or make the result again in another cache (SFTQA_CACHE)."
        )
    if "schema" not in manifest or not isinstance(manifest.get("files"), dict):
        lacking = "its list of files" if "schema" in manifest else "a schema number"
        raise ArtifactDamaged(f"{path} lacks {lacking}, so it is no result of this program. Delete the folder and run the work again.")
    if manifest[_DIGEST] != _digest(manifest) if _DIGEST in manifest else _renamed_digest(manifest):
        raise ArtifactDamaged(f"{path} was changed since it was written. Delete the folder and run the work again.")
    return manifest


def other_version(folder: Path) -> OtherVersion | None:
    """The error that tells of another version's result in this folder, if one is there."""
    try:
        read_manifest(folder)
    except OtherVersion as error:
        return error
    except (ArtifactDamaged, NotFound):
        pass
    return None


def place_of(folder: Path) -> Path:
    """Where this version's result goes: `folder`, or beside it where another version's result stands there. For results whose name
    nobody chose."""
    return beside(folder) if other_version(folder) else folder


def beside(folder: Path) -> Path:
    """Where this version's result goes when another version's stands at `folder`."""
    return folder.with_name(f"{folder.name}.schema-{SCHEMA}")


def damaged_files(folder: Path) -> list[str]:
    """Names of files that are missing or differ from the manifest's checksums; empty when all is well."""
    damaged = []
    for name, digest in read_manifest(folder)["files"].items():
        with fetching(folder / name):
            if not (folder / name).is_file() or sha256(folder / name) != digest:
                damaged.append(name)
    return damaged


def require_whole(folder: Path, again: str) -> None:
    """Raise `ArtifactDamaged` unless every file is as it was written; it names the files, and `again` says how to make them anew."""
    if bad := damaged_files(folder):
        raise ArtifactDamaged(f"{folder} is damaged; not as it was written: {', '.join(bad[:5])}. {again}")


def read_file(folder: Path, name: str, manifest: dict[str, Any] | None = None) -> bytes:
    """A result's file, checked. Raises `ArtifactDamaged` if it is not what the manifest says, and as `read_manifest` does."""
    recorded = (manifest or read_manifest(folder))["files"]
    with fetching(folder / name):
        try:
            content = (folder / name).read_bytes()
        except FileNotFoundError:
            raise ArtifactDamaged(f"{folder / name} is missing.") from None
    if recorded.get(name) != hashlib.sha256(content).hexdigest():
        raise ArtifactDamaged(f"{folder / name} is not what was written: its checksum differs.")
    return content


def read_kept(folder: Path, settings: Any, name: str, parse: Callable[[dict[str, Any], bytes], _T], own: bool) -> _T | None:
    """The manifest and the file `name` of a result that the same work can make again, as `parse` returns them.

    None when there is no result with these settings. A damaged one is named in the log and, in the person's `own` layer, set aside;
    `parse` raises `ArtifactDamaged` for content that it can't use. Raises `StorageError` when the disk refuses.
    """
    for _ in range(_TRIES):
        with disk.held(folder) as seen:
            try:
                manifest = read_manifest(folder)
                if manifest.get("settings") != settings:
                    raise ArtifactDamaged(f"{folder / MANIFEST} is of other settings than its folder's name.")
                return parse(manifest, read_file(folder, name, manifest))
            except NotFound:
                return None
            except OtherVersion:
                folder = beside(folder)
            except ArtifactDamaged as error:
                if seen is None or disk.identity(folder) != seen:
                    continue  # another process has just replaced it: what was read is of two results
                moved = set_aside(folder, seen) if own else None
                _log.warning("%s Its work is done again%s.", error, f"; it was set aside as {moved.name}" if moved else "")
                return None
    return None


def finished(parents: Iterable[Path]) -> dict[str, Path]:
    """Finished results in these folders by name; the first folder that has a name wins."""
    results: dict[str, Path] = {}
    for parent in parents:
        for name in disk.moved_aside(parent):
            if place := disk.returned(parent / name):
                results.setdefault(name, place)
        for path in sorted(parent.glob(f"*/{MANIFEST}")):
            if not path.parent.name.startswith(".") and not is_set_aside(path.parent.name):
                results.setdefault(path.parent.name, path.parent)
    return dict(sorted(results.items()))


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file under `folder` except its manifest, by relative name."""
    return {path.relative_to(folder).as_posix(): sha256(path) for path in _files(folder) if path != folder / MANIFEST}


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def program_version() -> str:
    """Of this program, as it is installed; "unknown" in a checkout that never was."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version("sftqa-explorer")
    return "unknown"


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries a result depends on, as far as they are installed; as they are when first asked for, since
    what is installed later is not what this process works with."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    installed = {"python": platform.python_version()}
    for name in _RECORDED:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[name] = importlib.metadata.version(name)
    return installed


def _digest(manifest: dict[str, Any]) -> str:
    """Of the manifest as JSON gives it back: numbers as keys have become text by then."""
    return fingerprint(json.loads(json.dumps({name: value for name, value in manifest.items() if name != _DIGEST})))


def _renamed_digest(manifest: dict[str, Any]) -> bool:
    """Whether the digest stands under a damaged name. Manifests of the first version have none."""
    digests = [name for name, value in manifest.items() if isinstance(value, str) and len(value) == len(fingerprint(None))]
    return any(manifest[name] == _digest({key: manifest[key] for key in manifest if key != name}) for name in digests)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
