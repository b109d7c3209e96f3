"""What drifted, in words: each sentence answers one question of drift_tables.py's numbers, or says that nobody can tell. Light.

Verdicts follow intervals corrected (Bonferroni) for all differences that these words may tell of (sentences.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from sftqa_core.evaluation.inside import drift_weights
from sftqa_core.evaluation.inside.drift_tables import (
    EVERY,
    LEAST_SETTINGS,
    QUESTIONS,
    Drift,
    lost_draws,
    mean_draws,
)
from sftqa_core.evaluation.inside.sentences import Ends, Question, Sentence, answers, compared, judged, number, side, texts, unanswered
from sftqa_core.evaluation.intervals import (
    ALPHA,
    LEAST,
    normal_interval,
    resampled,
    spearman_interval,
)
from sftqa_core.records import DOMAIN_NAMES
from sftqa_core.records.amounts import signed


def sentences(drift: Drift) -> list[Sentence]:
    """What may be said of these runs, claims first."""
    weights = number(drift_weights.words(drift.top))
    comparisons = (_of_right_tokens, _of_levels, _of_lost, _of_amounts, _of_training_levels)
    asked = [*_moved(drift), *(question for ask in comparisons for question in ask(drift)), _of_runs(drift), weights]
    return answers(asked)


def words(drift: Drift) -> list[str]:
    """The texts of `sentences`."""
    return texts(sentences(drift))


def _moved(drift: Drift) -> Iterator[Question]:
    rows = drift.by_level
    for row in _rows(rows[(rows["kind"] == QUESTIONS) & (rows["level"] == EVERY)]):
        name = DOMAIN_NAMES[row.domain].capitalize()
        if row.facts < LEAST:
            yield unanswered(f"{name}: too few facts to tell ({row.facts:,}).")
        else:
            yield number(
                f"{name}: after the question, the likeliest next token is another one for {row.changed:.0%} of {row.facts:,} facts, and "
                f"KL is {row.kl:.2f} nats on average ({row.low:.2f} to {row.high:.2f})."
            )
    asked, stated = (facts.set_index("fact_id")["kl"] for facts in drift.facts.values())
    asked = asked.loc[stated.index]
    if len(stated) < LEAST:
        yield unanswered(f"Whether questions moved more than statements: too few facts to tell ({len(stated):,}).")
        return

    def answered(alpha: float) -> Sentence:
        where, (low, high) = judged(partial(_mean_interval, (asked - stated).to_numpy()), alpha)
        numbers = (
            f"{asked.mean():.2f} against {stated.mean():.2f} nats (difference {signed(low, 2)} to {signed(high, 2)}) on the same "
            f"{len(stated):,} facts"
        )
        how = {
            1: "Answers to questions moved more than statements about the same facts",
            -1: "Statements moved more than answers to questions about the same facts",
            0: "Cannot tell whether answers to questions or statements moved more",
        }
        return compared(where, f"{how[where]}: {numbers}.")

    yield Question(1, answered)


def _of_right_tokens(drift: Drift) -> Iterator[Question]:
    """Whether the right answer's first token became more or less probable: a large KL can be either."""

    def answered(kind: str, facts: pd.DataFrame, alpha: float) -> Sentence:
        where, (low, high) = judged(partial(_mean_interval, (facts["logprob_tuned"] - facts["logprob_base"]).to_numpy()), alpha)
        how = {1: "became more probable", -1: "became less probable", 0: "cannot be told to have changed"}[where]
        return compared(
            where,
            f"At {kind}, the right answer's first token {how}: log P {facts['logprob_base'].mean():.2f} before, "
            f"{facts['logprob_tuned'].mean():.2f} after ({len(facts):,} facts; the change: {signed(low, 2)} to {signed(high, 2)}).",
        )

    return (Question(1, partial(answered, kind, facts)) for kind, facts in drift.facts.items() if len(facts) >= LEAST)


