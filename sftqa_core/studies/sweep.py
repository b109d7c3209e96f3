"""A sweep over learning rates on dev facts: which runs there are, which are left, and which rate is best. Never loads torch.

Finished runs are cells, as a study's are, on the list of dev facts: a sweep that was stopped goes on, and one with more rates or seeds
uses what is there. Test facts are never looked at (METHOD 8.5).
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from sftqa_core.errors import NotEnoughFacts
from sftqa_core.evaluation.intervals import by_level, macro_resampled, normal_interval, percentiles, resampled
from sftqa_core.evaluation.predictions import held_out_facts
from sftqa_core.memory import profiles, stored_levels
from sftqa_core.memory.prober import Prober
from sftqa_core.models import chat_templates
from sftqa_core.progress import Reporter, Silent
from sftqa_core.records import DOMAIN_NAMES, DOMAINS, RateAccuracy, SweepReport, SweepSettings, TrainSettings
from sftqa_core.records.tuning import probe_settings
from sftqa_core.studies.cells import Cells
from sftqa_core.training import optimizers, selection
from sftqa_core.workspace import Workspace

SPLIT = "dev"


class Sweep:
    """One sweep of one model. Raises `NotEnoughFacts` where there are no dev facts, `SettingsError` where rates have to be named."""

    def __init__(self, settings: SweepSettings, reporter: Reporter | None = None):
        self.settings, self.base = settings, settings.run
        self.prober = Prober(profiles.open_for(self.base.model, self.base.source), probe_settings(self.base), reporter or Silent())
        self.source = self.prober.source
        self.facts = held_out_facts(self.source, self.base, SPLIT)
        if self.facts.empty:
            raise NotEnoughFacts(
                f"{self.base.source} has no dev facts, and a learning rate must not be chosen on test facts. Give the rate yourself."
            )
        if settings.rates is None:
            optimizers.learning_rate(self.base, 1)  # of an optimizer without a usual rate, rates have to be named
        self.default_rate = optimizers.default_learning_rate(self.base.method, self.prober.card.parameters)

    @cached_property
    def cells(self) -> Cells:
        """Answers to the dev facts."""
        model = chat_templates.asked_by(self.prober.fingerprint, self.prober.card, self.base.prompt).to_dict()
        aliases = self.prober.aliases.fingerprint()
        return Cells.of(Workspace.current(), model, self.source.fingerprint, aliases, list(self.facts["fact_id"]), self.default_rate)

    @property
    def runs(self) -> list[TrainSettings]:
        return self.settings.runs(self.default_rate)

    def left(self) -> list[TrainSettings]:
        """Runs that are not done."""
        return [run for run in self.runs if not self.cells.has(run)]

    @cached_property
    def pool(self) -> int:
        """Facts that examples can be chosen from."""
        return len(selection.train_pool(self.source, self.base))

    def report(self) -> SweepReport:
        """What is known now."""
        scheme, runs = self.base.scheme, self.runs
        known = stored_levels.stored_levels(self.prober.card, self.source, self.facts, self.prober.settings)
        level_of = dict(zip(known["fact_id"], known["level"], strict=True))
        known_levels = np.array([level_of.get(fact, -1) for fact in self.facts["fact_id"]])
        domain, inside, levels = deciding(self.facts["domain"].to_numpy(), known_levels, len(scheme.labels))
        cells = {run: self.cells.read(run) for run in runs}
        correct = {run: cell.table["correct"].to_numpy(dtype=float)[inside] for run, cell in cells.items() if cell is not None}
        rates = self.settings.tried(self.default_rate)
        scores = {rate: [correct[run] for run in runs if run.learning_rate == rate and run in correct] for rate in rates}
        table = np.stack([np.mean(some, axis=0) if some else np.full(inside.sum(), np.nan) for some in scores.values()], axis=1)
        measured = measure(table, levels, len(scheme.labels))
        complete = len(correct) == len(runs)
        best = int(np.argmax(measured.deciding)) if complete else None
        near = measured.within_noise(best) if best is not None else [None] * len(rates)
        rows = tuple(
            RateAccuracy(rate, len(some), *measured.macro[at], *measured.micro[at], within_noise=near[at])
            for at, (rate, some) in enumerate(scores.items())
        )
        rule, facts = "micro" if levels is None else "macro", int(inside.sum())
        words = () if best is None else _words(rows, best, rule, domain, facts, len(self.settings.seeds))
        chosen = None if best is None else rates[best]
        return SweepReport(self.settings, len(correct), len(runs), facts, domain, rule, rows, chosen, words)


Values = tuple[float | None, float | None, float | None]  # a value with its 95% interval


class Measured:
    """Accuracy of several rates (or of other values that are tried) on the same facts, with resamples that all of them share."""

    def __init__(self, macro: list[Values], micro: list[Values], deciding: np.ndarray, draws: np.ndarray):
        self.macro, self.micro = macro, micro
        self.deciding = deciding  # [rates]: by what the best is chosen
        self._draws = draws  # [draws, rates], of the same

    def within_noise(self, best: int) -> list[bool]:
        """Whether each rate can't be told from the best: its paired difference's interval, corrected for their number, holds 0."""
        others = max(1, self.deciding.shape[0] - 1)
        near = []
        for at in range(len(self.deciding)):
            difference = self._draws[:, best] - self._draws[:, at]
            low, _ = normal_interval(float(self.deciding[best] - self.deciding[at]), difference, 0.05 / others)
            near.append(at == best or low <= 0)
        return near


def deciding(domains: np.ndarray, levels: np.ndarray, count: int) -> tuple[str, np.ndarray, np.ndarray | None]:
    """Which dev facts decide: their domain (in-domain facts where there are any), which they are, bool [facts], and their levels.

    `levels` [facts], -1 where it is not known. Where one of the `count` levels holds none of the facts that decide, or one of these has no
    known level, there is no mean over levels to decide by, and None in place of the levels.
    """
    domain = next(name for name in DOMAINS if (domains == name).any())
    inside = domains == domain
    own = levels[inside]
    whole = all((own == at).any() for at in range(count)) and bool((own >= 0).all())
    return domain, inside, own if whole else None


def measure(scores: np.ndarray, levels: np.ndarray | None, count: int) -> Measured:
    """`scores` [facts, rates], each averaged over seeds (NaN: not done); by levels [facts] where every level holds facts."""
    draws = resampled(scores)
    micro = _values(scores.mean(axis=0), draws)
    if levels is None:
        return Measured([(None, None, None)] * scores.shape[1], micro, scores.mean(axis=0), draws)
    strata = by_level(scores, levels, count)
    means, drawn = np.mean([group.mean(axis=0) for group in strata], axis=0), macro_resampled(strata)
    return Measured(_values(means, drawn), micro, means, drawn)


def _values(means: np.ndarray, draws: np.ndarray) -> list[Values]:
    return [
        (None, None, None) if np.isnan(mean) else (float(mean), *percentiles(draws[:, at])) for at, mean in enumerate(means)
    ]  # fmt: skip


def _words(rows: Sequence[RateAccuracy], best: int, rule: str, domain: str, facts: int, seeds: int) -> tuple[str, ...]:
    """What was chosen, by what, how sure that is, and whether the grid ends there."""
    row = rows[best]
    value, low, high = (row.macro, row.macro_low, row.macro_high) if rule == "macro" else (row.micro, row.micro_low, row.micro_high)
    mean = "mean over levels" if rule == "macro" else "micro average (a level holds no dev fact, so there is no mean over levels)"
    many = f"{facts:,} dev facts, {seeds} seed{'' if seeds == 1 else 's'}"
    sure = f"{value or 0:.1%} (95% {low or 0:.1%} to {high or 0:.1%}; {many})"
    words = [f"Learning rate {row.rate:g} has the highest {DOMAIN_NAMES[domain]} {mean}: {sure}. Test facts were not looked at."]
    near = [f"{other.rate:g}" for at, other in enumerate(rows) if other.within_noise and at != best]
    if len(near) == len(rows) - 1:
        words.append("All differences are within noise: these facts cannot tell the rates apart.")
    elif near:
        words.append(f"Its differences from {', '.join(near)} are within noise.")
    else:
        words.append("It differs from every other rate by more than noise.")
    if best in (0, len(rows) - 1):
        words.append(f"It is the {'lowest' if best == 0 else 'highest'} rate that was tried: the best may lie beyond.")
    return tuple(words)
