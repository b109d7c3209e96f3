"""What work will cost, told before it starts; from rates measured on this machine, else a rough estimate from the size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

from sftqa_core.errors import NotEnoughFacts
from sftqa_core.jsonrecord import Record
from sftqa_core.memory.speeds import few_shot_pieces, kind_of_probe
from sftqa_core.models.chat_templates import asked_by, chat_notes
from sftqa_core.models.devices import resolve_device
from sftqa_core.planning.fit import Estimator, Memory, verdict
from sftqa_core.progress import Silent
from sftqa_core.records import ProbeSettings, StudySettings, TrainSettings
from sftqa_core.records.tuning import parts_of, probe_settings

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.knowledge.facts import FactSource
    from sftqa_core.memory.prober import Prober

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
    problems: tuple[str, ...]  # why it can't be done; empty when it can
    runs: int = 1  # of a study those that are left
    memory: Memory | None = None  # None where nothing has to be computed

    def within(self, memory: Memory, kind: str, settings: Record, again: Callable[[dict[str, Any]], Memory]) -> Forecast:
        """The same with the memory that it needs, and what stands against that; `again` estimates other settings."""
        problems, notes = verdict(memory, kind, settings.to_dict(), again)
        memory = replace(memory, stands_against=" ".join((*problems, *notes)))
        return replace(self, memory=memory, problems=(*self.problems, *problems), notes=(*self.notes, *notes))

    def plus(self, other: Forecast) -> Forecast:
        """Both, one after the other, on the same test facts."""
        notes = tuple(dict.fromkeys((*self.notes, *other.notes)))
        sums = [one + two for one, two in zip(self._counted(), other._counted(), strict=True)]
        examples, steps, probes, low, high = sums
        return Forecast(int(examples), int(steps), max(self.test_facts, other.test_facts), int(probes), low, high, notes, self.problems)

    def _counted(self) -> tuple[float, ...]:
        return (self.examples, self.steps, self.probes_needed, self.seconds_low, self.seconds_high)


def forecast(settings: TrainSettings | ProbeSettings | StudySettings) -> Forecast:
    """The cost of a training run, a probe or a study. Raises `SftqaError` for a model or source that can't be had."""
    if isinstance(settings, StudySettings):
        return _study(settings)
    return _probe(settings) if isinstance(settings, ProbeSettings) else _train(settings)


def _probe(settings: ProbeSettings) -> Forecast:
    from sftqa_core.memory.prober import chosen_facts

    prober = _prober(settings)
    facts = chosen_facts(prober.source, settings)
    left = _unknown(prober, facts)
    low, high, notes = _seconds(prober, {kind_of_probe(settings.scheme): left})
    told = Forecast(0, 0, 0, left, low, high, notes, ())
    if not left:
        return told

    def needed(data: dict[str, Any]) -> Memory:
        other = ProbeSettings.from_dict(data)
        estimator = Estimator(prober.card, resolve_device(other.device), other.quantization)
        return estimator.probing(prober.source, facts, other.scheme, other.batch_size, other.gpus)

    return told.within(needed(settings.to_dict()), "probe", settings, needed)


