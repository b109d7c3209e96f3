"""How much data? Accuracy against the number of examples, and the smallest number that is enough (METHOD sections 2, 8.9)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sftqa_core.evaluation.intervals import ALPHA, Estimate, macro_resampled, mean_interval, normal_interval, percentiles
from sftqa_core.records import DOMAIN_NAMES, Finding, TrainSettings
from sftqa_core.studies import statistics
from sftqa_core.studies.registry import Crossed, Study, Tables
from sftqa_core.studies.statistics import MACRO, NATURAL, NO, OPEN, YES, Outcomes, Row

ENOUGH = 0.95  # of the best
FEW = 60  # the papers' number of examples
_NAMED = {MACRO: MACRO, NATURAL: "micro average (a level holds no test facts, so there is no mean over levels)"}
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
    def of(cls, outcomes: Outcomes) -> "_Sizes":
        runs_of = {n: runs for (n, levels), runs in statistics.by_setting(outcomes).items() if levels is None}
        real = {asked: outcomes.runs[runs[0]].n for asked, runs in runs_of.items()}
        once: dict[int, int] = {}
        for size in sorted(real, reverse=True):  # "all" (-1) comes last: it may be a size that was asked for by its number, too
            once.setdefault(real[size], size)
        asked = [once[n] for n in sorted(once)]
        scores = np.stack([outcomes.over_seeds(runs_of[size]) for size in asked], axis=1) if asked else np.empty((len(outcomes.facts), 0))
        return cls(asked, [runs_of[size] for size in asked], [real[size] for size in asked], scores)


def curve(outcomes: Outcomes) -> pd.DataFrame:
    """Accuracy by size: CURVE, a row for each domain, level (and both kinds of mean) and size.

    `per_seed` lists each seed's accuracy; the interval is `statistics.mean_interval`'s, for the mean over levels the
    bootstrap within levels. Means over levels are missing where a level has no facts (METHOD 8.11).
    """
    sizes, rows = _Sizes.of(outcomes), []
    for domain, name, groups in outcomes.strata():
        known, facts = all(group.any() for group in groups), sum(int(group.sum()) for group in groups)
        draws = macro_resampled([sizes.scores[group] for group in groups]) if known else None
        for at, runs in enumerate(sizes.runs):
            mean, seeds = Estimate(None, None, None), []
            if draws is not None:
                mean = mean_interval(sizes.scores[groups[0], at], len(runs), draws[:, at])
                seeds = [float(np.mean([outcomes.correct(run)[group].mean() for group in groups])) for run in runs]
                if name == MACRO:
                    value = float(np.mean([sizes.scores[group][:, at].mean() for group in groups]))
                    mean = Estimate(value, *percentiles(draws[:, at]))
            rows.append((outcomes.model, domain, name, sizes.asked[at], sizes.n[at], facts, len(runs), *mean, seeds))
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
    resamples in which this n was the smallest that is enough; `chosen`: whether it is in the facts as they are; `of`: which mean it is.
    Where a level has no facts it is the micro average, and `least` counts all facts.
    """
    rows = []
    for domain, mean, sizes, strata in _tuned(outcomes):
        drawn = _relative(macro_resampled(strata))
        seen = _relative(statistics.macro(strata)[None])[0]
        first = (drawn >= share).argmax(axis=1)
        for place, n in enumerate(sizes):
            low, high = percentiles(drawn[:, place], alpha)
            chosen = bool((seen >= share).argmax() == place)
            smallest = float((first == place).mean())
            rows.append((outcomes.model, domain, n, min(map(len, strata)), float(seen[place]), low, high, smallest, chosen, mean))
    return pd.DataFrame(rows, columns=["model", "domain", "n", "least", "relative", "low", "high", "smallest", "chosen", "of"])


