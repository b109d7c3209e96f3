"""Which data? Accuracy by the level that was trained on and the level that is asked about (METHOD sections 2, 8.7)."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from sftqa_core.evaluation.intervals import ALPHA, LEAST, bootstrap_p, holm, macro_resampled, mean_interval, percentiles
from sftqa_core.records import DOMAIN_NAMES, Finding, StudySettings, TrainSettings
from sftqa_core.studies import statistics
from sftqa_core.studies.registry import Crossed, Study, Tables
from sftqa_core.studies.statistics import MACRO, NATURAL, NO, OPEN, YES, Outcomes, Row

MIX = "natural mix"  # examples as they come: what single levels are compared with
BEST = ["model", "domain", "test", "train", "best", "seen", "least"]
MATRIX = (
    "model", "domain", "train", "test", "n", "facts", "seeds", "accuracy", "low", "high",
    "difference", "diff_low", "diff_high", "p", "p_holm",
)  # fmt: skip


def matched_runs(settings: StudySettings, model: str, n: int, seed: int, most: int | None) -> list[TrainSettings]:
    """A run for each training level, and the natural mix, all of the same n: at most the number of facts of the scarcest level
    (METHOD 8.7)."""
    if most is not None:
        n = most if n == TrainSettings.ALL else min(n, most)
    levels = range(len(settings.scheme.labels))
    single = [settings.run(model, n, seed, levels=(level,), balance="matched") for level in levels]
    return [*single, settings.run(model, n, seed)]


def matrix(outcomes: Outcomes) -> pd.DataFrame:
    """Train level x test level: MATRIX, a row for each domain, training level (and the natural mix) and test level (and both means).

    `difference` is to the natural mix on the same facts, with a paired bootstrap interval; `p` is from flipping the signs of the
    facts' differences (for the mean over levels: from the bootstrap's standard error), `p_holm` after Holm's correction over all
    test levels, means and domains of the model. The row of the mix has no difference. Accuracy and intervals as in `amount.curve`;
    null for a test level without facts, and then for the mean over levels too (METHOD 8.11).
    """
    runs_of, rows = _trained(outcomes), []
    if not runs_of:
        return pd.DataFrame(columns=list(MATRIX))
    scores = np.stack([outcomes.over_seeds(runs) for runs in runs_of.values()], axis=1)
    against = len(runs_of) - 1 if MIX in runs_of else None
    for domain, test, chosen in outcomes.strata():
        groups = [scores[facts] for facts in chosen]
        draws = macro_resampled(groups) if all(map(len, groups)) else None
        for at, (train, runs) in enumerate(runs_of.items()):
            numbers: tuple[float | None, ...] = (None,) * 7
            if draws is not None:
                compare = _compared_means if test == MACRO else _compared
                numbers = compare(groups, draws, len(runs), at, against)
            n, count = outcomes.runs[runs[0]].n, sum(map(len, groups))
            rows.append((outcomes.model, domain, train, test, n, count, len(runs), *numbers))
    table = pd.DataFrame(rows, columns=list(MATRIX[:-1]))
    known = table["p"].notna()
    return table.assign(p_holm=pd.Series(holm(table.loc[known, "p"].tolist()), index=table.index[known], dtype="float64"))[list(MATRIX)]


def _compared(groups: list[np.ndarray], draws: np.ndarray, seeds: int, at: int, against: int | None) -> tuple[float | None, ...]:
    """accuracy, low, high, difference, diff_low, diff_high, p of one group of facts [facts, training levels]."""
    (scores,) = groups
    mean = mean_interval(scores[:, at], seeds, draws[:, at])
    if against is None or at == against:
        return (*mean, *(None,) * 4)
    differences = scores[:, at] - scores[:, against]
    return (*mean, float(differences.mean()), *percentiles(draws[:, at] - draws[:, against]), statistics.sign_flip(differences))


def _compared_means(groups: list[np.ndarray], draws: np.ndarray, seeds: int, at: int, against: int | None) -> tuple[float | None, ...]:
    """The same of the mean over groups."""
    means = statistics.macro(groups)
    mean = (float(means[at]), *percentiles(draws[:, at]))
    if against is None or at == against:
        return (*mean, *(None,) * 4)
    drawn, value = draws[:, at] - draws[:, against], float(means[at] - means[against])
    return (*mean, value, *percentiles(drawn), bootstrap_p(value, drawn))


def best_rows(outcomes: Outcomes) -> pd.DataFrame:
    """Which training level is best for which test level: model, domain, test (MACRO too), train, best, seen, least.

    `best` is the share of resamples in which this training level is the best one (a tie is shared out; the natural mix does not
    take part), `seen` whether it is in the facts as they are, alone; `least`: test facts of the scarcest level that counts.
    """
    single = {name: runs for name, runs in _trained(outcomes).items() if name != MIX}
    if not single:
        return pd.DataFrame(columns=BEST)
    scores = np.stack([outcomes.over_seeds(runs) for runs in single.values()], axis=1)
    rows = []
    for domain, test, chosen in outcomes.strata():
        groups = [scores[facts] for facts in chosen]
        least = min(map(len, groups))
        if test == NATURAL or not least:
            continue
        won, means = statistics.winners(macro_resampled(groups)), statistics.macro(groups)
        first = means == means.max()
        for at, train in enumerate(single):
            rows.append((outcomes.model, domain, test, train, float(won[at]), bool(first[at] and first.sum() == 1), least))
    return pd.DataFrame(rows, columns=BEST)


def told_apart(matrix: pd.DataFrame, best: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """Where one row of the matrix is better than all others by the study's own tests: (model, domain, test) -> its training level, or MIX.

    A level, if it is the best of all levels in enough resamples (corrected as in the findings: for models and domains, a single test
    level also for the number of levels) and better than the mix (p after Holm's correction); the mix, if every level is worse than
    it. Places with fewer than 30 facts, and those where a run is missing, have no entry: cannot tell.
    """
    if matrix.empty or best.empty:
        return {}
    sure = ALPHA / 2 / len(matrix[["model", "domain"]].drop_duplicates())
    levels = [test for test in dict.fromkeys(best["test"]) if test != MACRO]
    apart = {}
    for (model, domain, test), rows in best.groupby(["model", "domain", "test"], sort=False):
        cells = matrix[(matrix["model"] == model) & (matrix["domain"] == domain) & (matrix["test"] == test)].set_index("train")
        if set(cells.index) != {*levels, MIX} or rows["least"].min() < LEAST:
            continue
        against = cells.drop(index=MIX)
        told = against["p_holm"].astype(float) < ALPHA
        better, worse = told & (against["difference"].astype(float) > 0), told & (against["difference"].astype(float) < 0)
        first, won = max(zip(rows["train"], rows["best"], strict=True), key=lambda pair: pair[1])
        if won >= 1 - (sure if test == MACRO else sure / len(levels)) and better[first]:
            apart[str(model), str(domain), str(test)] = str(first)
        elif worse.all():
            apart[str(model), str(domain), str(test)] = MIX
    return apart


def composition(outcomes: Outcomes) -> pd.DataFrame:
    """What was trained on: model, train, relation, examples (mean over seeds). Equal columns mean that levels differ in level alone."""
    rows = []
    for name, runs in _trained(outcomes).items():
        for relation in sorted({relation for run in runs for relation in outcomes.runs[run].counts}):
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
        facts = both[both["level"] == at]
        rows.append((outcomes.model, label, len(facts), float((facts["level"] != facts["level_again"]).mean()) if len(facts) else None))
    return pd.DataFrame(rows, columns=columns)


def _trained(outcomes: Outcomes) -> dict[str, list[TrainSettings]]:
    """Training levels that were run, in order, and the natural mix last; with the seeds of each."""
    tuned = {levels: runs for (n, levels), runs in statistics.by_setting(outcomes).items() if n != 0}
    single = sorted(levels for levels in tuned if levels is not None)
    mix = {MIX: tuned[None]} if None in tuned else {}
    return {outcomes.scheme.labels[levels[0]]: tuned[levels] for levels in single} | mix


def level_findings(outcomes: Sequence[Outcomes], tables: Tables) -> Iterator[Finding]:
    """Do unknown facts hurt, which level is best, and does each level teach itself best?"""
    lowest = _after_lowest(outcomes, tables["matrix"])
    sure = 1 - ALPHA / 2 / statistics.times_asked(outcomes)
    for part in outcomes:
        best = tables["best"]
        for domain, rows in statistics.groups_of(best[best["model"] == part.model], "domain"):
            about = f"{part.model}, {DOMAIN_NAMES[domain]}"
            overall = [row for row in rows if row["test"] == MACRO]
            if hurt := lowest.get((part.model, domain)):
                yield _unknown_finding(about, hurt, min(row["least"] for row in overall))
            if {row["train"] for row in rows} == set(part.scheme.labels):
                own = [row for row in rows if row["test"] == row["train"]]
                yield from _best_finding(about, overall, sure)
                yield from _own_finding(about, own, 1 - (1 - sure) / len(part.scheme.labels))


def _after_lowest(outcomes: Sequence[Outcomes], table: pd.DataFrame) -> dict[tuple[str, str], Row]:
    """The mean over levels after training on the lowest level, for each model and domain that has it and the natural mix; p-values
    corrected over these alone."""
    lowest = {part.model: part.scheme.labels[0] for part in outcomes}
    rows = statistics.rows_of(table[(table["train"] == table["model"].map(lowest)) & (table["test"] == MACRO) & table["p"].notna()])
    return {(row["model"], row["domain"]): {**row, "p_holm": p} for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True)}


def _unknown_finding(about: str, row: Row, least: int) -> Finding:
    verdict = OPEN if row["p_holm"] >= ALPHA else YES if row["difference"] < 0 else NO
    text = (
        f"{row['n']:,} examples of {row['train']} give a mean over levels of {row['accuracy']:.1%}: "
        f"{statistics.change(row['difference'], row['diff_low'], row['diff_high'], row['p_holm'], ' against the natural mix')}."
    )
    return statistics.judged(about, f"Does training on {row['train']} (unknown facts) hurt?", verdict, text, least)


def _best_finding(about: str, rows: list[Row], sure: float) -> Iterator[Finding]:
    ranked = sorted(rows, key=lambda row: -row["best"])
    if ranked:
        shares = ", ".join(f"{row['train']} {row['best']:.0%}" for row in ranked)
        text = f"Best mean over levels, share of resamples: {shares}."
        verdict = YES if ranked[0]["best"] >= sure else OPEN
        yield statistics.judged(about, "Is one training level the best?", verdict, text, min(row["least"] for row in rows))


def _own_finding(about: str, own: list[Row], sure: float) -> Iterator[Finding]:
    """The papers: in-domain, each test level is answered best after training on that level."""
    known = [row for row in own if row["least"] >= LEAST]
    if not known:
        return
    levels_of = {
        YES: [row["test"] for row in known if row["best"] >= sure],
        NO: [row["test"] for row in known if row["best"] <= 1 - sure],
        OPEN: [row["test"] for row in known if 1 - sure < row["best"] < sure],
    }
    verdict = next((word for word, levels in levels_of.items() if len(levels) == len(own)), OPEN)
    text = "; ".join(f"{word}: {', '.join(levels)}" for word, levels in levels_of.items() if levels)
    yield Finding(about, "Is each level answered best after training on it?", verdict, f"{text[:1].upper()}{text[1:]}.")


STUDY = Study(
    runs=matched_runs,
    tables={"matrix": matrix, "best": best_rows, "composition": composition, "retest": retest},
    findings=level_findings,
    printed=(Crossed("matrix", ("model", "domain", "train"), "test", "accuracy"),),
    papers="The follow-up: in-domain, every test level is answered best after training on that level; L2 is the best for the mean; "
    "training on L0 loses 13 to 21 points on L1 to L3 (LLaMA-3, n = 1,920).",
    by_level=True,
)
