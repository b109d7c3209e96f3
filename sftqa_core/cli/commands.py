"""What each command does: options to records, records to workflows; returns the JSON object that --json prints."""

import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sftqa_core import workflows
from sftqa_core.cli import recipe_options
from sftqa_core.cli.setting_options import given
from sftqa_core.cli.text import Console, count, table
from sftqa_core.cli.typed_records import pretrain_settings, probe_settings, scheme_of, study_settings, train_settings
from sftqa_core.errors import SettingsError
from sftqa_core.planning.cluster_address import goes_to
from sftqa_core.planning.fit import gigabytes
from sftqa_core.planning.offers import WORKS
from sftqa_core.records import (
    MOVES,
    CompleteSettings,
    FetchSettings,
    Label,
    Preflight,
    PretrainSettings,
    ProbeSettings,
    Question,
    TrainSettings,
)
from sftqa_core.records.amounts import span
from sftqa_core.records.probes import held_as


@contextmanager
def leased(settings: Any, what: str) -> Iterator[None]:
    """Hold the device that background jobs use too, so that the two never run at once; nothing for models that are on servers. Where a
    cluster does the pieces of such work, it is connected instead."""
    from sftqa_core.jobs.lease import device_lease, needs_of_device
    from sftqa_core.models.serving.addresses import is_server

    def waiting(holder: str) -> None:
        print(f"Waiting: the device is in use by {holder}.", file=sys.stderr, flush=True)

    named = getattr(settings, "models", None) or getattr(settings, "model", None) or ()
    models = [named] if isinstance(named, str) else named
    if models and all(map(is_server, models)):  # they compute there
        yield
        return
    if address := goes_to(what, models):
        from sftqa_core.jobs.cluster.ray_mapper import on_cluster

        with on_cluster(address, settings.device or "auto", getattr(settings, "gpus", 1), Console()):
            yield
        return
    needs = needs_of_device(settings.device or "auto", getattr(settings, "gpus", 1), held_as(settings))
    with device_lease(needs, f"sftqa {what}", on_wait=waiting):
        yield


def facts(options: Namespace) -> dict[str, Any]:
    """`sftqa facts`: what a source holds."""
    source = options.source or "atlas"
    if options.download:
        workflows.download(source, Console())
    if options.preview:
        return workflows.preview(source).to_dict()
    workflows.bring_facts(source, Console())
    report = workflows.facts(source).to_dict()
    return {"source": report.pop("source"), **report, "notes": list(workflows.source_notes(source))}


def fetch(options: Namespace) -> dict[str, Any]:
    """`sftqa fetch NAME`: download a model of the hub now. It waits for no device."""
    console = Console()
    with console.gentle():
        return workflows.fetch(FetchSettings(options.name), console).to_dict()


def probe(options: Namespace) -> dict[str, Any]:
    """`sftqa probe`: levels of a set of facts."""
    settings = probe_settings(options)
    _tell_cost(settings)
    with leased(settings, "probe"):
        return workflows.probe(settings, Console()).to_dict()


def complete(options: Namespace) -> dict[str, Any]:
    """`sftqa complete PROMPT ...`: how a model goes on."""
    settings = CompleteSettings(**given(options, CompleteSettings) | {"prompts": tuple(options.prompts)})
    with leased(settings, "complete"):
        return workflows.complete(settings, Console()).to_dict()


def question_of(options: Namespace) -> Question:
    """`sftqa ask`'s options as a record."""
    asked = {"text": options.question.strip(), "kind": "statement" if options.statement else "question", "answers": tuple(options.answer)}
    return Question(**given(options, Question) | asked)


def ask(options: Namespace) -> dict[str, Any]:
    """`sftqa ask QUESTION --model A ...`: what models and runs say to it."""
    question = question_of(options)
    workflows.columns(question, options.model)  # what can't be asked is refused before the device is waited for
    with leased(options, "ask"):
        return workflows.ask(question, options.model, options.device or "auto", Console()).to_dict()


