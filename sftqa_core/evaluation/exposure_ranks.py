"""How counts of a training corpus go with the memory score: rank correlations, and what is left of them given the subject's own count.

A famous subject stands in many texts and is known better for many reasons, so the count of subject and answer together says little by
itself; the partial correlation asks what it adds to the subject's count. Ranks of counts are those of their logarithms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sftqa_core.evaluation.intervals import LEAST, Estimate, partial_spearman, spearman_interval
from sftqa_core.records import ExposureRanks

if TYPE_CHECKING:
    import pandas as pd

_UNKNOWN = Estimate(None, None, None)


def exposure_ranks(facts: pd.DataFrame) -> tuple[ExposureRanks, ...]:
    """Over all facts, and over those alone whose count is no estimate where some are. `facts` has score, count, subject_count, estimated;
    fewer than 30 facts are too few to tell."""
    estimated = facts["estimated"].astype(bool)
    rows = [_ranks("all", facts)]
    return tuple([*rows, _ranks("exact", facts[~estimated])] if estimated.any() else rows)


def _ranks(of: str, facts: pd.DataFrame) -> ExposureRanks:
    score, count, subject = (facts[name].to_numpy(float) for name in ("score", "count", "subject_count"))
    enough = len(facts) >= LEAST
    together = spearman_interval(count, score) if enough else _UNKNOWN
    given = partial_spearman(count, score, subject) if enough else _UNKNOWN
    return ExposureRanks(of, len(facts), int(facts["estimated"].sum()), *together, *given)


def ranks_words(ranks: ExposureRanks) -> str:
    """The same in a sentence or two."""
    of = "facts whose count is no estimate" if ranks.of == "exact" else "facts"
    if ranks.facts < LEAST:
        return f"{ranks.facts:,} {of} have both a count and a level: too few to tell."
    return (
        f"{ranks.facts:,} {of}: rank correlation of R with texts that name subject and answer together "
        f"{_interval(ranks.together, ranks.together_low, ranks.together_high)}; given how often they name the subject "
        f"{_interval(ranks.given_subject, ranks.given_subject_low, ranks.given_subject_high)}."
    )


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return "cannot be told, since they do not differ enough"
    told = f"{value:z.2f} ({low:z.2f} to {high:z.2f})"
    return told if low > 0 or high < 0 else f"{told}, which may be none"
