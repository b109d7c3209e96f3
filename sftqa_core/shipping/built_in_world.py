"""Make what ships: four tiny models, their levels, completions and other probes on the atlas (SliCK's, too), the studies, an example run.

    python -m sftqa_core.shipping.built_in_world TARGET [--pretrain | --recipes | --inside]
    (make studies, make shipped, make recipes, make inside)

Works in the current workspace, where finished work is kept, and then replaces TARGET, but for what it holds of real models
(shipping/real_evidence.py). Without --pretrain the models are those that TARGET holds. With --recipes everything is, but for the studies
of recipes, and with --inside but for the looks inside tuned models: those are made beside what ships (SFTQA_SHIPPED).
From scratch all takes two hours on two cores, and an hour more to pre-train.
"""

import multiprocessing
import os
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from sftqa_core import workflows
from sftqa_core.artifacts import write_folder
from sftqa_core.cli.text import Console
from sftqa_core.evaluation.inside import kept_looks
from sftqa_core.memory import probe_stores
from sftqa_core.models import catalogue
from sftqa_core.records import SLICK, STUDIES, LevelScheme, ProbeSettings, SamplerSettings, StudySettings, TrainSettings
from sftqa_core.records.recipes import RECIPES
from sftqa_core.records.studying import recipe_study
from sftqa_core.shipping.packing import OF_STUDIES, keep_measured, pack_studies, wanted_of
from sftqa_core.workflows.study_reports import report_name
from sftqa_core.workspace import Workspace

MODELS = tuple(workflows.built_in_models())
FIRST = MODELS[0]  # the one that the example run, and all test facts' other probes, are of
SECOND = LevelScheme(sampling=SamplerSettings(seed=1))  # how far two full probes agree is what chance alone does
ESTIMATED = (LevelScheme(method="adaptive"), LevelScheme(method="likelihood"))
OTHERS = (SECOND, *ESTIMATED)
STUDIED = tuple(StudySettings(kind, MODELS) for kind, study in STUDIES.items() if not study.recipe)
TRIED = tuple(recipe_study(recipe(), (FIRST,)) for recipe in RECIPES.values())  # the grid of every recipe, on one model
_REPLACED = (*OF_STUDIES, "manifest.json")  # of what ships, where studies are made again
INSIDE = ((60, None), (1_920, None), (240, (0,)), (240, (4,)))  # n and training levels of the cells that are looked into
SLICKS = 600  # test facts of each model that are probed by SliCK's prompts, too
PROBED_AGAIN = 960  # test facts of the other models: 40 a relation, as the studies probe again


def ship(target: Path, console: Console, pretrain: bool = False) -> None:
    """Do what is missing in this workspace, then replace `target`."""
    workspace = Workspace.current()
    with _processes() as pool:
        for done in [pool.submit(_make, model, target, pretrain) for model in MODELS]:
            done.result()
    for study in STUDIED:
        workflows.study(study, console)  # nothing is left to run: this lists the study
    _try_recipes()
    _look_inside()
    example = workflows.train(TrainSettings(FIRST, n=60, save_model=False), console)

    def fill(work: Path) -> None:
        for model in MODELS:
            shutil.copytree(workspace.models / model, work / "models" / model)
            _compact_levels(model, work)
        shutil.copytree(workspace.runs / example.run, work / "runs" / example.run)
        pack_studies((*STUDIED, *TRIED), work)
        _pack_looks(work)
        keep_measured(target, work)

    write_folder(target, fill, {"kind": "shipped", "models": list(MODELS)})


def ship_recipes(target: Path) -> None:
    """The studies of recipes alone: what is missing of them, then `target` with them in place of those that it held."""
    for study in TRIED:  # `target` is what ships already, and a kept report is not made again
        (target / "reports" / f"{report_name(study)}.json").unlink(missing_ok=True)
    _try_recipes()

    def fill(work: Path) -> None:
        shutil.copytree(target, work, dirs_exist_ok=True, ignore=lambda folder, _: _REPLACED if Path(folder) == target else ())
        pack_studies((*STUDIED, *TRIED), work)
        keep_measured(target, work)

    write_folder(target, fill, {"kind": "shipped", "models": list(MODELS)})


