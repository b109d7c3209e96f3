"""What work will cost, before it starts: from rates measured on this machine, else a rough estimate from the model's size."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

from sftqa_core.errors import NotEnoughFacts, SettingsError
from sftqa_core.evaluation.inside import curves
from sftqa_core.evaluation.predictions import held_out_facts, is_kept, require_test_facts
from sftqa_core.jsonrecord import Record
from sftqa_core.memory import profiles, speeds
from sftqa_core.memory.stated_facts import stated_source
from sftqa_core.models import chat_templates, devices
from sftqa_core.models.serving.addresses import KIND as SERVER
from sftqa_core.planning import pretraining_size
from sftqa_core.planning.cluster_address import goes_to
from sftqa_core.planning.fit import Estimator, Fit, verdict
from sftqa_core.planning.pretraining_size import PretrainingSize
from sftqa_core.progress import Silent
from sftqa_core.records import InsideSettings, PretrainSettings, ProbeSettings, StudySettings, SweepSettings, TrainSettings
from sftqa_core.records.probes import held_as
from sftqa_core.records.tuning import minutes, parts_of, probe_settings
from sftqa_core.training import recipes

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.memory.prober import Prober
    from sftqa_core.studies.model_study import ModelStudy

_MEASURED = "Based on this model's measured speed on this machine."
_ROUGH = "A rough estimate from the model's size: too little of this work was measured on this machine."
_NEVER_MADE = "A rough estimate from the model's size: no model was pre-trained on this machine for long enough to tell."
_NOTHING = "Nothing left to compute."
# Of a look inside, in answers a fact that is looked at: restored models, controls by chance a draw, rankings of an answer; and drift's
# in answers a test fact. (benchmarks/inside.py: 18.9, 4.2 and 1.4 evaluations of 3,060 facts, 600 of which are looked at.)
RESTORED, DRAWN, RANKED, DRIFTED = 61, 7, 22, 1.5
START_S = (4.0, 15.0)  # importing torch and loading a small model
# Forward-pass tokens of one piece of work, about; training counts threefold.
TOKENS = {"probe": 900, "adaptive": 700, "likelihood": 260, "few_shot_probe": 1500, "train": 90, "answer": 30, "few_shot": 120}
# A small laptop to a workstation; an old GPU to a new one; the smallest Apple GPU to the largest
FLOPS_PER_S = {"cpu": (2e10, 2e11), "cuda": (1e13, 2e14), "rocm": (1e13, 2e14), "mps": (1e12, 2e13)}


@dataclass(frozen=True)
class Forecast:
    """What a run or probe would take."""

    examples: int
    steps: int
    test_facts: int
    probes_needed: int  # facts whose level is not known and has to be
    seconds_low: float
    seconds_high: float
    notes: tuple[str, ...]  # where the numbers come from
    problems: tuple[str, ...]  # why it can't be done; empty where it can
    runs: int = 1  # of a study those that are left
    fit: Fit | None = None  # None where nothing has to be computed
    pretraining: PretrainingSize | None = None  # of a pre-training, which has no examples and no probes

    def within(self, kind: str, settings: Record, needed: Callable[[dict[str, Any]], Fit]) -> Forecast:
        """The same with what the settings need on their device, and what stands against that; `needed` estimates any settings."""
        fit = needed(settings.to_dict())
        problems, notes = verdict(fit, kind, settings.to_dict(), needed)
        fit = replace(fit, stands_against=" ".join((*problems, *notes)))
        return replace(self, fit=fit, problems=(*self.problems, *problems), notes=(*self.notes, *notes))

    def elsewhere(self) -> Forecast:
        """The same for devices of which nothing is known here: that this machine's have too little room is no reason against it."""
        against = self.fit.stands_against if self.fit else ""
        problems, notes = ([line for line in lines if not against or line not in against] for lines in (self.problems, self.notes))
        return replace(self, problems=tuple(problems), notes=tuple(notes))

    def plus(self, other: Forecast) -> Forecast:
        """Both, one after the other, on the same test facts."""
        return replace(
            self,
            examples=self.examples + other.examples,
            steps=self.steps + other.steps,
            test_facts=max(self.test_facts, other.test_facts),
            probes_needed=self.probes_needed + other.probes_needed,
            seconds_low=self.seconds_low + other.seconds_low,
            seconds_high=self.seconds_high + other.seconds_high,
            notes=tuple(dict.fromkeys((*self.notes, *other.notes))),
        )


