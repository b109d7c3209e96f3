"""What work will cost, told before it starts; from rates measured on this machine, else a rough estimate from the size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sftqa_core.errors import NotEnoughFacts, SftqaError
from sftqa_core.records import ProbeSettings, TrainSettings

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.knowledge.facts import FactSource
    from sftqa_core.records import ModelCard

START_S = (4.0, 15.0)  # importing torch and loading a small model
TOKENS = {"probe": 900, "train": 90, "answer": 30, "few_shot": 120}  # forward-pass tokens of one piece, about; training counts threefold
FLOPS_PER_S = {"cpu": (2e10, 2e11), "cuda": (1e13, 2e14)}  # a small laptop to a workstation; an old GPU to a new one


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


def forecast(settings: TrainSettings | ProbeSettings) -> Forecast:
    """The cost of a training run or a probe. Raises `SftqaError` for a model or source that can't be had."""
    return _probe(settings) if isinstance(settings, ProbeSettings) else _train(settings)


def probe_settings(settings: TrainSettings) -> ProbeSettings:
    """How a run's levels are measured."""
    return ProbeSettings(
        model=settings.model, source=settings.source, split="all", scheme=settings.scheme, match=settings.match, device=settings.device
    )


def _probe(settings: ProbeSettings) -> Forecast:
    from sftqa_core.knowledge.facts import pick_facts
    from sftqa_core.models.catalogue import find_model
    from sftqa_core.workflows.reading import open_for

    card, source = find_model(settings.model), open_for(settings.model, settings.source)
    split = None if settings.split == "all" else settings.split
    facts = pick_facts(source.facts, split, settings.domain, settings.limit, settings.facts_seed)
    left = len(facts) - _known(card, source, facts, settings)
    low, high, notes = _seconds(card, settings.device, {"probe": left})
    return Forecast(0, 0, 0, left, low, high, notes, ())


def _train(settings: TrainSettings) -> Forecast:
    from sftqa_core.evaluation.choosing import held_out_facts
    from sftqa_core.models.catalogue import find_model
    from sftqa_core.training.selection import available, train_pool
    from sftqa_core.workflows.reading import open_for

    card, source = find_model(settings.model), open_for(settings.model, settings.source)
    probing = probe_settings(settings)
    facts = held_out_facts(source, settings)
    to_probe = len(facts) - _known(card, source, facts, probing)
    notes: list[str] = []
    problems: list[str] = []
    pool = train_pool(source, settings)
    levels = _levels(card, source, pool, probing)
    there = available(source, levels, settings)
    n = there.total if settings.n == TrainSettings.ALL else settings.n
    try:
        more = _train_probes(source, levels, replace(settings, n=n), len(pool))
        if more:
            notes.append(f"Up to {more:,} train facts have no known level yet; they are probed until the wanted levels are filled.")
        to_probe += more
    except NotEnoughFacts as error:
        problems.append(str(error))
    pieces = {"probe": to_probe, "train": n * settings.epochs, "answer": 2 * len(facts), "few_shot": len(facts) if settings.shots else 0}
    low, high, basis = _seconds(card, settings.device, pieces)
    if not len(facts):
        problems.append(f"{source.name} holds no test facts, so nothing could be measured.")
    steps = -(-n // settings.batch_size) * settings.epochs
    return Forecast(n, steps, len(facts), to_probe, low, high, (*notes, *basis), tuple(problems))


def _train_probes(source: FactSource, levels: pd.DataFrame | None, settings: TrainSettings, pool: int) -> int:
    """At most how many train facts a run has to probe. Raises `NotEnoughFacts`."""
    from sftqa_core.training.selection import needs_levels, next_to_probe

    if not len(next_to_probe(source, levels, settings)) or not needs_levels(settings):
        return 0
    return pool - (0 if levels is None else len(levels))


def _levels(card: ModelCard, source: FactSource, facts: pd.DataFrame, settings: ProbeSettings) -> pd.DataFrame | None:
    from sftqa_core.memory.stored import stored_levels

    if card.path is None:
        return None
    try:
        return stored_levels(card, source, facts, settings)
    except SftqaError:
        return None


def _known(card: ModelCard, source: FactSource, facts: pd.DataFrame, settings: ProbeSettings) -> int:
    levels = _levels(card, source, facts, settings)
    return 0 if levels is None else len(levels)


def _seconds(card: ModelCard, device: str, pieces: dict[str, int]) -> tuple[float, float, tuple[str, ...]]:
    """Seconds at best and at worst, and where they come from. `pieces`: kind of work -> how many."""
    from sftqa_core.models.catalogue import weights_fingerprint
    from sftqa_core.workflows.speeds import measured

    kind = "cuda" if device.startswith("cuda") else "cpu"
    rates = measured(weights_fingerprint(card), kind) if card.path else {}
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
    return low, high, ("A rough estimate from the model's size: it has not run here yet.",)
