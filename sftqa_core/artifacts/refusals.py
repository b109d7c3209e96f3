"""Errors of the disk in words: the only place where error numbers become sentences."""

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sftqa_core.errors import SftqaError, StorageError
from sftqa_core.workspace import Workspace

_ROOM = "Free space (`sftqa cache gc` lists what can be removed){elsewhere}, then start it again."
_RIGHTS = "Ask its owner for permission{elsewhere}."
_OPEN = "Close other programs, or raise the limit (`ulimit -n`), and start it again."
_WHY = {  # error number -> what it means, what to do
    errno.ENOSPC: ("the disk is full ({free} free)", _ROOM),
    errno.EDQUOT: ("your disk quota is used up ({free} free for others)", _ROOM),
    errno.EFBIG: ("it would be larger than the disk, or your limit (`ulimit -f`), lets a file be", "Raise the limit{elsewhere}."),
    errno.EROFS: ("the disk is mounted read-only", "Reading goes on. To write, mount it writable{elsewhere}."),
    errno.EACCES: ("{owned}", _RIGHTS),
    errno.EPERM: ("{owned}", _RIGHTS),
    errno.EMFILE: ("this program has too many files open", _OPEN),
    errno.ENFILE: ("this machine has too many files open", _OPEN),
    errno.ESTALE: ("the network folder it lies in was removed or replaced", "Mount it again, then start it again."),
    errno.EIO: ("the disk reports a fault", "Copy what is readable to another disk and check this one; the system's log says more."),
    errno.ENAMETOOLONG: ("its name is too long for the disk", "Choose a shorter name."),
}
_IN_WORDS = re.compile(r"os error (\d+)|[Ee]rrno (\d+)")  # safetensors and tokenizers tell the number in their text only


def refusal(error: BaseException) -> int | None:
    """The error number, if the disk refused; None for anything else, such as a damaged file."""
    seen: BaseException | None = error
    while seen is not None:
        number = seen.errno if isinstance(seen, OSError) else None
        if number is None and (match := _IN_WORDS.search(str(seen))):
            number = int(match[1] or match[2])
        if number in _WHY:
            return number
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return None


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Work that writes `path`: a refusal of the disk becomes a `StorageError` in words, other errors pass through."""
    with _worded(path, "written", " Nothing half-written stays, and what was there before is as it was."):
        yield


@contextmanager
def fetching(path: Path) -> Iterator[None]:
    """Work that reads `path`: a refusal of the disk becomes a `StorageError`, since the file itself may be whole."""
    with _worded(path, "read", ""):
        yield


@contextmanager
def _worded(path: Path, what: str, kept: str) -> Iterator[None]:
    try:
        yield
    except SftqaError:
        raise
    except Exception as error:
        if (number := refusal(error)) is None:
            raise
        raise _storage_error(path, what, kept, number) from error


def in_sentence(error: OSError) -> StorageError | None:
    """An error that was caught elsewhere in words, if the disk refused; else None."""
    number, name = refusal(error), error.filename
    return None if number is None or not isinstance(name, str | os.PathLike) else _storage_error(Path(name).absolute(), "used", "", number)


def _storage_error(path: Path, what: str, kept: str, number: int) -> StorageError:
    why, do = _WHY[number]
    place = next((place for place in (path, *path.parents) if os.path.lexists(place)), Path("/"))  # the nearest that is there
    text = f"{path} can't be {what}: ".replace("{", "{{").replace("}", "}}") + f"{why}.{kept} {do}"
    return StorageError(text.format(free=_free(place), owned=_owned(place), elsewhere=_elsewhere(path)), number)


def in_words(size_bytes: float) -> str:
    """A size as people read it: 950 bytes, 1.4 MB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "bytes" or size_bytes >= 100 else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:,.1f} TB"


def _free(place: Path) -> str:
    try:
        return in_words(shutil.disk_usage(place).free)
    except OSError:
        return "an unknown part"


def _owned(place: Path) -> str:
    """Who owns a place, who may write there, and as whom this program runs."""
    try:
        status = place.stat()
    except OSError:
        return "the system does not permit it"
    me = os.geteuid() if hasattr(os, "geteuid") else -1
    return f"{place} belongs to {_user(status.st_uid)} ({stat.filemode(status.st_mode)}), and this program runs as {_user(me)}"


def _user(number: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(number).pw_name
    except (ImportError, KeyError):
        return f"user {number}"


def _elsewhere(path: Path) -> str:
    workspace = Workspace.current()
    for root, name in ((workspace.state, "SFTQA_STATE"), (workspace.root, "SFTQA_CACHE")):
        if path.is_relative_to(root):
            return f", or set {name} to a folder on another disk"
    return ", or choose another folder"
