"""Background jobs for the pages: asked for, looked at, changed. Two-line wrappers over the core's jobs, imported when needed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import streamlit as st

from pages._ui import resources
from sftqa_core.progress import Progress
from sftqa_core.records import FetchSettings, Job, ProbeSettings, StudySettings, TrainSettings

ACTIVE = ("queued", "running", "stopping")
OVER = ("done", "failed", "cancelled")


def studies() -> list[Any]:
    """Studies that wait or run, those that were started here before, the latest first, then those that ship.

    A study is listed by its job from the click on: its file is only written when the job begins.
    """
    from sftqa_core import workflows
    from sftqa_core.errors import SettingsError

    asked = []
    for job in jobs(kind="study", states=ACTIVE):
        with contextlib.suppress(SettingsError):  # a row of another version, or a damaged one: the Jobs page shows it
            asked.append(StudySettings.from_dict(job.settings))
    known = {study.name: study for study in workflows.studies()}
    fresh = {name: workflows.KnownStudy(name, study, False) for study in asked if (name := workflows.study_name(study)) not in known}
    return [*fresh.values(), *known.values()]


def jobs(limit: int | None = None, kind: str | None = None, states: Sequence[str] | None = None) -> list[Job]:
    """Jobs, the newest first; with `kind` or `states` only those."""
    from sftqa_core.jobs.listing import jobs_list

    return jobs_list(limit, kind=kind, states=states)


def job(job_id: str) -> Job | None:
    from sftqa_core.errors import NotFound
    from sftqa_core.jobs.executor import LocalExecutor

    try:
        return LocalExecutor().status(job_id)
    except NotFound:
        return None


def job_counts() -> dict[str, int]:
    """How many jobs are in each state."""
    from sftqa_core.jobs.listing import job_counts

    return job_counts()


def queue() -> list[Any]:
    """Jobs that wait, in the order in which they start, with the time until then."""
    from sftqa_core.jobs.listing import queue

    return queue()


@st.cache_data(show_spinner=False)
def state_warning() -> str | None:
    """Said where queue and locks lie on a network disk."""
    from sftqa_core.workspace import Workspace, network_disk

    kind = network_disk(Workspace.current().state)
    return f"The queue lies on a network disk ({kind}). Set SFTQA_STATE to a folder on this machine's own disk." if kind else None


def clear_jobs() -> None:
    """Take jobs that are over off the list; their results stay."""
    from sftqa_core.jobs.listing import remove_jobs

    remove_jobs()


def submit(kind: str, settings: TrainSettings | ProbeSettings | StudySettings | FetchSettings, expected_s: Sequence[float] = ()) -> Job:
    """Queue the work once: a second click, or the same click in another tab, gets the job that the first one made.

    The key names the settings and the last finished job that had them, so the same work can be asked for again later.
    """
    from sftqa_core.jobs.executor import LocalExecutor
    from sftqa_core.jsonrecord import fingerprint

    wanted = settings.to_dict()
    over = [job.id for job in jobs(kind=kind, states=OVER) if job.settings == wanted]
    return LocalExecutor().submit(kind, wanted, fingerprint([kind, wanted, over[:1]]), expected_s)


def expected_s(settings: TrainSettings | ProbeSettings | StudySettings) -> tuple[float, ...]:
    """Seconds at best and at worst; nothing where there is no forecast: the job itself tells what is wrong.

    Asked for before a button is drawn: a second click may end the script at any call of Streamlit's, and a cached one is such a call.
    """
    from sftqa_core.errors import SftqaError

    try:
        cost = resources.forecast(settings, stamp())
    except SftqaError:
        return ()
    return (cost.seconds_low, cost.seconds_high)


def cancel(shown: Job) -> Job:
    """Stop the job in the turn that the page shows."""
    from sftqa_core.jobs.executor import LocalExecutor

    return LocalExecutor().cancel(shown.id, shown.turn)


def resume(job_id: str) -> Job:
    """Queue what failed or was cancelled again."""
    from sftqa_core.jobs.executor import LocalExecutor

    return LocalExecutor().resume(job_id)


def move(job_id: str, where: str) -> None:
    from sftqa_core.jobs.executor import LocalExecutor

    LocalExecutor().move(job_id, where)


def empty_queue() -> None:
    """Cancel all jobs that wait."""
    from sftqa_core.jobs.executor import LocalExecutor

    LocalExecutor().empty()


def wake() -> None:
    """Go on with a queue whose worker died."""
    from sftqa_core.jobs.executor import LocalExecutor

    LocalExecutor().wake()


def progress_since(job_id: str, offset: int) -> tuple[list[Progress], int]:
    from sftqa_core.jobs.listing import progress_since

    return progress_since(job_id, offset)


def waits_for(queued: Job) -> str:
    """Why a queued job does not run yet, in words."""
    from sftqa_core.jobs.listing import queue_position

    position, who = queue_position(queued.id), holder(queued)
    ahead = f"{position - 1} ahead in the queue. " if position and position > 1 else ""
    return f"{queued.error or 'Waiting.'} {ahead}" + (f"The device is in use by {who}." if who else "")


def holder(queued: Job) -> str | None:
    """Who has the device that a queued job waits for: a command line, or a job by its name."""
    from sftqa_core.jobs.listing import blocked_by

    lease = blocked_by(queued.id)
    return lease.holder if lease else None


def smaller_footprint(failed: Job) -> dict[str, Any] | None:
    """The settings to change so that a job that ran out of memory needs less; None where nothing is left to lower."""
    from sftqa_core import workflows

    return workflows.smaller_footprint(failed.kind, failed.settings)


def submit_again(kind: str, settings: dict[str, Any]) -> Job:
    """Queue settings that were taken from a job. Raises `SftqaError` when they can't be used."""
    records = {"probe": ProbeSettings, "train": TrainSettings, "study": StudySettings}
    wanted = records[kind].from_dict(settings)
    return submit(kind, wanted, expected_s(wanted))


def log(job_id: str, lines: int = 40) -> list[str]:
    from sftqa_core.jobs.listing import log_tail

    return log_tail(job_id, lines)


def stamp() -> str:
    """Changes when a job ends: part of the key of everything a job can change."""
    from sftqa_core.jobs.listing import job_stamp

    return job_stamp()
