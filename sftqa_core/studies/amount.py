"""How much data? Accuracy against the number of examples, and the smallest number that is enough (METHOD sections 2, 8.9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sftqa_core.evaluation.intervals import by_level, macro_resampled, resampled
from sftqa_core.records import TrainSettings
from sftqa_core.studies.statistics import Estimate, Outcomes, by_setting, mean_interval, normal_interval, percentiles

MACRO, NATURAL = "mean over levels", "as facts come"
ENOUGH = 0.95  # of the best
CURVE = ("model", "domain", "level", "asked", "n", "facts", "seeds", "accuracy", "low", "high", "per_seed")

IN_CONTEXT = ("model", "domain", "level", "shots", "shown", "facts", "seeds", "accuracy", "low", "high", "per_seed")


@dataclass(frozen=True)
class _Sizes:
    """One model's finished sizes, ascending, the untouched model (n = 0) first where it was run."""

    asked: list[int]
    runs: list[list[TrainSettings]]  # seeds of each
    n: list[int]  # examples really trained on
    scores: np.ndarray  # [facts, sizes], each an average over seeds

    @classmethod
    def of(cls, outcomes: Outcomes) -> _Sizes:
        found = {n: runs for (n, levels), runs in by_setting(outcomes).items() if levels is None}
        real = {asked: outcomes.runs[runs[0]].n for asked, runs in found.items()}
        once: dict[int, int] = {}
        for size in sorted(real, reverse=True):  # "all" (-1) comes last: it may be a size that was asked for by its number, too
            once.setdefault(real[size], size)
        asked = [once[n] for n in sorted(once)]
        scores = np.stack([outcomes.over_seeds(found[size]) for size in asked], axis=1) if asked else np.empty((len(outcomes.facts), 0))
        return cls(asked, [found[size] for size in asked], [real[size] for size in asked], scores)


def curve(outcomes: Outcomes) -> pd.DataFrame:
    """Accuracy by size: CURVE, a row for each domain, level (and both kinds of mean) and size.

    `per_seed` lists each seed's accuracy; the interval is `statistics.mean_interval`'s, for the mean over levels the
    bootstrap within levels. Means over levels are missing where a level has no facts (METHOD 8.11).
    """
    sizes, levels, labels = _Sizes.of(outcomes), outcomes.levels(), outcomes.scheme.labels
    rows = []
    for domain, inside in outcomes.domains():
        groups = [(label, inside & (levels == at)) for at, label in enumerate(labels)] + [(NATURAL, inside)]
        for name, chosen in groups:
            draws = resampled(sizes.scores[chosen]) if chosen.any() else None
            for at, asked in enumerate(sizes.asked):
                found = mean_interval(sizes.scores[chosen, at], len(sizes.runs[at]), draws[:, at] if draws is not None else np.empty(0))
                seeds = [float(_correct(outcomes, run)[chosen].mean()) if chosen.any() else None for run in sizes.runs[at]]
                rows.append(_row(outcomes, domain, name, asked, sizes.n[at], int(chosen.sum()), seeds, found))
        rows += _macro_rows(outcomes, sizes, domain, inside)
    return pd.DataFrame(rows, columns=list(CURVE))


def in_context(outcomes: Outcomes) -> pd.DataFrame:
    """The untouched model with answered examples in front of each question, beside tuning on as many: IN_CONTEXT.

    A row for each domain, level (and both kinds of mean) and number of examples, counted as `curve` counts a size; `shown`: examples
    that fitted the model, on average.
    """
    counts = sorted({run.more_shots[0] for run in outcomes.runs if run.more_shots})
    rows = []
    for shots in counts:
        runs = {replace(run, more_shots=()): cell for run, cell in outcomes.runs.items() if run.more_shots == (shots,)}
        shown = float(np.mean([cell.numbers.get("shown", shots) for cell in runs.values()]))
        alone = curve(replace(outcomes, runs=runs))
        rows.append(alone.drop(columns=["asked", "n"]).assign(shots=shots, shown=shown))
    return pd.concat(rows, ignore_index=True)[list(IN_CONTEXT)] if rows else pd.DataFrame(columns=list(IN_CONTEXT))


