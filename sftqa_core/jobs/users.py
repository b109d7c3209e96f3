"""Who uses a run or a study now: jobs that wait or run, and questions on Ask. What they need must not be deleted under them."""

from collections.abc import Collection
from typing import Any

from sftqa_core.errors import SettingsError
from sftqa_core.jobs import current_executor
from sftqa_core.jobs.ask_files import current_ask_service
from sftqa_core.records import ACTIVE, Job, Labelled, StudySettings
from sftqa_core.workflows.study_reports import study_name


def in_use(thing: Labelled, models: Collection[str]) -> list[str]:
    """Who uses a run or study, in words; `models`: what a run's weights are loaded as (run:RUN), and runs that sit on them.

    A model that Ask still holds in memory and that nobody is asking is not in use: what is loaded needs no files. Raises `SftqaError`
    where the queue can't be read.
    """
    jobs = [job for job in current_executor().jobs(states=ACTIVE) if _needs(job, thing, models)]
    words = [f"the job {job.id} ({job.kind}, {job.state}) needs it" for job in jobs]
    asked = {name for column in current_ask_service().pending() for name in (column.model, column.base) if name}
    return words + [f"a question to {model} is being answered on Ask" for model in sorted(asked.intersection(models))]


def _needs(job: Job, thing: Labelled, models: Collection[str]) -> bool:
    if thing.kind == "run":
        return (job.kind == "inside" and job.settings.get("name") == thing.id) or _names(job.settings, models)
    if job.kind == "inside":  # a cell's name begins with its study's
        return str(job.settings.get("name")).startswith(f"{thing.id}:")
    try:
        return job.kind == "study" and study_name(StudySettings.from_dict(job.settings)) == thing.id
    except SettingsError:  # a row of another version, or a damaged one
        return False


def _names(value: Any, models: Collection[str]) -> bool:
    """Whether one of these models is named anywhere in a job's settings."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return any(_names(part, models) for part in value)
    return isinstance(value, str) and value in models