def ship_inside(target: Path) -> None:
    """The looks inside tuned models alone: what is missing of them, then `target` with them in place of those that it held."""
    _look_inside()

    def fill(work: Path) -> None:
        left = (kept_looks.FOLDER, "manifest.json")
        shutil.copytree(target, work, dirs_exist_ok=True, ignore=lambda folder, _: left if Path(folder) == target else ())
        _pack_looks(work)

    write_folder(target, fill, {"kind": "shipped", "models": list(MODELS)})


def _look_inside() -> None:
    """Every cell of the first model with these amounts and levels: all seeds."""
    with _processes() as pool:
        for done in [pool.submit(_inside, name) for name in _looked_into()]:
            done.result()


def _looked_into() -> list[str]:
    """Names of those cells."""
    named: dict[tuple[int, tuple[int, ...] | None, int], str] = {}
    for study in STUDIED:
        for name, run in workflows.cell_names(study, FIRST).items() if FIRST in study.models and study.kind in ("amount", "level") else ():
            if (run.n, run.levels) in INSIDE and not run.more_shots:
                named.setdefault((run.n, run.levels, run.seed), name)  # the same cell may be part of both
    return list(named.values())


def _inside(name: str) -> None:
    workflows.inside(workflows.inside_settings(name), Console())


def _pack_looks(target: Path) -> None:
    """The folders of those looks."""
    wanted = set(_looked_into())
    for look in workflows.looks():
        for piece in look.pieces.values() if wanted.intersection(look.names) else ():
            shutil.copytree(piece.folder, target / kept_looks.FOLDER / piece.folder.name)


def _try_recipes() -> None:
    """Each study in a process of its own, but for the first: all share what plain tuning answers."""
    with _processes() as pool:
        pool.submit(_study, TRIED[0]).result()
        for done in [pool.submit(_study, study) for study in reversed(TRIED[1:])]:  # the longest ones first: they stand last
            done.result()


def _study(study: StudySettings) -> None:
    workflows.study(study, Console())


def _processes() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1)


def _make(model: str, target: Path, pretrain: bool) -> None:
    """Everything of one model, in a process of its own."""
    from sftqa_core.workflows.study_runs import run_study  # brings torch, which the waiting process does not need

    console, folder = Console(), Workspace.current().models / model
    if not folder.is_dir() and pretrain:
        workflows.pretrain(workflows.built_in_models()[model], console)
    elif not folder.is_dir():
        shutil.copytree(target / "models" / model, folder)
    workflows.probe(ProbeSettings(model, split="all"), console)
    for scheme in OTHERS:
        workflows.probe(ProbeSettings(model, split="test", scheme=scheme, limit=_again(model)), console)
    workflows.probe(_by_slick(model), console)
    for study in STUDIED:
        if model in study.models:
            run_study(replace(study, models=(model,)), console)


def _again(model: str) -> int | None:
    return None if model == FIRST else PROBED_AGAIN


def _by_slick(model: str) -> ProbeSettings:
    return ProbeSettings(model, split="test", scheme=SLICK, limit=SLICKS)


def _compact_levels(model: str, target: Path) -> None:
    """One sorted part with every usable fact's completions, and one with its hits; of the test facts' other probes by statements the
    levels alone."""
    workspace = Workspace.current()
    weights = catalogue.model_fingerprint(catalogue.find_model(model), "", "").weights
    (store,) = probe_stores.find_stores(weights, None, LevelScheme().sampling, workspace)
    store.compact(target, wanted_of(ProbeSettings(model, split="all")))
    tests = wanted_of(ProbeSettings(model, split="test", limit=_again(model)))
    (second,) = probe_stores.find_stores(weights, None, SECOND.sampling, workspace)
    second.compact(target, tests, texts_of=())
    (slick,) = probe_stores.find_stores(weights, None, SLICK.sampling, workspace, SLICK.asking)
    slick.compact(target, wanted_of(_by_slick(model)))
    for scheme in ESTIMATED:
        (estimates,) = probe_stores.find_estimates(weights, None, scheme, workspace)
        estimates.compact(target, tests)


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"  # a process a model, each on one thread: the numbers do not depend on how many cores there are
    if "--recipes" in sys.argv[2:]:
        ship_recipes(Path(sys.argv[1]))
    elif "--inside" in sys.argv[2:]:
        ship_inside(Path(sys.argv[1]))
    else:
        ship(Path(sys.argv[1]), Console(), "--pretrain" in sys.argv[2:])
