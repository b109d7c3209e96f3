"""The cache: which kinds of results lie in it and where, whether each is as it was written, and what can go. Never loads torch.

sftqa cache ls | verify | gc
"""

import contextlib
import json
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from sftqa_core.artifacts import MANIFEST, damaged_files, is_dead, is_set_aside, left_behind, read_manifest, remove, set_aside, size_bytes
from sftqa_core.errors import ArtifactDamaged, OtherVersion, SftqaError
from sftqa_core.jsonrecord import Record, fingerprint
from sftqa_core.models.gguf.gguf_reading import useless
from sftqa_core.records import LABELLED
from sftqa_core.workflows.deleting import RUN, holds_something
from sftqa_core.workflows.label_files import locked, read_label
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
    movable: bool = True  # whether it may be set aside: the same work makes it again, or nothing of value is lost


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
    from sftqa_core.memory.scores import COMPLETIONS, HITS, PROBED, read_parquet

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
    from sftqa_core.models.serving.server_identity import FILE, read_known
    from sftqa_core.workflows.study_reports import read_report, read_study

    readers: dict[str, Callable[[Path], object]] = {"aliases.csv": read_aliases, "added_models.json": read_added, FILE: read_known}
    label = path.parent.name in LABELLED.values() and path.parent.parent.name == "labels"
    try:
        readers.get(path.name, read_label if label else read_study if path.suffix == ".yaml" else read_report)(path)
    except (SftqaError, OSError) as error:
        yield path, error


def _check_deleted(entry: Path) -> Iterator[tuple[Path, Exception]]:
    """A run that can come back is checked as any other."""
    if (entry / RUN).is_dir():
        yield from _check_folder(entry / RUN)


_PARTS = ("completions", "hits", "estimates")
FOLDERS = {  # where not by name
    "models from GGUF": "gguf",
    "looks inside": "inside",
    "served models": "servers",
    "downloads": "datasets",
    "prepared facts": "sources",
    "parsed facts": "datasets/parsed",
    "half-made models": "models",
    "labels of runs": "labels/runs",
    "labels of studies": "labels/studies",
    "aliases": ".",
    "added models": ".",
}
KINDS = {
    "models": Kind(_in("models"), _check_folder),
    "models from GGUF": Kind(_in("gguf"), _check_folder),
    "served models": Kind(_files("servers/*/identities.json"), _check_file, movable=False),
    "runs": Kind(_in("runs"), _check_folder),
    "completions": Kind(_in("completions"), _check_store),
    "hits": Kind(_in("hits"), _check_store),
    "estimates": Kind(_in("estimates"), _check_store),
    "answers": Kind(_in("answers"), _check_folder),
    "cells": Kind(_in("cells"), _check_folder),
    "looks inside": Kind(_in("inside"), _check_folder),
    "exposures": Kind(_in("exposures"), _check_folder),
    "imports": Kind(_in("imports"), _check_folder),
    "studies": Kind(_files("studies/*.yaml"), _check_file),
    "reports": Kind(_files("reports/*.json"), _check_file),
    "downloads": Kind(_with_manifest("datasets/[!.]*"), _check_folder),
    "prepared facts": Kind(_with_manifest("sources/[!.]*"), _check_folder),
    "parsed facts": Kind(_with_manifest("datasets/parsed/[!.]*"), _check_folder),
    "uploads": Kind(_files("uploads/*"), _check_readable, movable=False),
    "labels of runs": Kind(_files("labels/runs/*.json"), _check_file),
    "labels of studies": Kind(_files("labels/studies/*.json"), _check_file),
    "deleted": Kind(_in("deleted"), _check_deleted, movable=False),
    "aliases": Kind(_files("aliases.csv"), _check_file, movable=False),
    "added models": Kind(_files("added_models.json"), _check_file, movable=False),
    "unfinished": Kind(_with_manifest("unfinished/*/[!.]*"), _check_folder),
    "half-made models": Kind(_with_manifest("models/.*.unfinished"), _check_folder),
}


_DAY_S = 86_400
KEPT_S = 7 * _DAY_S  # unfinished work that nothing refers to is kept for so long
_REPORT = re.compile(r"[0-9a-f]{16}\.json")
_KILLED = "left by a process that was killed"
_FIRST = re.compile(r"\..+\.(json|parquet|yaml|csv)\.[a-z0-9_]{8}")  # a file half-written by the first version
_TRIALS = (
    "uploads/.checking-*",
    "imports/.checking-*",
    "datasets/.download-*.zip",
)  # of a person's file, or a download, that was being looked at