def enough(outcomes: Outcomes, share: float = ENOUGH, alpha: float = 0.05) -> pd.DataFrame:
    """The smallest n within `share` of the best: a row for each domain and size above 0.

    model, domain, n; `least`: test facts of the scarcest level; `relative`: the mean over levels as a share of the best size's,
    with its interval (low, high: the middle 1 - `alpha` of the resamples, the best found anew in each); `smallest`: the share of
    resamples in which this n was the smallest that is enough; `chosen`: whether it is in the facts as they are. Empty where a level
    has no facts.
    """
    sizes, levels = _Sizes.of(outcomes), outcomes.levels()
    kept = [at for at, n in enumerate(sizes.n) if n > 0]
    rows = []
    for domain, inside in outcomes.domains():
        strata = by_level(sizes.scores[inside][:, kept], levels[inside], len(outcomes.scheme.labels))
        if not kept or any(not len(group) for group in strata):
            continue
        drawn = _relative(macro_resampled(strata))
        seen = _relative(np.mean([group.mean(axis=0) for group in strata], axis=0)[None])[0]
        first = (drawn >= share).argmax(axis=1)
        for place, at in enumerate(kept):
            low, high = percentiles(drawn[:, place], alpha)
            smallest = float((first == place).mean())
            chosen = bool((seen >= share).argmax() == place)
            least = min(map(len, strata))
            rows.append((outcomes.model, domain, sizes.n[at], least, float(seen[place]), low, high, smallest, chosen))
    return pd.DataFrame(rows, columns=["model", "domain", "n", "least", "relative", "low", "high", "smallest", "chosen"])


def falls(outcomes: Outcomes, alpha: float = 0.05) -> pd.DataFrame:
    """The largest size against each smaller one above 0: model, domain, n, largest, least, difference, low, high.

    `difference` is the largest size's mean over levels less this one's, on the same resampled facts; low and high hold for all
    smaller sizes together (Bonferroni: `alpha` shared out among them, from the bootstrap's standard error), so that the best of
    many is not taken for better by luck.
    """
    sizes, levels = _Sizes.of(outcomes), outcomes.levels()
    kept = [at for at, n in enumerate(sizes.n) if n > 0]
    rows = []
    for domain, inside in outcomes.domains():
        strata = by_level(sizes.scores[inside][:, kept], levels[inside], len(outcomes.scheme.labels))
        if len(kept) < 2 or any(not len(group) for group in strata):
            continue
        drawn = macro_resampled(strata)
        seen = np.mean([group.mean(axis=0) for group in strata], axis=0)
        for place, at in enumerate(kept[:-1]):
            value = float(seen[-1] - seen[place])
            ends = normal_interval(value, drawn[:, -1] - drawn[:, place], alpha / (len(kept) - 1))
            rows.append((outcomes.model, domain, sizes.n[at], sizes.n[kept[-1]], min(map(len, strata)), value, *ends))
    return pd.DataFrame(rows, columns=["model", "domain", "n", "largest", "least", "difference", "low", "high"])


def _relative(means: np.ndarray) -> np.ndarray:
    """[draws, sizes] as shares of each row's best; 1 where all are 0, since none is better."""
    best = means.max(axis=1, keepdims=True)
    return np.divide(means, best, out=np.ones_like(means), where=best > 0)


def _macro_rows(outcomes: Outcomes, sizes: _Sizes, domain: str, inside: np.ndarray) -> list[tuple]:
    levels = outcomes.levels()[inside]
    strata = by_level(sizes.scores[inside], levels, len(outcomes.scheme.labels))
    facts = sum(map(len, strata))
    if any(not len(group) for group in strata):
        nothing = Estimate(None, None, None)
        each = zip(sizes.asked, sizes.n, sizes.runs, strict=True)
        return [_row(outcomes, domain, MACRO, asked, n, facts, [None] * len(runs), nothing) for asked, n, runs in each]
    draws = macro_resampled(strata)
    rows = []
    for at, asked in enumerate(sizes.asked):
        value = float(np.mean([group[:, at].mean() for group in strata]))
        seeds = [_macro(_correct(outcomes, run)[inside], levels, len(strata)) for run in sizes.runs[at]]
        rows.append(_row(outcomes, domain, MACRO, asked, sizes.n[at], facts, seeds, Estimate(value, *percentiles(draws[:, at]))))
    return rows


def _row(
    outcomes: Outcomes, domain: str, level: str, asked: int, n: int, facts: int, seeds: Sequence[float | None], found: Estimate
) -> tuple:
    known = [value for value in seeds if value is not None]
    return (outcomes.model, domain, level, asked, n, facts, len(seeds), found.value, found.low, found.high, known)


def _correct(outcomes: Outcomes, run: TrainSettings) -> np.ndarray:
    return outcomes.runs[run].table["correct"].to_numpy(dtype=float)


def _macro(correct: np.ndarray, levels: np.ndarray, count: int) -> float:
    return float(np.mean([correct[levels == level].mean() for level in range(count)]))
