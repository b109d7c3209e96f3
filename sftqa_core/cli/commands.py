"""What each command does: options to records, records to workflows; returns the JSON object that --json prints."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sftqa_core import workflows
from sftqa_core.cli.arguments import probe_settings, study_settings, train_settings, trust_scheme
from sftqa_core.cli.console import Console
from sftqa_core.cli.making import pretrain_settings
from sftqa_core.errors import SettingsError
from sftqa_core.records import MOVES, FetchSettings, ProbeSettings, TrainSettings

Options = argparse.Namespace


@contextmanager
def leased(options: Options, what: str) -> Iterator[None]:
    """Hold the device that background jobs use too, so that the two never run at once."""
    from sftqa_core.jobs.lease import device_lease, needs_of_device

    def waiting(holder: str) -> None:
        print(f"Waiting: the device is in use by {holder}.", file=sys.stderr, flush=True)

    needs = needs_of_device(options.device, getattr(options, "gpus", 1), getattr(options, "quantization", "none"))
    with device_lease(needs, f"sftqa {what}", on_wait=waiting):
        yield


def facts(options: Options) -> dict[str, Any]:
    """`sftqa facts`: what a source holds."""
    if options.download:
        workflows.download(options.source, Console())
    report = workflows.facts(options.source).to_dict()
    return {"source": report.pop("source"), **report}


def fetch(options: Options) -> dict[str, Any]:
    """`sftqa fetch NAME`: a model of the hub, brought here now. It waits for no device."""
    console = Console()
    with console.gentle():
        return workflows.fetch(FetchSettings(options.name), console).to_dict()


def probe(options: Options) -> dict[str, Any]:
    """`sftqa probe`: levels of a set of facts."""
    settings = probe_settings(options)
    _tell_cost(settings)
    with leased(options, "probe"):
        return workflows.probe(settings, Console()).to_dict()


def trust(options: Options) -> dict[str, Any]:
    """`sftqa trust`: agreement of other ways of probing with the full one, and levels from smaller budgets."""
    found = workflows.trust(options.model, options.source, options.split, options.domain, trust_scheme(options))
    return {
        "model": options.model,
        "source": options.source,
        "split": options.split,
        "facts": found.facts,
        "agreements": {name: agreement.to_dict() for name, agreement in found.agreements.items()},
        "adaptive_margin": list(found.adaptive_margin) if found.adaptive_margin else None,
        "floor": found.floor,
        "floor_measured": found.floor_measured,
        "slick": found.slick.to_dict() if found.slick else None,
        "budget": [] if found.budget is None else [_no_nan(row) for row in found.budget.to_dict("records")],
    }


def _no_nan(row: dict[Any, Any]) -> dict[str, Any]:
    """A table's row as JSON has it: a number that is missing is null."""
    return {str(name): None if value != value else value for name, value in row.items()}


def train(options: Options) -> dict[str, Any]:
    """`sftqa train`: one fine-tuning run."""
    settings = train_settings(options)
    _tell_cost(settings)
    with leased(options, "train"):
        return {**workflows.train(settings, Console()).to_dict(), "levels_by": settings.scheme.method}


def _tell_cost(settings: ProbeSettings | TrainSettings) -> None:
    """One line before the work starts; problems are left to the work itself, which says them as errors."""
    cost = workflows.forecast(settings)
    pieces = {"examples": cost.examples, "steps": cost.steps, "test facts": cost.test_facts, "facts to probe": cost.probes_needed}
    counted = ", ".join(f"{count:,} {name}" for name, count in pieces.items() if count) or "nothing left to compute"
    span = f"about {cost.seconds_low:.0f} to {cost.seconds_high:.0f} s. " if cost.seconds_high else ""
    memory = f"Memory: {cost.memory.line().rstrip('.')}. " if cost.memory else ""
    print(f"{counted}: {span}{memory}{' '.join(cost.notes)}", file=sys.stderr, flush=True)
    if any((cost.examples, cost.probes_needed)):
        workflows.tell(workflows.preflight(settings, cost), Console())


