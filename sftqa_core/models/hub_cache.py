"""Hub models by name: `owner/name`, or `owner/name@revision` (a branch, a tag, or a commit of 40 digits), and where they lie on
this machine, as the hub's own client lays them out:

    models--owner--name/refs/REVISION           the commit that a branch or tag pointed to when it was fetched
                        snapshots/COMMIT/       links to the files in blobs/
                        trees/COMMIT.json       what the hub has at that commit, where the client kept it

Nothing here asks the network.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from sftqa_core.artifacts import write_bytes
from sftqa_core.errors import ModelUnavailable
from sftqa_core.jsonrecord import parse_json, shown
from sftqa_core.models.folders import ADAPTER_CONFIG, CONFIG, TOKENIZER_FILES

MAIN = "main"
WANTED = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.model", "merges.txt", "vocab.txt", "chat_template.jinja")
UNWANTED = ("*/*", "consolidated*")  # sub-folders and Mistral's own format hold the same weights once more
_NEEDED = ("*.safetensors", "*.safetensors.index.json", CONFIG, ADAPTER_CONFIG, *TOKENIZER_FILES, "chat_template.jinja")
_REPOSITORY = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)  # the hub itself allows no -- or ..
_REVISION = re.compile(r"(?!.*(\.\.|\.lock(/|$)))\w[\w.-]*(/\w[\w.-]*)*", re.ASCII)
_FOLDER = re.compile(r"[0-9A-Za-z][\w.-]{0,99}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LONGEST_REPOSITORY, _LONGEST_REVISION = 200, 100  # characters
_MOST_TREE_BYTES, _MOST_REFERENCE_BYTES = 20_000_000, 1_000


@dataclass(frozen=True)
class HubName:
    """A model of the hub, at one of its revisions."""

    repository: str  # owner/name; old ones have no owner
    revision: str | None = None  # branch, tag or commit; None: main

    def __str__(self) -> str:
        return self.repository if self.revision is None else f"{self.repository}@{self.revision}"

    @property
    def commit(self) -> str | None:
        """The commit, where the name itself says it."""
        return self.revision if self.revision and _COMMIT.fullmatch(self.revision) else None

    @property
    def folder(self) -> Path:
        """Where its files lie on this machine, at every revision."""
        return hub_cache() / ("models--" + self.repository.replace("/", "--"))


def hub_name(text: str) -> HubName | None:
    """What a name means as one of the hub; None for what can't be one.

    Raises `ModelUnavailable` for a repository with a revision that none can have: it becomes part of paths and addresses.
    """
    repository, at, revision = text.partition("@")
    if len(repository) > _LONGEST_REPOSITORY or not _REPOSITORY.fullmatch(repository):
        return None
    if at and (len(revision) > _LONGEST_REVISION or not _REVISION.fullmatch(revision)):
        raise ModelUnavailable(
            f"There is no model named {shown(text)}: after @ stands a branch, a tag or a commit of 40 digits (letters, digits and . _ - /, "
            f"at most {_LONGEST_REVISION}), got {shown(revision)}. Its page on the hub lists them."
        )
    return HubName(repository, revision or None)


def without_revision(name: str) -> str:
    """A hub model's name without @revision; any other name, such as a path with an @ in it, as it is."""
    repository = name.partition("@")[0]
    return repository if _REPOSITORY.fullmatch(repository) else name


def hub_cache() -> Path:
    """Where models of the hub lie on this machine."""
    chosen = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(os.path.expandvars(chosen or Path(home) / "hub")).expanduser()


def local_snapshot(name: HubName) -> Path | None:
    """The folder of the files at the name's revision, if it was fetched whole; a configuration is in it."""
    found = name.commit or _reference(name.folder, name.revision or MAIN)
    if found is None or not _FOLDER.fullmatch(found):
        return None
    snapshot = name.folder / "snapshots" / found
    there = any((snapshot / file).is_file() for file in (CONFIG, ADAPTER_CONFIG))
    return snapshot if there and not _missing(name.folder, snapshot) else None


def local_snapshots() -> Iterator[tuple[HubName, Path]]:
    """Hub models on this machine: main, every other branch or tag that was fetched, and commits of what was fetched by commit alone."""
    for folder in sorted(hub_cache().glob("models--*")):
        repository = folder.name.removeprefix("models--").replace("--", "/")
        if not _REPOSITORY.fullmatch(repository):
            continue
        seen: set[Path] = set()
        for revision in (None, *_revisions(folder)):
            name = HubName(repository, revision)
            snapshot = local_snapshot(name)
            if snapshot is not None and snapshot not in seen and not (name.commit and seen):
                seen.add(snapshot)
                yield name, snapshot


def _revisions(folder: Path) -> list[str]:
    """Branches and tags that the folder knows besides main, then commits."""
    known = (path.relative_to(folder / "refs").as_posix() for path in sorted((folder / "refs").rglob("*")) if path.is_file())
    commits = (path.name for path in sorted((folder / "snapshots").glob("*")) if _COMMIT.fullmatch(path.name))
    return [*(name for name in known if name != MAIN and _REVISION.fullmatch(name)), *commits]


def commit_of(snapshot: Path) -> str | None:
    """The commit that a snapshot's folder is named by; None for one that is named otherwise, by whoever put it there."""
    return snapshot.name if _COMMIT.fullmatch(snapshot.name) else None


def keep_reference(name: HubName, commit: str) -> None:
    """Note what the name's branch or tag points to: only now it counts as fetched. Raises `StorageError`."""
    revision = name.revision or MAIN
    if name.commit is None and _reference(name.folder, revision) != commit:  # a cache that others share may be read-only
        write_bytes(name.folder / "refs" / revision, commit.encode())


def wanted_file(name: str) -> bool:
    """Whether a file of a hub repository is fetched."""
    return any(fnmatch(name, pattern) for pattern in WANTED) and not any(fnmatch(name, pattern) for pattern in UNWANTED)


def _reference(folder: Path, revision: str) -> str | None:
    try:
        return _small_text(folder / "refs" / revision, _MOST_REFERENCE_BYTES).strip()
    except (OSError, ValueError):
        return None


def _missing(folder: Path, snapshot: Path) -> list[str]:
    """Files of the model that the client's list of that commit has and this machine has not, or not whole; none without a list."""
    try:
        files = parse_json(_small_text(folder / "trees" / f"{snapshot.name}.json", _MOST_TREE_BYTES))["files"]
        sizes = {name: entry.get("lfs_size") or entry["size"] for name, entry in files.items() if _is_needed(name)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return [name for name, size in sizes.items() if not is_whole(snapshot / name, size)]


def _small_text(path: Path, most_bytes: int) -> str:
    """Raises `ValueError` for a pipe or a device, which would be waited for, and for a file that has more: the cache is other programs',
    too."""
    if not path.is_file() or path.stat().st_size > most_bytes:
        raise ValueError(f"{path} is no file of at most {most_bytes:,} bytes")
    return path.read_text(encoding="utf-8")


def is_whole(path: Path, size_bytes: int | None) -> bool:
    """Whether a file is there, with so many bytes where that is known."""
    try:
        return path.is_file() and size_bytes in (None, path.stat().st_size)
    except OSError:
        return False


def _is_needed(name: str) -> bool:
    return wanted_file(name) and any(fnmatch(name, pattern) for pattern in _NEEDED)