def forecast(settings: TrainSettings | ProbeSettings | StudySettings | SweepSettings | InsideSettings | PretrainSettings) -> Forecast:
    """The cost of a training run, a probe, a study, a sweep, a look inside or a pre-training.

    Raises `SftqaError` for a model or source that can't be had.
    """
    if isinstance(settings, PretrainSettings):
        return _pretraining(settings)
    if isinstance(settings, InsideSettings):
        return _inside(settings)
    if isinstance(settings, TrainSettings):
        return _train(settings)
    models: tuple[str, ...]
    if isinstance(settings, SweepSettings):
        cost, kind, models = _sweep(settings), "sweep", (settings.run.model,)
    elif isinstance(settings, StudySettings):
        cost, kind, models = _study(settings), "study", settings.models
    else:
        cost, kind, models = _probe(settings), "probe", (settings.model,)
    with contextlib.suppress(SettingsError):  # an address that is none: preflight says so
        return cost.elsewhere() if goes_to(kind, models) else cost
    return cost


def _probe(settings: ProbeSettings) -> Forecast:
    from sftqa_core.memory.prober import chosen_facts

    prober = _prober(settings)
    facts = chosen_facts(prober.source, settings)
    left = _unknown(prober, facts)
    low, high, notes = _seconds(prober, {speeds.kind_of_probe(settings.scheme): left})
    cost = Forecast(0, 0, 0, left, low, high, notes, ())

    def needed(data: dict[str, Any]) -> Fit:
        other = ProbeSettings.from_dict(data)
        estimator = Estimator(prober.card, devices.chosen_device(other.device), held_as(other))
        return estimator.probing(prober.source, facts, other.scheme, other.batch_size, other.gpus)

    return cost.within("probe", settings, needed) if left else cost


def _of_several(notes: Sequence[str]) -> tuple[str, ...]:
    """Where the times of several models come from: each once, and one sentence where some were measured and others not."""
    left = [note for note in notes if note != _NOTHING] or notes[:1]
    measured, rough = left.count(_MEASURED), left.count(_ROUGH)
    if not (measured and rough):
        return tuple(dict.fromkeys(left))
    mixed = f"Based on measured speed for {measured} of {measured + rough} models, on a rough estimate from their size for the others."
    return (mixed, *dict.fromkeys(note for note in left if note not in (_MEASURED, _ROUGH)))


def _study(settings: StudySettings) -> Forecast:
    """Everything that is left of a study; `steps` counts those of all runs."""
    from sftqa_core.studies.model_study import ModelStudy

    cost, problems = Forecast(0, 0, 0, 0, 0.0, 0.0, (), (), runs=0), []
    parts: list[tuple[ModelStudy, int, int]] = []
    said: list[str] = []
    for model in settings.models:
        part = ModelStudy(settings, model)
        on_dev, on_test, pool = part.dev_left(), part.left(), part.train_facts
        try:
            part.require_facts()
        except NotEnoughFacts as error:
            problems.append(str(error))
        left = [*on_dev, *on_test]
        sizes = [len(pool) if run.n == TrainSettings.ALL else run.n for run in left]
        stages = [stage for run, n in zip(left, sizes, strict=True) for stage in recipes.costs(run, n)]
        probes = sum(_unknown(part.prober.under(scheme), facts) for scheme, facts in part.wanted_levels())
        probes += len(part.again) * sum(part.shifts_levels(run) for run in on_test)
        if (examples := _examples_to_probe(part, left)) is not None:
            probes += _unknown(part.prober, examples)
        shown = [run.more_shots[0] for run in on_test if run.more_shots]
        asked = {"answer": len(part.facts) * (len(on_test) - len(shown)) + len(part.dev_facts) * len(on_dev)}
        asked["few_shot"] = sum(speeds.few_shot_pieces(len(part.facts), shots) for shots in shown)
        low, high, notes = _seconds(part.prober, {speeds.kind_of_probe(settings.scheme): probes, **_worked(stages, asked)})
        steps = sum(stage.steps(settings.batch_size) for stage in stages)
        cost = cost.plus(Forecast(sum(sizes), steps, len(part.facts), probes, low, high, (), ()))
        cost, said = replace(cost, runs=cost.runs + len(left)), [*said, *notes]
        parts += [(part, max(sizes, default=0), probes)] if sizes or probes else []

    cost = replace(cost, notes=_of_several(said))

    def needed(data: dict[str, Any]) -> Fit:
        other = StudySettings.from_dict(data)
        runs = [(part, _largest_run(other, part.model, n), n, probes) for part, n, probes in parts]
        return reduce(Fit.larger, [_run_fit(part.prober, run, part.train_facts, part.facts, probes, n) for part, run, n, probes in runs])

    return cost.within("study", settings, needed) if parts and not problems else replace(cost, problems=tuple(problems))


