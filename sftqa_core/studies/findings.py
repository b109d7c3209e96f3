"""Plain words, made from a study's numbers by fixed rules (METHOD 8.9).

A question is answered with yes or no only where an interval lies wholly on one side, corrected for how often the question is
asked in the study (Bonferroni: the 5% shared out over models, domains and sizes), or where a p-value after Holm's correction
over the same is below 5%; else nobody can tell. Fewer than 30 facts never answer anything, and neither do runs that are missing.
What is asked was fixed before the numbers were seen: the papers' findings and what each could be mistaken for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd

from sftqa_core.records import DOMAIN_NAMES, Finding
from sftqa_core.studies import amount, level, models, shift
from sftqa_core.studies.amount import ENOUGH, MACRO
from sftqa_core.studies.statistics import Outcomes, holm

FEW = 60  # the papers' number of examples
LEAST = 30  # facts that a word is said about
ALPHA = 0.05
YES, NO, OPEN = "yes", "no", "cannot tell"
Row = dict[str, Any]


def amount_findings(outcomes: Sequence[Outcomes]) -> Iterator[Finding]:
    """Are 60 examples enough, and does accuracy fall again with more?"""
    alpha = ALPHA / _asked(outcomes)
    for one in outcomes:
        falls = dict(_groups(amount.falls(one, alpha), "domain"))
        for domain, rows in _groups(amount.enough(one, alpha=alpha), "domain"):
            about = f"{one.model}, {DOMAIN_NAMES[domain]}"
            few = next((row for row in rows if row["n"] == FEW), None)
            if few and len(rows) > 1:
                yield _enough(about, few, next(row for row in rows if row["chosen"]))
            if domain in falls:
                yield _trend(about, falls[domain])


def _enough(about: str, few: Row, chosen: Row) -> Finding:
    text = (
        f"{FEW} examples reach {few['relative']:.1%} of the best mean over levels ({few['low']:.1%} to {few['high']:.1%}). The smallest "
        f"number within {ENOUGH:.0%} of the best is {chosen['n']:,}; it is the smallest in {chosen['smallest']:.0%} of the resamples."
    )
    return _finding(about, f"Do {FEW} examples reach {ENOUGH:.0%} of the best?", _side(few["low"], few["high"], ENOUGH), text, few["least"])


def _trend(about: str, rows: list[Row]) -> Finding:
    """The largest number of examples against the smaller one that it falls furthest behind, or leads by least."""
    worst = min(rows, key=lambda row: row["difference"])
    verdict = YES if any(row["high"] < 0 for row in rows) else NO if all(row["low"] > 0 for row in rows) else OPEN
    text = (
        f"Against {worst['n']:,} examples, {worst['largest']:,} change the mean over levels by {_points(worst['difference'])} "
        f"({_span(worst['low'], worst['high'])})."
    )
    return _finding(about, "Does accuracy fall again with more examples?", verdict, text, worst["least"])


def level_findings(outcomes: Sequence[Outcomes]) -> Iterator[Finding]:
    """Do unknown facts hurt, which level is best, and does each level teach itself best?"""
    lowest = {(row["model"], row["domain"]): row for one in outcomes for row in _lowest(one)}
    for row, p in zip(lowest.values(), holm([row["p"] for row in lowest.values()]), strict=True):
        row["p_holm"] = p
    sure = 1 - ALPHA / 2 / _asked(outcomes)
    for one in outcomes:
        for domain, rows in _groups(level.best_rows(one), "domain"):
            about = f"{one.model}, {DOMAIN_NAMES[domain]}"
            overall = [row for row in rows if row["test"] == MACRO]
            if hurt := lowest.get((one.model, domain)):
                yield _unknown_facts(about, hurt, min(row["least"] for row in overall))
            if {row["train"] for row in rows} == set(one.scheme.labels):
                yield from _best_level(about, overall, sure)
                yield from _diagonal(about, [row for row in rows if row["test"] == row["train"]], 1 - (1 - sure) / len(one.scheme.labels))


def _lowest(one: Outcomes) -> list[Row]:
    """The mean over levels after training on the lowest level, in each domain that has it and the natural mix."""
    table = level.against_mix(one)
    return _rows(table[(table["train"] == one.scheme.labels[0]) & table["p"].notna()])


def _unknown_facts(about: str, row: Row, least: int) -> Finding:
    verdict = OPEN if row["p_holm"] >= ALPHA else YES if row["difference"] < 0 else NO
    text = (
        f"{row['n']:,} examples of {row['train']} give a mean over levels of {row['accuracy']:.1%}: {_points(row['difference'])} "
        f"against the natural mix ({_span(row['diff_low'], row['diff_high'])}; Holm {_p(row['p_holm'])})."
    )
    return _finding(about, f"Does training on {row['train']} (unknown facts) hurt?", verdict, text, least)


def _best_level(about: str, rows: list[Row], sure: float) -> Iterator[Finding]:
    ranked = sorted(rows, key=lambda row: -row["best"])
    if ranked:
        shares = ", ".join(f"{row['train']} {row['best']:.0%}" for row in ranked)
        text = f"Best mean over levels, share of resamples: {shares}."
        verdict = YES if ranked[0]["best"] >= sure else OPEN
        yield _finding(about, "Is one training level the best?", verdict, text, min(row["least"] for row in rows))


def _diagonal(about: str, own: list[Row], sure: float) -> Iterator[Finding]:
    """The papers: in-domain, each test level is answered best after training on that level."""
    known = [row for row in own if row["least"] >= LEAST]
    if not known:
        return
    told = {
        YES: [row["test"] for row in known if row["best"] >= sure],
        NO: [row["test"] for row in known if row["best"] <= 1 - sure],
        OPEN: [row["test"] for row in known if 1 - sure < row["best"] < sure],
    }
    verdict = next((word for word, levels in told.items() if len(levels) == len(own)), OPEN)
    text = "; ".join(f"{word}: {', '.join(levels)}" for word, levels in told.items() if levels)
    yield Finding(about, "Is each level answered best after training on it?", verdict, f"{text[:1].upper()}{text[1:]}.")


def models_findings(outcomes: Sequence[Outcomes]) -> Iterator[Finding]:
    """Do models know different facts, and do they answer differently after the same examples?"""
    pairs = max(1, len(outcomes) * (len(outcomes) - 1) // 2)
    ranks = {(row["model"], row["other"]): row["spearman"] for row in _rows(models.ranks(outcomes))}
    for row in _rows(models.alike(outcomes, ALPHA / pairs)):
        rank = ranks.get((row["model"], row["other"]))
        known = "" if rank is None or math.isnan(rank) else f" Their memory scores have a rank correlation of {rank:.2f}."
        text = (
            f"{row['same_level']:.0%} of {row['facts']:,} facts are on the same level in both; probed again, a model has "
            f"{row['same_again']:.0%} where they were: {_points(row['difference'])} ({_span(row['low'], row['high'])})."
        )
        text += known
        verdict = YES if row["high"] < 0 else NO if row["low"] > 0 else OPEN
        yield _finding(f"{row['model']} and {row['other']}", "Do they know different facts?", verdict, text, row["facts"])
    for row in _rows(models.differences(outcomes)):
        text = (
            f"After the same {row['n']:,} examples they answer {row['accuracy']:.1%} and {row['other_accuracy']:.1%} of {row['facts']:,} "
            f"facts: {_points(row['difference'])} ({_span(row['low'], row['high'])}; Holm {_p(row['p_holm'])})."
        )
        about = f"{row['model']} and {row['other']}, {DOMAIN_NAMES[row['domain']]}"
        verdict = YES if row["p_holm"] < ALPHA else OPEN
        yield _finding(about, "Do they answer differently after the same examples?", verdict, text, row["facts"])


def shift_findings(outcomes: Sequence[Outcomes]) -> Iterator[Finding]:
    """Do levels move more than by chance, and is other text predicted worse?"""
    questions = {"lost": "Do facts fall to lower levels?", "gained": "Do facts rise to higher levels?"}
    sizes = max(1, len({cell.n for one in outcomes for cell in one.shifts.values()}))
    alpha = ALPHA / (_asked(outcomes) * sizes)
    for one in outcomes:
        for row in _rows(shift.moves(one, alpha)):
            if row["move"] in questions and row["after"] != shift.UNTOUCHED and row["excess"] == row["excess"]:
                text = (
                    f"{row['share']:.1%} of {row['facts']:,} facts did; of the untouched model's, probed again, "
                    f"{row['share'] - row['excess']:.1%}. The excess is {_points(row['excess'])} "
                    f"({_span(row['excess_low'], row['excess_high'])})."
                )
                about = f"{one.model}, {row['after']}, {DOMAIN_NAMES[row['domain']]}"
                yield _finding(about, questions[row["move"]], _side(row["excess_low"], row["excess_high"], 0), text, row["facts"])
        for row in _rows(shift.forgetting(one)):
            yield _other_text(one.model, row, ALPHA / max(1, len(outcomes) * sizes))


def _other_text(model: str, row: Row, alpha: float) -> Finding:
    from scipy.stats import norm

    half = float(norm.isf(alpha / 2)) * row["log_ratio_se"]
    low, value, high = (math.expm1(row["log_ratio"] + step) for step in (-half, 0, half))
    seeds = ", ".join(f"{seed:.2f}" for seed in row["per_seed"])
    text = (
        f"Perplexity of pre-training text that it has not read: {row['before']:.2f} before, {row['now']:.2f} after (seeds: {seeds}), "
        f"{value:+.1%} ({low:+.1%} to {high:+.1%}, over documents)."
    )
    return Finding(f"{model}, {row['after']}", "Is other text predicted worse?", _side(low, high, 0), text)


FINDINGS: dict[str, Callable[[Sequence[Outcomes]], Iterator[Finding]]] = {
    "amount": amount_findings, "level": level_findings, "models": models_findings, "shift": shift_findings,
}  # fmt: skip


def _finding(about: str, question: str, verdict: str, text: str, facts: int) -> Finding:
    """Without enough facts nothing is claimed, whatever the interval."""
    if facts >= LEAST:
        return Finding(about, question, verdict, text)
    return Finding(about, question, OPEN, f"{text} With {facts} facts at the scarcest place that is too few to tell.")


def _asked(outcomes: Sequence[Outcomes]) -> int:
    """How often a question is asked: models times domains."""
    return max(1, sum(len(list(one.domains())) for one in outcomes))


def _rows(table: pd.DataFrame) -> list[Row]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _groups(table: pd.DataFrame, column: str) -> list[tuple[str, list[Row]]]:
    return [(str(name), _rows(rows)) for name, rows in table.groupby(column, sort=False)]


def _side(low: float, high: float, border: float) -> str:
    return YES if low > border else NO if high < border else OPEN


def _points(share: float) -> str:
    """0.0312 as "+3.1 points"."""
    return f"{share * 100:+.1f} points"


def _span(low: float, high: float) -> str:
    """An interval of points: "+1.0 to +5.2"."""
    return f"{low * 100:+.1f} to {high * 100:+.1f}"


def _p(value: float) -> str:
    """A p-value in words: "p = 0.012", "p < 0.001"."""
    return f"p = {value:.3f}" if value >= 0.001 else "p < 0.001"
