"""What becomes of a job whose process is gone without having written how it ended."""

from __future__ import annotations

import signal
from pathlib import Path

from sftqa_core.jobs.folder import JobFolder
from sftqa_core.jobs.store import Claim, JobStore
from sftqa_core.workspace import Workspace

MOST_ATTEMPTS = 5  # a job before whose start the worker died so often is given up
_LAST_LINES = 5
_GIVEN_UP = (
    f"The worker died {MOST_ATTEMPTS} times before the job could start. Look into worker.log in the state folder, then start it again."
)


def reconcile(workspace: Workspace) -> int:
    """Settle jobs whose process died while no worker lives; how many were settled.

    A living worker does this itself, and knows more: the exit status.
    """
    store = JobStore(workspace)
    dead = [claim for claim in store.active() if not claim.process.alive(beat_of(claim, workspace))]
    if not dead or store.worker() is not None:
        return 0
    return sum(settle(store, workspace, claim) for claim in dead)


def settle(store: JobStore, workspace: Workspace, claim: Claim, exit_status: int | None = None) -> bool:
    """Write the end of a job whose process is dead; False when the process had written it before it died.

    Asked to stop: cancelled. Never begun because the worker died: queued again. Anything else: failed.
    """
    if claim.state == "stopping":
        return store.finish(claim.id, claim.attempt, "cancelled", error="Stopped on request; its process had to be ended.")
    if not claim.begun and exit_status is None:
        if claim.attempt < MOST_ATTEMPTS:
            return store.requeue(claim)
        return store.finish(claim.id, claim.attempt, "failed", error=_GIVEN_UP)
    lines = JobFolder(workspace, claim.id).log_tail(_LAST_LINES)
    last = "\n".join(["Last lines of its log:", *lines]) if lines else "It wrote no log."
    return store.finish(claim.id, claim.attempt, "failed", error=f"{_sentence(exit_status)}\n{last}")


def beat_of(claim: Claim, workspace: Workspace) -> Path:
    """The file whose age tells whether the claim's process lives, when it is on another host."""
    return JobFolder(workspace, claim.id).alive if claim.begun else JobStore(workspace).beat


def _sentence(exit_status: int | None) -> str:
    if exit_status is None:
        return "The job's process ended without a word: it was killed, or the machine was restarted. Start it again."
    if exit_status >= 0:
        return f"The job's process ended with exit status {exit_status} before it wrote a result."
    name = _signal_name(-exit_status)
    if name == "SIGKILL":
        return "The job's process was killed (SIGKILL), often because memory ran out: lower batch_size, or start it again."
    return f"The job's process was killed by {name}."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
