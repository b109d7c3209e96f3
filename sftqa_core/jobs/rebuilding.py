"""A queue whose file is damaged is set aside and made anew from the jobs' folders: settings.json, and end.json of those that ended."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

from filelock import FileLock

from sftqa_core.errors import ArtifactDamaged, SettingsError
from sftqa_core.jobs.database import reading
from sftqa_core.jobs.folder import JobFolder
from sftqa_core.jobs.rows import named_rightly
from sftqa_core.jobs.store import JobStore
from sftqa_core.records import Job, Resources
from sftqa_core.workspace import Workspace

TOLD = "The queue's file was damaged and set aside, and how this job stood is not known. What it had finished is kept. Continue it."
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, RecursionError, SettingsError)
_log = logging.getLogger(__name__)


def rebuild(workspace: Workspace) -> bool:
    """Make a damaged queue anew; False when it is whole, because another process was quicker.

    Jobs that ended are as they were; others have failed and can be continued: nothing starts that nobody asked for now.
    """
    store = JobStore(workspace)
    with FileLock(store.path.with_suffix(".rebuilding")):
        if _whole(store.path):
            return False
        moved = f"damaged-{time.time_ns():020d}"
        for path in sorted(store.path.parent.glob(f"{store.path.name}*")):
            if ".damaged-" not in path.name:
                os.replace(path, path.with_name(f"{path.name}.{moved}"))
        names = sorted((path.name for path in workspace.jobs.glob("*") if named_rightly(path.name)), key=_age)
        found = [job for name in names if (job := _job(JobFolder(workspace, name)))]
        for job in found:
            store.insert(job, Resources(job.gpus), os.fspath(workspace.state))
            store.put(job)
    _log.warning("%s was damaged: set aside as %s.%s, and made anew with %d jobs.", store.path, store.path.name, moved, len(found))
    return True


def _whole(path: Path) -> bool:
    try:
        with reading(path):
            return True
    except ArtifactDamaged:
        return False


def _job(folder: JobFolder) -> Job | None:
    """The job that a folder tells of; None where its settings can't be read."""
    try:
        asked = json.loads(folder.settings.read_text(encoding="utf-8"))
        known: dict[str, Any] = {"id": folder.path.name, **{name: asked[name] for name in ("kind", "settings", "created", "gpus")}}
        try:
            return Job.from_dict({**known, **json.loads(folder.end.read_text(encoding="utf-8"))})
        except _UNREADABLE:
            return Job.from_dict({**known, "state": "failed", "error": TOLD, "finished": asked["created"]})
    except _UNREADABLE:
        return None


def _age(name: str) -> str:
    """The moment in a job's name."""
    return name.split("-", 1)[1]
