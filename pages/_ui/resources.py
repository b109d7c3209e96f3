"""Cached reads: two-line wrappers over the core's workflows and jobs, imported when first needed.

Apart from background.py and compare/compare_reads.py, nothing under pages/ calls the core's workflows. Results never change once
written, so a key that names them is enough; lists and profiles carry `stamp()`, which changes whenever a job ends. Tables are shared
between sessions (cache_resource), because copying 100,000 rows at every click would be felt: pages never change them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import streamlit as st

from pages._ui.wording import day_and_time, reader_zone
from sftqa_core.records import (
    RUN,
    InsideSettings,
    LevelScheme,
    ModelCard,
    Preflight,
    PretrainSettings,
    ProbeSettings,
    PromptFormat,
    RunSummary,
    StudyReport,
    StudySettings,
    SweepSettings,
    TrainSettings,
)

if TYPE_CHECKING:
    from sftqa_core.workflows import KnownStudy


@st.cache_data(show_spinner=False)
def example() -> tuple[RunSummary, TrainSettings] | None:
    """Summary and settings of the shipped example run, from two small JSON files: Overview waits for nothing else."""
    import json

    from sftqa_core.artifacts import finished
    from sftqa_core.errors import ArtifactDamaged
    from sftqa_core.workspace import shipped_folder

    folders = finished([shipped_folder() / "runs"])
    if not folders:
        return None
    folder = folders[max(folders)]
    try:
        summary, settings = (json.loads((folder / name).read_text(encoding="utf-8")) for name in ("summary.json", "settings.json"))
    except (OSError, ValueError) as error:
        raise ArtifactDamaged(f"The example run in {folder} can't be read ({error}). Install the program again.") from error
    return RunSummary.from_dict(summary), TrainSettings.from_dict(settings)


@st.cache_resource(show_spinner=False)
def gallery() -> Any:
    """Questions people ask, with the shipped results' answers, which never change while the program runs."""
    from sftqa_core import workflows

    return workflows.gallery()


def models() -> list[ModelCard]:
    """Every model on this machine, what runs have kept under what it was tuned from. Shared: pages do not change it."""
    return list(_models(_kept_runs()).values())


def model_card(name: str) -> ModelCard | None:
    """The listed model of that name; None for one that is not listed."""
    return _models(_kept_runs()).get(name)


@st.cache_resource(ttl=60, show_spinner=False, max_entries=2)
def _models(runs: int) -> dict[str, ModelCard]:
    from sftqa_core import workflows

    return {card.name: card for card in workflows.models()}


def model_names() -> dict[str, str]:
    """What people call each listed model; one that a run kept begins with the name that the run was given."""
    return _model_names(_kept_runs(), listed(""))


@st.cache_resource(ttl=60, show_spinner=False, max_entries=8)
def _model_names(runs: int, stamp: str) -> dict[str, str]:
    from sftqa_core.models.model_names import names_of

    given = labels().runs
    labelled = {f"{RUN}{run}": label.name for run, label in given.items() if label.name}
    return {
        model: f"{labelled[model]} · {name}" if model in labelled else name
        for model, name in names_of(list(_models(runs).values()), day_and_time).items()
    }


def listed(stamp: str) -> str:
    """Changes with `stamp`, and when a run is stored or deleted by anybody, a label is written, or for a reader in another time zone: part
    of the key of every list of runs."""
    from sftqa_core import workflows

    return f"{stamp} {workflows.labels_stamp()} {reader_zone()}"


def labels() -> Any:
    """What the person says about runs and studies (`workflows.labels`)."""
    return _labels(listed(""))


@st.cache_resource(ttl=60, show_spinner=False, max_entries=8)
def _labels(stamp: str) -> Any:
    from sftqa_core import workflows

    return workflows.labels()


def forget_models() -> None:
    """List models anew: one was made a moment ago."""
    _models.clear()
    _model_names.clear()


def _kept_runs() -> int:
    """Changes when a run is stored or removed: what it kept is a model."""
    from sftqa_core.workspace import Workspace

    try:
        return Workspace.current().runs.stat().st_mtime_ns
    except OSError:
        return 0


@st.cache_data(ttl=30, show_spinner=False)  # what is free changes
def offered(device: str, stamp: str) -> Any:
    """Every model that can be chosen, with what it needs on that device. `stamp` changes when a job ends: what it fetched is then on
    the pickers' lists, too."""
    from sftqa_core import workflows

    forget_models()
    return workflows.offered_models(device)


def add_model(name: str, base: str = "") -> tuple[ModelCard, str]:
    """Add a hub id, a folder or a GGUF file to the list; its card, and a note for the page. A page takes no server's address."""
    from sftqa_core import workflows
    from sftqa_core.errors import SettingsError
    from sftqa_core.models.serving.addresses import is_server

    if is_server(name.strip()):
        raise SettingsError("A model on a server is added in a terminal: sftqa models --add ADDRESS#MODEL. A page takes no address.")
    added = workflows.add_model(name, base)
    forget_models()
    offered.clear()
    return added


