"""What killed processes leave behind, and what was set aside: found by name, brought back or swept.

    .NAME.PID-HOME.RANDOM       a file or folder that is being written; HOME tells the machine, its boot and its process numbers apart
    .NAME.PID-HOME.RANDOM.old   what it is to replace, moved aside for a moment where the file system can't exchange the two
    NAME.damaged, NAME.damaged.2  set aside: never read, never listed, never removed unless a person asks

The first is removed once its writer is dead for certain, or, where that can't be told (another machine, a container), when it was
left alone for a day. The second goes back to its place at once when its writer is dead and the place is empty.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path

_LEFT = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d{1,9})(-(?P<home>[0-9a-f]{8}))?\.[a-z0-9_]{8}(?P<old>\.old)?", re.DOTALL)
_ASIDE = re.compile(r".+\.damaged(\.\d+)?", re.DOTALL)
_STALE_S = 86_400
_PUT_S = 60  # no writer needs longer between its two renames
_FRESH_S = 2  # a folder that changed so lately may change again without its time of change telling


def prefix(name: str) -> str:
    """What the name of a working file or folder of this process starts with; eight random characters follow."""
    return f".{name}.{os.getpid()}-{_home()}."


def is_set_aside(name: str) -> bool:
    """Whether a file or folder of that name was set aside."""
    return _ASIDE.fullmatch(name) is not None


def set_aside(path: Path, seen: tuple[int, int] | None = None) -> Path | None:
    """Rename what is damaged so that it is never read again; the new path, or None where nothing could be renamed (a read-only
    cache, or someone else was quicker): readers then pass over it each time. `seen`: the `identity` of what is meant."""
    target = path.with_name(f"{path.name}.damaged")
    number = 1
    while os.path.lexists(target):
        number += 1
        target = path.with_name(f"{path.name}.damaged.{number}")
    try:
        os.rename(path, target)
        if seen not in (None, identity(target)):  # replaced by a whole one at the last moment
            os.rename(target, path)
            return None
    except OSError:
        return None
    return target


def identity(path: Path) -> tuple[int, int] | None:
    """What tells a folder from another one that takes its place; None where nothing is."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextlib.contextmanager
def held(path: Path) -> Iterator[tuple[int, int] | None]:
    """The `identity` of a folder, which no other gets as long as this one is held open."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        yield identity(path)  # Windows opens no folders
        return
    try:
        found = os.fstat(handle)
        yield found.st_dev, found.st_ino
    finally:
        os.close(handle)


def sweep(parent: Path) -> None:
    """Bring back and remove what killed writers left in this folder."""
    for path, left in left_behind(parent):
        if left["old"] and not os.path.lexists(parent / left["name"]):
            _bring_back(path, parent / left["name"], left)
        elif is_dead(path, left):
            remove(path)


def left_behind(parent: Path) -> Iterator[tuple[Path, re.Match[str]]]:
    """What writers, dead or alive, have in this folder, with the parts of its name."""
    try:
        names = [entry.name for entry in os.scandir(parent) if entry.name.startswith(".")]
    except OSError:
        return
    for name in sorted(names):
        if left := _LEFT.fullmatch(name):
            yield parent / name, left


def returned(target: Path) -> Path | None:
    """Where a result lies that a killed process moved aside and never replaced: at `target` again, or where it was moved if this
    folder can't be changed. None when there is no such thing."""
    for name in _moved_aside(target.parent):
        left = _LEFT.fullmatch(name)
        if left and left["name"] == target.name and (found := _bring_back(target.with_name(name), target, left)):
            return found
    return None


def moved_aside(parent: Path) -> list[str]:
    """Names of results that lie moved aside in this folder."""
    return [left["name"] for name in _moved_aside(parent) if (left := _LEFT.fullmatch(name))]


def is_dead(path: Path, left: re.Match[str]) -> bool:
    """Whether the writer of a leftover will never come back to it."""
    if _runs(int(left["pid"])):
        return left["home"] not in (None, _home()) and _untouched_s(path) > _STALE_S  # of another machine: the number says nothing
    return left["home"] == _home() or _untouched_s(path) > _STALE_S


def remove(path: Path) -> None:
    """Remove a file or folder, as far as it can be."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _bring_back(path: Path, target: Path, left: re.Match[str]) -> Path | None:
    """Safe even while the writer lives: it then finds the place taken and moves it aside again."""
    here = left["home"] in (None, _home())
    try:
        if _runs(int(left["pid"])) if here else path.stat().st_ctime > max(time.time() - _PUT_S, _booted_s()):
            return None
        if not os.path.lexists(target):
            os.rename(path, target)
        return target
    except OSError:
        return path if path.is_dir() and not os.path.lexists(target) else None


def _moved_aside(parent: Path) -> tuple[str, ...]:
    """Names of what was moved aside. Listed again only when the folder changes: a study looks for hundreds of cells in one folder."""
    try:
        changed_ns = parent.stat().st_mtime_ns
    except OSError:
        return ()
    fresh = time.time() - changed_ns / 1e9 < _FRESH_S
    return _listed.__wrapped__(parent, changed_ns) if fresh else _listed(parent, changed_ns)


@lru_cache(64)
def _listed(parent: Path, changed_ns: int) -> tuple[str, ...]:
    found = []
    for path, left in left_behind(parent):
        with contextlib.suppress(OSError):  # another process has just put it back
            found += [(path.lstat().st_ctime, path.name)] if left["old"] else []
    return tuple(name for _, name in sorted(found, reverse=True))  # the one moved last first


def _runs(pid: int) -> bool:
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


def _booted_s() -> float:
    import psutil

    return psutil.boot_time()


def _untouched_s(path: Path) -> float:
    try:
        return time.time() - max(found.lstat().st_mtime for found in (path, *path.rglob("*")))
    except OSError:
        return 0.0


@cache
def _home() -> str:
    """8 hex digits: this machine, since it was started, and the space its process numbers belong to (a container has its own)."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        boot, space = "", 0
    return hashlib.sha256(f"{platform.node()} {boot} {space}".encode()).hexdigest()[:8]
