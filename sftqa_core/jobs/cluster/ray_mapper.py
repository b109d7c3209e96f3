"""Hands the pieces of one work to a cluster, by a driver process (ray_driver.py) that can be killed. Ray is not imported here.

What the machines share is the cache alone. In its folder `cluster/WORK` lie `mark` (who reads it sees the same cache) and, once the
person wants the work to stop, `stop`, which workers look for.
"""

import contextlib
import os
import queue
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from sftqa_core.artifacts import write_bytes
from sftqa_core.errors import SftqaError, Stopped
from sftqa_core.jobs.cluster.node import MARK, STOP, raised
from sftqa_core.models import devices
from sftqa_core.planning.cluster_address import require_ways, warning
from sftqa_core.processes import Talk, our_environment, talking
from sftqa_core.progress import Phase, Reporter, uncounted
from sftqa_core.records.pieces import Piece, packed
from sftqa_core.workflows.piecework import use_mapper
from sftqa_core.workspace import Workspace

P = TypeVar("P", bound=Piece)
_END_S = 10.0  # for the driver to leave in peace
_SILENT_S = 120.0  # a driver that said nothing for so long hangs
_POLL_S = 0.25
FIRST = "waiting for the cluster's first results"


@contextlib.contextmanager
def on_cluster(address: str, device: str, gpus: int, reporter: Reporter) -> Iterator[None]:
    """Inside, pieces go to the cluster at this address, a worker for each of its devices, and auto means what these compute on.

    It comes back when the first worker is there. Raises `SettingsError` for an address or a cluster that can't be used,
    `MissingPackage`, `Stopped`.
    """
    require_ways(address)
    reporter.log(f"{warning(address)} Work is admitted by token, telemetry is off, no dashboard is started.")
    uncounted(reporter, "waiting for the cluster")
    workspace, name = Workspace.current(), f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"
    folder, mark, log = workspace.cluster / name, secrets.token_hex(16), workspace.drivers / f"{name}.log"
    write_bytes(folder / MARK, mark.encode())
    log.parent.mkdir(parents=True, exist_ok=True)
    passed = {"SFTQA_CACHE": str(workspace.root), "SFTQA_SHIPPED": os.environ.get("SFTQA_SHIPPED", "")}
    start = {"address": address, "namespace": f"sftqa-{name}", "device": device, "gpus": gpus, "folder": str(folder), "mark": mark}
    try:
        with log.open("w+b") as errors, talking("sftqa_core.jobs.cluster.ray_driver", errors, our_environment()) as talk:
            talk.ask({**start, "environment": {key: value for key, value in passed.items() if value}, "cwd": os.getcwd()})
            mapper = RayMapper(address, talk, folder, log, reporter)
            mapper.wait_for_worker()
            with devices.computing_on(mapper.device), use_mapper(mapper):
                yield
            mapper.end()
        log.unlink(missing_ok=True)  # of work that failed it stays
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class RayMapper:
    """See `workflows.piecework.Mapper`."""

    def __init__(self, address: str, talk: Talk, folder: Path, log: Path, reporter: Reporter):
        self.address, self.workers, self.device = address, 0, ""
        self._talk, self._folder, self._log, self._reporter = talk, folder, log, reporter
        self._heard_s = time.monotonic()

    def wait_for_worker(self) -> None:
        """Come back when one is there."""
        while not self.workers:
            self._reporter.check()
            self._hear()

    def finish(self, pieces: Sequence[P], do: Callable[[P], None], phase: Phase) -> None:
        if not pieces:
            return
        self._talk.ask({"pieces": [packed(piece) for piece in pieces]})
        if not phase.done:  # nothing can be counted before the first one is done, which may take minutes
            uncounted(self._reporter, FIRST)
        failed: SftqaError | None = None
        stopped: Stopped | None = None
        while True:
            try:
                message = self._hear()
            except SftqaError as error:
                if not self._alive:
                    raise
                failed = failed or error
                self._ask_to_stop()
                continue
            if "done" in message:
                phase.tell(pieces[message["done"]].size)
            elif "over" in message:
                break
            if stopped is None and failed is None:
                try:
                    self._reporter.check()
                except Stopped as wish:
                    stopped = wish
                    self._ask_to_stop()
        if failed or stopped:
            (self._folder / STOP).unlink(missing_ok=True)
        if stopped:
            raise stopped
        if failed:
            raise failed

    def end(self) -> None:
        """Let the workers go, and the driver leave."""
        self._talk.ask({"end": True})
        end_s = time.monotonic() + _END_S
        while self._alive and time.monotonic() < end_s:
            with contextlib.suppress(queue.Empty):
                if "ended" in self._talk.heard.get(timeout=_POLL_S):
                    return

    @property
    def _alive(self) -> bool:
        return self._talk.process.poll() is None

    def _ask_to_stop(self) -> None:
        with contextlib.suppress(OSError):  # a full disk: then they are killed
            (self._folder / STOP).touch()
        self._talk.ask({"stop": True})

    def _hear(self) -> dict[str, Any]:
        """The next message, {} if there is none yet. Raises what the driver reports."""
        try:
            message = self._talk.heard.get(timeout=_POLL_S)
        except queue.Empty:
            if time.monotonic() - self._heard_s > _SILENT_S:
                self._talk.process.kill()
                raise SftqaError(self._gone("its driver did not answer any more, and was ended")) from None
            return {}
        self._heard_s = time.monotonic()
        if "log" in message:
            self._reporter.log(message["log"])
        elif "ready" in message:
            self.workers, self.device = message["ready"]["workers"], message["ready"]["device"]
        elif "failed" in message:
            raise raised(message["failed"])
        elif "ended" in message:
            raise SftqaError(self._gone(message["ended"]))
        return message

    def _gone(self, why: str) -> str:
        return f"The connection to the cluster at {self.address} was lost: {why[:300].rstrip('.')}. More is in {self._log}."
