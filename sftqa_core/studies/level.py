"""Which data? Accuracy by the level that was trained on and the level that is asked about (METHOD sections 2, 8.7)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sftqa_core.evaluation.intervals import by_level, macro_resampled, resampled
from sftqa_core.records import TrainSettings
from sftqa_core.studies.amount import MACRO, NATURAL
from sftqa_core.studies.statistics import Outcomes, bootstrap_p, by_setting, holm, mean_interval, percentiles, sign_flip, winners

MIX = "natural mix"  # examples as they come: what single levels are compared with
BEST = ["model", "domain", "test", "train", "best", "seen", "least"]
MATRIX = (
    "model", "domain", "train", "test", "n", "facts", "seeds", "accuracy", "low", "high",
    "difference", "diff_low", "diff_high", "p", "p_holm",
)  # fmt: skip


def matrix(outcomes: Outcomes) -> pd.DataFrame:
    """Train level x test level: MATRIX, a row for each domain, training level (and the natural mix) and test level (and both means).

    `difference` is to the natural mix on the same facts, with a paired bootstrap interval; `p` is from flipping the signs of the
    facts' differences (for the mean over levels: from the bootstrap's standard error), `p_holm` after Holm's correction over all
    test levels, means and domains of the model. The row of the mix has no difference. Accuracy and intervals as in `amount.curve`;
    null for a test level without facts, and then for the mean over levels too (METHOD 8.11).
    """
    names, runs = _rows(outcomes)
    if not names:
        return pd.DataFrame(columns=list(MATRIX))
    scores = np.stack([outcomes.over_seeds(group) for group in runs], axis=1)
    n, seeds = [outcomes.runs[group[0]].n for group in runs], [len(group) for group in runs]
    against = names.index(MIX) if MIX in names else None
    levels, labels = outcomes.levels(), outcomes.scheme.labels
    rows = []
    for domain, inside in outcomes.domains():
        tests = [(label, inside & (levels == at)) for at, label in enumerate(labels)] + [(NATURAL, inside)]
        for test, chosen in tests:
            rows += _cells(outcomes.model, domain, test, scores[chosen], names, n, seeds, against)
        rows += _macro_cells(outcomes.model, domain, by_level(scores[inside], levels[inside], len(labels)), names, n, seeds, against)
    table = pd.DataFrame(rows, columns=list(MATRIX[:-1]))
    known = table["p"].notna()
    return table.assign(p_holm=pd.Series(holm(table.loc[known, "p"].tolist()), index=table.index[known], dtype="float64"))[list(MATRIX)]


def against_mix(outcomes: Outcomes) -> pd.DataFrame:
    """The rows of `matrix` for the mean over levels, without its correction."""
    names, runs = _rows(outcomes)
    rows = []
    if names:
        scores = np.stack([outcomes.over_seeds(group) for group in runs], axis=1)
        n, seeds = [outcomes.runs[group[0]].n for group in runs], [len(group) for group in runs]
        against = names.index(MIX) if MIX in names else None
        for domain, inside in outcomes.domains():
            strata = by_level(scores[inside], outcomes.levels()[inside], len(outcomes.scheme.labels))
            rows += _macro_cells(outcomes.model, domain, strata, names, n, seeds, against)
    return pd.DataFrame(rows, columns=list(MATRIX[:-1]))


def best_rows(outcomes: Outcomes) -> pd.DataFrame:
    """Which training level is best for which test level: model, domain, test (MACRO too), train, best, seen, least.

    `best` is the share of resamples in which this training level is the best one (a tie is shared out; the natural mix does not
    take part), `seen` whether it is in the facts as they are, alone; `least`: test facts of the scarcest level that counts.
    """
    names, runs = _rows(outcomes)
    single = [at for at, name in enumerate(names) if name != MIX]
    if not single:
        return pd.DataFrame(columns=BEST)
    scores = np.stack([outcomes.over_seeds(runs[at]) for at in single], axis=1)
    levels, labels = outcomes.levels(), outcomes.scheme.labels
    rows = []
    for domain, inside in outcomes.domains():
        strata = by_level(scores[inside], levels[inside], len(labels))
        for test, groups in [*((label, [group]) for label, group in zip(labels, strata, strict=True)), (MACRO, strata)]:
            if any(not len(group) for group in groups):
                continue
            won = winners(macro_resampled(groups))
            means = np.mean([group.mean(axis=0) for group in groups], axis=0)
            alone = (means == means.max()).sum() == 1
            least = min(map(len, groups))
            for place, at in enumerate(single):
                rows.append(
                    (outcomes.model, domain, test, names[at], float(won[place]), bool(alone and means[place] == means.max()), least)
                )
    return pd.DataFrame(rows, columns=BEST)


def composition(outcomes: Outcomes) -> pd.DataFrame:
    """What was trained on: model, train, relation, examples (mean over seeds). Equal columns mean that levels differ in level alone."""
    rows = []
    for name, runs in zip(*_rows(outcomes), strict=True):
        relations = dict.fromkeys(relation for run in runs for relation in outcomes.runs[run].counts)
        for relation in sorted(relations):
            counts = [sum(outcomes.runs[run].counts.get(relation, {}).values()) for run in runs]
            rows.append((outcomes.model, name, relation, float(np.mean(counts))))
    return pd.DataFrame(rows, columns=["model", "train", "relation", "examples"])


def retest(outcomes: Outcomes) -> pd.DataFrame:
    """How sure the levels are: model, level, facts, moved (share that another probe of the untouched model puts elsewhere)."""
    columns = ["model", "level", "facts", "moved"]
    if outcomes.retest is None:
        return pd.DataFrame(columns=columns)
    both = outcomes.facts[["fact_id", "level"]].merge(outcomes.retest[["fact_id", "level"]], on="fact_id", suffixes=("", "_again")).dropna()
    rows = []
    for at, label in enumerate(outcomes.scheme.labels):
        own = both[both["level"] == at]
        rows.append((outcomes.model, label, len(own), float((own["level"] != own["level_again"]).mean()) if len(own) else None))
    return pd.DataFrame(rows, columns=columns)


def _rows(outcomes: Outcomes) -> tuple[list[str], list[list[TrainSettings]]]:
    """Training levels that were run, in order, and the natural mix last; with the seeds of each."""
    found = {levels: runs for (n, levels), runs in by_setting(outcomes).items() if n != 0}
    single = sorted((levels for levels in found if levels is not None), key=lambda levels: levels[0])
    names = [outcomes.scheme.labels[levels[0]] for levels in single] + ([MIX] if None in found else [])
    return names, [found[levels] for levels in [*single, *([None] if None in found else [])]]


def _cells(
    model: str, domain: str, test: str, scores: np.ndarray, names: list[str], n: list[int], seeds: list[int], against: int | None
) -> list[tuple]:
    """One test level: scores [facts, training levels]."""
    if not len(scores):
        return _unknown(model, domain, test, 0, names, n, seeds)
    draws, rows = resampled(scores), []
    for at, name in enumerate(names):
        found = mean_interval(scores[:, at], seeds[at], draws[:, at])
        compared: tuple[float | None, ...] = (None,) * 4
        if against is not None and at != against:
            differences = scores[:, at] - scores[:, against]
            compared = (float(differences.mean()), *percentiles(draws[:, at] - draws[:, against]), sign_flip(differences))
        rows.append((model, domain, name, test, n[at], len(scores), seeds[at], found.value, found.low, found.high, *compared))
    return rows


def _macro_cells(
    model: str, domain: str, strata: list[np.ndarray], names: list[str], n: list[int], seeds: list[int], against: int | None
) -> list[tuple]:
    facts = sum(map(len, strata))
    if any(not len(group) for group in strata):
        return _unknown(model, domain, MACRO, facts, names, n, seeds)
    draws, rows = macro_resampled(strata), []
    means = np.mean([group.mean(axis=0) for group in strata], axis=0)
    for at, name in enumerate(names):
        compared: tuple[float | None, ...] = (None,) * 4
        if against is not None and at != against:
            drawn, value = draws[:, at] - draws[:, against], float(means[at] - means[against])
            compared = (value, *percentiles(drawn), bootstrap_p(value, drawn))
        low, high = percentiles(draws[:, at])
        rows.append((model, domain, name, MACRO, n[at], facts, seeds[at], float(means[at]), low, high, *compared))
    return rows


def _unknown(model: str, domain: str, test: str, facts: int, names: list[str], n: list[int], seeds: list[int]) -> list[tuple]:
    """Rows of a test level without facts, or of the mean over levels where one of them has none."""
    return [(model, domain, name, test, n[at], facts, seeds[at], *(None,) * 7) for at, name in enumerate(names)]