def remove_model(name: str) -> str:
    """Remove an added model from the list; a note for the page."""
    from sftqa_core import workflows

    note = workflows.remove_model(name)
    forget_models()
    offered.clear()
    return note


@st.cache_data(ttl=60, show_spinner=False)
def sources() -> list[str]:
    from sftqa_core import workflows

    return list(workflows.sources())


@st.cache_data(show_spinner=False)
def relation_labels() -> dict[str, str]:
    from sftqa_core.knowledge.relations import builtin_relations

    return {name: relation.label for name, relation in builtin_relations().items()}


@st.cache_resource(show_spinner="Reading levels…", max_entries=24, ttl=600)
def _profile(model: str, source: str, split: str, domain: str, scheme: LevelScheme, stamp: str) -> Any:
    from sftqa_core import workflows

    return workflows.profile(model, source, split, domain, scheme)


def profile(model: str, source: str, split: str, domain: str, scheme: LevelScheme) -> Any:
    """Levels of these facts; computed again when a probe, the aliases or the source's files change."""
    from sftqa_core import workflows

    return _profile(model, source, split, domain, scheme, workflows.profile_stamp(model, source, scheme))


@st.cache_resource(show_spinner="Comparing probes…", max_entries=8, ttl=600)
def trust(model: str, source: str, split: str, domain: str, stamp: str, scheme: LevelScheme | None = None) -> Any:
    """How far other ways of probing, and smaller budgets, agree with the full probe."""
    from sftqa_core import workflows

    return workflows.trust(model, source, split, domain, scheme) if scheme else workflows.trust(model, source, split, domain)


@st.cache_data(show_spinner=False, max_entries=64)
def completions(model: str, source: str, fact_id: str, stamp: str, scheme: LevelScheme | None = None) -> Any:
    from sftqa_core import workflows

    return workflows.completions(model, source, fact_id, scheme) if scheme else workflows.completions(model, source, fact_id)


def runs(stamp: str) -> list[Any]:
    """All finished runs, the newest first."""
    return _runs(listed(stamp))


@st.cache_resource(show_spinner=False, ttl=60)
def _runs(stamp: str) -> list[Any]:
    from sftqa_core import workflows

    return list(workflows.runs())


@st.cache_data(show_spinner=False, ttl=60)
def unreadable(stamp: str) -> list[str]:
    """Why runs and models that lie in the cache are on no list, a sentence each."""
    from sftqa_core import workflows

    return [why for _, why in workflows.unreadable_results()]


def run(run_id: str) -> Any:
    from sftqa_core import workflows

    return workflows.run(run_id)


@st.cache_resource(show_spinner=False, max_entries=6)
def run_tables(run_id: str) -> tuple[Any, Any, Any]:
    """A run's predictions of all stages, its test facts with their levels, and its loss curve."""
    stored = run(run_id)
    return stored.predictions(), stored.facts(), stored.curve()


@st.cache_data(show_spinner=False, max_entries=32)
def run_looks(run_id: str) -> Any:
    """Accuracy on dev facts during training; no rows where the run was not evaluated."""
    from sftqa_core import workflows

    return workflows.run_looks(run_id)


@st.cache_data(show_spinner=False, ttl=60, max_entries=32)
def run_rule(run_id: str) -> str:
    """Says that the run was judged by an earlier matching rule, where that makes a difference; else empty."""
    from sftqa_core import workflows

    return workflows.run_rule(run_id)


@st.cache_data(show_spinner=False, max_entries=32)
def run_part(run_id: str, part: str) -> RunSummary:
    """The run's accuracies on its "contested" or "uncontested" test facts only."""
    from sftqa_core import workflows

    return workflows.run_part(run_id, part)


@st.cache_data(show_spinner=False, ttl=60, max_entries=64)
def forecast(
    settings: TrainSettings | ProbeSettings | StudySettings | SweepSettings | InsideSettings | PretrainSettings, stamp: str
) -> Any:
    from sftqa_core import workflows

    return workflows.forecast(settings)


@st.cache_data(show_spinner=False, ttl=60, max_entries=64)
def preflight(
    settings: TrainSettings | ProbeSettings | StudySettings | SweepSettings | InsideSettings | PretrainSettings, stamp: str, _cost: Any
) -> Preflight:
    """What would stop this work; the forecast is known already and no part of the key."""
    from sftqa_core import workflows

    return workflows.preflight(settings, _cost)


class Tables(dict[str, Any]):
    """A study's tables by name, known by identity: figures are kept as long as the same tables are shown."""

    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__
    apart: dict[tuple[str, str, str], str]  # of a study of levels: where one training level is better than all others


