"""Background jobs for the pages: how they are submitted and what pages say about them. The rest is `current_executor`'s own."""

import contextlib
import json
from collections.abc import Collection, Sequence
from typing import Any

import streamlit as st

from pages._ui import resources
from pages._ui.bundles import bundle_reads
from pages._ui.titles import JOB_SETTINGS, job_title
from pages._ui.wording import span
from sftqa_core.errors import NotFound, SettingsError, SftqaError
from sftqa_core.jobs import current_executor, next_start
from sftqa_core.jobs.lease import needs_of_device
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.models.serving.addresses import device_for
from sftqa_core.planning.cluster_address import goes_to
from sftqa_core.records import (
    ACTIVE,
    OVER,
    CompleteSettings,
    FetchFactsSettings,
    FetchSettings,
    InsideSettings,
    Job,
    PretrainSettings,
    ProbeSettings,
    StudySettings,
    SweepSettings,
    TrainSettings,
)
from sftqa_core.records.probes import held_as

_LATEST = 20  # jobs whose completions are shown


def studies() -> list[Any]:
    """Studies that wait or run, those that were started here before, the latest first, then those that ship, then imported ones.

    A study is listed by its job from the click on: its file is only written when the job begins.
    """
    from sftqa_core import workflows

    asked = []
    for job in current_executor().jobs(kind="study", states=ACTIVE):
        with contextlib.suppress(SettingsError):  # a row of another version, or a damaged one: the Jobs page shows it
            asked.append(StudySettings.from_dict(job.settings))
    known = {study.name: study for study in workflows.shown_studies()}
    fresh = {name: workflows.KnownStudy(name, study, False) for study in asked if (name := workflows.study_name(study)) not in known}
    return [*fresh.values(), *known.values()]


@st.cache_data(show_spinner=False, ttl=600, max_entries=64)
def moved_levels(run_id: str, stamp: str) -> tuple[int, int] | None:
    """Of a run's test facts: how many a second probe puts on another level, of how many; None where that was not measured."""
    from sftqa_core import workflows

    try:
        return workflows.moved_levels(run_id)
    except SftqaError:  # model or facts are gone
        return None


@st.cache_data(show_spinner=False, ttl=60)
def how_far(studies: dict[str, StudySettings], stamp: str) -> dict[str, tuple[int, int] | None]:
    """Of these studies that are not finished: runs done, of how many; None where that can't be told. By the studies' names."""
    from sftqa_core import workflows

    finished, far = workflows.finished_studies(), {}
    for name, study in studies.items():
        if name not in finished:
            try:
                done, planned = workflows.study_progress(study)
            except SftqaError:  # facts or a model that are gone: the page says so when it is picked
                far[name] = None
            else:
                far |= {name: (done, planned)} if done < planned or not planned else {}
    return far


def job(job_id: str) -> Job | None:
    """A job; None where there is none of that name."""
    try:
        return current_executor().status(job_id)
    except NotFound:
        return None


def stamp() -> str:
    """Changes when a job ends, or a bundle is imported or removed: part of the key of everything that these can change."""
    return f"{current_executor().stamp()}{bundle_reads.stamp()}"


@st.cache_data(show_spinner=False)
def state_warning() -> str | None:
    """A warning where queue and locks are on a network disk."""
    from sftqa_core.workspace import Workspace, network_disk

    kind = network_disk(Workspace.current().state)
    return f"The queue is on a network disk ({kind}). Set SFTQA_STATE to a folder on this machine's own disk." if kind else None


def submit(
    kind: str,
    settings: TrainSettings
    | ProbeSettings
    | StudySettings
    | SweepSettings
    | InsideSettings
    | FetchSettings
    | FetchFactsSettings
    | CompleteSettings
    | PretrainSettings,
    expected_s: Sequence[float] = (),
) -> Job:
    """Queue the work once: a second click, or the same click in another tab, gets the job that the first one made.

    The key names the settings and the last finished job that had them, so the same work can be asked for again later.
    """
    executor, wanted = current_executor(), settings.to_dict()
    over = [job.id for job in executor.jobs(kind=kind, states=OVER) if job.settings == wanted]
    return executor.submit(kind, wanted, fingerprint([kind, wanted, over[:1]]), expected_s)


Costly = TrainSettings | ProbeSettings | StudySettings | SweepSettings | InsideSettings | PretrainSettings


def _models(settings: Costly) -> tuple[str, ...]:
    run = settings.run if isinstance(settings, SweepSettings | InsideSettings) else settings
    return run.models if isinstance(run, StudySettings) else () if isinstance(run, PretrainSettings) else (run.model,)


def cluster_for(settings: Costly) -> str:
    """The address of the cluster that work with these settings goes to; empty where this machine does it."""
    with contextlib.suppress(SettingsError):  # preflight says why
        return goes_to(next(kind for kind, record in JOB_SETTINGS.items() if record is type(settings)), _models(settings))
    return ""


