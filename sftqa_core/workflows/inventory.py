"""What lies in a cache: its kinds of results, where each one is, and whether it is as it was written. Never loads torch."""

import contextlib
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from sftqa_core.artifacts import MANIFEST, damaged_files, is_set_aside, read_manifest
from sftqa_core.errors import ArtifactDamaged, OtherVersion, SftqaError
from sftqa_core.jsonrecord import Record, fingerprint
from sftqa_core.workspace import Workspace

DAMAGED, OTHER, REFUSED = "damaged", "other version", "not readable now"
_REINSTALL = "It is not what was installed. Install the package again."


@dataclass(frozen=True)
class Fault(Record):
    """Something that is not as it was written, or can't be read."""

    kind: str  # one of KINDS
    path: str  # the file, or the folder of a result
    why: str  # a sentence
    state: str  # DAMAGED; OTHER: another version of the program wrote it; REFUSED: the disk does not give it out
    own: bool  # in the person's layer; what ships is only read


@dataclass(frozen=True)
class Kind:
    """How the results of one kind lie in a layer."""

    find: Callable[[Path], Iterator[Path]]  # a layer's results: folders or files
    check: Callable[[Path], Iterator[tuple[Path, Exception]]]  # what is wrong with one, and with which file
    movable: bool = True  # whether the same work makes it again once it is set aside, or nothing good is hidden by that


def faults(workspace: Workspace) -> list[Fault]:
    """Everything in both layers that is not as it was written: every file is read."""
    found: list[Fault] = []
    for layer in workspace.layers:
        if (layer / MANIFEST).exists():
            found += _shipped_faults(layer)
            continue
        for name, kind in KINDS.items():
            found += [_fault(name, *wrong, layer == workspace.root) for path in kind.find(layer) for wrong in kind.check(path)]
    return found


def manifest_faults(workspace: Workspace, kinds: Collection[str]) -> list[Fault]:
    """What the manifests in the person's layer tell, without reading any other file."""
    chosen = [(name, KINDS[name]) for name in kinds if KINDS[name].check is _check_folder]
    return [_fault(name, *wrong, True) for name, kind in chosen for path in kind.find(workspace.root) for wrong in _check_manifest(path)]


def places(layer: Path) -> Iterator[Path]:
    """The folders of a layer that results are written into."""
    yield layer
    for name in KINDS:
        if (folder := layer / FOLDERS.get(name, name)).is_dir():
            yield folder
            if name in _PARTS or name == "unfinished":
                yield from (path for path in sorted(folder.iterdir()) if path.is_dir() and not is_set_aside(path.name))


def size_bytes(path: Path) -> int:
    """Of a file, or of all files in a folder."""
    total = 0
    for file in [path] if path.is_file() else [inside for inside in path.rglob("*") if inside.is_file()]:
        with contextlib.suppress(OSError):  # gone meanwhile
            total += file.lstat().st_size
    return total


def _fault(kind: str, path: Path, error: Exception, own: bool) -> Fault:
    state = OTHER if isinstance(error, OtherVersion) else REFUSED if isinstance(error, OSError) else DAMAGED
    return Fault(kind, str(path), str(error), state, own)


def _shipped_faults(layer: Path) -> Iterator[Fault]:
    """One manifest covers all that ships. Nothing else is opened: a damaged part may make the reader of parquet files hang."""
    try:
        for name in damaged_files(layer):
            kind = name.partition("/")[0]
            yield Fault(kind if kind in KINDS else "models", str(layer / name), _REINSTALL, DAMAGED, False)
    except SftqaError as error:
        yield _fault("models", layer / MANIFEST, error, False)


def _in(name: str) -> Callable[[Path], Iterator[Path]]:
    """Finds the folders under `name`, but those that are hidden, set aside or empty."""

    def find(layer: Path) -> Iterator[Path]:
        for path in sorted((layer / name).glob("*/")):
            if not path.name.startswith(".") and not is_set_aside(path.name) and any(path.iterdir()):
                yield path

    return find


def _with_manifest(pattern: str) -> Callable[[Path], Iterator[Path]]:
    """Finds the folders of that pattern that hold a finished result, whatever else lies there."""

    def find(layer: Path) -> Iterator[Path]:
        for path in sorted(layer.glob(f"{pattern}/{MANIFEST}")):
            if not is_set_aside(path.parent.name):
                yield path.parent

    return find


