"""Accuracy with its intervals, and every interval of shares, means and their comparisons (METHOD sections 2, 8.9 and 8.11).

Levels come from a `LevelScheme`, so nothing here knows how many there are. The headline is the unweighted mean of the per-level
accuracies (macro); the accuracy on the facts as they come stands beside it (natural). One run's shares have Wilson intervals.

Comparisons over seeds are resampled (METHOD 8.9): each fact is first averaged over the seeds of a setting, then facts are drawn
anew within their levels, the same ones for all settings, so that the comparison is paired. What is to hold for other seeds, too, has an
interval over facts and seeds (`two_way`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sftqa_core.artifacts import Kept
from sftqa_core.memory.shares import share_interval
from sftqa_core.records import DOMAINS, DomainAccuracy, LevelAccuracy, LevelScheme

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 2_000  # bootstrap resamples
LEAST = 30  # facts below which no question is answered and no run is called better
ALPHA = 0.05
CELLS_AT_ONCE = 4_000_000  # resampling weights held in RAM at a time (32 MB)
KEPT_FACTS = 4_000  # draws of up to so many facts are kept, 16 MB each at most
KEPT_BYTES = 100_000_000  # of all of them


def wilson(correct: int, n: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share, with ends of exactly 0 and 1 where nothing or all is right. (0, 1) for n = 0."""
    low, high = map(float, share_interval(correct, n)) if n else (0.0, 1.0)
    return (0.0 if correct == 0 else low), (1.0 if correct == n else high)


def accuracy_by_level(
    predictions: pd.DataFrame, facts: pd.DataFrame, levels: pd.DataFrame | None, scheme: LevelScheme
) -> dict[str, DomainAccuracy]:
    """Both domains' accuracy from one stage of predictions.

    `facts` gives the domain, `levels` (columns fact_id, level) the level: a fact without one counts in the natural
    accuracy only. A domain without facts has n = 0 everywhere.
    """
    if predictions["stage"].nunique() > 1:
        raise ValueError(f"Accuracy is of one stage at a time, got {', '.join(predictions['stage'].unique())}.")
    asked, domain_of = predictions["fact_id"].tolist(), dict(zip(facts["fact_id"], facts["domain"], strict=True))
    if len(set(asked)) < len(asked) or len(domain_of) < len(facts):
        raise ValueError("Accuracy counts each fact once, but a fact occurs more than once.")
    level_of = {} if levels is None else dict(zip(levels["fact_id"], levels["level"].to_numpy(float, na_value=np.nan), strict=True))
    domains = np.array([domain_of.get(fact) for fact in asked], dtype=object)
    places, correct = np.array([level_of.get(fact, np.nan) for fact in asked]), predictions["correct"].to_numpy(bool)
    return {domain: _domain(correct[domains == domain], places[domains == domain], scheme) for domain in DOMAINS}


def _domain(correct: np.ndarray, levels: np.ndarray, scheme: LevelScheme) -> DomainAccuracy:
    """Of one domain's facts: which were answered rightly, and their levels, NaN where not known."""
    groups = [correct[levels == index] for index in range(len(scheme.labels))]
    per_level = tuple(_level(label, len(group), int(group.sum())) for label, group in zip(scheme.labels, groups, strict=True))
    macro, low, high = macro_of(per_level)
    n, right = len(correct), int(correct.sum())
    natural_low, natural_high = wilson(right, n) if n else (None, None)
    present = tuple(level.level for level in per_level if level.n)
    return DomainAccuracy(per_level, macro, low, high, present, right / n if n else None, natural_low, natural_high, n)


def _level(label: str, n: int, correct: int) -> LevelAccuracy:
    if n == 0:
        return LevelAccuracy(label, 0, 0, None, None, None)
    low, high = wilson(correct, n)
    return LevelAccuracy(label, n, correct, correct / n, low, high)


def macro_of(per_level: tuple[LevelAccuracy, ...]) -> tuple[float | None, float | None, float | None]:
    """The mean over levels and its 95% interval; three times None when a level holds no fact (METHOD 8.11).

    The interval is put together from the levels' Wilson intervals (MOVER, Zou and Donner 2008): each side's distances
    from the shares add up as squares. Unlike a bootstrap it does not shrink to a point when every level is all right or
    all wrong, and it always holds the mean.
    """
    if any(level.n == 0 for level in per_level):
        return None, None, None
    shares = np.array([level.correct / level.n for level in per_level])
    lows, highs = np.array([wilson(level.correct, level.n) for level in per_level]).T
    mean = float(shares.mean())
    below, above = (math.sqrt(((shares - side) ** 2).sum()) / len(shares) for side in (lows, highs))
    return mean, mean - below, mean + above


