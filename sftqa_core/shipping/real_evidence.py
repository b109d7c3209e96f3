"""Measure real models and ship what was found without their weights.

    python -m sftqa_core.shipping.real_evidence TARGET FOLDER [--minutes N] [--pack]     (make real MODELS=FOLDER)

FOLDER holds the GGUF files of MODELS; their checksums are compared first. Works in the current workspace, where finished work is kept,
so a second call goes on where the first one stopped; after --minutes no further step begins. Then what is finished is put into TARGET, in
place of what it held of these models, and nothing else of TARGET changes. With --pack nothing is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

from sftqa_core import workflows
from sftqa_core.artifacts import MANIFEST, sha256, write_folder
from sftqa_core.cli.text import Console
from sftqa_core.errors import SettingsError, SftqaError
from sftqa_core.knowledge import entity_sample
from sftqa_core.memory import probe_stores, prober, profiles
from sftqa_core.memory.stored_levels import AskedFacts, known_hits
from sftqa_core.models import catalogue, measured
from sftqa_core.records import FetchSettings, StudySettings
from sftqa_core.shipping.packing import pack_studies, wanted_of
from sftqa_core.shipping.real_plan import (
    MODELS,
    SOURCE,
    Plan,
    RealModel,
    finished_sweep,
    probes,
    steps,
    studies,
    sweeps,
    taught,
    taught_studies,
)
from sftqa_core.workspace import Workspace

TIMES = "real-evidence.jsonl"  # in the workspace: seconds of each step
NOTICE = "EntityQuestions-LICENSE.txt"  # beside the cards: whose facts the stored completions are about


def prepare(models: tuple[RealModel, ...], folder: Path, target: Path, console: Console) -> None:
    """Compare checksums, read the files where they were not read, and write each model's card into what ships here and into `target`.

    Raises `SettingsError` for a file that is missing or another one.
    """
    workspace = Workspace.current()
    for model in models:
        path = folder / model.file
        if not path.is_file() or sha256(path) != model.sha256:
            raise SettingsError(
                f"{path} is missing or not the file that is measured (SHA-256 {model.sha256}). Get it, and name its folder."
            )
        workflows.fetch(FetchSettings(str(path)), console)
        card = catalogue.find_model(str(path))
        known = catalogue.model_fingerprint(card, "", "")
        about = measured.Measured(
            model.name, model.title, model.file, model.sha256, card.quantisation, model.licence, card.architecture or "",
            card.parameters or 0, known.weights, known.beginning,
        )  # fmt: skip
        for layer in {workspace.shipped, target}:
            measured.write_measured(about, layer)


def run(models: tuple[RealModel, ...], plan: Plan, console: Console, minutes: float | None = None) -> bool:
    """Do the steps in turn; whether all are done. What each took is written down in the workspace."""
    begun = time.monotonic()
    for step in steps(models, plan, console):
        if minutes is not None and time.monotonic() - begun > 60 * minutes:
            console.log(f"Stopped before '{step.title}': {minutes:g} minutes are over. The same command goes on from there.")
            return False
        console.log(step.title)
        started = time.monotonic()
        step.work()
        row = {"step": step.title, "seconds": round(time.monotonic() - started, 1)}
        with (Workspace.current().root / TIMES).open("a", encoding="utf-8") as out:
            out.write(f"{json.dumps(row)}\n")
    return True


def pack(models: tuple[RealModel, ...], plan: Plan, target: Path) -> None:
    """Put what is finished of these models into `target`."""

    def fill(work: Path) -> None:
        shutil.copytree(target, work, dirs_exist_ok=True)
        (work / MANIFEST).unlink(missing_ok=True)  # it is written anew, those of what lies in it are not
        done: list[StudySettings] = []
        for at, model in enumerate(models):
            chosen = [report for report in map(finished_sweep, sweeps(model.name, plan)) if report]
            if chosen:
                measured.write_rates(model.name, chosen, work)
            if not _pack_probes(model.name, plan, work) and not chosen:
                (work / measured.FOLDER / f"{model.name}.json").unlink(missing_ok=True)  # a card alone says nothing
            with contextlib.suppress(SftqaError):  # no rate is chosen yet
                done += filter(_is_done, studies(model, plan, first=at == 0))
        if _pack_taught(models[0], plan, work):
            done += filter(_is_done, taught_studies(models[0].name, plan))
        pack_studies(done, work)
        (work / measured.FOLDER / NOTICE).write_bytes(entity_sample.licence())

    write_folder(target, fill, {"kind": "shipped", "models": list(workflows.built_in_models())})


def _is_done(study: StudySettings) -> bool:
    try:
        done, planned = workflows.study_progress(study)
    except SftqaError:
        return False
    return 0 < planned == done


def _pack_taught(model: RealModel, plan: Plan, target: Path) -> bool:
    """The model that has read of more facts, and its probe; False where it is not made yet."""
    settings = taught(model.name, plan)
    try:
        card = catalogue.find_model(settings.name)
    except SftqaError:
        return False
    known = catalogue.model_fingerprint(card, "", "")
    if card.path is not None:  # else it ships already
        about = measured.Measured(
            settings.name, f"{model.title}, that went on reading of facts it did not know", model.file, model.sha256,
            catalogue.find_model(model.name).quantisation, model.licence, card.architecture or "", card.parameters or 0, known.weights,
            known.beginning, {name: card.details[name] for name in measured.MADE},
        )  # fmt: skip
        measured.write_measured(about, target, Path(card.path) / catalogue.EXPOSURES)
    _pack_probes(settings.name, plan, target)
    return True


def _pack_probes(model: str, plan: Plan, target: Path) -> bool:
    """Hits and estimates of all facts that were probed; texts of completions of those that were probed again, as a sample. Whether there
    are any."""
    workspace, packed = Workspace.current(), False
    weights = catalogue.model_fingerprint(catalogue.find_model(model), "", "").weights
    for settings in probes(model, plan).values():
        wanted, scheme = wanted_of(settings), settings.scheme
        if scheme.method != "sampling":
            for estimates in probe_stores.find_estimates(weights, None, scheme, workspace):
                if len(estimates.rows(wanted)):  # not of dev facts alone, which sweeps estimate
                    estimates.compact(target, wanted)
                    packed = True
            continue
        shown = wanted_of(replace(settings, limit=plan.again)) if scheme == plan.full else ()
        source = profiles.open_for(model, SOURCE)
        for store in probe_stores.find_stores(weights, None, scheme.sampling, workspace, scheme.asking):
            # what was just probed may not have been judged yet, and only hits ship of facts whose texts don't
            known_hits(store, AskedFacts(source, prober.chosen_facts(source, settings), settings), keep=True)
            store.compact(target, wanted, texts_of=shown)
            packed = True
    return packed


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path)
    parser.add_argument("folder", type=Path, help="with the GGUF files")
    parser.add_argument("--minutes", type=float, help="after so long no further step begins")
    parser.add_argument("--pack", action="store_true", help="measure nothing: put what is finished into TARGET")
    options = parser.parse_args()
    console, plan = Console(), Plan()
    prepare(MODELS, options.folder, options.target, console)
    if not options.pack:
        run(MODELS, plan, console, options.minutes)
    pack(MODELS, plan, options.target)


if __name__ == "__main__":
    main()
