"""The cache itself: what is in it, whether it is whole, and what can go. Never loads torch.

sftqa cache ls | verify | gc
"""

import contextlib
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from sftqa_core.artifacts import MANIFEST, damaged_files, is_dead, is_set_aside, left_behind, remove, set_aside
from sftqa_core.errors import SftqaError
from sftqa_core.jsonrecord import Record
from sftqa_core.workflows.inventory import DAMAGED, FOLDERS, KINDS, OTHER, Fault, faults, manifest_faults, places, size_bytes
from sftqa_core.workspace import Workspace

_DAY_S = 86_400
KEPT_S = 7 * _DAY_S  # unfinished work that nothing refers to is kept for so long
_REPORT = re.compile(r"[0-9a-f]{16}\.json")
_KILLED = "left by a process that was killed"
_FIRST = re.compile(r"\..+\.(json|parquet|yaml|csv)\.[a-z0-9_]{8}")  # a file half-written by the first version
_TRIALS = ("uploads/.checking-*", "datasets/.download-*.zip")  # of a person's file, or a download, that was being looked at


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


def unreadable_results(kinds: Collection[str] = ("models", "runs"), workspace: Workspace | None = None) -> list[tuple[Path, str]]:
    """Results of the person's that no list shows, since their manifest is damaged or of another version: the folder, and why.

    Reads manifests alone, some 0.1 ms each. Empty on almost every machine. All kinds: inventory.KINDS.
    """
    return [(Path(fault.path), fault.why) for fault in manifest_faults(workspace or Workspace.current(), kinds)]


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
    """What no run needs: leftovers of dead writers, what was set aside, kept reports, sources as they were read, old unfinished work.

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
    found += [(path, "unfinished work that no job can resume") for path in _old_work(root, in_use)]
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
        ours = any(path.glob(f"checkpoint-*/{MANIFEST}")) or any(path.glob("best-*.safetensors"))  # killed before its first checkpoint
        if ours and time.time() - _written(path) > KEPT_S and not in_use("train", path.name, _written(path)):
            with contextlib.suppress(Timeout, OSError), _unused(path, root):
                free.append(path)
    yield from free
    for path in sorted((root / "models").glob(".*.unfinished/")):
        name = path.name.removeprefix(".").removesuffix(".unfinished")
        made = (root / "models" / name / MANIFEST).exists()  # else it is all that there is of the model
        if made and time.time() - _written(path) > KEPT_S and not in_use("pretrain", name, _written(path)):
            yield path


def _written(path: Path) -> float:
    """When something under a folder was last written, in seconds since 1970."""
    with contextlib.suppress(OSError):
        return max(found.lstat().st_mtime for found in (path, *path.rglob("*")))
    return time.time()


@contextlib.contextmanager
def _unused(path: Path, root: Path) -> Iterator[None]:
    """Hold the lock of a training's checkpoints; raises `Timeout` while a process works on them."""
    if path.parent != root / "unfinished":
        yield
        return
    lock = path.with_name(f"{path.name}.lock")
    was_there = lock.exists()
    with FileLock(lock, blocking=False):
        yield
        if not was_there or not path.exists():
            lock.unlink(missing_ok=True)