def resampled(scores: np.ndarray, seed: int = 0, draws: int = DRAWS) -> np.ndarray:
    """Mean scores of facts drawn anew: [facts, settings] -> [draws, settings]. The same facts for all settings."""
    facts = len(scores)
    drawn: Iterable[np.ndarray] = _drawing(facts, seed, draws)
    if facts <= KEPT_FACTS:  # a study asks for the same draws hundreds of times, and drawing takes longer than using them
        drawn = _drawn.get((facts, seed, draws), lambda: [weights.astype(np.uint16) for weights in _drawing(facts, seed, draws)])
    return np.concatenate([weights.astype(np.float64) @ scores / facts for weights in drawn])


def _drawing(facts: int, seed: int, draws: int) -> Iterator[np.ndarray]:
    """How often each resample has each fact: [draws, facts], in pieces."""
    rng = np.random.default_rng(seed)
    step = max(1, CELLS_AT_ONCE // max(facts, 1))
    for start in range(0, draws, step):
        yield rng.multinomial(facts, np.full(facts, 1 / facts), size=min(step, draws - start))


_drawn: Kept[list[np.ndarray]] = Kept(KEPT_BYTES, lambda pieces: sum(piece.nbytes for piece in pieces))


def by_level(scores: np.ndarray, levels: np.ndarray, count: int) -> list[np.ndarray]:
    """Scores [facts, settings] of each level's facts."""
    return [scores[levels == level] for level in range(count)]


def macro_resampled(strata: Sequence[np.ndarray], seed: int = 0, draws: int = DRAWS) -> np.ndarray:
    """Means over levels [draws, settings], facts drawn anew within each level."""
    return np.mean([resampled(group, seed + at, draws) for at, group in enumerate(strata)], axis=0)


class Estimate(NamedTuple):
    """A value with its 95% interval; all None where it is not known."""

    value: float | None
    low: float | None
    high: float | None


def percentiles(values: np.ndarray, alpha: float = 0.05) -> tuple[float, float]:
    """The middle 1 - alpha of the resamples [draws]."""
    low, high = np.quantile(values, (alpha / 2, 1 - alpha / 2))
    return float(low), float(high)


def mean_interval(scores: np.ndarray, seeds: int, draws: np.ndarray) -> Estimate:
    """Mean of scores [facts], each an average over `seeds`; `draws` are its resamples.

    One seed: Wilson. Several: the bootstrap over facts, whose ends are Wilson's where all facts are right or all are wrong,
    since resampling can't show doubt there.
    """
    if not len(scores):
        return Estimate(None, None, None)
    value = float(scores.mean())
    if seeds == 1 or value in (0.0, 1.0):
        low, high = map(float, share_interval(value * len(scores), len(scores)))
        return Estimate(value, max(0.0, low), min(1.0, high))
    return Estimate(value, *percentiles(draws))


def median_interval(values: np.ndarray) -> Estimate:
    """Median of values [facts] between two of them, by their ranks (binomial, exact): whatever the distribution. With fewer than 6 the
    interval holds all of them, and less than 95%."""
    count = len(values)
    if not count:
        return Estimate(None, None, None)
    ordered = np.sort(values)
    logs = np.concatenate([[0.0], np.log(np.arange(1, count + 1)).cumsum()])  # of factorials
    below = np.exp(logs[-1] - logs - logs[::-1] - count * math.log(2)).cumsum()  # P(so many values or fewer lie below the median)
    beyond = max(int(np.searchsorted(below, ALPHA / 2, side="right")) - 1, 0)  # values left out at either end
    return Estimate(float(np.median(ordered)), float(ordered[beyond]), float(ordered[count - 1 - beyond]))


def spearman_interval(one: np.ndarray, other: np.ndarray, alpha: float = ALPHA) -> Estimate:
    """Rank correlation of two measures [settings], with the interval of Bonett and Wright (2000) at level 1 - alpha; all None with fewer
    than 4 settings, or where one of the two is the same for all."""
    if len(one) < 4 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return Estimate(None, None, None)
    value = float(np.clip(np.corrcoef(_ranks(one), _ranks(other))[0, 1], -1, 1))
    return Estimate(value, *_around(value, len(one) - 3, alpha))


def _around(value: float, dof: int, alpha: float) -> tuple[float, float]:
    inside = math.atanh(np.clip(value, -0.999999, 0.999999))
    half = deviations(alpha) * math.sqrt((1 + value**2 / 2) / dof)
    return math.tanh(inside - half), math.tanh(inside + half)


def partial_spearman(one: np.ndarray, other: np.ndarray, given: np.ndarray, alpha: float = ALPHA) -> Estimate:
    """Rank correlation of two measures, given a third one: that of what is left of their ranks after a straight line in the third's ranks.

    The interval is `spearman_interval`'s, with one setting less for the measure that is given. All None with fewer than 5 settings, or
    where nothing is left: a measure is the same for all, or its ranks follow from the third's alone.
    """
    if len(one) < 5 or min(np.ptp(values) for values in (one, other, given)) == 0:
        return Estimate(None, None, None)
    (_, together, first), (_, _, second), _ = np.corrcoef([_ranks(one), _ranks(other), _ranks(given)])
    left = (1 - first**2) * (1 - second**2)
    if left < 1e-12:
        return Estimate(None, None, None)
    value = float(np.clip((together - first * second) / math.sqrt(left), -1, 1))
    return Estimate(value, *_around(value, len(one) - 4, alpha))


class TwoWay(NamedTuple):
    """A mean over crossed facts and seeds, with the standard error and Student's degrees of freedom that belong to it."""

    value: float
    spread: float  # infinite with one seed, or one fact of a level: nothing then says what another would have given
    dof: float  # 0 there


def two_way(strata: Sequence[np.ndarray]) -> TwoWay:
    """The mean of paired differences [facts, seeds], of several strata the mean over them, where facts and seeds are both drawn by chance.

    Every fact is asked with every seed, so d = mean + fact + seed + rest, all by chance. The mean's variance is V(facts) + V(seeds) -
    V(both): the variance of the facts' means over seeds / F and that of the seeds' means over facts / S both hold the rest's part,
    V(both) = variance of the rest / (F S), so it is taken off once (two-way clustering of Cameron, Gelbach and Miller, J. Bus. Econ. Stat.
    2011; V(both) from what is left after facts and seeds, as in the analysis of variance, which is unbiased here. Owen's pigeonhole
    bootstrap, Ann. Appl. Stat. 2007, is of the same three parts). Strata (levels) have facts of their own and share the seeds. Less than
    V(facts) it never is. The degrees of freedom are Satterthwaite's (1946): few where three seeds differ, many where they don't.

    Its 95% interval holds the mean in 92 to 97 of 100 simulations with three seeds and in 94 to 96 with five (300 facts), its 99.92%
    interval in 98.7 to 99.97 and 99.6 to 99.96: least where the seeds' standard error is two to five times the facts', since three seeds
    may agree by chance.
    """
    seeds, least = strata[0].shape[1], min(map(len, strata))
    of_seeds = np.mean([group.mean(axis=0) for group in strata], axis=0)
    value = float(of_seeds.mean())
    if seeds < 2 or least < 2:
        return TwoWay(value, math.inf, 0.0)
    weight = 1 / len(strata) ** 2
    by_fact = np.array([group.mean(axis=1).var(ddof=1) / len(group) * weight for group in strata])
    by_seed, both = float(of_seeds.var(ddof=1)) / seeds, 0.0
    for group in strata:
        rest = group - group.mean(axis=1, keepdims=True) - group.mean(axis=0) + group.mean()
        both += float((rest**2).sum()) / ((len(group) - 1) * (seeds - 1)) / group.size * weight
    variance = float(by_fact.sum()) + max(0.0, by_seed - both)
    unsure = sum(part**2 / (len(group) - 1) for part, group in zip(by_fact, strata, strict=True)) + by_seed**2 / (seeds - 1)
    return TwoWay(value, math.sqrt(variance), max(variance**2 / float(unsure), min(seeds, least) - 1) if unsure else math.inf)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Equal values share the mean of their ranks."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[place]


def normal_interval(value: float, draws: np.ndarray, alpha: float) -> tuple[float, float]:
    """The middle 1 - alpha of a normal distribution with the bootstrap's standard error: for an alpha so small that resamples hardly
    reach those tails."""
    half = deviations(alpha) * float(draws.std(ddof=1))
    return value - half, value + half


def bootstrap_p(difference: float, draws: np.ndarray) -> float:
    """Two-sided p of a difference being 0, from the bootstrap's standard error and the normal distribution.

    Counting resamples beyond 0 could not tell p-values below 2 / draws apart, which Holm's correction needs.
    """
    spread = float(draws.std(ddof=1))
    if spread == 0:
        return 1.0 if difference == 0 else 0.0
    return math.erfc(abs(difference) / spread / math.sqrt(2))


def deviations(alpha: float) -> float:
    """How many standard deviations hold the middle 1 - alpha of a normal distribution; without scipy, whose import takes over a second."""
    return -NormalDist().inv_cdf(alpha / 2)


def holm(pvalues: Sequence[float]) -> list[float]:
    """p-values after Holm's correction for all of them together."""
    given = np.array(pvalues, dtype=float)
    order = np.argsort(given)
    corrected = np.empty_like(given)
    corrected[order] = np.minimum(np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1)), 1)
    return [float(p) for p in corrected]