def _of_levels(drift: Drift) -> Iterator[Question]:
    """The highest level against the lowest, by each kind of prompt."""
    first, last = drift.labels[0], drift.labels[-1]

    def answered(kind: str, lowest: np.ndarray, highest: np.ndarray, alpha: float) -> Sentence:
        draws = mean_draws(highest)[:, 0] - resampled(lowest[:, None], seed=1)[:, 0]
        where, (low, high) = judged(partial(normal_interval, float(highest.mean() - lowest.mean()), draws), alpha)
        how = {1: "moved more than", -1: "moved less than", 0: "cannot be told from"}[where]
        numbers = f"{highest.mean():.2f} against {lowest.mean():.2f} nats (difference {signed(low, 2)} to {signed(high, 2)})"
        return compared(where, f"At {kind}, {last} facts {how} {first} facts: {numbers} ({len(highest):,} and {len(lowest):,} facts).")

    for kind, facts in drift.facts.items():
        lowest, highest = (facts.loc[facts["level"] == level, "kl"].to_numpy() for level in (0, len(drift.labels) - 1))
        if min(len(lowest), len(highest)) >= LEAST:
            yield Question(1, partial(answered, kind, lowest, highest))
        else:
            yield unanswered(f"At {kind}, {last} against {first}: too few facts to tell ({len(highest):,} and {len(lowest):,}).")


def _of_lost(drift: Drift) -> Iterator[Question]:
    """Facts of the highest level that were lost, beside those that stayed right."""
    last, rows = drift.labels[-1], drift.lost_and_kept

    def answered(row: Any, counts: str, alpha: float) -> Sentence:
        facts = drift.facts[row.kind]
        draws = lost_draws(facts[(facts["level"] == len(drift.labels) - 1) & (facts["was_right"] > 0)])[:, 2]
        where = side((row.low, row.high), normal_interval(row.difference, draws, alpha))
        numbers = f"{row.kl_lost:.2f} against {row.kl_kept:.2f} nats ({counts}; difference {signed(row.low, 2)} to {signed(row.high, 2)})"
        how = {1: "moved more than", -1: "moved less than", 0: "cannot be told from"}[where]
        return compared(where, f"At {row.kind}, {last} facts that were lost {how} those that stayed right: {numbers}.")

    for row in _rows(rows[rows["level"] == last]):
        counts = f"{row.lost:,.0f} lost, {row.kept:,.0f} kept"
        if pd.isna(row.difference):
            about = f"At {row.kind}, {last} facts that were lost beside those that stayed right"
            yield unanswered(f"{about}: too few facts to tell ({counts}).")
        else:
            yield Question(1, partial(answered, row, counts))


def _of_amounts(drift: Drift) -> Iterator[Question]:
    """Whether KL falls, then rises with n, as published; for each training level with three sizes or more."""

    def answered(about: str, ns: Sequence[int], kl: np.ndarray, alpha: float) -> Sentence:
        means, draws = kl.mean(axis=0), mean_draws(kl)
        between = [_difference(means, draws, end, at, alpha) for at in range(1, len(ns) - 1) for end in (0, -1)]
        dips = [at for at, pair in enumerate(zip(between[::2], between[1::2], strict=True), 1) if pair == (1, 1)]
        whole = _difference(means, draws, -1, 0, alpha)
        numbers = ", ".join(f"{mean:.2f}" for mean in means)
        if dips:
            lowest = min(dips, key=lambda at: means[at])
            return compared(1, f"{about}: KL falls, then rises ({numbers} nats); it is lowest at n = {ns[lowest]:,}.")
        if whole:
            return compared(whole, f"{about}: KL {'rises' if whole > 0 else 'falls'} from the first to the last ({numbers} nats).")
        return compared(0, f"{about}: cannot tell whether KL rises or falls ({numbers} nats).")

    for kind, trained, ns, kl in _series(drift, "trained"):
        about = f"At {kind}, trained on {trained}, n = {', '.join(f'{n:,}' for n in ns)}"
        if len(ns) >= 3 and len(kl) < LEAST:
            yield unanswered(f"{about}: too few {drift.labels[-1]} facts to tell ({len(kl):,}).")
        elif len(ns) >= 3:
            yield Question(2 * (len(ns) - 2) + 1, partial(answered, about, ns, kl))


