"""The worker: claims queued jobs, starts a process for each, watches over them, and leaves when there is no work.

    python -m sftqa_core.jobs.worker ['{"poll_s": 0.25, ...}']

One lives per state folder. It never imports torch. Jobs do not depend on it: their processes hold the device's lease,
write their own end, and go on when the worker dies; the next worker watches over those it finds running.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass

from sftqa_core.errors import ArtifactDamaged
from sftqa_core.jobs.job_folder import JobFolder
from sftqa_core.jobs.launching import Started, Starter, Timing
from sftqa_core.jobs.lease import CPU, leases
from sftqa_core.jobs.process_id import BEAT_S, ProcessId
from sftqa_core.jobs.queue import NETWORK, Claim, JobStore, pool_of
from sftqa_core.jobs.recovery import beat_of, rebuild, settle
from sftqa_core.models.devices import visible_gpus
from sftqa_core.workspace import Workspace

_MOST_TROUBLE = 200  # rounds in a row that may fail (a full disk, say) before the worker gives up
_LONGEST_S = 5.0  # between two rounds when they fail


@dataclass
class _Request:
    """How far a stop request has been pressed."""

    since_s: float
    terminated: bool = False


class Worker:
    """One round a `tick`; nothing it knows would be missed by a worker that takes over."""

    def __init__(self, workspace: Workspace, timing: Timing):
        self.workspace = workspace
        self.timing = timing
        self.store = JobStore(workspace)
        self.me = ProcessId.current()
        self.starter = Starter(workspace, timing.warm)
        self.own: dict[str, Started] = {}
        self.requests: dict[str, _Request] = {}
        self._beat_s = -1e9

    def run(self) -> None:
        """Work until there is none for `idle_s`, or another worker has taken over."""
        if not self.store.register(self.me):
            return
        idle_since_s, trouble = time.monotonic(), 0
        while trouble < _MOST_TROUBLE:
            try:
                if not self._in_office():
                    return
                if self.tick():
                    idle_since_s = time.monotonic()
                elif time.monotonic() - idle_since_s >= self.timing.idle_s and self.store.retire(self.me):
                    return
                trouble = 0
            except Exception as error:  # whatever one round met must not end the queue
                traceback.print_exc()
                trouble += 1
                if isinstance(error, ArtifactDamaged):
                    rebuild(self.workspace)
            time.sleep(min(self.timing.poll_s * 2 ** min(trouble, 5), _LONGEST_S))

    def tick(self) -> bool:
        """Settle what ended, press stop requests, start what can start; whether there is any work."""
        self.starter.listen()
        self._settle_own()
        active = self.store.active()
        for claim in active:
            self._watch(claim)
        waiting = self.store.waiting()
        if waiting:
            self._start_next()
        return bool(active or self.own or waiting)

    def _settle_own(self) -> None:
        for job_id, own in list(self.own.items()):
            if own.over():
                _signal_group(own.pid, signal.SIGKILL)  # what it started and left behind
                claim = next((claim for claim in self.store.active() if (claim.id, claim.attempt) == (job_id, own.claim.attempt)), None)
                if claim is not None:
                    settle(self.store, self.workspace, claim, own.status)
                del self.own[job_id]
                self.requests.pop(job_id, None)

    def _watch(self, claim: Claim) -> None:
        own = self.own.get(claim.id)
        if own is None and (claim.process == self.me or not claim.process.alive(beat_of(claim, self.workspace))):
            settle(self.store, self.workspace, claim)
        elif claim.state == "stopping":
            self._press(claim, own.pid if own else claim.process.pid)

    def _press(self, claim: Claim, pid: int) -> None:
        """Ask, after `ask_s` terminate, after `terminate_s` more kill."""
        request = self.requests.setdefault(claim.id, _Request(time.monotonic()))
        waited_s = time.monotonic() - request.since_s
        JobFolder(self.workspace, claim.id).ask_to_stop()
        if claim.process.host != self.me.host:
            return  # no process here to signal
        if not pid:  # not forked yet: when it is, it finds itself unwanted
            self.store.finish(claim.id, claim.attempt, "cancelled", error="Stopped on request before it began.")
        if waited_s >= self.timing.ask_s + self.timing.terminate_s:
            _signal_group(pid, signal.SIGKILL)
        elif waited_s >= self.timing.ask_s and not request.terminated:
            request.terminated = True
            _signal_group(pid, signal.SIGTERM)

    def _start_next(self) -> None:
        there = {"cpu": 1, "gpu": len(visible_gpus()), "network": NETWORK}
        claim = self.store.claim(self.me, self._free(there), there)
        if claim is None:
            return
        try:
            self.own[claim.id] = self.starter.start(claim)
        except Exception as error:
            self.store.finish(claim.id, claim.attempt, "failed", error=f"The job's process could not be started: {error}.")

    def _free(self, there: dict[str, int]) -> dict[str, int]:
        """Devices that neither a job, nor a job's process that has finished and may still hold memory, nor a command line has."""
        taken = {claim.id: claim for claim in (*self.store.active(), *(own.claim for own in self.own.values()))}
        left = dict(there)
        for claim in taken.values():
            left[pool_of(claim.kind, claim.needs.gpus)] -= max(claim.needs.gpus, 1)
        for lease in leases(self.workspace):
            if lease.holder.removeprefix("job ") not in taken:
                left["cpu" if lease.slot == CPU else "gpu"] -= 1
        return left

    def _in_office(self) -> bool:
        """Whether this is still the registered worker; the state folder may have been deleted."""
        if not self.store.path.exists():
            return False
        if time.monotonic() - self._beat_s < BEAT_S:
            return True
        if self.store.worker() not in (self.me, None):
            return False
        self.store.beat.touch()
        self._beat_s = time.monotonic()
        return True


def _signal_group(pid: int, number: signal.Signals) -> None:
    if pid > 1:  # 0 would be the worker's own group
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)


def main(arguments: list[str]) -> int:
    """Run the worker of the current workspace."""
    timing = Timing.from_dict(json.loads(arguments[0])) if arguments else Timing()
    Worker(Workspace.current(), timing).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
