"""Are two tested models different on the facts that both were asked? Matching of facts, paired tests, and their words.

**Which facts.** Those in common: by fact id, else by relation, normalised subject and answers, as where a file of facts was renamed
(the id holds the source's name). Facts that only some of the models were asked are never part of a comparison.

**Which test.** Of two single runs, on the facts as they come (micro): McNemar's exact test (binomial, on the facts that one alone
answered rightly), with the interval that belongs to it (`mcnemar_interval`). Everywhere else each fact is averaged over the seeds of its
setting first, then facts are drawn anew, the same ones for both sides, and for the mean over levels within each level (paired bootstrap,
METHOD 8.9); interval and p-value take the bootstrap's standard error. Averages are no counts, so McNemar's test is not for them.
Claims that are to hold for other seeds, too (of a study of a recipe), take `crossed_difference`: facts and seeds both vary.

**Which words.** Holm's correction over all comparisons that are made together. An interval is as wide as the level at which Holm's
procedure tests its comparison, so that it leaves out 0 exactly where the corrected p is below 5%; only then a model is called better or
worse. With fewer than 30 facts (for the mean over levels: at any level) nothing is said.

Of the others neither knows what another seed would have given; seeds are shown one by one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sftqa_core.evaluation.intervals import ALPHA, DRAWS, LEAST, by_level, holm, macro_resampled, percentiles, resampled, two_way
from sftqa_core.knowledge.facts import subject_key
from sftqa_core.knowledge.matching import normalise
from sftqa_core.records import LevelScheme

if TYPE_CHECKING:
    import pandas as pd

MCNEMAR, BOOTSTRAP, CROSSED = "McNemar, exact", "paired bootstrap", "facts and seeds"
BETTER, WORSE, OPEN, FEW = "better", "worse", "cannot tell", "too few facts to tell"


# ---- facts in common ----
@dataclass(frozen=True)
class InCommon:
    """Facts that all of several tables hold."""

    facts: pd.DataFrame  # rows of the first table, in its order
    places: tuple[np.ndarray, ...]  # of each table the rows of these facts, in their order: int [facts]
    by_triple: tuple[int, ...]  # of each table: facts that were matched by relation, subject and answers
    other_answers: tuple[int, ...]  # of each table: facts with the first table's id, relation and subject, but other right answers


def facts_in_common(tables: Sequence[pd.DataFrame]) -> InCommon:
    """The facts that all tables (fact_id, relation, subject, answers; each fact once) hold, matched with those of the first.

    A fact whose right answers are others in two tables is not the same question to both, and is left out.
    """
    first, matched = tables[0], [(np.arange(len(tables[0])), 0, 0)]
    triples: dict[tuple[str, str, frozenset[str]], int] = {}
    for table in tables[1:]:
        if not triples and not table["fact_id"].isin(first["fact_id"]).all():
            triples = {triple: row for row, triple in enumerate(_triples(first))}
        matched.append(_matched(first, table, triples))
    places, by_triple, others = zip(*matched, strict=True)
    kept = np.flatnonzero(np.all([place >= 0 for place in places], axis=0))
    return InCommon(first.iloc[kept].reset_index(drop=True), tuple(place[kept] for place in places), by_triple, others)


def _matched(
    first: pd.DataFrame, table: pd.DataFrame, triples: Mapping[tuple[str, str, frozenset[str]], int]
) -> tuple[np.ndarray, int, int]:
    """For each of the first table's facts its row in another one (-1: none), how many were matched by triple, and how many have the same
    id and other answers."""
    place, by_triple, changed = np.full(len(first), -1), 0, 0
    known = {fact: row for row, fact in enumerate(table["fact_id"].tolist())}
    theirs, ours = table["answers"].tolist(), first["answers"].tolist()
    for at, fact in enumerate(first["fact_id"].tolist()):
        if (row := known.pop(fact, -1)) < 0:
            continue
        if theirs[row] == ours[at] or _answers(theirs[row]) == _answers(ours[at]):
            place[at] = row
        else:
            changed += 1
    if triples and known:
        left = sorted(known.values())
        for row, triple in zip(left, _triples(table.iloc[left]), strict=True):
            if (at := triples.get(triple, -1)) >= 0 and place[at] < 0:
                place[at], by_triple = row, by_triple + 1
    return place, by_triple, changed


def _triples(table: pd.DataFrame) -> list[tuple[str, str, frozenset[str]]]:
    rows = zip(table["relation"].tolist(), table["subject"].tolist(), table["answers"].tolist(), strict=True)
    return [(relation, subject_key(subject), _answers(answers)) for relation, subject, answers in rows]


def _answers(answers: Sequence[str]) -> frozenset[str]:
    return frozenset(map(normalise, answers))


# ---- paired tests ----
@dataclass(frozen=True)
class Difference:
    """One paired comparison: the mean of `first` less that of `second` on the same facts."""

    test: str  # MCNEMAR, BOOTSTRAP or CROSSED
    facts: int
    least: int  # facts at the scarcest place: of the mean over levels the smallest level's, else all of them
    value: float
    p: float
    only_first: float  # facts that the first alone answered rightly; of pooled seeds the sum of the shares by which it leads
    only_second: float
    differing: int  # facts on which the two are not equal
    spread: float = 0.0  # standard error; not of MCNEMAR
    dof: float = math.inf  # of Student's t; infinite: the normal distribution; 0: one seed, which says nothing of others
    low: float = 0.0  # set by `corrected`
    high: float = 0.0
    p_holm: float = 1.0
    verdict: str = OPEN  # BETTER, WORSE, OPEN or FEW: of the first against the second


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Two-sided p of McNemar's exact test, from the facts that one alone answered rightly; 1.0 where there are none."""
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(only_first, only_second), only_first + only_second, 0.5)))