def _of_training_levels(drift: Drift) -> Iterator[Question]:
    """Which training level moved the highest level's facts most, at each n with two or more."""

    def answered(about: str, levels: Sequence[str], kl: np.ndarray, alpha: float) -> Sentence:
        means, draws = kl.mean(axis=0), mean_draws(kl)
        most = int(means.argmax())
        apart = all(_difference(means, draws, most, at, alpha) == 1 for at in range(len(levels)) if at != most)
        numbers = ", ".join(f"{level} {mean:.2f}" for level, mean in zip(levels, means, strict=True))
        moved = f"training on {levels[most]} moved {drift.labels[-1]} facts most"
        return compared(int(apart), f"{about}: {moved if apart else 'cannot tell which training level moved most'} ({numbers} nats).")

    for kind, n, levels, kl in _series(drift, "n"):
        if len(levels) >= 2 and len(kl) >= LEAST:  # any pair could have been the two ends
            yield Question(len(levels) * (len(levels) - 1) // 2, partial(answered, f"At {kind}, n = {n:,}", levels, kl))


def _of_runs(drift: Drift) -> Question:
    """Whether settings with more drift are worse on the highest level, all seeds of one together: seeds are alike."""
    about = f"whether more drift goes with lower accuracy on {drift.labels[-1]}"
    runs = drift.runs[drift.runs["comparable"].astype(bool)]
    settings = runs.groupby(["trained", "n"])[["kl10", "accuracy"]].mean()
    if len(settings) < LEAST_SETTINGS:
        return unanswered(f"Over settings, {about}: too few settings to tell ({len(settings)} of {LEAST_SETTINGS} or more).")
    over = f"Over {len(settings)} settings ({len(runs)} runs)"

    def answered(alpha: float) -> Sentence:
        shown, wide = (spearman_interval(settings["kl10"].to_numpy(), settings["accuracy"].to_numpy(), level) for level in (ALPHA, alpha))
        if shown.low is None or shown.high is None or wide.low is None or wide.high is None:
            return compared(0, f"{over}, cannot tell {about}: the settings do not differ.")
        where = side((shown.low, shown.high), (wide.low, wide.high))
        numbers = f"Spearman {shown.value:.2f} ({shown.low:.2f} to {shown.high:.2f})"
        if not where:
            return compared(0, f"{over}, cannot tell {about}: {numbers}.")
        how = "higher" if where > 0 else "lower"
        return compared(where, f"{over}, more drift at statements goes with {how} accuracy on {drift.labels[-1]}: {numbers}.")

    return Question(1, answered)


def _series(drift: Drift, same: str) -> Iterator[tuple[str, Any, list[Any], np.ndarray]]:
    """Kind, what is the `same` (trained or n) in some settings, what differs (n or trained) in order, and KL of their common facts
    [facts, settings]."""
    for kind, found in drift.settings.items():
        groups: dict[Any, dict[Any, pd.Series]] = {}
        for (trained, n), (_, kl) in found.items():
            key, other = (trained, n) if same == "trained" else (n, trained)
            groups.setdefault(key, {})[other] = kl
        for key, series in groups.items():
            yield kind, key, list(series), pd.concat(list(series.values()), axis=1, join="inner").to_numpy()


def _difference(means: np.ndarray, draws: np.ndarray, one: int, other: int, alpha: float) -> int:
    """On which side of 0 one setting's mean less another's lies, 0 where that can't be told."""
    return judged(partial(normal_interval, float(means[one] - means[other]), draws[:, one] - draws[:, other]), alpha)[0]


def _mean_interval(values: np.ndarray, alpha: float) -> Ends:
    """The interval of a mean over facts."""
    return normal_interval(float(values.mean()), mean_draws(values)[:, 0], alpha)


def _rows(table: pd.DataFrame) -> Iterator[Any]:
    """Rows with their columns as attributes."""
    yield from table.itertuples(index=False)
