"""Starts processes that outlive whoever starts them: the worker, and one process a job.

They write to files, never to a pipe that somebody must drain, and stand in sessions of their own, so that neither a
closed terminal nor Ctrl-C reaches them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sftqa_core.errors import SftqaError
from sftqa_core.jobs.folder import JobFolder
from sftqa_core.jobs.rows import Claim
from sftqa_core.jobs.store import JobStore
from sftqa_core.jsonrecord import Record
from sftqa_core.workspace import PACKAGE, Workspace

_LOG_BYTES = 1024 * 1024
_SERVERS_OWN = ("SFTQA_TOKEN", "SFTQA_LOGIN")  # who may see the explorer: no job needs that
_started: list[subprocess.Popen] = []  # kept so that a finished worker is reaped and does not stay a zombie


@dataclass(frozen=True)
class Timing(Record):
    """The worker's clock, in seconds; tests make it short."""

    poll_s: float = 0.25
    idle_s: float = 300.0  # without work for so long, the worker leaves, and what it keeps warm with it
    ask_s: float = 30.0  # from the request to stop until SIGTERM
    terminate_s: float = 10.0  # from SIGTERM until SIGKILL
    warm: bool = True  # keep torch imported between jobs, where that is possible


def ensure_worker(workspace: Workspace, timing: Timing | None = None) -> bool:
    """Start the worker unless it lives; True when one was started. Raises `SftqaError` when that fails."""
    _started[:] = [process for process in _started if process.poll() is None]
    if JobStore(workspace).worker() is not None:
        return False
    arguments = [json.dumps((timing or Timing()).to_dict())]
    try:
        _started.append(start("sftqa_core.jobs.worker", arguments, workspace, worker_log(workspace), workspace.state))
    except OSError as error:
        raise SftqaError(f"The worker could not be started: {error}. Queued jobs wait; try again.") from error
    return True


def start_job(claim: Claim, workspace: Workspace) -> subprocess.Popen:
    """Start the process of a claimed job. Raises OSError."""
    return start("sftqa_core.jobs.child", [claim.id, str(claim.attempt)], workspace, *places(claim, workspace))


def places(claim: Claim, workspace: Workspace) -> tuple[Path, Path]:
    """A job's log, and the folder that its process works in: where it was submitted, as long as that is there."""
    folder = JobFolder(workspace, claim.id)
    folder.path.mkdir(parents=True, exist_ok=True)
    return folder.log, Path(claim.cwd) if Path(claim.cwd).is_dir() else folder.path


def start(
    module: str,
    arguments: list[str],
    workspace: Workspace,
    log: Path,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    files: Sequence[int] = (),
) -> subprocess.Popen:
    """A process of ours with its output in `log`; `files`: open descriptors that it gets. Raises OSError."""
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-P", "-m", module, *arguments]  # -P: a random.py in the person's folder is not imported
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**_environment(workspace), **(environment or {})},
            start_new_session=True,
            pass_fds=files,
        )


def worker_log(workspace: Workspace) -> Path:
    """Where the worker, and what it keeps warm, write; begun anew when it has grown."""
    path = workspace.state / "worker.log"
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.unlink()
    return path


def _environment(workspace: Workspace) -> dict[str, str]:
    found = {**os.environ, "SFTQA_CACHE": str(workspace.root), "SFTQA_STATE": str(workspace.state), "PYTHONUNBUFFERED": "1"}
    for name in _SERVERS_OWN:
        found.pop(name, None)
    if (PACKAGE.parent / "app.py").exists():  # a checkout may run without being installed
        found["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]))
    return found