def trust(options: Namespace) -> dict[str, Any]:
    """`sftqa trust`: agreement of other ways of probing with the full one, and levels from smaller budgets."""
    settings = ProbeSettings(**given(options, ProbeSettings) | {"scheme": scheme_of(options)})
    report = workflows.trust(settings.model, settings.source, settings.split, settings.domain, settings.scheme, options.against)
    return {
        "model": settings.model,
        "source": settings.source,
        "split": settings.split,
        "facts": report.facts,
        "against": options.against,
        "agreements": {name: agreement.to_dict() for name, agreement in report.agreements.items()},
        "adaptive_margin": list(report.adaptive_margin) if report.adaptive_margin else None,
        "floor": report.floor,
        "floor_measured": report.floor_measured,
        "slick": report.slick.to_dict() if report.slick else None,
        "budget": [] if report.budget is None else [_no_nan(row) for row in report.budget.to_dict("records")],
    }


def _no_nan(row: dict[Any, Any]) -> dict[str, Any]:
    """A table's row as JSON has it: a number that is missing is null."""
    return {str(name): None if value != value else value for name, value in row.items()}


def train(options: Namespace) -> dict[str, Any]:
    """`sftqa train`: one fine-tuning run."""
    settings = train_settings(options)
    if options.export:
        out = new_file(options.export)
        out.write_text(workflows.run_yaml(settings), encoding="utf-8")
        return {"file": str(out), "settings": settings.to_dict()}
    _tell_cost(settings)
    with leased(settings, "train"):
        summary = workflows.train(settings, Console())
    run = workflows.run(summary.run)
    beside = {"cut": run.cut, **recipe_options.told(run.settings, run.notes)}
    return {**summary.to_dict(), "levels_by": settings.scheme.method, **{name: value for name, value in beside.items() if value}}


def _tell_cost(settings: ProbeSettings | TrainSettings | PretrainSettings) -> None:
    """One line before the work starts, unless there are no facts for it. Raises `SettingsError` where it can't."""
    workflows.bring_facts(settings.source, Console())
    cost = workflows.forecast(settings)
    pieces = {"examples": cost.examples, "steps": cost.steps, "test facts": cost.test_facts, "facts to probe": cost.probes_needed}
    if (size := cost.pretraining) is not None:
        pieces = {"facts": size.facts, "statements": size.statements, "documents": size.documents, "steps or so": size.steps}
        pieces |= {"test facts": size.test}
    counted = ", ".join(f"{count:,} {name}" for name, count in pieces.items() if count)
    takes = f"about {span(cost.seconds_low, cost.seconds_high)}. " if cost.seconds_high else ""
    needs = f"{cost.fit.resource}: {cost.fit.line().rstrip('.')}. " if cost.fit else ""
    if cost.fit or not cost.problems:
        print(f"{counted}{': ' if counted else ''}{takes}{needs}{' '.join(cost.notes)}", file=sys.stderr, flush=True)
    if any((cost.examples, cost.probes_needed, size)):
        checked(workflows.preflight(settings, cost))


def checked(report: Preflight) -> None:
    """Tell what was looked at. Raises `SettingsError` with what stands in the way: no page starts such work either."""
    if problems := report.of("problem"):
        raise SettingsError([check.line for check in problems])
    workflows.tell(report, Console())


def select(options: Namespace) -> dict[str, Any]:
    """`sftqa select`: the examples of a run, without running it."""
    settings, out = train_settings(options), new_file(options.out)
    with leased(settings, "select"):
        return workflows.select(settings, out, Console())


def new_file(name: str) -> Path:
    """A path that a result may be written to. Raises `SettingsError` if something is there, or nothing can be written."""
    out = Path(name)
    if out.exists():
        raise SettingsError(f"{out} exists already and is not overwritten. Choose another name.")
    if not out.absolute().parent.is_dir() or not os.access(out.absolute().parent, os.W_OK):
        raise SettingsError(f"{out.absolute().parent} is not a writable folder. Create it first, or choose another.")
    return out