def done_by(settings: Costly) -> str:
    """Where the forecast seconds are spent: "on this machine.", or what a cluster makes of them."""
    if cluster := cluster_for(settings):
        return f"on one device of this machine. The cluster at {cluster} does it: divide by the number of its workers."
    return "on this machine."


def starts_after(settings: Costly) -> str:
    """What a job with these settings would wait for: "Starts after 1 running and 2 queued jobs, in about 3 min."; empty where nothing."""
    run, cluster = settings.run if isinstance(settings, SweepSettings | InsideSettings) else settings, cluster_for(settings)
    try:
        needs = needs_of_device(device_for(run.device, _models(settings)), getattr(run, "gpus", 1), held_as(run))
    except SftqaError:  # preflight says why
        return ""
    running, queued, starts_in_s = next_start(current_executor(), "train", needs.gpus, cluster)  # all of them take a device
    if not running + queued:
        return ""
    ahead = " and ".join(f"{count:,} {word}" for count, word in ((running, "running"), (queued, "queued")) if count)
    when = f", in about {span(*starts_in_s)}" if starts_in_s and starts_in_s[1] >= 1 else ""
    return f"Starts after {ahead} job{'' if running + queued == 1 else 's'}{when}."


def fetch(name: str) -> Job:
    """Queue the download of a model of the hub. Raises `SettingsError` for any other name."""
    return submit("fetch", FetchSettings(name))


def source_here(source: str) -> bool:
    """Whether facts can be opened without fetching them first; cheap, and asks nobody."""
    from sftqa_core import workflows

    return workflows.source_is_here(source)


def fetch_facts(source: str) -> Job:
    """Queue the download of facts. Raises `SettingsError` for a source that is never fetched."""
    return submit("facts", FetchFactsSettings(source))


def complete(model: str, prompts: tuple[str, ...], samples: int, new_tokens: int) -> Job:
    """Queue some completions of these prompts. Raises `SettingsError` for prompts that can't be used."""
    return submit("complete", CompleteSettings(model, prompts, samples, max_new_tokens=new_tokens))


def completed(model: str) -> dict[str, tuple[str, ...]]:
    """Prompts that this model completed lately -> their completions: what the latest jobs hold."""
    known: dict[str, tuple[str, ...]] = {}
    for job in reversed(current_executor().jobs(_LATEST, kind="complete", states=("done",))):
        with contextlib.suppress(ValueError, TypeError, SettingsError):  # of another version, or damaged
            wanted = CompleteSettings.from_dict(job.settings)
            if wanted.model == model:
                texts = [tuple(map(str, some)) for some in json.loads(job.result or "[]")]
                known |= dict(zip(wanted.prompts, texts, strict=True))
    return known


def completing(model: str, prompts: Collection[str]) -> Job | None:
    """The latest job that completes, or was to complete, any of these prompts with this model."""
    for job in current_executor().jobs(_LATEST, kind="complete"):
        if job.settings.get("model") == model and not set(prompts).isdisjoint(job.settings.get("prompts") or ()):
            return job
    return None


def submit_again(kind: str, settings: dict[str, Any]) -> Job:
    """Queue settings that were taken from a job. Raises `SftqaError` when they can't be used."""
    wanted = JOB_SETTINGS[kind].from_dict(settings)
    return submit(kind, wanted, expected_s(wanted))


def expected_s(
    settings: TrainSettings | ProbeSettings | StudySettings | SweepSettings | InsideSettings | CompleteSettings | PretrainSettings,
) -> tuple[float, ...]:
    """Seconds at best and at worst; nothing where there is no forecast: the job itself tells what is wrong.

    Asked for before a button is drawn: a second click may end the script at any call of Streamlit's, and a cached one is such a call.
    """
    if isinstance(settings, CompleteSettings):  # seconds
        return ()
    try:
        cost = resources.forecast(settings, stamp())
    except SftqaError:
        return ()
    return (cost.seconds_low, cost.seconds_high)


def smaller_footprint(failed: Job) -> dict[str, Any] | None:
    """The settings to change so that a job that ran out of memory needs less; None where nothing is left to lower."""
    from sftqa_core import workflows

    return workflows.smaller_footprint(failed.kind, failed.settings)


def holder_words(holder: str) -> str:
    """Who has a device: a command as it calls itself, a job by its title."""
    holding = job(holder.removeprefix("job ")) if holder.startswith("job ") else None
    return job_title(holding) if holding else holder


def waits_for(queued: Job) -> str:
    """Why a queued job does not run yet."""
    waiting = next((waiting for waiting in current_executor().queue() if waiting.job.id == queued.id), None)
    reasons = [queued.error] if queued.error else []
    if waiting and waiting.position > 1:
        reasons.append(f"Queued: {waiting.position - 1:,} ahead.")
    if waiting and waiting.holder:
        reasons.append(f"Waiting: device in use by {holder_words(waiting.holder)}.")
    return " ".join(reasons) or "Waiting."
