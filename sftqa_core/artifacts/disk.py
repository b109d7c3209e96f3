"""Files and folders on disk: complete or absent, after a kill and after a power cut.

Content is flushed to the disk before its name is, and a name before the old result is removed. Files that killed processes leave
behind, and those set aside, are known by their names:

    .NAME.PID-HOME.RANDOM       a file or folder that is being written; HOME tells the machine, its boot and its process numbers apart
    .NAME.PID-HOME.RANDOM.old   what it is to replace, moved aside for a moment where the file system can't exchange the two
    NAME.damaged, NAME.damaged.2  set aside: never read, never listed, never removed unless a person asks

The first is removed once its writer is certainly dead, or, where that is unknown (another machine, a container), after a day without
a change. The second goes back to its place as soon as its writer is dead and the place is empty.
"""

import contextlib
import ctypes
import errno
import hashlib
import itertools
import json
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sftqa_core.artifacts.refusals import refusal, storing
from sftqa_core.errors import StorageError
from sftqa_core.processes import boot_id

_LEFT = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d{1,9})(-(?P<home>[0-9a-f]{8}))?\.[a-z0-9_]{8}(?P<old>\.old)?", re.DOTALL)
_ASIDE = re.compile(r".+\.damaged(\.\d+)?", re.DOTALL)
_STALE_S = 86_400
_HELD_S = 10  # that another process may hold a file which is changed
_PUT_S = 60  # no writer needs longer between its two renames
_FRESH_S = 2  # a folder that changed so lately may change again without a new time of change
_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
_NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
_NO_FOLDER_FLUSH = (errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP)  # said by some network and FUSE file systems
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
_ATTEMPTS = 100  # others may replace the same result at the same time


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one."""
    write_bytes(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole. Raises `StorageError` when the disk refuses: the old file then stays as it was."""
    with storing(path):
        make_folder(path.parent)
        sweep(path.parent)
        handle, name = tempfile.mkstemp(prefix=prefix(path.name), dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
        flush(path.parent)


def read_json(path: Path) -> Any:
    """The content of a JSON file that is remembered to save time; None where it is lost, damaged or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


@contextlib.contextmanager
def changing(path: Path) -> Iterator[None]:
    """Hold a file alone among processes while it is read, changed and written; its folder is made. Raises `StorageError` where the disk
    refuses, or another process holds it for long."""
    with storing(path):
        make_folder(path.parent)
        try:
            lock = FileLock(path.with_name(f".{path.name}.lock")).acquire(timeout=_HELD_S)
        except Timeout:
            raise StorageError(f"{path} is being changed by another process. Try again.") from None
        with lock:
            yield


def keep_json(path: Path, value: Any) -> bool:
    """`write_json` for what is only kept to save time; False where the disk refuses, and nothing is kept."""
    try:
        write_json(path, value)
    except OSError as error:
        if refusal(error) is None:
            raise
        return False
    return True


def make_folder(path: Path) -> None:
    """The folder with those above it, each one's name flushed to the disk."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    flush(path.parent)


def flush(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    folder = path.is_dir()
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:
        if folder:
            return  # Windows opens no folders, and one may write into a folder that one may not list
        raise
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDER_FLUSH:
            raise
    finally:
        os.close(handle)


def put(work: Path, target: Path) -> None:
    """Rename the folder `work`, whole and flushed, to `target`; what stood there is removed last.

    Where the file system can, the two change places in one step, so that the old one or the new one is always there. Where it
    can't, the old one is moved aside first: a kill before the second step leaves it there, and `returned` brings it back.
    """
    aside = work.with_name(f"{work.name}.old")
    for _ in range(_ATTEMPTS):
        try:
            os.replace(work, target)
            old = aside
            break
        except OSError as error:
            if error.errno not in _OCCUPIED:
                if os.path.lexists(aside) and not os.path.lexists(target):  # put it back, unless another result has taken its place
                    os.replace(aside, target)
                raise
        if exchange(work, target):
            old = work
            break
        remove(aside)  # of an earlier attempt: another one's result has taken the place since
        with contextlib.suppress(FileNotFoundError):
            os.replace(target, aside)
    else:
        raise OSError(errno.EEXIST, f"Other processes replaced it {_ATTEMPTS} times meanwhile", str(target))
    flush(target.parent)
    remove(old)


def exchange(path: Path, other: Path) -> bool:
    """Let two paths change places in one step; False where that can't be done, or `other` has gone."""
    rename = _renameat2()
    if rename is None:
        return False
    if rename(_HERE, os.fsencode(path), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (*_NO_EXCHANGE, errno.ENOENT):
        return False
    raise OSError(number, os.strerror(number), str(path), None, str(other))


@cache
def _renameat2() -> Callable[..., int] | None:
    """Linux's rename with flags, from glibc 2.28 or musl 1.2.6 on."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return None
    rename.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    rename.restype = ctypes.c_int
    return rename


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
    numbers = itertools.count(2)
    while os.path.lexists(target):
        target = path.with_name(f"{path.name}.damaged.{next(numbers)}")
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
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def held(path: Path) -> Iterator[tuple[int, int] | None]:
    """The `identity` of a folder, which no other gets as long as this one is held open."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        yield identity(path)  # Windows opens no folders
        return
    try:
        status = os.fstat(handle)
        yield status.st_dev, status.st_ino
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
        if left and left["name"] == target.name and (place := _bring_back(target.with_name(name), target, left)):
            return place
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


def size_bytes(path: Path) -> int:
    """Of a file, or of all files in a folder."""
    total = 0
    for file in [path] if path.is_file() else [inside for inside in path.rglob("*") if inside.is_file()]:
        with contextlib.suppress(OSError):  # gone meanwhile
            total += file.lstat().st_size
    return total


def _bring_back(path: Path, target: Path, left: re.Match[str]) -> Path | None:
    """Safe even while the writer lives: it then finds the place taken and moves it aside again."""
    import psutil

    here = left["home"] in (None, _home())
    try:
        if _runs(int(left["pid"])) if here else path.stat().st_ctime > max(time.time() - _PUT_S, psutil.boot_time()):
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
    moved = []
    for path, left in left_behind(parent):
        with contextlib.suppress(OSError):  # another process has just put it back
            moved += [(path.lstat().st_ctime, path.name)] if left["old"] else []
    return tuple(name for _, name in sorted(moved, reverse=True))  # the one moved last first


def _runs(pid: int) -> bool:
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


def _untouched_s(path: Path) -> float:
    try:
        return time.time() - max(inside.lstat().st_mtime for inside in (path, *path.rglob("*")))
    except OSError:
        return 0.0


@cache
def _home() -> str:
    """8 hex digits: this machine, since it was started, and the space its process numbers belong to (a container has its own)."""
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        space = 0
    return hashlib.sha256(f"{platform.node()} {boot_id()} {space}".encode()).hexdigest()[:8]