def select(options: Options) -> dict[str, Any]:
    """`sftqa select`: the examples of a run, without running it."""
    settings, out = train_settings(options), _new_file(options.out)
    with leased(options, "select"):
        return workflows.select(settings, out, Console())


def _new_file(name: str) -> Path:
    """A path that a result may be written to. Raises `SettingsError` if something is there, or nothing can be written."""
    out = Path(name)
    if out.exists():
        raise SettingsError(f"{out} exists already and is left as it is. Choose another name.")
    if not out.absolute().parent.is_dir() or not os.access(out.absolute().parent, os.W_OK):
        raise SettingsError(f"{out.absolute().parent} is no folder that can be written. Make it first, or choose another.")
    return out


def study(options: Options) -> dict[str, Any]:
    """`sftqa study`: run what is missing of a study and report; or export it, or report only."""
    there = {card.name for card in workflows.models() if card.kind == "built-in"}
    settings = study_settings(options, [name for name in workflows.recipes() if name in there])  # in the order of what ships
    if options.export:
        out = _new_file(options.export)
        out.write_text(workflows.study_yaml(settings), encoding="utf-8")
        return {"file": str(out), "settings": settings.to_dict()}
    if options.report_only:
        return workflows.study_report(settings).to_dict()
    workflows.tell(workflows.preflight(settings), Console())
    with leased(argparse.Namespace(device=settings.device, gpus=settings.gpus, quantization=settings.quantization), "study"):
        return workflows.study(settings, Console()).to_dict()


def runs(options: Options) -> dict[str, Any]:
    """`sftqa runs`: finished runs."""
    rows = [{**vars(info), "folder": str(info.folder), "settings": info.settings.to_dict()} for info in workflows.runs()]
    return {"runs": [{"run": row.pop("id"), **row} for row in rows]}


def show(options: Options) -> dict[str, Any]:
    """`sftqa show RUN`: what `sftqa train` printed, with the settings and the command."""
    run = workflows.run(options.run)
    settings = run.settings
    told = {"settings": settings.to_dict(), "command": run.manifest["command"], "levels_by": settings.scheme.method}
    return {**run.summary.to_dict(), **told}


def export(options: Options) -> dict[str, Any]:
    """`sftqa export RUN`: the tuned model as a folder for other tools."""
    out = _new_file(options.out)
    if not options.merge:
        return workflows.export(options.run, out)
    with leased(argparse.Namespace(device="cpu"), "export"):
        return workflows.export(options.run, out, merge=True)


def jobs(options: Options) -> dict[str, Any]:
    """`sftqa jobs [ACTION ID]`."""
    from sftqa_core.jobs.executor import LocalExecutor
    from sftqa_core.jobs.reading import jobs_list, log_tail, queue_position

    executor, action = LocalExecutor(), options.action
    if action == "empty":
        return {"cancelled": executor.empty()}
    if action and not options.id:
        raise SettingsError(f"'sftqa jobs {action}' needs a job's id; 'sftqa jobs' lists them.")
    if action == "log":
        return {"id": options.id, "log": list(log_tail(options.id, 200))}
    if action in MOVES:
        executor.move(options.id, action)
        return {"job": executor.status(options.id).to_dict(), "position": queue_position(options.id)}
    if action:
        return {"job": {"cancel": executor.cancel, "resume": executor.resume}[action](options.id).to_dict()}
    return {"jobs": [job.to_dict() for job in jobs_list()]}


def pretrain(options: Options) -> dict[str, Any]:
    """`sftqa pretrain NAME`: a tiny model from nothing."""
    settings = pretrain_settings(options, {**workflows.recipes(), **workflows.unmade_recipes()})
    console = Console()
    with leased(argparse.Namespace(device=settings.device), "pretrain"), console.gentle():
        return workflows.pretrain(settings, console).to_dict()


def doctor(options: Options) -> dict[str, Any]:
    """`sftqa doctor`: what works here and what to do about the rest."""
    from sftqa_core.cli.doctor import findings

    rows = findings()
    return {"ok": all(row["ok"] or row["optional"] for row in rows), "checks": rows}
