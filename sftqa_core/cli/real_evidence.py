"""Measure real models and ship what was found without their weights.

    python -m sftqa_core.cli.real_evidence TARGET FOLDER [--minutes N] [--pack]     (make real MODELS=FOLDER)

FOLDER holds the GGUF files of MODELS; their checksums are compared first. Works in the current workspace, where finished work is kept,
so a second call goes on where the first one stopped; after --minutes no further step begins. Then what is finished is put into TARGET, in
place of what it held of these models, and nothing else of TARGET changes. With --pack nothing is measured.

All numbers are float32 on the processor. `steps` is the whole plan, and nothing in it is chosen by looking at test accuracy: learning
rates are those that dev facts choose.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from sftqa_core import workflows
from sftqa_core.artifacts import sha256, write_folder
from sftqa_core.cli.packing import pack_studies, wanted_of
from sftqa_core.cli.text import Console
from sftqa_core.errors import SettingsError, SftqaError
from sftqa_core.knowledge.entity_sample import NAME as SOURCE
from sftqa_core.memory import probe_stores
from sftqa_core.models import catalogue, measured
from sftqa_core.records import (
    SLICK,
    FetchSettings,
    LevelScheme,
    ProbeSettings,
    StudySettings,
    SweepSettings,
    TrainSettings,
)
from sftqa_core.records.recipes import RECIPES
from sftqa_core.records.studying import recipe_study
from sftqa_core.workspace import Workspace

TIMES = "real-evidence.jsonl"  # in the workspace: seconds of each step


@dataclass(frozen=True)
class RealModel:
    """A model that is measured: its file, and what people should know of it."""

    name: str
    title: str
    file: str
    sha256: str
    licence: str


MODELS = (
    RealModel(
        "smollm2-135m-instruct-q4_1", "SmolLM2 of 135 million parameters, tuned to follow instructions, rounded to about 4 bits",
        "SmolLM2-135M-Instruct.Q4_1.gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", "Apache-2.0",
    ),
    RealModel(
        "gemma-3-270m-q4_k_m", "Gemma 3 of 270 million parameters, a base model, rounded to about 4 bits",
        "gemma-3-270m-q4_k_m.gguf", "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818", "Gemma terms of use",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """How much is measured; tests measure less."""

    probed: int = 480  # test facts by the full probe: 20 a relation, those that studies are tested on
    again: int = 120  # of these by another seed, by SliCK's prompts, and after tuning
    estimated: int | None = None  # test facts by likelihood: all 4,800
    full: LevelScheme = field(default_factory=LevelScheme)
    slick: LevelScheme = SLICK
    sizes: tuple[int, ...] = (0, 10, 60, 240, 960)
    seeds: tuple[int, ...] = (0, 1, 2)
    shots: tuple[int, ...] = (4,)  # answered examples in front of the untouched model's questions: what tuning is judged against
    rates: tuple[float, ...] | None = None  # the usual ones
    recipes: tuple[str, ...] = ("keep", "restore")  # on the first model
    relations: int = 24

    @property
    def second(self) -> LevelScheme:
        """Another seed: how far two full probes agree is what chance alone does."""
        return replace(self.full, sampling=replace(self.full.sampling, seed=1))

    @property
    def likelihood(self) -> LevelScheme:
        """Levels without completions."""
        return replace(self.full, method="likelihood")


@dataclass(frozen=True)
class Step:
    """One piece of the plan: `work` resumes, and costs next to nothing once it is done."""

    title: str
    work: Callable[[], Any]


def steps(models: tuple[RealModel, ...], plan: Plan, console: Console) -> Iterator[Step]:
    """All of the plan, cheapest and most telling first. Made one by one: studies take the rate that the sweep before them chose."""
    for model in models:
        for name, settings in probes(model.name, plan).items():
            yield Step(f"{model.name}: {name}", partial(workflows.probe, settings, console))
    for model in models:
        yield Step(f"{model.name}: learning rates on dev facts", partial(workflows.sweep, sweep_of(model.name, plan), console))
    for study in studies(models, plan):
        yield Step(f"study {study.kind} of {', '.join(study.models)}", partial(workflows.study, study, console))


def probes(model: str, plan: Plan) -> dict[str, ProbeSettings]:
    """The probes of one model, by what they are called."""
    return {
        "likelihood": ProbeSettings(model, SOURCE, limit=plan.estimated, scheme=plan.likelihood),
        "full probe": ProbeSettings(model, SOURCE, limit=plan.probed, scheme=plan.full),
        "SliCK's prompts": ProbeSettings(model, SOURCE, limit=plan.again, scheme=plan.slick),
        "full probe, another seed": ProbeSettings(model, SOURCE, limit=plan.again, scheme=plan.second),
    }


def sweep_of(model: str, plan: Plan) -> SweepSettings:
    """Learning rates for 60 examples by LoRA."""
    run = TrainSettings(model, SOURCE, n=60, method="lora", scheme=plan.full, test_limit=plan.probed // plan.relations)
    return SweepSettings(run, plan.rates, plan.seeds)


def studies(models: tuple[RealModel, ...], plan: Plan) -> Iterator[StudySettings]:
    """Each model's amount of data at the rate that dev facts chose for it; of the first model what moves, and two recipes."""
    tested, again = plan.probed // plan.relations, plan.again // plan.relations
    for at, model in enumerate(models):
        rate = workflows.sweep_report(sweep_of(model.name, plan)).chosen
        shared: dict[str, Any] = {"source": SOURCE, "seeds": plan.seeds, "learning_rate": rate, "test_limit": tested, "scheme": plan.full}
        yield StudySettings("amount", (model.name,), sizes=plan.sizes, shots=plan.shots, method="lora", **shared)
        if at == 0:
            yield StudySettings(
                "shift", (model.name,), sizes=(60,), method="lora", retest_limit=again, **{**shared, "seeds": plan.seeds[:1]}
            )
            for recipe in plan.recipes:
                yield recipe_study(RECIPES[recipe](), (model.name,), source=SOURCE, seeds=plan.seeds, test_limit=tested, scheme=plan.full)


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
        shutil.copytree(target, work, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json"))
        for model in models:
            _pack_probes(model, plan, work)
        pack_studies([study for study in studies(models, plan) if _is_done(study)], work)

    write_folder(target, fill, {"kind": "shipped", "models": list(workflows.built_in_models())})


def _is_done(study: StudySettings) -> bool:
    try:
        done, planned = workflows.study_progress(study)
    except SftqaError:
        return False
    return 0 < planned == done


def _pack_probes(model: RealModel, plan: Plan, target: Path) -> None:
    """Hits and estimates of all facts that were probed; texts of completions of those that were probed again, as a sample."""
    workspace = Workspace.current()
    weights = catalogue.model_fingerprint(catalogue.find_model(model.name), "", "").weights
    for settings in probes(model.name, plan).values():
        wanted, scheme = wanted_of(settings), settings.scheme
        if scheme.method != "sampling":
            for estimates in probe_stores.find_estimates(weights, None, scheme, workspace):
                estimates.compact(target, wanted)
            continue
        shown = wanted_of(replace(settings, limit=plan.again)) if scheme == plan.full else ()
        for store in probe_stores.find_stores(weights, None, scheme.sampling, workspace, scheme.asking):
            store.compact(target, wanted, texts_of=shown)


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