def _largest_run(study: StudySettings, model: str, n: int) -> TrainSettings:
    """By which a study's memory is reckoned: with its recipe, where it has one."""
    recipe = {"recipe": study.recipe} if study.recipe and n else {}
    return study.run(model, n, 0, more_shots=study.shots, **recipe)


def _examples_to_probe(part: ModelStudy, runs: Sequence[TrainSettings]) -> pd.DataFrame | None:
    """Facts whose levels the runs of a recipe ask for: all that a run may choose from by level, else those that it chooses; None where
    no run asks. Other studies name theirs themselves."""
    from sftqa_core.training.selection import needs_levels, select_examples

    if not part.tried or not runs:
        return None
    if any(needs_levels(run) for run in runs):
        return part.train_facts
    asking = [run for run in runs if run.recipe and run.recipe.needs_levels]
    chosen = {fact for run in asking for fact in select_examples(part.source, None, run).facts["fact_id"]}
    return part.train_facts[part.train_facts["fact_id"].isin(chosen)] if chosen else None


def _sweep(settings: SweepSettings) -> Forecast:
    """The runs of a sweep that are left; `test_facts` are dev facts."""
    from sftqa_core.studies.sweep import Sweep
    from sftqa_core.training.selection import train_pool

    sweep, run = Sweep(settings), settings.run
    left, one = sweep.left(), _train(replace(run, learning_rate=sweep.default_rate))
    if one.problems and one.fit is None:  # not enough facts
        return replace(one, runs=len(left), test_facts=len(sweep.facts))
    probes = _unknown(sweep.prober, sweep.facts) if left else 0
    each = _worked(recipes.costs(run, one.examples), {"answer": len(sweep.facts)})
    pieces = {kind: count * len(left) for kind, count in each.items()}
    low, high, notes = _seconds(sweep.prober, {speeds.kind_of_probe(run.scheme): probes, **pieces})
    cost = Forecast(one.examples * len(left), one.steps * len(left), len(sweep.facts), probes, low, high, notes, (), len(left))
    if not left:
        return cost

    def needed(data: dict[str, Any]) -> Fit:
        pool = train_pool(sweep.source, run)
        return _run_fit(sweep.prober, TrainSettings.from_dict(data), pool, sweep.facts, probes, one.examples)

    return cost.within("train", run, needed)


