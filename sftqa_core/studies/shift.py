"""What moved? Levels before and after tuning, beside those of the untouched model probed again (METHOD 8.6)."""

import math
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import pandas as pd

from sftqa_core.evaluation.intervals import ALPHA, deviations, percentiles, resampled
from sftqa_core.records import DOMAIN_NAMES, Finding, TrainSettings
from sftqa_core.records.amounts import points
from sftqa_core.studies import statistics
from sftqa_core.studies.registry import Crossed, Study, Tables
from sftqa_core.studies.statistics import Outcomes, Row

UNTOUCHED = "untouched, probed again"
QUESTIONS = {"lost": "Do facts fall to lower levels?", "gained": "Do facts rise to higher levels?"}
MOVES = {"kept": np.equal, "lost": np.less, "gained": np.greater}  # the level afterwards against the one before


def transitions(outcomes: Outcomes) -> pd.DataFrame:
    """Facts by level before and after: model, domain, after (what was done: UNTOUCHED, or "n = 60"), before, now, facts.

    `facts` is the mean over seeds. All pairs of levels are listed.
    """
    labels, rows = outcomes.scheme.labels, []
    for domain, before, treated in _by_domain(outcomes):
        for name, seeds in treated.items():
            pairs = [np.bincount(before * len(labels) + now, minlength=len(labels) ** 2) for now in seeds]
            counts = zip(product(labels, labels), np.mean(pairs, axis=0), strict=True)
            rows += [(outcomes.model, domain, name, *levels, float(facts)) for levels, facts in counts]
    return pd.DataFrame(rows, columns=["model", "domain", "after", "before", "now", "facts"])


def moves(outcomes: Outcomes, alpha: float = 0.05) -> pd.DataFrame:
    """Shares of facts kept, lost and gained, and how much of it is more than chance.

    A row for each domain, what was done and move: model, domain, after, move, facts, seeds, share, low, high (bootstrap over
    facts); `excess` over the untouched model's share with a paired interval (excess_low, excess_high: the middle 1 - `alpha`), null
    for the untouched one.
    """
    rows = []
    for domain, before, treated in _by_domain(outcomes):
        names = list(treated)  # the untouched model is the first
        for move, moved in MOVES.items():
            shares = [np.mean([moved(now, before).astype(float) for now in seeds], axis=0) for seeds in treated.values()]
            scores = np.stack(shares, axis=1)
            draws = resampled(scores)
            for at, name in enumerate(names):
                excess: tuple[float | None, ...] = (None, None, None)
                if name != UNTOUCHED:
                    excess = (float((scores[:, at] - scores[:, 0]).mean()), *percentiles(draws[:, at] - draws[:, 0], alpha))
                low, high = percentiles(draws[:, at])
                share = float(scores[:, at].mean())
                rows.append((outcomes.model, domain, name, move, len(scores), len(treated[name]), share, low, high, *excess))
    columns = ["model", "domain", "after", "move", "facts", "seeds", "share", "low", "high", "excess", "excess_low", "excess_high"]
    return pd.DataFrame(rows, columns=columns)


def forgetting(outcomes: Outcomes) -> pd.DataFrame:
    """Perplexity of held-out pre-training text: model, after, seeds, before, now (mean over seeds), per_seed; and `log_ratio`, ln of
    now / before, with its standard error over documents (the mean of the seeds': they read the same documents)."""
    rows = []
    for name, runs in _tuned(outcomes).items():
        known = [outcomes.shifts[run].numbers for run in runs if "perplexity" in outcomes.shifts[run].numbers]
        if known:
            seeds = [numbers["perplexity"] for numbers in known]
            ratio, error = (float(np.mean([numbers[key] for numbers in known])) for key in ("log_ratio", "log_ratio_se"))
            rows.append((outcomes.model, name, len(known), known[0]["perplexity_before"], float(np.mean(seeds)), seeds, ratio, error))
    return pd.DataFrame(rows, columns=["model", "after", "seeds", "before", "now", "per_seed", "log_ratio", "log_ratio_se"])