def _study(settings: StudySettings) -> Forecast:
    """Everything that is left of a study; `steps` counts those of all runs."""
    from sftqa_core.studies.model_study import ModelStudy

    found, runs, problems = Forecast(0, 0, 0, 0, 0.0, 0.0, (), ()), 0, []
    parts: list[tuple[ModelStudy, int, int]] = []
    for model in settings.models:
        part = ModelStudy(settings, model)
        left, pool = part.left(), part.train_facts
        if short := [run.n for run in left if run.n > len(pool)]:
            problems.append(f"{max(short):,} examples were asked for, but {settings.source} has {len(pool):,} train facts for {model}.")
        if not len(part.facts):
            problems.append(f"{settings.source} holds no test facts for {model}, so nothing could be measured.")
        sizes = [len(pool) if run.n == TrainSettings.ALL else run.n for run in left]
        probes = sum(_unknown(part.prober.under(scheme), facts) for scheme, facts in part.wanted_levels())
        probes += len(part.again) * sum(part.shifts_levels(run) for run in left)
        shown = [run.more_shots[0] for run in left if run.more_shots]
        pieces = {kind_of_probe(settings.scheme): probes, "train": sum(sizes) * settings.epochs}
        pieces["answer"] = len(part.facts) * (len(left) - len(shown))
        pieces["few_shot"] = sum(few_shot_pieces(len(part.facts), shots) for shots in shown)
        low, high, notes = _seconds(part.prober, pieces)
        steps = sum(-(-n // settings.batch_size) for n in sizes) * settings.epochs
        found = found.plus(Forecast(sum(sizes), steps, len(part.facts), probes, low, high, notes, ()))
        runs += len(left)
        parts += [(part, max(sizes, default=0), probes)] if sizes or probes else []
    found = replace(found, runs=runs, problems=tuple(problems))

    def needed(data: dict[str, Any]) -> Memory:
        other = StudySettings.from_dict(data)
        planned = [(part, other.run(part.model, n, 0, more_shots=other.shots), n, probes) for part, n, probes in parts]
        return reduce(Memory.larger, [_run_memory(p.prober, run, p.train_facts, p.facts, probes, n) for p, run, n, probes in planned])

    return found.within(needed(settings.to_dict()), "study", settings, needed) if parts and not problems else found


def _train(settings: TrainSettings) -> Forecast:
    from sftqa_core.evaluation.predictions import held_out_facts
    from sftqa_core.memory.profiles import known_levels
    from sftqa_core.training.selection import available, needs_levels, train_pool

    prober = _prober(probe_settings(settings))
    source = prober.source
    facts, pool = held_out_facts(source, settings), train_pool(source, settings)
    levels = known_levels(prober, pool) if needs_levels(settings) else None
    n = there = available(source, levels, settings).total
    if settings.n != TrainSettings.ALL:
        n = settings.n
    notes: list[str] = chat_notes(prober.card, settings.prompt)
    problems = [] if len(facts) else [f"{source.name} holds no test facts, so nothing could be measured."]
    train_probes = 0
    try:
        train_probes = _train_probes(source, levels, settings, pool)
    except NotEnoughFacts as error:
        problems.append(str(error))
    if train_probes and settings.n == TrainSettings.ALL:
        n = there + train_probes
        notes.append(f"{train_probes:,} train facts have no known level yet and are probed first; {there:,} to {n:,} will be examples.")
    elif train_probes:
        notes.append(f"Up to {train_probes:,} train facts have no known level yet; they are probed until the wanted levels are filled.")
    to_probe = _unknown(prober, facts) + train_probes
    steps = -(-n // settings.batch_size) * settings.epochs
    asked = _answers(prober, facts, settings, notes)
    asked["answer"] += _looked_at(source, settings, steps)
    low, high, basis = _seconds(prober, {kind_of_probe(settings.scheme): to_probe, "train": n * settings.epochs, **asked})
    told = Forecast(n, steps, len(facts), to_probe, low, high, (*notes, *basis), tuple(problems))

    def needed(data: dict[str, Any]) -> Memory:
        return _run_memory(prober, TrainSettings.from_dict(data), pool, facts, to_probe, n)

    return told if problems else told.within(needed(settings.to_dict()), "train", settings, needed)


def _run_memory(prober: Prober, settings: TrainSettings, pool: pd.DataFrame, tests: pd.DataFrame, probes: int, n: int) -> Memory:
    """The most that a run needs at any time: while `probes` facts are probed, while it is trained, or while it answers."""
    estimator = Estimator(prober.card, resolve_device(settings.device), settings.quantization)
    training = estimator.training(settings, pool, tests, n)
    return training.larger(estimator.probing(prober.source, tests, settings.scheme, None, parts_of(settings)) if probes else None)


def _prober(settings: ProbeSettings) -> Prober:
    from sftqa_core.memory.prober import Prober
    from sftqa_core.memory.profiles import open_for

    return Prober(open_for(settings.model, settings.source), settings, Silent())


def _unknown(prober: Prober, facts: pd.DataFrame) -> int:
    """Facts whose level would have to be measured."""
    from sftqa_core.memory.profiles import known_levels

    known = known_levels(prober, facts)
    return len(facts) - (0 if known is None else len(known))


def _answers(prober: Prober, facts: pd.DataFrame, settings: TrainSettings, notes: list[str]) -> dict[str, int]:
    """Questions to be asked, by kind; those that the base model answered before in the same way cost nothing."""
    from sftqa_core.evaluation.predictions import is_kept

    stages = {"before": 0, **settings.few_shot_stages}
    asked = {"answer": len(facts), "few_shot": 0}
    known = []
    for stage, shots in stages.items():
        if prober.card.path and is_kept(
            stage, asked_by(prober.fingerprint, prober.card, settings.prompt), facts, prober.source, settings, prober.aliases
        ):
            known.append(stage)
        else:
            asked["few_shot" if shots else "answer"] += few_shot_pieces(len(facts), shots) if shots else len(facts)
    if len(known) == len(stages):
        notes.append("The base model's answers are known already.")
    return asked


def _looked_at(source: FactSource, settings: TrainSettings, steps: int) -> int:
    """Dev facts that are asked in all looks between steps, should none of them end the training."""
    from sftqa_core.evaluation.predictions import held_out_facts

    if settings.eval_every is None or not steps:
        return 0
    facts = min(settings.eval_facts, len(held_out_facts(source, settings, "dev")))
    return facts * -(-steps // settings.eval_every)


def _train_probes(source: FactSource, levels: pd.DataFrame | None, settings: TrainSettings, pool: pd.DataFrame) -> int:
    """At most how many train facts a run has to probe. Raises `NotEnoughFacts`."""
    from sftqa_core.training.selection import needs_levels, next_to_probe

    unknown = len(pool) - (0 if levels is None else len(levels))
    if settings.n == TrainSettings.ALL:
        return unknown if needs_levels(settings) else 0
    return unknown if len(next_to_probe(source, levels, settings)) else 0


def _seconds(prober: Prober, pieces: dict[str, int]) -> tuple[float, float, tuple[str, ...]]:
    """Seconds at best and at worst, and where they come from. `pieces`: kind of work -> how many."""
    from sftqa_core.memory.speeds import measured

    card, kind = prober.card, prober.device
    if not any(pieces.values()):
        return 0.0, 0.0, ("All of it is known already.",)
    rates = measured(prober.fingerprint) if card.path else {}
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
        return low, high, ("From how fast this model ran here before.",)
    if not card.parameters:
        return low, high, ("The model's size is not known, so only the start is counted; how long it takes will show.",)
    return low, high, ("A rough estimate from the model's size: too little of this work was done here yet.",)
