"""What moved? Levels before and after tuning, beside those of the untouched model probed again (METHOD 8.6)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from sftqa_core.evaluation.intervals import percentiles, resampled
from sftqa_core.records import DOMAIN_NAMES, Finding, TrainSettings
from sftqa_core.studies import findings
from sftqa_core.studies.findings import Row
from sftqa_core.studies.registry import Crossed, Study, Tables
from sftqa_core.studies.statistics import Outcomes

UNTOUCHED = "untouched, probed again"
MOVES = ("kept", "lost", "gained")  # on the same level, on a lower one, on a higher one


def transitions(outcomes: Outcomes) -> pd.DataFrame:
    """Facts by level before and after: model, domain, after (what was done: UNTOUCHED, or "n = 60"), before, now, facts.

    `facts` is the mean over seeds. All pairs of levels are listed.
    """
    labels, rows = outcomes.scheme.labels, []
    before, now = _levels(outcomes)
    for domain, inside in _domains(outcomes):
        for name, seeds in now.items():
            counts = np.mean([_crossed(before[inside], after[inside], len(labels)) for after in seeds], axis=0)
            rows += [
                (outcomes.model, domain, name, labels[i], labels[j], float(counts[i, j]))
                for i in range(len(labels))
                for j in range(len(labels))
            ]
    return pd.DataFrame(rows, columns=["model", "domain", "after", "before", "now", "facts"])


def moves(outcomes: Outcomes, alpha: float = 0.05) -> pd.DataFrame:
    """Shares of facts kept, lost and gained, and how much of it is more than chance.

    A row for each domain, what was done and move: model, domain, after, move, facts, seeds, share, low, high (bootstrap over
    facts); `excess` over the untouched model's share with a paired interval (excess_low, excess_high: the middle 1 - `alpha`), null
    for the untouched one.
    """
    before, now = _levels(outcomes)
    rows = []
    for domain, inside in _domains(outcomes):
        for move in MOVES:
            names = list(now)
            scores = np.stack([np.mean([_is(move, before[inside], seed[inside]) for seed in now[name]], axis=0) for name in names], axis=1)
            if not len(scores):
                continue
            draws = resampled(scores)
            for at, name in enumerate(names):
                excess: tuple[float | None, ...] = (None, None, None)
                if name != UNTOUCHED and UNTOUCHED in names:
                    base = names.index(UNTOUCHED)
                    excess = (float((scores[:, at] - scores[:, base]).mean()), *percentiles(draws[:, at] - draws[:, base], alpha))
                low, high = percentiles(draws[:, at])
                share = float(scores[:, at].mean())
                rows.append((outcomes.model, domain, name, move, len(scores), len(now[name]), share, low, high, *excess))
    columns = ["model", "domain", "after", "move", "facts", "seeds", "share", "low", "high", "excess", "excess_low", "excess_high"]
    return pd.DataFrame(rows, columns=columns)


def forgetting(outcomes: Outcomes) -> pd.DataFrame:
    """Perplexity of held-out pre-training text: model, after, seeds, before, now (mean over seeds), per_seed; and `log_ratio`, ln of
    now / before, with its standard error over documents (the mean of the seeds': they read the same documents)."""
    rows = []
    for name, runs in _tuned(outcomes).items():
        told = [outcomes.shifts[run].numbers for run in runs if "perplexity" in outcomes.shifts[run].numbers]
        if told:
            seeds = [numbers["perplexity"] for numbers in told]
            ratio, error = (float(np.mean([numbers[key] for numbers in told])) for key in ("log_ratio", "log_ratio_se"))
            rows.append((outcomes.model, name, len(told), told[0]["perplexity_before"], float(np.mean(seeds)), seeds, ratio, error))
    return pd.DataFrame(rows, columns=["model", "after", "seeds", "before", "now", "per_seed", "log_ratio", "log_ratio_se"])


def _tuned(outcomes: Outcomes) -> dict[str, list[TrainSettings]]:
    found: dict[str, list[TrainSettings]] = {}
    for run in sorted(outcomes.shifts, key=lambda run: outcomes.shifts[run].n):
        found.setdefault(f"n = {outcomes.shifts[run].n:,}", []).append(run)
    return found


def _levels(outcomes: Outcomes) -> tuple[np.ndarray, dict[str, list[np.ndarray]]]:
    """Levels of the facts that were probed again: before [facts], and after each treatment, a seed each."""
    if outcomes.retest is None:
        return np.empty(0, dtype=np.int64), {}
    before = _aligned(outcomes)["level"].to_numpy(dtype=np.int64)
    again = {UNTOUCHED: [outcomes.retest["level"].to_numpy(dtype=np.int64)]}
    tuned = {
        name: [outcomes.shifts[run].table["level"].to_numpy(dtype=np.int64) for run in runs] for name, runs in _tuned(outcomes).items()
    }
    return before, {**again, **tuned}


def _aligned(outcomes: Outcomes) -> pd.DataFrame:
    assert outcomes.retest is not None
    return outcomes.facts.set_index("fact_id").loc[outcomes.retest["fact_id"]]


def _domains(outcomes: Outcomes) -> list[tuple[str, np.ndarray]]:
    if outcomes.retest is None:
        return []
    domain = _aligned(outcomes)["domain"].to_numpy()
    return [(name, domain == name) for name, _ in outcomes.domains() if (domain == name).any()]


def _crossed(before: np.ndarray, now: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(before * count + now, minlength=count * count).reshape(count, count)


def _is(move: str, before: np.ndarray, now: np.ndarray) -> np.ndarray:
    return ({"kept": now == before, "lost": now < before, "gained": now > before}[move]).astype(float)


def shift_findings(outcomes: Sequence[Outcomes], tables: Tables) -> Iterator[Finding]:
    """Do levels move more than by chance, and is other text predicted worse?"""
    questions = {"lost": "Do facts fall to lower levels?", "gained": "Do facts rise to higher levels?"}
    sizes = max(1, len({cell.n for one in outcomes for cell in one.shifts.values()}))
    alpha = findings.ALPHA / (findings.times_asked(outcomes) * sizes)
    for one in outcomes:
        for row in findings.rows_of(moves(one, alpha)):
            if row["move"] in questions and row["after"] != UNTOUCHED and row["excess"] == row["excess"]:
                text = (
                    f"{row['share']:.1%} of {row['facts']:,} facts did; of the untouched model's, probed again, "
                    f"{row['share'] - row['excess']:.1%}. The excess is "
                    f"{findings.change(row['excess'], row['excess_low'], row['excess_high'])}."
                )
                about = f"{one.model}, {row['after']}, {DOMAIN_NAMES[row['domain']]}"
                yield findings.judged(
                    about, questions[row["move"]], findings.side(row["excess_low"], row["excess_high"], 0), text, row["facts"]
                )
        for row in findings.rows_of(forgetting(one)):
            yield _other_text(one.model, row, findings.ALPHA / max(1, len(outcomes) * sizes))


def _other_text(model: str, row: Row, alpha: float) -> Finding:
    from scipy.stats import norm

    half = float(norm.isf(alpha / 2)) * row["log_ratio_se"]
    low, value, high = (math.expm1(row["log_ratio"] + step) for step in (-half, 0, half))
    seeds = ", ".join(f"{seed:.2f}" for seed in row["per_seed"])
    text = (
        f"Perplexity of pre-training text that it has not read: {row['before']:.2f} before, {row['now']:.2f} after (seeds: {seeds}), "
        f"{value:+.1%} ({low:+.1%} to {high:+.1%}, over documents)."
    )
    return Finding(f"{model}, {row['after']}", "Is other text predicted worse?", findings.side(low, high, 0), text)


STUDY = Study(
    tables={"moves": moves, "transitions": transitions, "forgetting": forgetting},
    findings=shift_findings,
    printed=(Crossed("moves", ("model", "domain", "after"), "move", "share"),),
    papers="The papers look at accuracy, not at levels after tuning; there is nothing published to compare with.",
    probed_after=True,
)