def study(options: Namespace) -> dict[str, Any]:
    """`sftqa study`: run what is missing of a study and report; or export it, or report only."""
    there = {card.name for card in workflows.models() if card.kind == "built-in"}
    shipped = [name for name in workflows.built_in_models() if name in there]  # in the order in which they ship
    settings = study_settings(options, shipped)
    if options.export:
        out = new_file(options.export)
        out.write_text(workflows.study_yaml(settings), encoding="utf-8")
        return {"file": str(out), "settings": settings.to_dict()}
    if options.report_only:
        return workflows.study_report(settings).to_dict()
    workflows.bring_facts(settings.source, Console())
    cost = workflows.forecast(settings)
    if cost.runs + cost.probes_needed:
        checked(workflows.preflight(settings, cost))
    with leased(settings, "study"):
        return workflows.study(settings, Console()).to_dict()


def runs(options: Namespace) -> dict[str, Any]:
    """`sftqa runs`: finished runs."""
    given, rows = workflows.labels().runs, []
    for info in workflows.runs():
        about = {**vars(info), "folder": str(info.folder), "settings": info.settings.to_dict(), "size_bytes": workflows.run_bytes(info)}
        rows.append({"run": about.pop("id"), **about, **given.get(info.id, Label()).to_dict()})
    return {"runs": sorted(rows, key=lambda row: not row["pinned"])}


def show(options: Namespace) -> dict[str, Any]:
    """`sftqa show RUN`: what `sftqa train` printed, with the settings and the command."""
    run = workflows.run(options.run)
    made_with = {"settings": run.settings.to_dict(), "command": run.manifest["command"], "levels_by": run.settings.scheme.method}
    beside = {"cut": run.cut, **recipe_options.told(run.settings, run.notes), "note": workflows.run_rule(options.run)}
    return {**run.summary.to_dict(), **made_with, **{name: value for name, value in beside.items() if value}}


def export(options: Namespace) -> dict[str, Any]:
    """`sftqa export RUN`: the tuned model as a folder for other tools."""
    out = new_file(options.out)
    if not options.merge:
        return workflows.export(options.run, out)
    with leased(Namespace(device="cpu"), "export"):
        return workflows.export(options.run, out, merge=True)


def jobs(options: Namespace) -> dict[str, Any]:
    """`sftqa jobs [ACTION ID]`."""
    from sftqa_core.jobs import current_executor

    executor, action = current_executor(), options.action
    if action == "empty":
        return {"cancelled": executor.empty()}
    if action and not options.id:
        raise SettingsError(f"'sftqa jobs {action}' needs a job's id; 'sftqa jobs' lists them.")
    if action == "log":
        return {"id": options.id, "log": executor.log(options.id)}
    if action in MOVES:
        executor.move(options.id, action)
        position = next((queued.position for queued in executor.queue() if queued.job.id == options.id), None)
        return {"job": executor.status(options.id).to_dict(), "position": position}
    if action:
        return {"job": {"cancel": executor.cancel, "resume": executor.resume}[action](options.id).to_dict()}
    return {"jobs": [job.to_dict() for job in executor.jobs()]}


def pretrain(options: Namespace) -> dict[str, Any]:
    """`sftqa pretrain NAME`: a model that reads a text written from facts, from scratch or going on from another."""
    settings = pretrain_settings(options, {**workflows.built_in_models(), **workflows.unmade_models()})
    _tell_cost(settings)
    console = Console()
    with leased(settings, "pretrain"), console.gentle():
        return workflows.pretrain(settings, console).to_dict()


SIGNS = {"ok": "ok", "note": "note", "unknown": "?", "problem": "PROBLEM"}


def preflight(options: Namespace) -> dict[str, Any]:
    """`sftqa preflight`: every check with its fix; with --trial one training step too, if no check failed. `ok` decides the exit status."""
    settings = train_settings(options)
    report = workflows.preflight(settings)
    if options.trial and report.ok:
        with leased(settings, "preflight"):
            trial = workflows.trial(settings, Console())  # takes the place of the check that only announced it
        report = replace(report, checks=tuple(trial if check.name == trial.name else check for check in report.checks))
    return {"ok": report.ok, "headline": report.headline(), **report.to_dict()}


