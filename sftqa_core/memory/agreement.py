"""How far two ways of measuring memory levels agree, from levels and hits that are stored. No inference.

- `agreement`: Cohen's kappa with linear weights, and its bootstrap over facts. A fact counts only through the cell it falls into
  (its level by either way), so drawing facts anew is drawing the cells' counts from a multinomial: thousands of resamples cost
  no more than a small table each. And the mean difference of the scores, with Student's interval for a mean of pairs: it tells a
  way of measuring that is off in one direction from one that only scatters.
- `budget_curve`: what a probe with fewer templates or samples would have said. Every smaller budget is a part of a larger one of
  the same repeat: the templates are put in random order, anew for each fact, and the samples of each template too; a budget
  takes the first of both. One cell of the curve is then what a free draw of that size gives, and differences between cells are
  not blurred by separate draws.
- `cross_table`: two level schemes side by side, with Kendall's tau-b, which allows for ties and for different numbers of levels:
  of all pairs of facts, those that both schemes order alike less those that they order the other way round, over the geometric
  mean of the pairs that each scheme orders at all.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sftqa_core.memory.scores import level_of
from sftqa_core.records import Agreement, CrossTable, LevelScheme

RESAMPLES = 2000
_BOUNDS = (0.025, 0.975)


def agreement(reference: pd.DataFrame, other: pd.DataFrame, scheme: LevelScheme, seed: int = 0) -> Agreement:
    """How `other` agrees with `reference`, two LEVELS tables in `scheme`, on the facts that both hold.

    A number is None where it has no meaning: all of them with fewer than 2 facts, kappa where both ways put every fact on
    one and the same level, Spearman where one of them gives every fact the same score. Raises ValueError for a level that
    the scheme lacks, and pandas' MergeError if a table names a fact twice.
    """
    columns = ["fact_id", "score", "level"]
    both = reference[columns].merge(other[columns], on="fact_id", suffixes=("", "_other"), validate="one_to_one")
    confusion = confusion_of(both["level"], both["level_other"], len(scheme.labels))
    enough = len(both) >= 2
    kappa = float(weighted_kappa(confusion)) if enough else float("nan")
    low, high = kappa_interval(confusion, np.random.default_rng(seed)) if enough else (float("nan"), float("nan"))
    scores = both["score"], both["score_other"]
    return Agreement(
        labels=scheme.labels,
        facts=len(both),
        same=float(np.trace(confusion) / len(both)) if enough else None,
        kappa=_or_none(kappa),
        kappa_low=_or_none(low),
        kappa_high=_or_none(high),
        spearman=_or_none(spearman(*scores)) if enough else None,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        **dict(zip(("score_difference", "score_low", "score_high"), map(_or_none, mean_difference(*scores)), strict=True)),
    )


def mean_difference(first: ArrayLike, second: ArrayLike) -> tuple[float, float, float]:
    """Mean of `second` - `first` over pairs [facts], and its 95% interval by Student's t; NaN with fewer than 2 pairs.

    No width where all differences are the same: such pairs show no doubt.
    """
    from scipy.stats import t

    differences = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    if len(differences) < 2:
        return (float("nan"),) * 3
    mean = float(differences.mean())
    half = float(t.ppf(_BOUNDS[1], len(differences) - 1) * differences.std(ddof=1) / math.sqrt(len(differences)))
    return mean, mean - half, mean + half


def weighted_kappa(confusion: ArrayLike) -> NDArray[np.float64]:
    """Cohen's kappa with linear weights of counts [..., levels, levels] -> [...].

    1 - (mean distance in levels) / (mean distance if the two were independent). NaN where the latter is 0: no facts, or
    all of them on one and the same level by both ways. One level by one way and another by the other gives 0.
    """
    counts = np.asarray(confusion, dtype=np.float64)
    distance = np.abs(np.subtract.outer(np.arange(counts.shape[-1]), np.arange(counts.shape[-1])))
    observed = (counts * distance).sum((-2, -1))
    expected = ((counts.sum(-1) @ distance) * counts.sum(-2)).sum(-1)  # times the number of facts
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - observed * counts.sum((-2, -1)) / expected


def confusion_of(first: ArrayLike, second: ArrayLike, levels: int) -> NDArray[np.int64]:
    """Facts in each cell: level indexes [facts] of both ways -> [levels, levels], rows `first`.

    Raises ValueError for an index outside 0 to `levels` - 1.
    """
    return _joint((first, second), (levels, levels))


def kappa_interval(confusion: NDArray[np.int64], rng: np.random.Generator, facts: int | None = None) -> tuple[float, float]:
    """95% percentile bootstrap over the facts of one confusion [levels, levels]: low, high; NaN without facts.

    `facts` are drawn in each resample: as many as there are, or fewer where a confusion holds each fact several times.
    Resamples that have no kappa are left out. No width where the two agree on every fact: such facts show no doubt.
    """
    return _interval(weighted_kappa(_resampled(confusion, RESAMPLES, rng, facts)))


def kappa_difference(
    first: ArrayLike, full: ArrayLike, second_full: ArrayLike, levels: int, seed: int = 0, draws: int = RESAMPLES
) -> tuple[float, float, float]:
    """kappa(first, full) - kappa(full, second_full), and its 95% bootstrap interval: value, low, high.

    Three arrays of level indexes [facts] of the same facts. Paired: both kappas are of the same resampled facts, as
    multinomial draws of the levels^3 cells. NaN with fewer than 2 facts and where one of the kappas is undefined. Raises
    ValueError for an index outside 0 to `levels` - 1.
    """
    joint = _joint((first, full, second_full), (levels,) * 3)
    low, high = _interval(_difference(_resampled(joint, draws, np.random.default_rng(seed))))
    value = float(_difference(joint)) if joint.sum() >= 2 else float("nan")
    return (value, low, high) if np.isfinite(value) else (value, value, value)


def spearman(first: ArrayLike, second: ArrayLike) -> float:
    """Rank correlation of two arrays [facts], ties at their mean rank; NaN where one of them is constant or empty."""
    from scipy.stats import spearmanr

    both = [np.asarray(values, dtype=np.float64) for values in (first, second)]
    return float(spearmanr(*both).statistic) if min(len(np.unique(values)) for values in both) > 1 else float("nan")


def _difference(joint: NDArray[np.int64]) -> NDArray[np.float64]:
    """Counts [..., first, full, second full] -> the kappas' difference [...]."""
    return weighted_kappa(joint.sum(-1)) - weighted_kappa(joint.sum(-3))