def _inside(settings: InsideSettings) -> Forecast:
    """The training made again and the measures, whether or not some of them were taken before; reckoned in trainings and answers."""
    run = replace(settings.run, shots=0, more_shots=())
    one, prober = _train(run), _prober(probe_settings(run))
    if one.problems:
        return one
    tests = one.test_facts
    some = min(tests, settings.per_level * len(run.scheme.labels) * 2)
    asked = tests * (1.0 + DRIFTED * ("drift" in settings.measures))
    asked += some * (RESTORED + settings.draws * DRAWN) * ("restoration" in settings.measures)
    asked += some * RANKED * ("knowledge" in settings.measures)
    made = _worked(recipes.costs(run, one.examples), {"answer": round(asked)})
    if "curves" in settings.measures:
        made["train"] += round(curves.cost(run, settings, one.examples, len(held_out_facts(prober.source, run, "dev"))).examples)
    low, high, basis = _seconds(prober, made)
    return replace(one, seconds_low=low, seconds_high=high, notes=basis)


def _pretraining(settings: PretrainSettings) -> Forecast:
    """Writing and encoding the corpus, then its steps: six operations a parameter and token."""
    size = pretraining_size.pretraining_size(settings, stated_source(settings))
    cost = Forecast(0, size.steps, size.test, 0, 0.0, 0.0, size.notes, size.problems, pretraining=size)
    if size.problems:
        return cost
    kind = devices.numbered(devices.chosen_device(settings.device))[0]
    flops, known = 6 * size.parameters * size.tokens, pretraining_size.measured_flops(kind)
    slow, fast = (known[0] / 1.5, known[0] / 0.7) if known else FLOPS_PER_S[kind]
    low, high = (
        start + document_s * size.documents + flops / rate
        for start, document_s, rate in zip(START_S, pretraining_size.DOCUMENT_S, (fast, slow), strict=True)
    )
    basis = f"Based on how fast {known[1]} was pre-trained here." if known else _NEVER_MADE
    cost = replace(cost, seconds_low=low, seconds_high=high, notes=(*size.notes, basis))
    if pretraining_size.shape(settings) is None:
        return cost

    def needed(data: dict[str, Any]) -> Fit:
        at_once = max(1, data["batch_size"] // data.get("accumulate", 1))
        return pretraining_size.pretraining_fit(settings, size, at_once)

    return cost.within("pretrain", settings, needed)


def _train(settings: TrainSettings) -> Forecast:
    from sftqa_core.training.selection import available, needs_levels, next_to_probe, select_examples, train_pool

    prober = _prober(probe_settings(settings))
    source = prober.source
    facts, pool = held_out_facts(source, settings), train_pool(source, settings)
    levels = profiles.known_levels(prober, pool) if needs_levels(settings) else None
    least, takes_all = available(source, levels, settings).total, settings.n == TrainSettings.ALL
    n = least if takes_all else settings.n
    notes: list[str] = chat_templates.chat_notes(prober.card, settings.prompt)
    problems, train_probes = [], 0
    try:
        require_test_facts(facts, source.name)
    except NotEnoughFacts as error:
        problems.append(str(error))
    try:  # at most how many train facts are probed first
        unknown = len(pool) - (0 if levels is None else len(levels))
        wanted = needs_levels(settings) if takes_all else len(next_to_probe(source, levels, settings))
        train_probes = unknown if wanted else 0
    except NotEnoughFacts as error:
        problems.append(str(error))
    if train_probes and takes_all:
        n = least + train_probes
        notes.append(f"{train_probes:,} train facts have no known level and are probed first; there will be {least:,} to {n:,} examples.")
    elif train_probes:
        notes.append(f"Up to {train_probes:,} train facts have no known level; they are probed until each level has enough examples.")
    stages = recipes.costs(settings, n)
    if settings.recipe is not None:
        notes.append(f"Recipe {settings.recipe.name}. {'. '.join(stage.words().capitalize() for stage in stages)}.")
        if settings.recipe.needs_levels and not (problems or needs_levels(settings)):
            train_probes = _unknown(prober, select_examples(source, None, replace(settings, n=n)).facts)
            notes += [f"{train_probes:,} examples have no known level and are probed first."] if train_probes else []
    probes, steps = _unknown(prober, facts) + train_probes, sum(stage.steps(settings.batch_size) for stage in stages)
    asked = _answers(prober, facts, settings, notes)
    if settings.eval_every is not None and steps:  # every look, should none of them end the training
        looked_at = min(settings.eval_facts, len(held_out_facts(source, settings, "dev")))
        asked["answer"] += looked_at * -(-steps // settings.eval_every)
    low, high, basis = _seconds(prober, {speeds.kind_of_probe(settings.scheme): probes, **_worked(stages, asked)})
    if settings.time_limit_min is not None and steps and high >= 60 * settings.time_limit_min:
        notes.append(f"The time limit of {minutes(settings.time_limit_min)} may end the training before its last step.")
    cost = Forecast(n, steps, len(facts), probes, low, high, (*notes, *basis), tuple(problems))

    def needed(data: dict[str, Any]) -> Fit:
        return _run_fit(prober, TrainSettings.from_dict(data), pool, facts, probes, n)

    return cost if problems else cost.within("train", settings, needed)


def _worked(stages: Sequence[recipes.StageCost], asked: Mapping[str, int]) -> dict[str, int]:
    """Kinds of work -> how much: what the stages of a run are made of, and questions that are asked beside."""
    kinds = ("train", "answer", "few_shot")
    return {kind: round(sum(stage.pieces()[kind] for stage in stages)) + asked.get(kind, 0) for kind in kinds}


def _run_fit(prober: Prober, settings: TrainSettings, pool: pd.DataFrame, tests: pd.DataFrame, probes: int, n: int) -> Fit:
    """The most that a run needs at any time: while `probes` facts are probed, while it is trained, or while it answers."""
    estimator = Estimator(prober.card, devices.chosen_device(settings.device), settings.quantization)
    training = estimator.training(settings, pool, tests, n)
    return training.larger(estimator.probing(prober.source, tests, settings.scheme, None, parts_of(settings)) if probes else None)


def _prober(settings: ProbeSettings) -> Prober:
    from sftqa_core.memory.prober import Prober

    return Prober(profiles.open_for(settings.model, settings.source), settings, Silent())


def _unknown(prober: Prober, facts: pd.DataFrame) -> int:
    """Facts whose level would have to be measured."""
    levels = profiles.known_levels(prober, facts)
    return len(facts) - (0 if levels is None else len(levels))


def _answers(prober: Prober, facts: pd.DataFrame, settings: TrainSettings, notes: list[str]) -> dict[str, int]:
    """Questions to be asked, by kind; those that the base model answered before in the same way cost nothing."""
    asked, all_known = {"answer": len(facts), "few_shot": 0}, True
    for stage, shots in {"before": 0, **settings.few_shot_stages}.items():
        if prober.card.path:
            model = chat_templates.asked_by(prober.fingerprint, prober.card, settings.prompt)
            if is_kept(stage, model, facts, prober.source, settings, prober.aliases):
                continue
        asked["few_shot" if shots else "answer"] += speeds.few_shot_pieces(len(facts), shots) if shots else len(facts)
        all_known = False
    if all_known:
        notes.append("The base model's answers are known already.")
    return asked


def _seconds(prober: Prober, pieces: dict[str, int]) -> tuple[float, float, tuple[str, ...]]:
    """Seconds at best and at worst, and where they come from. `pieces`: kind of work -> how many."""
    card, kind = prober.card, prober.device
    if not any(pieces.values()):
        return 0.0, 0.0, (_NOTHING,)
    rates = speeds.measured(prober.fingerprint) if card.path else {}
    rough = [name for name, count in pieces.items() if count and name not in rates]
    low, high = START_S
    for name, count in pieces.items():
        if name in rates:
            low, high = low + 0.7 * count / rates[name], high + 1.5 * count / rates[name]
        elif card.parameters:
            flops = 2 * card.parameters * TOKENS[name] * count
            slow, fast = FLOPS_PER_S[kind]
            low, high = low + flops / fast, high + flops / slow
    if not rough:
        return low, high, (_MEASURED,)
    if card.kind == SERVER:
        return low, high, ("How fast the server answers is not known yet, so only the start is counted.",)
    if not card.parameters:
        return low, high, ("The model's size is unknown, so only the time to load it is counted.",)
    return low, high, (_ROUGH,)