def preflight_text(result: dict[str, Any]) -> str:
    """A line a point, problems first, each fix below its finding."""
    checks = sorted(result["checks"], key=lambda check: list(SIGNS)[::-1].index(check["state"]))
    width = max(len(check["name"]) for check in checks)
    lines = [result["headline"]]
    for check in checks:
        about = f"{check['about']}: " if check["about"] else ""
        lines.append(f"{SIGNS[check['state']]:8}{check['name']:{width}}  {about}{check['said']}")
        if check["fix"]:
            lines.append(f"{'':8}{'':{width}}  -> {check['fix']}")
    return "\n".join(lines)


_MARKS = {"now": "", "not now": "*", "no": "**", "unknown": ""}
_HEAD = {"probe": "probe", "lora": "LoRA", "lora_4bit": "4-bit LoRA", "full": "full"}


def models(options: Namespace) -> dict[str, Any]:
    """`sftqa models [--add NAME | --remove NAME]`: every model that can be chosen, and what it needs."""
    if options.base and options.add is None:
        raise SettingsError("--base names the model that an added adapter sits on. Name the adapter: --add FOLDER --base MODEL.")
    if options.tokenizer and options.add is None:
        raise SettingsError("--tokenizer names what has an added server's tokenizer. Name the server: --add http://host:8000/v1#model.")
    if options.add is not None:
        card, note = workflows.add_model(options.add, options.base, options.tokenizer)
        return {"added": card.to_dict(), "notes": [note] if note else []}
    if options.remove is not None:
        note = workflows.remove_model(options.remove)
        return {"removed": options.remove, "notes": [note] if note else []}
    offered = workflows.offered_models(options.device).to_dict()
    return {"models": [{**offer.pop("card"), **offer} for offer in offered.pop("offers")], **offered}


def models_text(result: dict[str, Any]) -> str:
    """A line a model, those on this machine first; or what was added or removed."""
    notes = result["notes"]
    if "added" in result:
        card = result["added"]
        where = (
            "on a server"
            if card["kind"] == "server"
            else "on this machine"
            if card["available"]
            else "not on this machine yet; downloaded when it is first used"
        )
        where += f"; {card['quantisation']}" if card["quantisation"] else ""
        return "\n".join([f"{card['name']} was added to the list ({where}).", *notes])
    if "removed" in result:
        return "\n".join([f"{result['removed']} was removed from the list; its files are kept.", *notes])
    rows = [_model_row(model) for model in result["models"]]
    head = ("model", "", "parameters", "licence", *_HEAD.values())
    todo = [f"{model['name']}: {model['todo']}" for model in result["models"] if model["state"] == "unusable" and model["todo"]]
    return "\n".join([table(head, rows), "", *_explained(result), *todo, *notes])


def _model_row(model: dict[str, Any]) -> tuple[str, ...]:
    needs = {need["work"]: f"{gigabytes(need['size_bytes'])}{_MARKS[need['fits']]}" for need in model["needs"]}
    state = model["kind"] if model["state"] == "here" and model["kind"] != "hub" else model["state"]
    if model["quantisation"]:
        state = f"{model['quantisation'].partition(',')[0]} gguf"
    return (model["name"], state, count(model["parameters"]), model["licence"] or "?", *(needs.get(work, "-") for work in WORKS))


def _explained(result: dict[str, Any]) -> list[str]:
    device, free, total = result["device"], result["free"], result["total"]
    if total is None:
        lines = [f"Memory on {device}: this machine has no usable one, so fit cannot be estimated."]
    else:
        lines = [f"Memory on {device}: {gigabytes(free)} of {gigabytes(total)} are free. *: more than is free now. **: more than it has."]
    if advised := [model["name"] for model in result["models"] if model["advised"]]:
        lines.append(f"Good first real models: {', '.join(advised)}.")
    if result["lacking"]:
        lines.append(result["lacking"])
    if any(model["state"] == "gated" for model in result["models"]):
        lines.append("gated: accept the model's terms at https://huggingface.co/NAME, and log in here: hf auth login.")
    if any(model["state"] == "not asked" for model in result["models"]):
        lines.append("not asked: unknown until downloaded.")
    return lines
