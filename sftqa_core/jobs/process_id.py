"""Which process is meant, so that a number that was given to another program is never taken for it.

On Linux a process is known by host, boot id, pid and start time in clock ticks since boot (which a changed clock
does not move); elsewhere by host, pid and creation time.
"""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

from sftqa_core.jsonrecord import Record

BEAT_S = 10.0  # how often a process touches its beat file
BEAT_LIMIT_S = 90.0  # a process on another host whose beat is older than this is taken for dead


@dataclass(frozen=True)
class ProcessId(Record):
    """One process of one boot of one host."""

    host: str
    boot: str  # empty where the system has no boot id
    pid: int
    started: str

    def problems(self) -> list[str]:
        return [] if self.pid >= 1 else [f"pid must be 1 or more, got {self.pid}."]

    @classmethod
    def current(cls) -> ProcessId:
        """This process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """The process of this host that has this number now."""
        return cls(platform.node(), _boot_id(), pid, _started(pid) or "gone")

    @classmethod
    def nobody(cls) -> ProcessId:
        """A process of this host that does not live."""
        return cls(platform.node(), _boot_id(), os.getpid(), "never")

    @property
    def before_restart(self) -> bool:
        """Whether it belonged to an earlier boot of this machine."""
        return self.host == platform.node() and self.boot != _boot_id()

    def alive(self, beat: Path | None = None) -> bool:
        """Whether the process still runs; on another host, whether its `beat` file was touched lately."""
        if self.host != platform.node():
            return beat is not None and _age_s(beat) < BEAT_LIMIT_S
        return self.boot == _boot_id() and _started(self.pid) == self.started


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """The start time as text, None when there is no such process or only its corpse (a zombie)."""
    if not _boot_id():
        return _started_elsewhere(pid)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the command's name before it may hold blanks and brackets
    return None if fields[0] in "ZX" else fields[19]


def _started_elsewhere(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except psutil.Error:
        return None


def _age_s(path: Path) -> float:
    try:
        return abs(time.time() - path.stat().st_mtime)
    except OSError:
        return float("inf")
