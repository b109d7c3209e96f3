"""The asking process: answers the questions of one workspace, one column at a time, and keeps models loaded between them.

    python -m sftqa_core.jobs.asker ['{"poll_s": 0.02, ...}']

One lives per state folder, started by the first question (ask_files.py) or by a page that begins with one, and leaves when none has come
for a while. It has the device's lease only while it loads and answers. Where it holds a GPU's memory and somebody else gets that GPU, it
leaves at once: nothing else gives all of it back.
"""

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NoReturn, Protocol

import psutil

from sftqa_core.errors import SftqaError, Stopped
from sftqa_core.jobs.ask_files import AskFolder, AskTiming, Doing, KeptReply, Service
from sftqa_core.jobs.lease import CPU, device_lease, leases, needs_of_device
from sftqa_core.models import devices
from sftqa_core.models.serving.addresses import device_for
from sftqa_core.processes import ProcessId
from sftqa_core.records import Column, Reply
from sftqa_core.workspace import Workspace

HOLDER = "a question (Ask)"  # as leases and the queue name it
_LOOK_S = 0.5  # between two looks, while idle, at who has the device and how much RAM is free
_LEAST_FREE = 0.1  # of the RAM: with less the models are let go


class Answering(Protocol):
    """What an `Asker` answers with: `WarmModels`, or a stand-in."""

    def answer(self, column: Column, device: str, say: Callable[[str], None], check: Callable[[], None]) -> Reply:
        """One column's reply."""
        ...

    def held(self) -> Sequence[Any]:
        """What is loaded: name, size_bytes, device; the most recently used first."""
        ...

    def drop(self) -> None:
        """Let go of all of it."""
        ...


class _Elsewhere(Exception):
    """The processor has become free while a GPU was waited for."""