@dataclass(frozen=True)
class Holding(Record):
    """The results of one kind in one layer."""

    kind: str
    own: bool  # False: came with the program
    results: int
    size_bytes: int
    set_aside: int
    damaged: int  # as far as it shows without reading every file: `verify` does that
    other_version: int


@dataclass(frozen=True)
class Removable(Record):
    """Something that no run needs."""

    path: str
    what: str
    size_bytes: int


def holdings(workspace: Workspace | None = None) -> list[Holding]:
    """What both layers hold, a row a kind; kinds of which there is nothing are left out."""
    place = workspace or Workspace.current()
    wrong = manifest_faults(place, KINDS)
    found = []
    for layer in place.layers:
        own = layer == place.root
        for name, kind in KINDS.items():
            paths = list(kind.find(layer))
            aside = [path for path, of in _set_aside(layer) if of == name]
            here = [fault.state for fault in wrong if fault.kind == name and own]
            if paths or aside:
                size = sum(size_bytes(path) for path in (*paths, *aside))
                found.append(Holding(name, own, len(paths), size, len(aside), len(here) - here.count(OTHER), here.count(OTHER)))
    return found


def unreadable_results() -> list[tuple[Path, str]]:
    """The person's models and runs that no list shows, since their manifest is damaged or of another version: the folder, and why.

    Reads manifests alone, some 0.1 ms each. Empty on almost every machine.
    """
    return [(Path(fault.path), fault.why) for fault in manifest_faults(Workspace.current(), ("models", "runs"))]


def verify(move: bool = False, workspace: Workspace | None = None) -> tuple[int, list[Fault], list[tuple[str, str]]]:
    """How many results were checked, byte for byte, in both layers; everything that is wrong; and what was renamed to what.

    With `move` what is damaged in the person's layer is set aside, so that it is made again; results of another version, what the
    disk does not give out, uploads and aliases stay where they are.
    """
    place = workspace or Workspace.current()
    checked = sum(1 for layer in place.layers for kind in KINDS.values() for _ in kind.find(layer))
    wrong = faults(place)
    moved = []
    for fault in wrong if move else []:
        if fault.state == DAMAGED and fault.own and KINDS[fault.kind].movable:
            for path in _together(fault):
                if path.exists() and (target := set_aside(path)):
                    moved.append((str(path), str(target)))
    return checked, wrong, moved


def removable(in_use: Callable[[str, str, float], bool], workspace: Workspace | None = None) -> list[Removable]:
    """What no run needs: leftovers of dead writers, what was set aside, kept reports, sources as they were read, old unfinished work,
    models read from GGUF files that have gone, and what the person deleted.

    `in_use(kind, name, when)` says whether a job may go on with the checkpoint of that name ("pretrain" and a model, "train" and
    a key) that was last written at `when` (seconds since 1970). Runs, models, facts, what was probed or answered, studies,
    anything of another version and anything not recognised are never in the list.
    """
    place = workspace or Workspace.current()
    root = place.root
    found = [*_left(place), *((path, "set aside as damaged") for path, _ in _set_aside(root) if not _whole(path))]
    reports = [path for path in sorted((root / "reports").glob("*.json")) if _REPORT.fullmatch(path.name)]
    found += [(path, "cached report, computed again when it is needed") for path in reports]
    found += [(path, "cached large source, read again when it is needed") for path in KINDS["prepared facts"].find(root)]
    for path in sorted((root / "deleted").glob("[!.]*/")):
        found.append((path, "deleted, can come back (`sftqa undelete`) until it is removed" if holds_something(path) else _KILLED))
    found += [(path, "unfinished work that no job can resume") for path in _old_work(root, in_use)]
    found += [
        (path, "read from a GGUF file that has gone, or by another version")
        for path in KINDS["models from GGUF"].find(root)
        if useless(path)
    ]
    return [Removable(str(path), what, size_bytes(path)) for path, what in found]


def clear(items: list[Removable], workspace: Workspace | None = None) -> list[Removable]:
    """Remove what `removable` listed; returns what has gone. A checkpoint that is in use by now stays."""
    root = (workspace or Workspace.current()).root
    gone = []
    for item in items:
        path = Path(item.path)
        with contextlib.suppress(Timeout, OSError), _unused(path, root):
            remove(path)
        if not path.exists():
            gone.append(item)
    return gone