def _files(pattern: str) -> Callable[[Path], Iterator[Path]]:
    def find(layer: Path) -> Iterator[Path]:
        yield from (path for path in sorted(layer.glob(pattern)) if not path.name.startswith(".") and path.is_file())

    return find


def _check_manifest(folder: Path) -> Iterator[tuple[Path, Exception]]:
    try:
        read_manifest(folder)
    except SftqaError as error:
        yield folder, error


def _check_folder(folder: Path) -> Iterator[tuple[Path, Exception]]:
    try:
        if damaged_files(folder) and (bad := damaged_files(folder)):  # twice: it may have been replaced while it was read
            yield folder, ArtifactDamaged(f"Not as it was written, or missing: {', '.join(bad[:5])}.")
    except SftqaError as error:
        if folder.exists():
            yield folder, error


def _check_store(folder: Path) -> Iterator[tuple[Path, Exception]]:
    """Every part of a folder of completions, hits or estimates."""
    from sftqa_core.memory.probe_stores import ESTIMATES
    from sftqa_core.memory.probe_tables import COMPLETIONS, HITS, PROBED, read_parquet

    kind = folder.parent.name
    schemas = {"completions": {"part": COMPLETIONS, "facts": PROBED}, "hits": {"part": HITS}, "estimates": {"part": ESTIMATES}}[kind]
    if kind != "hits":  # hits are named by what they judge, and have no settings of their own
        yield from _check_settings(folder)
    for prefix, schema in schemas.items():
        for path in sorted(folder.glob(f"{prefix}-*.parquet")):
            try:
                read_parquet(path, schema)
            except SftqaError as error:
                if path.exists():
                    yield path, error


def _check_settings(folder: Path) -> Iterator[tuple[Path, Exception]]:
    path = folder / "settings.json"
    try:
        same = fingerprint(json.loads(path.read_text(encoding="utf-8"))) == folder.name
    except PermissionError as error:
        yield path, error
        return
    except (OSError, ValueError, RecursionError) as error:
        yield path, ArtifactDamaged(f"It can't be read ({error}); the next probe with these settings writes it again.")
        return
    if not same:
        yield path, ArtifactDamaged("Its settings are not those of its folder's name; the next probe with the right ones writes it again.")


def _check_readable(path: Path) -> Iterator[tuple[Path, Exception]]:
    try:
        with path.open("rb") as handle:
            while handle.read(1 << 20):
                pass
    except OSError as error:
        yield path, error


def _check_file(path: Path) -> Iterator[tuple[Path, Exception]]:
    """A file that a function of the program reads whole is checked by that function."""
    from sftqa_core.knowledge.aliases import read_aliases
    from sftqa_core.models.lists import read_added
    from sftqa_core.workflows.study_reports import read_report, read_study

    readers: dict[str, Callable[[Path], object]] = {"aliases.csv": read_aliases, "added_models.json": read_added}
    try:
        readers.get(path.name, read_study if path.suffix == ".yaml" else read_report)(path)
    except (SftqaError, OSError) as error:
        yield path, error


_PARTS = ("completions", "hits", "estimates")
FOLDERS = {  # where not by name
    "downloads": "datasets",
    "prepared facts": "sources",
    "parsed facts": "datasets/parsed",
    "half-made models": "models",
    "aliases": ".",
    "added models": ".",
}
KINDS = {
    "models": Kind(_in("models"), _check_folder),
    "runs": Kind(_in("runs"), _check_folder),
    "completions": Kind(_in("completions"), _check_store),
    "hits": Kind(_in("hits"), _check_store),
    "estimates": Kind(_in("estimates"), _check_store),
    "answers": Kind(_in("answers"), _check_folder),
    "cells": Kind(_in("cells"), _check_folder),
    "studies": Kind(_files("studies/*.yaml"), _check_file),
    "reports": Kind(_files("reports/*.json"), _check_file),
    "downloads": Kind(_with_manifest("datasets/[!.]*"), _check_folder),
    "prepared facts": Kind(_with_manifest("sources/[!.]*"), _check_folder),
    "parsed facts": Kind(_with_manifest("datasets/parsed/[!.]*"), _check_folder),
    "uploads": Kind(_files("uploads/*"), _check_readable, movable=False),
    "aliases": Kind(_files("aliases.csv"), _check_file, movable=False),
    "added models": Kind(_files("added_models.json"), _check_file, movable=False),
    "unfinished": Kind(_with_manifest("unfinished/*/[!.]*"), _check_folder),
    "half-made models": Kind(_with_manifest("models/.*.unfinished"), _check_folder),
}