@st.cache_resource(show_spinner="Summarising the study…", max_entries=12, ttl=600)
def study_report(study: KnownStudy, stamp: str) -> tuple[StudyReport, Tables]:
    """A study's report, and its tables as data frames. `stamp` changes when a job ends, or with the finished runs of a running job."""
    import pandas as pd

    from sftqa_core import workflows

    report = workflows.known_report(study)
    tables = Tables((name, pd.DataFrame(rows)) for name, rows in report.tables.items())
    tables.apart = workflows.told_apart(tables)
    return report, tables


def report_page(names: tuple[str, ...], reference: str | None = None, pool: bool = False, against: str | None = None) -> str:
    """The report of a run, a study, or of runs and cells beside each other: one HTML file."""
    from sftqa_core.reports.report_files import page_of

    return page_of(names, reference, pool, against)


def more_seeds(settings: StudySettings) -> StudySettings:
    """The same study with two seeds more."""
    from sftqa_core import workflows

    return workflows.more_seeds(settings, 2)


@st.cache_resource(show_spinner=False)
def published(name: str) -> tuple[Any, str]:
    """A published table ("shares", "matrix", "means", "restoration" or "own") and what it is: paper and table."""
    from sftqa_core import workflows

    return workflows.published(name)


def study_name(settings: StudySettings | dict[str, Any]) -> str:
    from sftqa_core import workflows

    return workflows.study_name(settings if isinstance(settings, StudySettings) else StudySettings.from_dict(settings))


def study_yaml(settings: StudySettings) -> str:
    from sftqa_core import workflows

    return workflows.study_yaml(settings)


def study_of(text: str) -> StudySettings:
    from sftqa_core import workflows

    return workflows.study_of(text)


def own_source(model: str) -> str | None:
    """The facts that a model was pre-trained on, where the program made it; None for other models."""
    card = model_card(tuned_from(model) or model)
    made_from = card.details.get("source") if card else None
    return made_from.get("name") if isinstance(made_from, dict) else None


def tuned_from(model: str, once: bool = False) -> str:
    """What a listed model was tuned from here: with `once` as its run's settings name it, else the model with which its chain of runs
    begins. Empty for other models."""
    card = model_card(model)
    kept = card.details.get("tuned") if card else None
    return str(kept["base" if once else "root"]) if isinstance(kept, dict) else ""


@st.cache_data(ttl=60, show_spinner=False)
def default_learning_rate(method: str, model: str) -> float:
    """What is used when the form's field stays empty."""
    from sftqa_core import workflows

    return workflows.default_learning_rate(method, model)


def is_chat_model(model: str) -> bool:
    from sftqa_core.models.lists import kind_of_model

    return kind_of_model(tuned_from(model) or model) == "chat"


@st.cache_data(ttl=60, show_spinner=False)
def why_no_chat(model: str) -> str:
    """Why the model can't be asked by its chat template; empty where it can."""
    from sftqa_core import workflows

    return workflows.why_no_chat(model)


@st.cache_data(ttl=600, show_spinner="Rendering the prompt…", max_entries=64)
def prompt_preview(model: str, form: PromptFormat) -> tuple[str, str]:
    """What the model reads and what it is to write, of one made-up question."""
    from sftqa_core import workflows

    return workflows.prompt_preview(model, form)


def why_not_here(model: str) -> str:
    """Why a model can't be loaded now, in a sentence; empty where it can. Downloads nothing."""
    from sftqa_core.errors import SftqaError
    from sftqa_core.models.catalogue import find_model
    from sftqa_core.models.measured import KIND as MEASURED

    try:
        card = model_card(model) or find_model(model)
    except SftqaError as error:
        return str(error)
    return "" if card.available else card.note if card.kind == MEASURED else f"{model} is not on this machine yet. Download it first."


@lru_cache(maxsize=1)
def missing_torch() -> bool:
    """True where models cannot be run; looks for the package without importing it."""
    from importlib.util import find_spec

    return find_spec("torch") is None


def processor_bfloat16() -> bool:
    """Whether work is done by a processor that computes in bfloat16."""
    from sftqa_core.models.devices import processor_bfloat16, resolve_device

    return resolve_device("auto") == "cpu" and bool(processor_bfloat16())


@lru_cache(maxsize=1)
def device_choices() -> dict[str, str]:
    """Settings of the device that a form offers where there are several GPUs -> what they are called; asks the driver, never torch."""
    from sftqa_core.models.devices import gpu_names, numbered

    named = {device: f"GPU {numbered(device)[1]}{f': {model}' if model else ''}" for device, model in gpu_names().items()}
    return {"auto": "any free GPU", **named, "cpu": "CPU"}


def gpus() -> int:
    """GPUs that work could have together; asks the driver, never torch."""
    from sftqa_core.models.devices import SEPARATE, resolve_device, visible_gpus

    return len(visible_gpus()) if resolve_device("auto") in SEPARATE else 0