def _together(fault: Fault) -> tuple[Path, ...]:
    """A part of completions goes with the list of facts beside it: one without the other is no result."""
    path = Path(fault.path)
    if fault.kind != "completions" or path.suffix != ".parquet":
        return (path,)
    stem = path.name.partition("-")[2]
    return (path.with_name(f"facts-{stem}"), path.with_name(f"part-{stem}"))


def _left(workspace: Workspace) -> Iterator[tuple[Path, str]]:
    """Leftovers of dead writers; what was moved aside and never replaced is the only copy of a result, and stays."""
    root = workspace.root
    for parent in dict.fromkeys([*places(root), workspace.state, *workspace.jobs.glob("*/")]):
        for path, left in left_behind(parent):
            lost = left["old"] and not (parent / left["name"]).exists()
            if not lost and is_dead(path, left):
                yield path, _KILLED
        yield from ((path, _KILLED) for path in _older_than_a_day(parent.glob(".*.*")) if _FIRST.fullmatch(path.name) and path.is_file())
    for pattern in _TRIALS:
        yield from ((path, _KILLED) for path in _older_than_a_day(root.glob(pattern)))


def _older_than_a_day(paths: Iterable[Path]) -> list[Path]:
    found = []
    for path in sorted(paths):
        with contextlib.suppress(OSError):
            found += [path] if time.time() - path.lstat().st_mtime > _DAY_S else []
    return found


def _set_aside(layer: Path) -> Iterator[tuple[Path, str]]:
    """What was set aside in a layer, and the kind it is of."""
    seen = set()
    for name in KINDS:
        folder = layer / FOLDERS.get(name, name)
        for parent in [folder, *folder.glob("*/")] if name in ("completions", "hits", "estimates", "unfinished") else [folder]:
            for path in sorted(parent.glob("*")) if parent != layer else []:
                hidden = path.name.startswith(".")
                if is_set_aside(path.name) and path not in seen and (not hidden or name == "half-made models"):
                    seen.add(path)
                    yield path, name


def _whole(path: Path) -> bool:
    """Whether a folder that looks set aside holds a whole result: someone named it so."""
    try:
        return (path / MANIFEST).exists() and not damaged_files(path)
    except SftqaError:
        return False


def _old_work(root: Path, in_use: Callable[[str, str, float], bool]) -> Iterator[Path]:
    """Checkpoints that are a week old and that nothing refers to: no job, no process, no half-made model."""
    free: list[Path] = []
    for path in sorted((root / "unfinished").glob("*/")):
        ours = any(any(path.glob(f"{what}-*/{MANIFEST}")) for what in ("checkpoint", "stage", "table"))  # of a training, or a recipe
        ours = ours or any(path.glob("best-*.safetensors"))  # killed before its first checkpoint
        if ours and time.time() - _written(path) > KEPT_S and not in_use("train", path.name, _written(path)):
            with contextlib.suppress(Timeout, OSError), _unused(path, root):
                free.append(path)
    yield from free
    for path in sorted((root / "models").glob(".*.unfinished/")):
        name = path.name.removeprefix(".").removesuffix(".unfinished")
        finished = (root / "models" / name / MANIFEST).exists()  # else it is all that there is of the model
        if finished and time.time() - _written(path) > KEPT_S and not in_use("pretrain", name, _written(path)):
            yield path


def _written(path: Path) -> float:
    """When something under a folder was last written, in seconds since 1970."""
    with contextlib.suppress(OSError):
        return max(found.lstat().st_mtime for found in (path, *path.rglob("*")))
    return time.time()


@contextlib.contextmanager
def _unused(path: Path, root: Path) -> Iterator[None]:
    """Hold the lock of a training's checkpoints, or that of what was deleted; raises `Timeout`, or OSError, while a process has it."""
    if path.parent == root / "deleted":
        with locked(Workspace(root, root)):
            yield
        return
    if path.parent != root / "unfinished":
        yield
        return
    lock = path.with_name(f"{path.name}.lock")
    was_there = lock.exists()
    with FileLock(lock, blocking=False):
        yield
        if not was_there or not path.exists():
            lock.unlink(missing_ok=True)
