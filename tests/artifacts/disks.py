"""Small and read-only disks for tests: a tmpfs where we may mount one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, size: str = "1m") -> Iterator[Path]:
    """A disk of that size at `folder`; skips the test where this user can't mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.name != "posix" or _mount("-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(folder)):
        pytest.skip("mounting a tmpfs needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False, capture_output=True)


def make_read_only(folder: Path) -> None:
    """From now on nothing can be written to the disk mounted at `folder`."""
    assert _mount("-o", "remount,ro", str(folder)) == 0


def fill_up(folder: Path, leave_bytes: int) -> Path:
    """A file that leaves so much room, in whole pages, on the disk of `folder`."""
    path = folder / "ballast"
    with path.open("wb") as handle:
        free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
        handle.write(b"x" * max(0, free - leave_bytes))
    return path


def _mount(*arguments: str) -> int:
    try:
        return subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode
    except OSError:
        return 1
