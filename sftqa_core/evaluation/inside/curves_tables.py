"""What learning curves show, by level, and what may be said of them. Loads no model. Facts are drawn anew for intervals (METHOD 8.9)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sftqa_core.evaluation import intervals
from sftqa_core.evaluation.inside.curves.curves_grids import ALL, PARTS, Curves, curves_of
from sftqa_core.evaluation.inside.curves.curves_slick import CANNOT_TELL, regression, regression_sentences, too_few
from sftqa_core.evaluation.inside.look import Look
from sftqa_core.evaluation.inside.sentences import Question, Sentence, Weight, answers, compared, judged, ordered, texts, unanswered
from sftqa_core.evaluation.intervals import LEAST, Estimate
from sftqa_core.records import DOMAIN_NAMES, DOMAINS
from sftqa_core.records.amounts import points, signed

if TYPE_CHECKING:
    import pandas as pd


def by_step(curves: Curves) -> pd.DataFrame:
    """part, level, domain, step; facts; seeds; logprob with low and high (means over facts, 95% bootstrap over facts), per_token (mean
    over facts of log P / tokens); fits with fits_low and fits_high (shares)."""
    import pandas as pd

    tokens, rows = curves.facts["tokens"].to_numpy()[:, None], []
    for part, level, domain in _cells(curves):
        chosen = curves.where(part, level, domain)
        if not chosen.any():
            continue
        logprob, fits, count = curves.logprob[chosen], curves.fits[chosen], int(chosen.sum())
        drawn, shares, seeds = intervals.resampled(logprob), intervals.resampled(fits), int(curves.facts["seeds"][chosen].max())
        each = (logprob / tokens[chosen]).mean(axis=0)
        for at, step in enumerate(curves.steps):
            ends = intervals.percentiles(drawn[:, at])
            share = intervals.mean_interval(fits[:, at], seeds, shares[:, at])
            rows.append((part, level, domain, step, count, seeds, float(logprob[:, at].mean()), *ends, float(each[at]), *share))
    columns = ["part", "level", "domain", "step", "facts", "seeds", "logprob", "low", "high", "per_token", "fits", "fits_low", "fits_high"]
    return pd.DataFrame(rows, columns=columns)


def _cells(curves: Curves) -> Iterator[tuple[str, str, str]]:
    domains = {"train": (ALL,), "dev": (ALL, *DOMAINS)}
    return ((part, level, domain) for part in PARTS for level in curves.levels() for domain in domains[part])


def steps_to_fit(curves: Curves) -> pd.DataFrame:
    """part, level, domain; facts; seeds; before (share that fits the base model already); share, low, high: facts that fit at some look of
    the training; median: steps to the first fit, 0 the base model, None where fewer than half ever fit.

    Dev facts are those of the training examples' domain (`Curves.compared`): the others are no control for them.
    """
    import pandas as pd

    rows = []
    for part, level, chosen in _by_level(curves):
        estimate, seeds = _share(curves.ever[chosen], curves, chosen)
        first = curves.first[chosen]
        median = float(np.quantile(first[~np.isnan(first)], 0.5, method="inverted_cdf"))
        before = float(curves.fits[chosen, 0].mean())
        about = (part, level, curves.compared, int(chosen.sum()), seeds)
        rows.append((*about, before, *estimate, median if np.isfinite(median) else None))
    return pd.DataFrame(rows, columns=["part", "level", "domain", "facts", "seeds", "before", "share", "low", "high", "median"])


def forgetting(curves: Curves) -> pd.DataFrame:
    """part, level, domain; facts (those that fit at some look but the last); seeds; share, low, high: of them, those that a later look
    misses. Dev facts as in `steps_to_fit`."""
    import pandas as pd

    rows = []
    for part, level, chosen in _by_level(curves):
        could = chosen & ~np.isnan(curves.lost)
        if could.any():
            estimate, seeds = _share(curves.lost[could], curves, could)
            rows.append((part, level, curves.compared, int(could.sum()), seeds, *estimate))
    return pd.DataFrame(rows, columns=["part", "level", "domain", "facts", "seeds", "share", "low", "high"])


def _by_level(curves: Curves) -> Iterator[tuple[str, str, np.ndarray]]:
    """Part, level and its facts, those of the training examples' domain."""
    for part in PARTS:
        for level in curves.levels():
            if (chosen := curves.where(part, level, curves.compared)).any():
                yield part, level, chosen


def _share(scores: np.ndarray, curves: Curves, chosen: np.ndarray) -> tuple[Estimate, int]:
    seeds = int(curves.facts["seeds"][chosen].max())
    return intervals.mean_interval(scores, seeds, intervals.resampled(scores[:, None])[:, 0]), seeds


def sentences(chosen: Sequence[Look], others: Sequence[Look]) -> list[Sentence]:
    """What came out, claims first; those of single runs are corrected for how many questions are asked of them, those of the regression
    for its own (Bonferroni)."""
    curves = curves_of(chosen)
    if curves is None:
        return [Sentence(f"No training was looked at here: {CANNOT_TELL}.", Weight.OPEN)]
    asked = [*_changes(curves), *_learned(curves), *_kept(curves)]
    if curves.facts["level"][curves.where("train")].isna().all():
        asked.append(unanswered(f"Whether known examples are learned before unknown ones: {CANNOT_TELL}, no example's level is known."))
    return ordered([*answers(asked), *regression_sentences(regression(others))])