def mcnemar_interval(only_first: int, only_second: int, facts: int, alpha: float = ALPHA) -> tuple[float, float]:
    """The interval of the difference of two accuracies that belongs to `mcnemar_p`: it leaves out 0 only where p is below `alpha`.

    Clopper and Pearson's interval of the first one's share of the discordant facts takes their number as given; each end is the farther
    one of that and of Wald's paired interval, which lets the number vary. Where nothing differs see `largest_share`.
    """
    from scipy.special import betaincinv, ndtri  # of the same distributions as scipy.stats, at a hundredth of its time

    discordant = only_first + only_second
    if not discordant:
        most = largest_share(0, facts, alpha)
        return -most, most
    low = float(betaincinv(only_first, only_second + 1, alpha / 2)) if only_first else 0.0
    high = float(betaincinv(only_first + 1, only_second, 1 - alpha / 2)) if only_second else 1.0
    value = (only_first - only_second) / facts
    half = -float(ndtri(alpha / 2)) * math.sqrt(max(0.0, discordant / facts - value**2) / facts)
    return min(discordant / facts * (2 * low - 1), value - half), max(discordant / facts * (2 * high - 1), value + half)


def largest_share(differing: int, facts: int, alpha: float) -> float:
    """The largest share of facts that can differ, at this level, where so few did: about 3 / facts for 5% and none (Clopper-Pearson)."""
    from scipy.special import betaincinv

    return float(betaincinv(differing + 1, facts - differing, 1 - alpha)) if differing < facts else 1.0


def single_difference(first: np.ndarray, second: np.ndarray) -> Difference:
    """Two single runs on the facts as they come: bool [facts] each, at least one fact."""
    ahead, behind = int((first & ~second).sum()), int((second & ~first).sum())
    facts = len(first)
    value = (ahead - behind) / facts
    return Difference(MCNEMAR, facts, facts, value, mcnemar_p(ahead, behind), ahead, behind, ahead + behind)


class Resamples:
    """Means of several models' scores on facts drawn anew, made once for all their comparisons.

    `strata`: scores [facts, models], each an average over seeds; one array for the facts as they come, one a level for the mean over
    levels. No stratum may be empty.
    """

    def __init__(self, strata: Sequence[np.ndarray], draws: int = DRAWS):
        self.strata = strata
        self.means = np.mean([group.mean(axis=0) for group in strata], axis=0)  # [models]
        self.drawn = macro_resampled(strata, draws=draws) if len(strata) > 1 else resampled(strata[0], draws=draws)  # [draws, models]

    def interval(self, model: int) -> tuple[float, float]:
        """The middle 95% of one model's means."""
        return percentiles(self.drawn[:, model])

    def difference(self, first: int, second: int) -> Difference:
        """The paired comparison of two of the models."""
        apart = np.concatenate([group[:, first] - group[:, second] for group in self.strata])
        spread = float((self.drawn[:, first] - self.drawn[:, second]).std(ddof=1))
        return _difference(BOOTSTRAP, apart, min(map(len, self.strata)), float(self.means[first] - self.means[second]), spread)


def crossed_difference(strata: Sequence[np.ndarray]) -> Difference:
    """The comparison of two settings over facts and seeds: paired differences [facts, seeds], of the mean over levels an array a level.

    The standard error and its degrees of freedom are those of `intervals.two_way`. No stratum may be empty. With one seed p is 1, and the
    interval is all that a difference can be.
    """
    value, spread, dof = two_way(strata)
    apart = np.concatenate([group.mean(axis=1) for group in strata])
    return _difference(CROSSED, apart, min(map(len, strata)), value, spread, dof)


def _difference(test: str, apart: np.ndarray, least: int, value: float, spread: float, dof: float = math.inf) -> Difference:
    """`apart`: each fact's difference, averaged over seeds [facts]."""
    from scipy.special import ndtri, stdtr

    differing = int((apart != 0).sum())
    if differing and value:  # however large the difference: no test by the signs of so few facts goes below this
        reach = -float(ndtri(2.0**-differing))
        spread = max(spread, abs(value) / reach) if reach else math.inf
    p = 1.0 if not value or math.isinf(spread) else float(2 * stdtr(dof, -abs(value) / spread)) if spread else 0.0
    sides = float(apart[apart > 0].sum()), abs(float(apart[apart < 0].sum()))
    return Difference(test, len(apart), least, value, p, *sides, differing, spread, dof)


