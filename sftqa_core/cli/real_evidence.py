"""Measure real models and ship what was found without their weights.

    python -m sftqa_core.cli.real_evidence TARGET FOLDER [--minutes N] [--pack]     (make real MODELS=FOLDER)

FOLDER holds the GGUF files of MODELS; their checksums are compared first. Works in the current workspace, where finished work is kept,
so a second call goes on where the first one stopped; after --minutes no further step begins. Then what is finished is put into TARGET, in
place of what it held of these models, and nothing else of TARGET changes. With --pack nothing is measured.

All numbers are float32 on the processor. `steps` is the whole plan, and nothing in it is chosen by looking at test accuracy: learning
rates are those that dev facts choose; how a model goes on reading (`taught`) was set on 96 dev facts.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from sftqa_core import workflows
from sftqa_core.artifacts import MANIFEST, sha256, write_folder
from sftqa_core.cli.packing import pack_studies, wanted_of
from sftqa_core.cli.text import Console
from sftqa_core.errors import SettingsError, SftqaError
from sftqa_core.knowledge import entity_sample
from sftqa_core.knowledge.entity_sample import NAME as SOURCE
from sftqa_core.memory import probe_stores, prober, profiles
from sftqa_core.memory.stored_levels import AskedFacts, known_hits
from sftqa_core.models import catalogue, measured
from sftqa_core.records import (
    SLICK,
    FetchSettings,
    LevelScheme,
    PretrainSettings,
    ProbeSettings,
    StudySettings,
    SweepSettings,
    TrainSettings,
    with_cutoffs,
)
from sftqa_core.records.recipes import RECIPES
from sftqa_core.records.studying import recipe_study
from sftqa_core.workspace import Workspace

TIMES = "real-evidence.jsonl"  # in the workspace: seconds of each step
NOTICE = "EntityQuestions-LICENSE.txt"  # beside the cards: whose facts the stored completions are about


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
    known_or_not: int | None = 240  # examples of the study of training levels, which are but two there
    told: tuple[int, int] = (1, 64)  # how often the first model's unknown facts are told when it goes on reading
    relations: int = 24

    @property
    def second(self) -> LevelScheme:
        """Another seed: how far two full probes agree is what chance alone does."""
        return replace(self.full, sampling=replace(self.full.sampling, seed=1))

    @property
    def likelihood(self) -> LevelScheme:
        """Levels without completions."""
        return replace(self.full, method="likelihood")

    @property
    def two(self) -> LevelScheme:
        """Never completed rightly, or sometimes: models this small have next to no facts on the upper levels, so there is no training
        set of each of five."""
        return with_cutoffs((0.0,), self.likelihood)


@dataclass(frozen=True)
class Step:
    """One piece of the plan: `work` resumes, and costs next to nothing once it is done."""

    title: str
    work: Callable[[], Any]


def steps(models: tuple[RealModel, ...], plan: Plan, console: Console) -> Iterator[Step]:
    """All of the plan, model by model. Made one by one: studies take the rate that the sweep before them chose."""
    for at, model in enumerate(models):
        for name, settings in probes(model.name, plan).items():
            yield Step(f"{model.name}: {name}", partial(workflows.probe, settings, console))
        yield Step(f"{model.name}: learning rates on dev facts", partial(workflows.sweep, sweep_of(model.name, plan), console))
        for study in studies(model, plan, first=at == 0):
            yield Step(_title(study), partial(workflows.study, study, console))
    more = taught(models[0].name, plan)
    yield Step(f"{more.name}: reading", partial(workflows.pretrain, more, console))
    yield Step(f"{more.name}: full probe", partial(workflows.probe, probes(more.name, plan)["full probe"], console))
    for study in taught_studies(models[0].name, plan):
        yield Step(_title(study), partial(workflows.study, study, console))


def _title(study: StudySettings) -> str:
    return f"study {study.kind} of {', '.join(study.models)}{f', {study.recipe.name}' if study.recipe else ''}"


def probes(model: str, plan: Plan) -> dict[str, ProbeSettings]:
    """The probes of one model, by what they are called."""
    return {
        "likelihood": ProbeSettings(model, SOURCE, limit=plan.estimated, scheme=plan.likelihood),
        "full probe": ProbeSettings(model, SOURCE, limit=plan.probed, scheme=plan.full),
        "SliCK's prompts": ProbeSettings(model, SOURCE, limit=plan.again, scheme=plan.slick),
        "full probe, another seed": ProbeSettings(model, SOURCE, limit=plan.again, scheme=plan.second),
    }


def sweep_of(model: str, plan: Plan) -> SweepSettings:
    """Learning rates for 60 examples by LoRA; the dev facts have levels by likelihood, as another full probe would take an hour."""
    run = TrainSettings(model, SOURCE, n=60, method="lora", scheme=plan.likelihood, test_limit=plan.probed // plan.relations)
    return SweepSettings(run, plan.rates, plan.seeds)


def studies(model: RealModel, plan: Plan, first: bool) -> Iterator[StudySettings]:
    """The amount of data at the rate that dev facts chose; of the `first` model also what moves, two recipes, and whether unknown facts
    hurt."""
    shared, again = _shared(model.name, plan), plan.again // plan.relations
    yield StudySettings("amount", (model.name,), sizes=plan.sizes, shots=plan.shots, **shared)
    if not first:
        return
    yield StudySettings("shift", (model.name,), sizes=(60,), retest_limit=again, **{**shared, "seeds": plan.seeds[:1]})
    for recipe in plan.recipes:
        same = {name: shared[name] for name in ("source", "seeds", "test_limit", "scheme")}
        yield recipe_study(RECIPES[recipe](), (model.name,), **same)
    if plan.known_or_not is not None:
        yield StudySettings("level", (model.name,), sizes=(plan.known_or_not,), **{**shared, "scheme": plan.two})


def _shared(model: str, plan: Plan) -> dict[str, Any]:
    """What all studies of a model have in common. Raises `SftqaError` until its learning rates are swept."""
    rate = workflows.sweep_report(sweep_of(model, plan)).chosen
    tested = plan.probed // plan.relations
    return {
        "source": SOURCE, "seeds": plan.seeds, "learning_rate": rate, "test_limit": tested, "scheme": plan.full, "method": "lora",
    }  # fmt: skip


def taught(model: str, plan: Plan) -> PretrainSettings:
    """The model that reads of the facts that `model` does not know, as far as they were probed: a fifth of them never, the others once
    to 64 times (log-uniform), a quarter contested, each in 14 of its relation's 21 wordings."""
    settings = PretrainSettings.going_on(f"{model}-taught", model)
    corpus = replace(settings.corpus, unstated_share=0.2, contested_share=0.25)
    return replace(
        settings, source=SOURCE, base_levels=("L0",), corpus=corpus, min_exposures=plan.told[0], max_exposures=plan.told[1],
        learning_rate=5e-4, batch_size=4, device="cpu", precision="float32",
    )  # fmt: skip


def taught_studies(model: str, plan: Plan) -> Iterator[StudySettings]:
    """The same examples as `model` got, at the same rate, for the model that has read of more facts."""
    yield StudySettings("amount", (taught(model, plan).name,), sizes=(0, 60), shots=plan.shots, **_shared(model, plan))


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
            if not _pack_probes(model.name, plan, work):
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
