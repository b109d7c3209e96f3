"""Rows of the queue as records. Whatever stands in a row, reading it ends in a record: one bad row must not hide the others."""

from __future__ import annotations

import json
import logging
import re
import sqlite3
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sftqa_core.errors import SettingsError
from sftqa_core.jobs.process import ProcessId
from sftqa_core.records import DEVICELESS, Job, Resources

ACTIVE = ("queued", "running", "stopping")
OVER = ("done", "failed", "cancelled")
STATES = (*ACTIVE, *OVER)
_ID = re.compile(r"[a-z][a-z0-9_]*-\d{8}-\d{6}-[0-9a-f]{8}")  # what executor.py makes; nothing else may become a path
_PLAIN = ("id", "kind", "state", "created", "started", "finished", "result", "error", "turn", "gpus", "reason")
_UNREADABLE = (ValueError, TypeError, RecursionError, SettingsError)
_log = logging.getLogger(__name__)


NETWORK = 3  # jobs of DEVICELESS at once: more would only share the line


@dataclass(frozen=True)
class Claim:
    """A job that is running or stopping, as the worker sees it."""

    id: str
    kind: str
    state: str
    needs: Resources
    cwd: str  # where it was submitted: what a relative path in its settings is relative to
    attempt: int  # how often it was claimed; a process of an earlier attempt may not write
    tries: int  # how often in this turn
    begun: bool  # its own process has reported; until then `process` is the worker that claimed it
    process: ProcessId


def named_rightly(job_id: Any) -> bool:
    """Whether this is a name that the program gives to jobs; rows of other names are nobody's."""
    return isinstance(job_id, str) and _ID.fullmatch(job_id) is not None


def job_of(row: sqlite3.Row, folders: Path) -> Job:
    """A row as people see it."""
    try:
        return _job(tuple(row[name] for name in _PLAIN), row["settings"], row["expected"], str(folders / row["id"]))
    except _UNREADABLE as error:
        _log.warning("The queue's row of %s can't be read: %s", row["id"], error)
        state = row["state"] if row["state"] in OVER else "failed"
        return Job(row["id"], "unreadable", {}, state, str(row["created"]), error=f"This job's row in the queue is damaged: {error}")


@lru_cache(maxsize=2_000)
def _job(plain: tuple[Any, ...], settings: str, expected: str, folder: str) -> Job:
    """A row that stands as it stood need not be read anew: pages look at the whole queue every other second."""
    told: dict[str, Any] = dict(zip(_PLAIN, plain, strict=True)) | {"folder": folder}
    return Job.from_dict({**told, "settings": json.loads(settings), "expected_s": json.loads(expected)})


def claim_of(row: sqlite3.Row) -> Claim:
    """A row as the worker sees it."""
    told = (row["attempt"], row["tries"], bool(row["begun"]), process_of(row["process"]))
    return Claim(row["id"], row["kind"], row["state"], needs_of(row), str(row["cwd"]), *told)


def pool_of(kind: str, gpus: int) -> str:
    """What a job waits for: "cpu", "gpu", or "network" for work that takes no device."""
    return "network" if kind in DEVICELESS else "gpu" if gpus else "cpu"


def needs_of(row: sqlite3.Row) -> Resources:
    """What a row's job needs of the machine."""
    try:
        return Resources(int(row["gpus"]))
    except _UNREADABLE:
        return Resources()


def process_of(text: Any) -> ProcessId:
    """The process that a row names; one that never lived where that is damaged, so that its job is settled as dead."""
    try:
        return ProcessId.from_dict(json.loads(text))
    except _UNREADABLE:
        return ProcessId.nobody()
