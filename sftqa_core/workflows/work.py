"""The work itself: probe, train, select, pretrain; export a run's tuned model as a folder for other tools; fetch a model of the hub.

Torch is imported when work starts, not before; fetching takes no device and never loads torch.
"""

import importlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftqa_core import records
from sftqa_core.artifacts import write_bytes
from sftqa_core.errors import ModelUnavailable, SettingsError
from sftqa_core.evaluation.inside.kept_looks import KeptLook
from sftqa_core.jsonrecord import Record
from sftqa_core.memory.profiles import open_for
from sftqa_core.memory.stated_facts import stated_source
from sftqa_core.models.catalogue import base_card, find_model
from sftqa_core.models.gguf.gguf_models import KIND
from sftqa_core.models.hub.fetch import download, present
from sftqa_core.models.hub.hub_cache import hub_name
from sftqa_core.models.makings import refuse_other_making
from sftqa_core.models.serving.addresses import KIND as SERVER
from sftqa_core.planning.preflight import preflight, tell
from sftqa_core.progress import Phase, Reporter, Silent
from sftqa_core.records import (
    Completed,
    CompleteSettings,
    FetchFactsSettings,
    FetchSettings,
    InsideSettings,
    ModelCard,
    PretrainSettings,
    ProbeSettings,
    StudySettings,
    SweepReport,
    SweepSettings,
    TrainSettings,
)
from sftqa_core.training import exporting, runs
from sftqa_core.workflows.lookups import bring_facts
from sftqa_core.workflows.lookups import download as download_facts
from sftqa_core.workflows.study_reports import study
from sftqa_core.workspace import Workspace

# Importing these takes seconds, and brings torch, transformers and peft.
HEAVY = (
    "sftqa_core.models.loading",
    "sftqa_core.engine.completing",
    "sftqa_core.memory.probing",
    "sftqa_core.training.trainer",
    "sftqa_core.workflows.study_runs",
    "sftqa_core.workflows.sweep_runs",
    "sftqa_core.workflows.training",
    "sftqa_core.workflows.tested.inside_runs",
)


@dataclass(frozen=True)
class ProbeResult(Record):
    """What `sftqa probe --json` prints."""

    model: str
    source: str
    facts: int
    scheme: records.LevelScheme
    levels: dict[str, tuple[int, ...]]  # domain -> facts per level
    facts_per_s: float | None  # of what was sampled now; None when all was known before
    artifact: str  # folder of the completions


def probe(settings: ProbeSettings, reporter: Reporter | None = None) -> ProbeResult:
    """Levels of the chosen facts; what was probed before is not probed again (METHOD section 1)."""
    from sftqa_core.memory.prober import Prober, chosen_facts
    from sftqa_core.workflows.piecework import levels_of

    reporter = reporter or Silent()
    bring_facts(settings.source, reporter)
    opened = open_for(settings.model, settings.source)
    facts = chosen_facts(opened, settings)
    prober = Prober(opened, settings, reporter)
    levels = levels_of(prober, facts, reporter)
    domain = dict(zip(facts["fact_id"], facts["domain"], strict=True))
    counts = {name: [0] * len(settings.scheme.labels) for name in records.DOMAINS}
    for fact_id, level in zip(levels["fact_id"], levels["level"], strict=True):
        counts[domain[fact_id]][level] += 1
    return ProbeResult(
        settings.model,
        settings.source,
        len(facts),
        settings.scheme,
        {name: tuple(count) for name, count in counts.items()},
        prober.rate,
        str(prober.folder),
    )


def complete(settings: CompleteSettings, reporter: Reporter | None = None) -> Completed:
    """Some completions of each prompt, drawn as a probe draws them; nothing is stored.

    Raises what `load_model` does, `SettingsError` for a prompt that does not fit the context window, `OutOfMemory`.
    """
    from sftqa_core.engine import completing
    from sftqa_core.models.loading import load_model
    from sftqa_core.models.serving.served_models import open_served

    reporter = reporter or Silent()
    card = find_model(settings.model)
    served = card.kind == SERVER
    loaded = open_served(card, reporter) if served else load_model(card, settings.device, reporter=reporter)
    phase = Phase(reporter, "complete", len(set(settings.prompts)), "prompts")
    return Completed(settings.model, settings.prompts, tuple(completing.complete(loaded, settings.prompts, settings.sampling, phase)))


def train(settings: TrainSettings, reporter: Reporter | None = None, token: str | None = None) -> records.RunSummary:
    """One fine-tuning run with its evaluation, stored as a run folder.

    `token` identifies the request: if a process finished it and died before it could report, that run is returned.
    """
    from sftqa_core.workflows.training import TrainingRun

    stored = runs.run_of_token(token) if token else None
    if not stored:
        bring_facts(settings.source, reporter)
    return stored.summary if stored else TrainingRun(settings, reporter or Silent(), token=token).finish()


def sweep(settings: SweepSettings, reporter: Reporter | None = None) -> SweepReport:
    """Try learning rates on dev facts, as far as they were not tried before; what is finished is kept when the work stops.

    Raises `NotEnoughFacts` where there are no dev facts, and what `train` does.
    """
    from sftqa_core.studies.sweep import Sweep
    from sftqa_core.workflows.sweep_runs import run_sweep

    bring_facts(settings.run.source, reporter)
    wanted = Sweep(settings, reporter or Silent())
    run_sweep(wanted, reporter or Silent())
    return wanted.report()


def sweep_report(settings: SweepSettings) -> SweepReport:
    """What is known of a sweep; runs nothing and loads no model."""
    from sftqa_core.studies.sweep import Sweep

    return Sweep(settings).report()