def _joint(ways: tuple[ArrayLike, ...], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Facts in each cell of this shape: level indexes [facts] of each way."""
    cells = np.ravel_multi_index(tuple(np.asarray(way, dtype=np.int64) for way in ways), shape)
    return np.bincount(cells, minlength=math.prod(shape)).reshape(shape)


def _resampled(counts: NDArray[np.int64], draws: int, rng: np.random.Generator, facts: int | None = None) -> NDArray[np.int64]:
    """`facts` (None: as many as there are) drawn anew from the cells [...] -> [draws, ...]."""
    drawn = np.zeros((draws, counts.size), dtype=np.int64)
    total, filled = counts.sum(), np.flatnonzero(counts)  # numpy gives what rounding leaves over to the last cell: a filled one
    if total:
        drawn[:, filled] = rng.multinomial(total if facts is None else facts, counts.ravel()[filled] / total, size=draws)
    return drawn.reshape(draws, *counts.shape)


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    defined = values[np.isfinite(values)]
    if not len(defined):
        return float("nan"), float("nan")
    low, high = np.quantile(defined, _BOUNDS)
    return float(low), float(high)


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None


COLUMNS = ("templates", "samples", "completions", "kappa", "low", "high", "same")
_TEMPLATES = (1, 2, 3, 5, 7, 10, 14, 21)
_SAMPLES = (1, 2, 3, 5, 7, 10)


def budget_curve(hits: ArrayLike, samples: int, reference: ArrayLike, scheme: LevelScheme, seed: int = 0, repeats: int = 5) -> pd.DataFrame:
    """How the levels of smaller probes agree with `reference`: hits [facts, templates] of `samples`, levels [facts].

    A row a budget, by templates, then samples: templates, samples, completions (templates x samples, per fact), kappa
    (linear weights, mean over repeats), low, high, same (share of facts on the same level). low and high are a 95%
    bootstrap over facts of the confusion pooled over repeats, each resample with as many facts as there are: what one
    probe of that size may show, so a little wider than the mean over repeats needs.

    A budget's hits are part of the full probe's. Where `reference` was made from the same hits the full budget's kappa is
    1, and a smaller one agrees better than a separate probe of its size would: `simulated_floor` says how far two probes
    agree. NaN with fewer than 2 facts and where kappa is undefined (`weighted_kappa`). Raises ValueError if hits are not 0
    to `samples`.
    """
    counts, rng = _checked(hits, samples), np.random.default_rng(seed)
    levels = len(scheme.labels)
    confusions: dict[tuple[int, int], list[NDArray[np.int64]]] = {}
    for _ in range(repeats):
        for templates, drawn, hit in _smaller(counts, samples, rng):
            confusion = confusion_of(reference, level_of(hit / (templates * drawn), scheme), levels)
            confusions.setdefault((templates, drawn), []).append(confusion)
    rows = [(t, s, t * s, *_row(np.stack(confusions[t, s]), rng)) for t, s in sorted(confusions)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def simulated_floor(hits: ArrayLike, samples: int, scheme: LevelScheme, seed: int = 0, repeats: int = 5) -> float:
    """Kappa between two full probes of an unchanged model, simulated: hits [facts, templates] of `samples`.

    Not measured: each template's rate is drawn from Beta(hits + 1/2, samples - hits + 1/2), and both probes from that
    rate; mean over repeats. The added halves lift nearly every fact that never hit above R = 0, so that the simulated
    probes hold hardly an L0: good for kappa, not for shares. NaN with fewer than 2 facts and where kappa is undefined.
    Raises ValueError if hits are not 0 to `samples`.
    """
    counts, rng = _checked(hits, samples), np.random.default_rng(seed)
    if len(counts) < 2 or not counts.size:
        return float("nan")
    kappas = []
    for _ in range(repeats):
        rate = rng.beta(counts + 0.5, samples - counts + 0.5)
        first, second = (level_of(rng.binomial(samples, rate).sum(1) / (samples * counts.shape[1]), scheme) for _ in range(2))
        kappas.append(weighted_kappa(confusion_of(first, second, len(scheme.labels))))
    return float(np.mean(kappas))


def _smaller(counts: NDArray[np.int64], samples: int, rng: np.random.Generator) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """One repeat's budgets: templates, samples, hits within them [facts].

    Samples are taken one by one without putting back, so that after s of them a template has a hypergeometric count.
    """
    left = np.take_along_axis(counts, rng.random(counts.shape).argsort(1), 1)
    taken = np.zeros_like(left)
    for drawn in range(1, samples + 1):
        hit = rng.random(left.shape) * (samples - drawn + 1) < left
        taken += hit
        left -= hit
        if drawn in _up_to(samples, _SAMPLES):
            sums = taken.cumsum(1)
            yield from ((templates, drawn, sums[:, templates - 1]) for templates in _up_to(counts.shape[1], _TEMPLATES))


def _row(confusions: NDArray[np.int64], rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Confusions [repeats, levels, levels] of the same facts -> kappa, low, high, same."""
    pooled = confusions.sum(0)
    facts = int(pooled.sum()) // len(confusions)
    if facts < 2:
        return (float("nan"),) * 4
    kappa, same = float(weighted_kappa(confusions).mean()), float(np.trace(pooled) / pooled.sum())
    low, high = kappa_interval(pooled, rng, facts) if np.isfinite(kappa) else (kappa, kappa)
    return kappa, low, high, same


def _up_to(most: int, grid: Sequence[int]) -> list[int]:
    """The grid's numbers below `most`, and `most` itself if there is any."""
    return [number for number in grid if number < most] + [most] * (most > 0)


def _checked(hits: ArrayLike, samples: int) -> NDArray[np.int64]:
    counts = np.asarray(hits, dtype=np.int64)
    if counts.shape == (0,):
        return counts.reshape(0, 0)  # no facts, so no templates either
    if counts.size and not 0 <= counts.min() <= counts.max() <= samples:
        raise ValueError(f"Hits must be 0 to {samples} of each template, got {counts.min()} to {counts.max()}.")
    return counts


def cross_table(first: pd.DataFrame, second: pd.DataFrame, rows: LevelScheme, columns: LevelScheme, seed: int = 0) -> CrossTable:
    """Two tables with `fact_id` and `level`, of the first scheme and of the second, on the facts that both hold."""
    both = first[["fact_id", "level"]].merge(second[["fact_id", "level"]], on="fact_id", suffixes=("", "_other"), validate="one_to_one")
    counts = _joint((both["level"], both["level_other"]), (len(rows.labels), len(columns.labels)))
    low, high = _interval(tau_b(_resampled(counts, RESAMPLES, np.random.default_rng(seed))))
    cells = tuple(tuple(row) for row in counts.tolist())
    return CrossTable(rows.labels, columns.labels, len(both), cells, _or_none(float(tau_b(counts))), _or_none(low), _or_none(high))


def tau_b(counts: ArrayLike) -> NDArray[np.float64]:
    """Kendall's tau-b of counts [..., rows, columns] -> [...]; NaN where all facts are on one level of either scheme."""
    n = np.asarray(counts, dtype=np.float64)
    below = n[..., ::-1, :].cumsum(-2)[..., ::-1, :] - n  # facts on higher rows, column by column
    more = below.sum(-1, keepdims=True) - below.cumsum(-1)  # of those on higher columns, too
    fewer = below.cumsum(-1) - below
    agreeing = (n * (more - fewer)).sum((-2, -1))
    total, of_rows, of_columns = (count * (count - 1) / 2 for count in (n.sum((-2, -1)), n.sum(-1), n.sum(-2)))
    pairs = [total - alike.sum(-1) for alike in (of_rows, of_columns)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return agreeing / np.sqrt(pairs[0] * pairs[1])