def _tuned(outcomes: Outcomes) -> dict[str, list[TrainSettings]]:
    """Runs by what was done, fewest examples first; the seeds of one size together."""
    sizes = {run: cell.n for run, cell in sorted(outcomes.shifts.items(), key=lambda pair: pair[1].n)}
    return {f"n = {n:,}": [run for run, size in sizes.items() if size == n] for n in sizes.values()}


def _by_domain(outcomes: Outcomes) -> Iterator[tuple[str, np.ndarray, dict[str, list[np.ndarray]]]]:
    """Levels of the facts that were probed again: domain, before [facts], and after each treatment, a seed each."""
    if outcomes.retest is None:
        return
    facts = outcomes.facts.set_index("fact_id").loc[outcomes.retest["fact_id"]]
    tables = {name: [outcomes.shifts[run].table for run in runs] for name, runs in _tuned(outcomes).items()}
    tables = {"": [facts], UNTOUCHED: [outcomes.retest], **tables}
    treated = {name: [table["level"].to_numpy(dtype=np.int64) for table in own] for name, own in tables.items()}
    (before,) = treated.pop("")
    for domain, _ in outcomes.domains():
        inside = (facts["domain"] == domain).to_numpy()
        if inside.any():
            yield domain, before[inside], {name: [now[inside] for now in seeds] for name, seeds in treated.items()}


def shift_findings(outcomes: Sequence[Outcomes], tables: Tables) -> Iterator[Finding]:
    """Do levels move more than by chance, and is other text predicted worse?"""
    sizes = max(1, len({cell.n for part in outcomes for cell in part.shifts.values()}))
    alpha = ALPHA / (statistics.times_asked(outcomes) * sizes)
    for part in outcomes:
        rows = statistics.rows_of(moves(part, alpha))
        untouched = {(row["domain"], row["move"]): row["share"] for row in rows if row["after"] == UNTOUCHED}
        for row in rows:
            if row["move"] in QUESTIONS and row["after"] != UNTOUCHED and row["excess"] == row["excess"]:
                chance = untouched_words(untouched[row["domain"], row["move"]])
                text = (
                    f"{row['share']:.1%} of {row['facts']:,} facts did; {chance} The excess is "
                    f"{statistics.change(row['excess'], row['excess_low'], row['excess_high'])}."
                )
                about = f"{part.model}, {row['after']}, {DOMAIN_NAMES[row['domain']]}"
                yield statistics.judged(
                    about, QUESTIONS[row["move"]], statistics.side(row["excess_low"], row["excess_high"], 0), text, row["facts"]
                )
        for row in statistics.rows_of(forgetting(part)):
            yield _other_text(part.model, row, ALPHA / max(1, len(outcomes) * sizes))


def untouched_words(share: float) -> str:
    """What chance alone did. The share is the untouched model's own: one got back as a difference of others could round otherwise."""
    return f"of the untouched model's, probed again, {share:.1%}."


def _other_text(model: str, row: Row, alpha: float) -> Finding:
    half = deviations(alpha) * row["log_ratio_se"]
    low, value, high = (math.expm1(row["log_ratio"] + step) for step in (-half, 0, half))
    seeds = ", ".join(f"{seed:.2f}" for seed in row["per_seed"])
    text = (
        f"Perplexity of pre-training text that it has not read: {row['before']:.2f} before, {row['now']:.2f} after (seeds: {seeds}), "
        f"{points(value)}% ({points(low)}% to {points(high)}%, over documents)."
    )
    return Finding(f"{model}, {row['after']}", "Is other text predicted worse?", statistics.side(low, high, 0), text)


STUDY = Study(
    tables={"moves": moves, "transitions": transitions, "forgetting": forgetting},
    findings=shift_findings,
    printed=(Crossed("moves", ("model", "domain", "after"), "move", "share"),),
    papers="The papers look at accuracy, not at levels after tuning; there is nothing published to compare with.",
    probed_after=True,
)
