"""One job a device: whoever computes holds the device's lease, a command line as much as a job's process.

The lease is a file lock in <state>/leases, which the system frees when its holder dies. The JSON beside it only
says who holds it, for people and for the worker, which leaves jobs queued while their device is taken.
"""

from __future__ import annotations

import json
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
from sftqa_core.models.devices import resolve_device
from sftqa_core.workspace import Workspace

_LEASES = {"cpu": "cpu", "cuda": "cuda:0"}  # device -> its lease's name, which stands in the queue


@dataclass(frozen=True)
class Lease(Record):
    """Who holds a device."""

    device: str
    holder: str  # "job train-..." or "sftqa probe (process 4711)"
    since: str  # ISO 8601, UTC
    process: ProcessId


def leased_device(device: str) -> str:
    """The lease, "cpu" or "cuda:0", that a `device` setting stands for; a lease's own name stays as it is.

    Decided without torch and as loading decides (models/devices.py). Raises `SettingsError` for a device that can't be used.
    """
    return device if device in _LEASES.values() else _LEASES[resolve_device(device)]


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
