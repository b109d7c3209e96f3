"""Results on disk: a folder is complete or it is not there.

A result is written into a temporary folder beside its place, its manifest (settings, versions, a SHA-256 for each
file) is written last, and the folder is renamed into place. A folder without a manifest was never finished.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sftqa_core.errors import ArtifactDamaged, NotFound

SCHEMA = 1  # of every manifest; raised when a reader of the old one would misread the new one
MANIFEST = "manifest.json"
_STALE_S = 86_400  # what a killed process left behind is kept for a day
_LEFT = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d{1,9})\.[a-z0-9_]{8}(?P<old>\.old)?")  # a working folder, or what it was to replace
_RECORDED = ("torch", "transformers", "tokenizers", "peft", "numpy", "pandas", "datasets")


def write_folder(target: Path, fill: Callable[[Path], None], manifest: dict[str, Any]) -> Path:
    """Create `target` whole: `fill` writes the files, then `manifest` gains schema, versions and checksums.

    An existing `target` is replaced; a kill at any moment leaves the old one or the new one on the disk. Whatever `fill`
    raises passes through and leaves nothing behind.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target.parent)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.{os.getpid()}.", dir=target.parent))
    try:
        fill(work)
        for path in _files(work):
            path.chmod(0o644)  # safetensors writes 0600, which would hide a shared cache from its other users
        work.chmod(0o755)
        write_json(work / MANIFEST, {**manifest, "schema": SCHEMA, "versions": versions(), "files": checksums(work)})
        _put(work, target)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return target


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a finished result, an object with `schema` and `files`.

    Raises `NotFound` without one, `ArtifactDamaged` if it can't be read or is nothing that `write_folder` wrote.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise NotFound(f"{folder} holds no finished result: it has no {MANIFEST}.")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactDamaged(f"{path} is not readable JSON ({error}). Delete the folder and run the work again.") from error
    if not isinstance(manifest, dict):
        raise ArtifactDamaged(f"{path} must hold a JSON object, got {type(manifest).__name__}. Delete the folder and run the work again.")
    if "schema" not in manifest or (manifest["schema"] == SCHEMA and not isinstance(manifest.get("files"), dict)):
        lacking = "its list of files" if "schema" in manifest else "a schema number"
        raise ArtifactDamaged(f"{path} lacks {lacking}, so it is no result of this program. Delete the folder and run the work again.")
    if manifest["schema"] != SCHEMA:
        raise ArtifactDamaged(
            f"{path} has schema {manifest['schema']}, this version reads {SCHEMA}. Make the result again or use the version that wrote it."
        )
    return manifest


def damaged_files(folder: Path) -> list[str]:
    """Names of files that are missing or differ from the manifest's checksums; empty when all is well."""
    recorded = read_manifest(folder)["files"]
    return [name for name, digest in recorded.items() if not (folder / name).is_file() or sha256(folder / name) != digest]


def finished(parents: Iterable[Path]) -> dict[str, Path]:
    """Finished results in these folders by name; the first folder that has a name wins."""
    found: dict[str, Path] = {}
    for parent in parents:
        for path in sorted(parent.glob(f"*/{MANIFEST}")):
            if not path.parent.name.startswith("."):
                found.setdefault(path.parent.name, path.parent)
    return found


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one."""
    write_bytes(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole: temporary name, flush to disk, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    os.chmod(handle.name, 0o644)
    os.replace(handle.name, path)


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file under `folder` except its manifest, by relative name."""
    return {path.relative_to(folder).as_posix(): sha256(path) for path in _files(folder) if path != folder / MANIFEST}


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries a result depends on, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in _RECORDED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _put(work: Path, target: Path) -> None:
    """Rename `work` to `target`; what stood there is moved aside first and removed last."""
    aside = work.with_name(f"{work.name}.old")
    with contextlib.suppress(FileNotFoundError):
        os.replace(target, aside)
    try:
        os.replace(work, target)
    except BaseException:
        if aside.exists() and not target.exists():
            os.replace(aside, target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Remove what killed processes left here more than a day ago; a result that was moved aside and never replaced goes back."""
    for path in parent.glob(".*"):
        left = _LEFT.fullmatch(path.name)
        if left is None or not _abandoned(path, int(left["pid"])):
            continue
        with contextlib.suppress(OSError):
            if left["old"] and not (parent / left["name"]).exists():
                os.replace(path, parent / left["name"])
            else:
                shutil.rmtree(path)


def _abandoned(folder: Path, pid: int) -> bool:
    """No process has that number any more and nothing was written for a day (it may belong to another machine)."""
    import psutil

    if psutil.pid_exists(pid):
        return False
    try:
        newest = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
    except OSError:
        return False
    return time.time() - newest > _STALE_S


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
