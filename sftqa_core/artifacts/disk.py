"""Files and folders on disk: whole or not there, after a kill and after a power cut.

Content is flushed to the disk before its name is, and a name before what it replaces is removed.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from sftqa_core.artifacts.leftovers import prefix, remove, sweep
from sftqa_core.artifacts.refusals import refusal, storing

_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
_NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
_NO_FOLDER_FLUSH = (errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP)  # said by some network and FUSE file systems
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
_ATTEMPTS = 100  # others may replace the same result at the same time


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of one."""
    write_bytes(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole. Raises `StorageError` when the disk refuses; then nothing of it stays, and the old file does."""
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


def keep_json(path: Path, value: Any) -> bool:
    """`write_json` for what is only kept to save time: where the disk refuses, nothing is kept. Whether it was."""
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
    can't, the old one is moved aside first: a kill before the second step leaves it there, and `leftovers` brings it back.
    """
    aside = work.with_name(f"{work.name}.old")
    for _ in range(_ATTEMPTS):
        try:
            os.replace(work, target)
            old = aside
            break
        except OSError as error:
            if error.errno not in _OCCUPIED:
                _return(aside, target)
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


def exchange(one: Path, other: Path) -> bool:
    """Let two paths change places in one step; False where that can't be done, or `other` has gone."""
    rename = _renameat2()
    if rename is None:
        return False
    if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (*_NO_EXCHANGE, errno.ENOENT):
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


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


def _return(aside: Path, target: Path) -> None:
    """Put back what was moved aside, unless another result has taken its place."""
    if os.path.lexists(aside) and not os.path.lexists(target):
        os.replace(aside, target)
