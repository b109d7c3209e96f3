"""Who computes where: the one scheduler of the machine's devices, for background jobs and command lines alike.

The processor and each GPU are slots; whoever computes holds the slots it needs, all of them or none. A slot is a file lock in
<state>/leases, which the system frees when its holder dies. The JSON beside it only says who holds it, for people and for the
worker, which leaves jobs queued while their slots are taken. Choosing happens under a lock of its own, so that two that want
several GPUs can't each hold half of them. A GPU is known by the name it has in the variable that shows it to a process,
CUDA_VISIBLE_DEVICES or AMD's HIP_VISIBLE_DEVICES; an Apple computer has one. Work gets any GPU that is free, or waits for the one whose
number it names (device cuda:1). CUDA, which by itself begins with the fastest, is told to number GPUs as the driver does, unless the person
has chosen by that variable already.
"""

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from sftqa_core.artifacts import write_json
from sftqa_core.errors import SettingsError
from sftqa_core.jobs.queue import now
from sftqa_core.jsonrecord import Record
from sftqa_core.models import devices, nvidia
from sftqa_core.models.quantising import usable_device
from sftqa_core.processes import ProcessId
from sftqa_core.records import Resources
from sftqa_core.workspace import Workspace

CPU = "cpu"


@dataclass(frozen=True)
class Lease(Record):
    """Who holds a slot."""

    slot: str  # "cpu" or "gpu-" with the GPU's name
    holder: str  # "job train-..." or "sftqa probe"
    since: str  # ISO 8601, UTC
    process: ProcessId


def needs_of_device(device: str, gpus: int = 1, quantization: str = "none") -> Resources:
    """What a `device` setting stands for: the processor, or one GPU (any, or that of a number), or `gpus` of them.

    Decided without torch and as loading decides. Raises what `usable_device` does.
    """
    return Resources() if usable_device(device, gpus, quantization) == CPU else Resources(gpus, devices.numbered(device)[1])


def slot_of(gpu: str) -> str:
    """The slot of a GPU by its name in the variable."""
    return f"gpu-{re.sub(r'[^A-Za-z0-9-]', '-', gpu)}"


@contextmanager
def device_lease(
    needs: Resources | str,
    holder: str,
    on_wait: Callable[[str], None] | None = None,
    check: Callable[[], None] | None = None,
    poll_s: float = 0.25,
    workspace: Workspace | None = None,
) -> Iterator[tuple[str, ...]]:
    """Hold what is needed (`Resources`, or a `device` setting) alone; yields the slots once they are free.

    While others hold them, `on_wait` is called with the name of one holder (once for each) and `check` every `poll_s`; what `check`
    raises (`Stopped`) ends the waiting. Inside, CUDA_VISIBLE_DEVICES (or its counterpart) names the held GPUs and no other. Raises
    `SettingsError` where the machine has fewer GPUs than are needed, or not the one that is.
    """
    wanted = needs_of_device(needs) if isinstance(needs, str) else needs
    place = (workspace or Workspace.current()).state / "leases"
    place.mkdir(parents=True, exist_ok=True)
    visible = {slot_of(name): name for name in devices.visible_gpus()} if wanted.gpus else {}
    if wanted.gpus:
        devices.require_gpus(wanted.gpus, len(visible))
    if wanted.gpu:
        devices.require_gpu(wanted.gpu)
        visible = {slot_of(wanted.gpu): wanted.gpu}
    locks = _wait(place, list(visible) or [CPU], max(wanted.gpus, 1), on_wait, check, poll_s)
    shown = {devices.gpu_variable(): ",".join(visible[slot] for slot in locks)} if wanted.gpus else {}
    if nvidia.VISIBLE in shown and nvidia.VISIBLE not in os.environ:
        shown[nvidia.ORDER] = os.environ.get(nvidia.ORDER, nvidia.DRIVERS_ORDER)
    before = {variable: os.environ.get(variable) for variable in shown}
    try:
        for slot in locks:
            write_json(place / f"{slot}.json", Lease(slot, holder, now(), ProcessId.current()).to_dict())
        os.environ.update(shown)
        yield tuple(locks)
    finally:
        for variable, value in before.items():
            if value is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = value
        for slot, lock in locks.items():
            (place / f"{slot}.json").unlink(missing_ok=True)
            lock.release()


def leases(workspace: Workspace | None = None) -> list[Lease]:
    """The slots that are held now; those of dead holders are not."""
    notes = map(_noted, sorted(((workspace or Workspace.current()).state / "leases").glob("*.json")))
    return [lease for lease in notes if lease is not None and lease.process.alive()]


def _wait(
    place: Path,
    slots: Sequence[str],
    count: int,
    on_wait: Callable[[str], None] | None,
    check: Callable[[], None] | None,
    poll_s: float,
) -> dict[str, FileLock]:
    """The locks of `count` of these slots, once that many are free at the same time."""
    announced: str | None = None
    while True:
        if check is not None:
            check()
        with FileLock(place / "choosing.lock"):
            held = _take(place, slots, count)
        if held:
            return held
        other = next((lease for slot in slots if (lease := _noted(place / f"{slot}.json"))), None)
        if other is not None and on_wait is not None and other.holder != announced:
            announced = other.holder
            on_wait(announced)
        time.sleep(poll_s)


def _take(place: Path, slots: Sequence[str], count: int) -> dict[str, FileLock]:
    """All or none."""
    held: dict[str, FileLock] = {}
    for slot in slots:
        lock = FileLock(place / f"{slot}.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        held[slot] = lock
        if len(held) == count:
            return held
    for lock in held.values():
        lock.release()
    return {}


def _noted(path: Path) -> Lease | None:
    try:
        return Lease.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, SettingsError):
        return None