def corrected(differences: Sequence[Difference], alpha: float = ALPHA) -> list[Difference]:
    """The same comparisons with Holm's p, the interval at the level at which Holm's procedure tests each, and the words."""
    from scipy.special import stdtrit

    after = holm([one.p for one in differences])
    levels = _holm_levels([one.p for one in differences], alpha)
    told = []
    for one, p_holm, level in zip(differences, after, levels, strict=True):
        if one.test == MCNEMAR:
            low, high = mcnemar_interval(int(one.only_first), int(one.only_second), one.facts, level)
        elif not one.dof:
            low, high = -1.0, 1.0
        else:
            most = largest_share(one.differing, one.least, level) if one.differing < 2 else 1.0  # a mean can't differ by more than it
            half = -float(stdtrit(one.dof, level / 2)) * one.spread if one.differing else most
            low, high = max(-most, one.value - half), min(most, one.value + half)
        verdict = FEW if one.least < LEAST else BETTER if low > 0 else WORSE if high < 0 else OPEN
        told.append(replace(one, low=low, high=high, p_holm=p_holm, verdict=verdict))
    return told


def _holm_levels(pvalues: Sequence[float], alpha: float) -> list[float]:
    """The level at which Holm's procedure tests each: alpha over the comparisons left, from the smallest p on; those after the first that
    is not below its level share that level."""
    levels, stopped = [alpha] * len(pvalues), 0.0
    for rank, at in enumerate(np.argsort(pvalues, kind="stable").tolist()):
        levels[at] = stopped or alpha / (len(pvalues) - rank)
        if not stopped and pvalues[at] >= levels[at]:
            stopped = levels[at]
    return levels


# ---- several seeds, and ratios of means over levels ----
@dataclass(frozen=True)
class Ratio:
    """A ratio of two macro means with its paired bootstrap interval. All None when a level holds no fact."""

    value: float | None
    low: float | None
    high: float | None
    missing: tuple[str, ...] = ()  # levels without facts


def mean_over_seeds(predictions: Sequence[pd.DataFrame]) -> pd.Series:
    """fact_id -> share of the seeds' predictions tables (one stage each) in which it was right.

    Raises `ValueError` when the tables are not about the same facts.
    """
    import pandas as pd

    columns = [table.set_index("fact_id")["correct"].astype(float) for table in predictions]
    if any(len(column) != len(columns[0]) or set(column.index) != set(columns[0].index) for column in columns):
        raise ValueError("Runs can only be averaged over seeds when they were tested on the same facts.")
    return pd.concat(columns, axis=1).mean(axis=1)


def paired_ratio(
    numerator: pd.Series,
    denominators: pd.Series | Mapping[int, pd.Series],
    levels: pd.Series | None,
    scheme: LevelScheme,
    seed: int = 0,
    draws: int = DRAWS,
) -> Ratio:
    """Macro mean of `numerator` over that of `denominators`; of several, over the best one, found anew in each resample.

    Scores come from `mean_over_seeds`; `levels` is fact_id -> level index (None: the plain mean over all facts). For
    "n = 60 against the best of 60, 240 and 960" the denominators include the n = 60 scores. The value is None when a
    level is missing or the denominator is 0; resamples with a denominator of 0 are left out of the interval.
    """
    others = list(denominators.values()) if isinstance(denominators, Mapping) else [denominators]
    strata, missing = _strata([numerator, *others], levels, scheme)
    if missing:
        return Ratio(None, None, None, missing)
    observed = np.mean([group.mean(axis=0) for group in strata], axis=0)
    drawn = macro_resampled(strata, seed, draws)
    best = drawn[:, 1:].max(axis=1)
    kept = drawn[best > 0, 0] / best[best > 0]
    if observed[1:].max() == 0 or not len(kept):
        return Ratio(None, None, None)
    return Ratio(float(observed[0] / observed[1:].max()), *percentiles(kept))


def _strata(scores: Sequence[pd.Series], levels: pd.Series | None, scheme: LevelScheme) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """One array (facts, settings) per level, and the labels of levels without facts. Facts without a level are left out."""
    import pandas as pd

    table = pd.concat(list(scores), axis=1, join="inner")
    if any(len(series) != len(table) for series in scores):
        raise ValueError("Runs can only be compared on the same test facts.")
    if levels is None:
        return [table.to_numpy()], () if len(table) else ("any",)
    at = table.index.to_series().map(levels).to_numpy()
    groups = by_level(table.to_numpy(), at, len(scheme.labels))
    return groups, tuple(label for label, group in zip(scheme.labels, groups, strict=True) if not len(group))