def falls(outcomes: Outcomes, alpha: float = 0.05) -> pd.DataFrame:
    """The largest size against each smaller one above 0: model, domain, n, largest, least, difference, low, high, of.

    `difference` is the largest size's mean (`of`, as `enough` has it) less this one's, on the same resampled facts; low and high hold for
    all smaller sizes together (Bonferroni: `alpha` shared out among them, from the bootstrap's standard error), so that the best of many
    is not taken for better by luck.
    """
    rows = []
    for domain, mean, sizes, strata in _tuned(outcomes):
        drawn = macro_resampled(strata)
        seen = statistics.macro(strata)
        for place, n in enumerate(sizes[:-1]):
            value = float(seen[-1] - seen[place])
            ends = normal_interval(value, drawn[:, -1] - drawn[:, place], alpha / (len(sizes) - 1))
            rows.append((outcomes.model, domain, n, sizes[-1], min(map(len, strata)), value, *ends, mean))
    return pd.DataFrame(rows, columns=["model", "domain", "n", "largest", "least", "difference", "low", "high", "of"])


def _tuned(outcomes: Outcomes) -> Iterator[tuple[str, str, list[int], list[np.ndarray]]]:
    """For each domain with facts: MACRO, or NATURAL where a level has none, the sizes above 0, and the scores [facts, sizes] of each level,
    or of all facts together."""
    sizes = _Sizes.of(outcomes)
    kept = [at for at, n in enumerate(sizes.n) if n > 0]
    strata = {(domain, name): groups for domain, name, groups in outcomes.strata() if all(group.any() for group in groups)}
    for domain in dict.fromkeys(domain for domain, name in strata if kept and name == NATURAL):
        mean = MACRO if (domain, MACRO) in strata else NATURAL
        yield domain, mean, [sizes.n[at] for at in kept], [sizes.scores[group][:, kept] for group in strata[domain, mean]]


def _relative(means: np.ndarray) -> np.ndarray:
    """[draws, sizes] as shares of each row's best; 1 where all are 0, since none is better."""
    best = means.max(axis=1, keepdims=True)
    return np.divide(means, best, out=np.ones_like(means), where=best > 0)


def amount_findings(outcomes: Sequence[Outcomes], tables: Tables) -> Iterator[Finding]:
    """Are 60 examples enough, and does accuracy fall again with more? Intervals of its own: narrower ones than the tables'."""
    alpha = ALPHA / statistics.times_asked(outcomes)
    for part in outcomes:
        falling = dict(statistics.groups_of(falls(part, alpha), "domain"))
        for domain, rows in statistics.groups_of(enough(part, alpha=alpha), "domain"):
            about = f"{part.model}, {DOMAIN_NAMES[domain]}"
            few = next((row for row in rows if row["n"] == FEW), None)
            if few and len(rows) > 1:
                yield _few_finding(about, few, next(row for row in rows if row["chosen"]))
            if domain in falling:
                yield _trend_finding(about, falling[domain])


def _few_finding(about: str, few: Row, chosen: Row) -> Finding:
    text = (
        f"{FEW} examples reach {few['relative']:.1%} of the best {_NAMED[few['of']]} ({few['low']:.1%} to {few['high']:.1%}). The smallest "
        f"number within {ENOUGH:.0%} of the best is {chosen['n']:,}; it is the smallest in {chosen['smallest']:.0%} of the resamples."
    )
    verdict = statistics.side(few["low"], few["high"], ENOUGH)
    return statistics.judged(about, f"Do {FEW} examples reach {ENOUGH:.0%} of the best?", verdict, text, few["least"])


def _trend_finding(about: str, rows: list[Row]) -> Finding:
    """The largest number of examples against the smaller one that it falls furthest behind, or leads by least."""
    worst = min(rows, key=lambda row: row["difference"])
    verdict = YES if any(row["high"] < 0 for row in rows) else NO if all(row["low"] > 0 for row in rows) else OPEN
    text = (
        f"Against {worst['n']:,} examples, {worst['largest']:,} change the {_NAMED[worst['of']]} by "
        f"{statistics.change(worst['difference'], worst['low'], worst['high'])}."
    )
    return statistics.judged(about, "Does accuracy fall again with more examples?", verdict, text, worst["least"])


STUDY = Study(
    tables={"curve": curve, "enough": enough},
    tables_of_shots={"in_context": in_context},
    findings=amount_findings,
    printed=(Crossed("curve", ("model", "domain"), "n", "accuracy", {"level": MACRO}),),
    papers="The first paper says that 60 examples suffice; the follow-up sees accuracy rise to about n = 240 and fall after.",
    probed_twice=False,
)
