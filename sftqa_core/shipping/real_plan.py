"""What is measured of real models, in which order, and with which settings: the plan behind `make real` (shipping/real_evidence.py).

All numbers are float32 on the processor. Nothing in the plan is chosen by looking at test accuracy: learning rates are those that dev facts
choose; how a model goes on reading (`taught`) was set on 96 dev facts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sftqa_core import workflows
from sftqa_core.cli.text import Console
from sftqa_core.errors import SettingsError, SftqaError
from sftqa_core.knowledge.entity_sample import NAME as SOURCE
from sftqa_core.models import measured
from sftqa_core.records import (
    SLICK,
    LevelScheme,
    PretrainSettings,
    ProbeSettings,
    StudySettings,
    SweepReport,
    SweepSettings,
    TrainSettings,
    with_cutoffs,
)
from sftqa_core.records.recipes import RECIPES
from sftqa_core.records.studying import recipe_study


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


# The default of under 400 million parameters when this was planned, times 1/4 to 4 as every sweep tries; and twice and four times as much
# again, as SmolLM2's best by LoRA was the highest of these.
_RATES = {
    method: tuple(float(f"{usual * factor:.3g}") for factor in (0.25, 0.5, 1, 2, 4, 8, 16))
    for method, usual in (("lora", 8e-4), ("full", 6e-5))
}  # fmt: skip


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
    rates: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: _RATES)  # by method
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
        for sweep in sweeps(model.name, plan):
            title = f"{model.name}: learning rates on dev facts, {sweep.run.method}"
            yield Step(title, partial(_sweep, sweep, console))
        for study in studies(model, plan, first=at == 0):
            yield Step(_title(study), partial(workflows.study, study, console))
    more = taught(models[0].name, plan)
    yield Step(f"{more.name}: reading", partial(workflows.pretrain, more, console))
    for name in ("likelihood", "full probe"):  # of the facts that the full probe is about
        probe = replace(probes(more.name, plan)[name], limit=plan.probed)
        yield Step(f"{more.name}: {name}", partial(workflows.probe, probe, console))
    for study in taught_studies(models[0].name, plan):
        yield Step(_title(study), partial(workflows.study, study, console))


def finished_sweep(sweep: SweepSettings) -> SweepReport | None:
    """What dev facts said, here or in what ships, which holds no run of a sweep; None until every run is done."""
    with contextlib.suppress(SftqaError):
        report = workflows.sweep_report(sweep)
        if report.chosen is not None:
            return report
    return next((report for report in measured.rates(sweep.run.model) if report.settings == sweep), None)


def _sweep(sweep: SweepSettings, console: Console) -> None:
    if finished_sweep(sweep) is None:
        workflows.sweep(sweep, console)


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


def sweeps(model: str, plan: Plan) -> tuple[SweepSettings, ...]:
    """Learning rates for 60 examples by LoRA, which the studies take, and by full tuning; the dev facts have levels by likelihood, as
    another full probe would take an hour."""
    run = TrainSettings(model, SOURCE, n=60, scheme=plan.likelihood, test_limit=plan.probed // plan.relations)
    return tuple(SweepSettings(replace(run, method=method), rates, plan.seeds) for method, rates in plan.rates.items())


def studies(model: RealModel, plan: Plan, first: bool) -> Iterator[StudySettings]:
    """The amount of data at the rate that dev facts chose; of the `first` model also what moves, two recipes, and whether unknown facts
    hurt."""
    shared, again = _shared(model.name, plan), plan.again // plan.relations
    yield StudySettings("amount", (model.name,), sizes=plan.sizes, shots=plan.shots, **shared)
    if not first:
        return
    yield StudySettings("shift", (model.name,), sizes=(60,), retest_limit=again, **{**shared, "seeds": plan.seeds[:1]})
    for recipe in plan.recipes:
        more = {"learning_rate": _rate(model.name, plan, "full"), "scheme": plan.likelihood}  # dev facts need levels, too
        yield recipe_study(RECIPES[recipe](), (model.name,), **{**shared, "method": "full", **more})
    if plan.known_or_not is not None:
        yield StudySettings("level", (model.name,), sizes=(plan.known_or_not,), **{**shared, "scheme": plan.two})


def _shared(model: str, plan: Plan) -> dict[str, Any]:
    """What the studies of a model have in common. Raises `SftqaError` until its learning rates are swept."""
    tested = plan.probed // plan.relations
    return {
        "source": SOURCE, "seeds": plan.seeds, "learning_rate": _rate(model, plan, "lora"), "test_limit": tested, "scheme": plan.full,
        "method": "lora",
    }  # fmt: skip


def _rate(model: str, plan: Plan, method: str) -> float | None:
    """The one that dev facts chose."""
    report = next(finished_sweep(sweep) for sweep in sweeps(model, plan) if sweep.run.method == method)
    if report is None:
        raise SettingsError(f"No learning rate of {model} is chosen yet: the sweep by {method} is not finished.")
    return report.chosen


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