def words(chosen: Sequence[Look], others: Sequence[Look]) -> list[str]:
    """The texts of `sentences`."""
    return texts(sentences(chosen, others))


def _changes(curves: Curves) -> list[Question]:
    """Did the right answers to facts that were not trained on become more probable?"""

    def question(domain: str) -> Question:
        chosen = curves.where("dev", domain=domain)
        change = curves.logprob[chosen, -1] - curves.logprob[chosen, 0]
        about = f"log P of the answer to {DOMAIN_NAMES[domain]} dev facts"

        def answered(alpha: float) -> Sentence:
            if len(change) < LEAST:
                return too_few(f"Whether {about} rose", len(change))
            where, (low, high) = judged(partial(intervals.percentiles, intervals.resampled(change[:, None])[:, 0]), alpha)
            verb = {1: "rose", -1: "fell", 0: ""}[where]
            amount = f"{signed(float(change.mean()), 2)} ({signed(low, 2)} to {signed(high, 2)}; {len(change):,} facts)"
            text = f"The {about} {verb} by the end: {amount}." if verb else f"Whether the {about} rose: {CANNOT_TELL}, {amount}."
            return compared(where, text)

        return Question(1, answered)

    return [question(domain) for domain in DOMAINS if curves.where("dev", domain=domain).any()]


def _learned(curves: Curves) -> list[Question]:
    """Are unknown examples fitted less often than known ones, and more often than unknown facts of their domain that were not trained on?
    What the run has no examples of is not asked."""
    lowest = curves.labels[0]
    unknown = curves.where("train", lowest)
    known = curves.where("train") & curves.facts["level"].notna().to_numpy() & ~unknown
    dev, dev_facts = curves.where("dev", lowest, curves.compared), _dev_facts(curves)

    def question(first: np.ndarray, second: np.ndarray, names: tuple[str, str], *verdicts: str) -> Question:
        return _which_more(curves.ever[first], curves.ever[second], names, "fitted at some look", verdicts)

    slow = (
        f"{lowest} examples are learned less often",
        f"{lowest} examples are learned more often",
        f"Whether {lowest} examples are learned less often",
    )
    told = (
        f"{lowest} examples are memorised beyond what tuning alone brings out",
        f"{lowest} examples are fitted less often than {dev_facts} of their level",
        f"Whether {lowest} examples are memorised",
    )
    pairs = [
        (known, unknown, (f"training examples above {lowest}", f"those at {lowest}"), *slow),
        (unknown, dev, (f"training examples at {lowest}", f"{dev_facts} at {lowest}, never trained on"), *told),
    ]
    return [question(*pair) for pair in pairs if pair[0].any() and pair[1].any()]


def _dev_facts(curves: Curves) -> str:
    """What dev facts are called that training examples are compared with."""
    return " ".join((*filter(None, [DOMAIN_NAMES.get(curves.compared)]), PARTS["dev"]))


def _kept(curves: Curves) -> list[Question]:
    """Are examples lost again less often than facts of their domain that were not trained on?"""
    train, dev = (curves.lost[curves.where(part, domain=curves.compared) & ~np.isnan(curves.lost)] for part in PARTS)
    names = ("training examples that fitted", f"{_dev_facts(curves)} that fitted")
    verdicts = (
        "Examples are lost more often than facts never trained on",
        "Examples are lost less often than facts never trained on",
        "Whether examples are lost less often than facts never trained on",
    )
    return [_which_more(train, dev, names, "missed at a later look", verdicts)]


def _which_more(first: np.ndarray, second: np.ndarray, names: tuple[str, str], what: str, verdicts: Sequence[str]) -> Question:
    """Of two groups of facts: what the interval of their difference says (`verdicts`: the first has more, the second has, it can't be
    told), their shares, the difference."""
    more, less, doubt = verdicts

    def answered(alpha: float) -> Sentence:
        if (least := min(len(first), len(second))) < LEAST:
            return too_few(doubt, least)
        where, (low, high) = judged(partial(_apart, first, second), alpha)
        verdict = {1: more, -1: less, 0: f"{doubt}: {CANNOT_TELL}"}[where]
        shares = f"{what[0].upper()}{what[1:]}: {first.mean():.1%} of {names[0]}, {second.mean():.1%} of {names[1]}"
        difference = f"{points(float(first.mean() - second.mean()))} points, {points(low)} to {points(high)}"
        return compared(where, f"{verdict}. {shares} ({difference}; {len(first):,} and {len(second):,} facts).")

    return Question(1, answered)


def _apart(first: np.ndarray, second: np.ndarray, alpha: float) -> tuple[float, float]:
    """The interval of a difference of two groups' mean shares. Each end is the farther one of the bootstrap's and of that put together from
    Wilson's intervals (MOVER), which shows doubt where all facts of a group are alike; both at level 1 - alpha."""
    drawn = intervals.resampled(first[:, None], 0)[:, 0] - intervals.resampled(second[:, None], 1)[:, 0]
    low, high = intervals.percentiles(drawn, alpha)
    value = float(first.mean() - second.mean())
    (a_low, a_high), (b_low, b_high) = (intervals.share_interval(group.sum(), len(group), alpha) for group in (first, second))
    below = float(np.hypot(first.mean() - a_low, b_high - second.mean()))
    above = float(np.hypot(a_high - first.mean(), second.mean() - b_low))
    return min(low, value - below), max(high, value + above)