class Asker:
    """One question after the other."""

    def __init__(self, workspace: Workspace, timing: AskTiming, warm: Answering):
        self.workspace, self.timing, self.warm = workspace, timing, warm
        self.folder = AskFolder(workspace)
        self.now = Service(ProcessId.current())
        self._looked_s = 0.0

    def run(self) -> None:
        """Answer until no question has come for `idle_s`, or another process has taken over."""
        if not self._register():
            return
        self._settle_cut_off()
        self._say(Doing())
        idle_since_s = time.monotonic()
        while self._is_registered():
            tickets = self.folder.tickets()
            if tickets:
                self.answer(tickets[0])
                idle_since_s = time.monotonic()
            elif time.monotonic() - idle_since_s >= self.timing.idle_s or self._in_the_way():
                if self._leave():
                    return
            else:
                time.sleep(self.timing.poll_s)

    def answer(self, name: str) -> None:
        """Answer every column of a question that has no reply yet, as long as it stands in the queue."""
        ticket, over = self.folder.ticket(name), list[str]()
        for column in ticket.columns if ticket else ():
            key = column.fingerprint()
            kept = self.folder.kept(key)
            if kept is None or kept.reply is None:
                self._say(Doing(name, key, f"Asking {column.model}", over=tuple(over)))
                try:
                    self.folder.keep(key, self._reply(name, key, column))
                except Stopped:
                    break
            over.append(key)
            self._say(Doing(name, over=tuple(over)))
        self.folder.remove(name)
        self._say(Doing())
        self.folder.sweep()

    def _reply(self, name: str, key: str, column: Column) -> KeptReply:
        """How a column ended. Raises `Stopped` where the question was cancelled."""
        try:
            while True:
                device = self._device(column)
                with contextlib.suppress(_Elsewhere):
                    return KeptReply(self._answered(name, key, column, device))
        except Stopped:
            raise
        except SftqaError as error:
            return KeptReply(error=str(error))
        except Exception as error:  # a fault of ours: one sentence for the person, the traceback into the log
            traceback.print_exc()
            self.warm.drop()
            full = isinstance(error, MemoryError)
            return KeptReply(
                error="Memory ran out. Ask a smaller model." if full else f"Something went wrong inside: {type(error).__name__}: {error}"
            )

    def _answered(self, name: str, key: str, column: Column, device: str) -> Reply:
        def check() -> None:
            if not self.folder.wanted(name):
                raise Stopped("The question was cancelled.")

        def waiting() -> None:
            check()
            if self._device(column) != device:
                raise _Elsewhere

        def say(line: str) -> None:
            self._say(Doing(name, key, line))

        def wait(holder: str) -> None:
            self._say(Doing(name, key, "Waiting: device in use by", holder))

        with self._leased(device, column.quantization, wait, waiting):
            return self.warm.answer(column, device, say, check)

    @contextlib.contextmanager
    def _leased(self, device: str, quantization: str, wait: Callable[[str], None], waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the device while a column is answered."""
        with device_lease(needs_of_device(device, 1, quantization), HOLDER, wait, waiting, workspace=self.workspace):
            shown = os.environ.get(devices.gpu_variable())
            yield
        if device in devices.SEPARATE and shown is not None:
            os.environ[devices.gpu_variable()] = shown  # torch stays with the GPU that it saw first, so later leases are of that one

    def _device(self, column: Column) -> str:
        """Where a column is answered: on a GPU, or on the processor where all GPUs are taken and it is free."""
        place = devices.resolve_device(device_for("auto", [column.model]))
        if place == CPU:
            return place
        held = {lease.slot for lease in leases(self.workspace) if lease.holder != HOLDER}
        taken = len(held - {CPU}) >= len(devices.visible_gpus())
        return CPU if taken and CPU not in held else place

    # ---- coming and going ----
    def _register(self) -> bool:
        """Whether this is now the workspace's asking process: who started it has named it, or there is none."""
        with self.folder.door():
            named = self.folder.service()
            if named is not None and named.process != self.now.process and named.process.alive():
                return False
            self.now = replace(self.now, cut_off=named.cut_off or named.doing.ticket if named is not None else "")
            self.folder.tell(self.now)
            return True

    def _settle_cut_off(self) -> None:
        """The question that the process before this one died of is not tried again."""
        ticket = self.folder.ticket(self.now.cut_off) if self.now.cut_off else None
        if ticket is not None:
            for column in ticket.columns:
                if self.folder.kept(column.fingerprint()) is None:
                    said = (
                        "The asking process died while it answered this, often because memory ran out. Ask again, or ask a smaller model."
                    )
                    self.folder.keep(column.fingerprint(), KeptReply(error=said))
            self.folder.remove(self.now.cut_off)
        self.now = replace(self.now, cut_off="")

    def _in_the_way(self) -> bool:
        """Whether somebody else has the GPU whose memory is held here; lets models go where RAM is short."""
        if time.monotonic() - self._looked_s < _LOOK_S:
            return False
        self._looked_s = time.monotonic()
        held = tuple(self.warm.held())
        if not held:
            return False
        ram = devices.device_ram(CPU)
        if ram is not None and ram.free < _LEAST_FREE * ram.total:
            self.warm.drop()
            self._say(Doing())
        others = {lease.slot for lease in leases(self.workspace) if lease.holder != HOLDER and lease.slot != CPU}
        return bool(others) and any(model.device in devices.SEPARATE for model in held)

    def _leave(self) -> bool:
        """Retire, unless a question has come meanwhile."""
        with self.folder.door():
            if self.folder.tickets():
                return False
            if self._is_registered():
                self.folder.retire()
            return True

    def _is_registered(self) -> bool:
        service = self.folder.service()
        return service is not None and service.process == self.now.process

    def _say(self, doing: Doing) -> None:
        if doing.ticket == self.now.doing.ticket and not doing.over:
            doing = replace(doing, over=self.now.doing.over)
        held = tuple(self.warm.held())
        self.now = replace(self.now, doing=doing, held=held, ram_bytes=psutil.Process().memory_info().rss)
        with contextlib.suppress(OSError):  # a full disk: pages say less
            self.folder.tell(self.now)


def main(arguments: list[str]) -> int:
    """Answer the questions of the current workspace."""

    def terminated(number: int, frame: object) -> NoReturn:
        sys.exit(1)

    signal.signal(signal.SIGTERM, terminated)
    from sftqa_core.workflows.asking.warm_models import WarmModels  # takes seconds, and brings torch

    timing = AskTiming.from_dict(json.loads(arguments[0])) if arguments else AskTiming()
    Asker(Workspace.current(), timing, WarmModels()).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