def inside(settings: InsideSettings, reporter: Reporter | None = None) -> KeptLook:
    """Look inside a tuned model; measures that were taken before are not taken again. What was seen: `read_look` of what is returned.

    Raises `SettingsError` for what can't be looked at, and what `train` does.
    """
    from sftqa_core.workflows.tested.inside_runs import InsideRun

    bring_facts(settings.run.source, reporter)
    return InsideRun(settings, reporter or Silent()).finish()


def select(settings: TrainSettings, out: Path, reporter: Reporter | None = None) -> dict[str, Any]:
    """Write the examples that `train` would use to `out` as JSON Lines, with their levels."""
    from sftqa_core.workflows.training import TrainingRun

    bring_facts(settings.source, reporter)
    run = TrainingRun(settings, reporter or Silent())
    selection = run.selection(label=True)
    write_bytes(out, runs.example_lines(selection.facts).encode())
    counts = {"n": len(selection.facts), "counts": selection.counts, "probed": selection.probed}
    return {"file": str(out), **counts, "levels_by": settings.scheme.method}


def pretrain(settings: PretrainSettings, reporter: Reporter | None = None) -> ModelCard:
    """A model that read a text written from facts, from scratch or going on from another, under the workspace's models; it can be picked
    by its name."""
    from sftqa_core.models import pretraining

    target = Workspace.current().models / settings.name
    if "/" in settings.name or settings.name.startswith(".") or not settings.name.strip():
        raise SettingsError(f"A model's name is used as a folder name, got {settings.name!r}. Use letters, digits and dashes.")
    bring_facts(settings.source, reporter)
    source = stated_source(settings)
    refuse_other_making(settings, source.fingerprint)
    pretraining.pretrain(settings, source, target, reporter or Silent())
    return find_model(settings.name)


def export(run_id: str, out: Path, merge: bool = False) -> dict[str, Any]:
    """Write the tuned model of run `run_id` to the new folder `out`; with `merge`, an adapter merged into its base model.

    Raises `NotFound` for a run that is not there or kept no weights, `SettingsError`, `ArtifactDamaged`, `StorageError`.
    """
    run = runs.read_run(run_id)
    folder = exporting.export_model(run, out, merge)
    files = sorted(path.name for path in folder.iterdir())
    return {"run": run.id, "folder": str(folder), "merged": merge, "quantization": run.settings.quantization, "files": files}


def fetch(settings: FetchSettings, reporter: Reporter | None = None) -> ModelCard:
    """The model's card, with its files on this machine (a GGUF model: read into the cache); under an adapter its base model, too.

    A branch or tag is brought to the commit that it points to now, where the hub can be asked; what is here already stays usable.
    Raises `SettingsError` for a model that is not of the hub, else what `download` raises.
    """
    reporter = reporter or Silent()
    card = find_model(settings.model)
    if card.kind == KIND:
        return present(card, reporter)
    if card.kind != "hub":
        raise SettingsError(f"{settings.model} is on this machine already ({card.kind}). Only models of the hub are fetched: owner/name.")
    card = _present(card, reporter)
    base = base_card(card)
    if base is not None and base.kind == "hub":
        _present(base, reporter)
    return card


def _present(card: ModelCard, reporter: Reporter) -> ModelCard:
    hub = hub_name(card.name)
    if card.path is not None and hub is not None and hub.commit:
        return card  # a commit never changes
    try:
        download(card.name, reporter)
    except ModelUnavailable as error:
        if card.path is None:
            raise
        reporter.log(f"{card.name} is here at commit {card.revision}; whether the hub has a newer one is not known. {error}")
    return find_model(card.name)


def preload() -> None:
    """Import what a job needs and what takes long; nothing is computed, and no thread is started."""
    for name in HEAVY:
        importlib.import_module(name)


def run_job(kind: str, settings: dict[str, Any], reporter: Reporter, token: str) -> str:
    """What a background job does; returns the name of what it made. `token`: the job's name, the same when it goes on."""
    jobs: dict[str, tuple[type[Any], Callable[[Any], str]]] = {
        "probe": (ProbeSettings, lambda wanted: probe(wanted, reporter).artifact),
        "train": (TrainSettings, lambda wanted: train(wanted, reporter, token).run),
        "study": (StudySettings, lambda wanted: study(wanted, reporter).settings.kind),
        "sweep": (SweepSettings, lambda wanted: f"{sweep(wanted, reporter).chosen:g}"),
        "inside": (InsideSettings, lambda wanted: inside(wanted, reporter).name),
        "pretrain": (PretrainSettings, lambda wanted: pretrain(wanted, reporter).name),
        "fetch": (FetchSettings, lambda wanted: fetch(wanted, reporter).name),
        "facts": (FetchFactsSettings, lambda wanted: download_facts(wanted.source, reporter).source),
        "complete": (CompleteSettings, lambda wanted: json.dumps(complete(wanted, reporter).texts, ensure_ascii=False)),
    }
    if kind not in jobs:
        raise SettingsError(f"A job must be one of {', '.join(jobs)}, got {kind!r}.")
    record, work = jobs[kind]
    wanted = record.from_dict(settings)
    if isinstance(wanted, ProbeSettings | TrainSettings | StudySettings | SweepSettings | InsideSettings | PretrainSettings):
        bring_facts(wanted.run.source if isinstance(wanted, SweepSettings | InsideSettings) else wanted.source, reporter)
        # into the log alone: the work itself refuses what can't be done
        tell(preflight(wanted), reporter)
    began = time.monotonic()
    result = work(wanted)
    reporter.log(f"Finished in {time.monotonic() - began:.1f} s: {result}")
    return result
