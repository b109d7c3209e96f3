"""One job a device: whoever computes holds the device's lease, a command line as much as a job's process.

The lease is a file lock in <state>/leases, which the system frees when its holder dies. The JSON beside it only
says who holds it, for people and for the worker, which leaves jobs queued while their device is taken.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from sftqa_core.artifacts import write_json
from sftqa_core.errors import SettingsError
from sftqa_core.jobs.process import ProcessId
from sftqa_core.jobs.store import now
from sftqa_core.jsonrecord import Record
from sftqa_core.workspace import Workspace

_DEVICE = re.compile(r"cpu|mps|cuda:\d{1,3}")


@dataclass(frozen=True)
class Lease(Record):
    """Who holds a device."""

    device: str
    holder: str  # "job train-..." or "sftqa probe (process 4711)"
    since: str  # ISO 8601, UTC
    process: ProcessId


def leased_device(device: str) -> str:
    """The lease that a `device` setting stands for: 'auto' is the first GPU where there is one, else the processor.

    Decided from the machine and without torch, so that the worker and every command decide alike.
    """
    if device == "auto":
        device = "cuda:0" if _has_gpu() else "cpu"
    name = "cuda:0" if device == "cuda" else device
    if not _DEVICE.fullmatch(name):
        raise SettingsError(f"device must be auto, cpu, mps, cuda or cuda:N, got {device!r}.")
    return name


@contextmanager
def device_lease(
    device: str,
    holder: str,
    on_wait: Callable[[str], None] | None = None,
    check: Callable[[], None] | None = None,
    poll_s: float = 0.25,
    workspace: Workspace | None = None,
) -> Iterator[str]:
    """Hold `device` alone; yields the device's name once it is free.

    While another one holds it, `on_wait` hears that holder's name (once for each holder) and `check` is called
    every `poll_s`; what `check` raises (`Stopped`) ends the waiting.
    """
    name = leased_device(device)
    lock_path, note = _paths(name, workspace)
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_path)
    _wait(lock, name, on_wait, check, poll_s, workspace)
    try:
        write_json(note, Lease(name, holder, now(), ProcessId.current()).to_dict())
        yield name
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def lease_holder(device: str, workspace: Workspace | None = None) -> Lease | None:
    """Who holds a device now; None when it is free or its holder died."""
    try:
        lease = Lease.from_dict(json.loads(_paths(leased_device(device), workspace)[1].read_text(encoding="utf-8")))
    except (OSError, ValueError, SettingsError):
        return None
    return lease if lease.process.alive() else None


def _wait(
    lock: FileLock,
    name: str,
    on_wait: Callable[[str], None] | None,
    check: Callable[[], None] | None,
    poll_s: float,
    workspace: Workspace | None,
) -> None:
    told: str | None = None
    while True:
        if check is not None:
            check()
        try:
            lock.acquire(blocking=False)
            return
        except Timeout:
            held = lease_holder(name, workspace)
        if held is not None and on_wait is not None and held.holder != told:
            told = held.holder
            on_wait(told)
        time.sleep(poll_s)


def _paths(device: str, workspace: Workspace | None) -> tuple[Path, Path]:
    folder = (workspace or Workspace.current()).state / "leases"
    return folder / f"{device.replace(':', '-')}.lock", folder / f"{device.replace(':', '-')}.json"


def _has_gpu() -> bool:
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    return Path("/dev/nvidiactl").exists() or Path("/dev/dxg").exists()  # the second: Windows' Linux
