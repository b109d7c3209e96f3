"""How do models differ? Levels, ranks and the same training facts on several models (METHOD section 2)."""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from sftqa_core.evaluation.intervals import ALPHA, bootstrap_p, holm, percentiles, resampled
from sftqa_core.memory.agreement import spearman
from sftqa_core.memory.shares import share_interval
from sftqa_core.records import DOMAIN_NAMES, Finding
from sftqa_core.studies import statistics
from sftqa_core.studies.amount import curve
from sftqa_core.studies.level import retest
from sftqa_core.studies.registry import Crossed, Listed, Study, Tables
from sftqa_core.studies.statistics import NO, OPEN, YES, Outcomes

LEAST = 10  # facts below which no rank correlation is given


def level_shares(models: Sequence[Outcomes]) -> pd.DataFrame:
    """Test facts by level: model, domain, level, facts, share, low, high (Wilson)."""
    rows = []
    for outcomes in models:
        for domain, inside in outcomes.domains():
            levels = outcomes.levels()[inside]
            known = int((levels >= 0).sum())
            for at, label in enumerate(outcomes.scheme.labels):
                count = int((levels == at).sum())
                low, high = map(float, share_interval(count, known)) if known else (None, None)
                rows.append((outcomes.model, domain, label, count, count / known if known else None, low, high))
    return pd.DataFrame(rows, columns=["model", "domain", "level", "facts", "share", "low", "high"])


def ranks(models: Sequence[Outcomes]) -> pd.DataFrame:
    """Spearman of the memory scores of each pair of models on their common test facts: model, other, facts, spearman, same_level."""
    rows = []
    for one, other in combinations(models, 2):
        both = _common([one, other])
        if len(both) >= LEAST:
            same = float((both["level_0"] == both["level_1"]).mean())
            rows.append((one.model, other.model, len(both), _spearman(both["score_0"], both["score_1"]), same))
    return pd.DataFrame(rows, columns=["model", "other", "facts", "spearman", "same_level"])


def known_by(models: Sequence[Outcomes]) -> pd.DataFrame:
    """Common test facts by how many models have them at the highest level, and how many at the lowest.

    fact_id, domain, relation, subject, answers, best (models at the highest level), none (models at the lowest), mean_score.
    """
    both = _common(models)
    if both.empty:
        return pd.DataFrame(columns=["fact_id", "domain", "relation", "subject", "answers", "best", "none", "mean_score"])
    levels = both[[f"level_{at}" for at in range(len(models))]].to_numpy(dtype=int)
    scores = both[[f"score_{at}" for at in range(len(models))]].to_numpy(dtype=float)
    top = len(models[0].scheme.labels) - 1
    facts = models[0].facts.set_index("fact_id").loc[both["fact_id"], ["domain", "relation", "subject", "answers"]].reset_index()
    counted = facts.assign(best=(levels == top).sum(axis=1), none=(levels == 0).sum(axis=1), mean_score=scores.mean(axis=1))
    return counted.sort_values(["best", "mean_score"], ascending=False, ignore_index=True)


def differences(models: Sequence[Outcomes]) -> pd.DataFrame:
    """Accuracy of each pair of models after training on the same facts, on their common test facts as they come.

    model, other, domain, n, facts, accuracy, other_accuracy, difference, low, high (paired bootstrap over facts), p (from its
    standard error), p_holm over all pairs and domains. Only seeds that both have run: with the same seed the examples are the same.
    """
    rows = []
    for one, other in combinations(models, 2):
        trained, trained_other = ([run for run in own.runs if run.n != 0 and run.levels is None] for own in (one, other))
        both = {run.seed for run in trained} & {run.seed for run in trained_other}
        trained, trained_other = ([run for run in runs if run.seed in both] for runs in (trained, trained_other))
        if not trained:
            continue
        common = one.facts["fact_id"].isin(other.facts["fact_id"]).to_numpy()
        place = pd.Index(other.facts["fact_id"]).get_indexer(one.facts.loc[common, "fact_id"])
        scores = np.stack([one.over_seeds(trained)[common], other.over_seeds(trained_other)[place]], axis=1)
        n = one.runs[trained[0]].n
        for domain, inside in one.domains():
            own = scores[inside[common]]
            if len(own):
                draws = resampled(own)
                moved, means = draws[:, 0] - draws[:, 1], own.mean(axis=0)
                value = float(means[0] - means[1])
                numbers = (*map(float, means), value, *percentiles(moved), bootstrap_p(value, moved))
                rows.append((one.model, other.model, domain, n, len(own), *numbers))
    columns = ["model", "other", "domain", "n", "facts", "accuracy", "other_accuracy", "difference", "low", "high", "p"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(p_holm=holm(table["p"].tolist()))


PLANTED = ("model", "facts_are", "templates", "relation", "facts", "spearman", "mean_unseen")


def planted(models: Sequence[Outcomes]) -> pd.DataFrame:
    """How well the probe measures what was planted: rank correlation of mentions and memory score.

    model, facts_are ("uncontested" or "contested"), templates ("all", "seen", "unseen"), relation ("all" or one), facts,
    spearman, mean_unseen (mean score of facts that were never mentioned: guessing). Only for models whose corpus is known.
    """
    known = [(one.model, one.facts) for one in models if "exposures" in one.facts and one.facts["exposures"].notna().any()]
    tables = [planted_rows(model, facts) for model, facts in known]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(PLANTED))


def planted_rows(model: str, table: pd.DataFrame) -> pd.DataFrame:
    """`planted` of one model; `table`: the levels table's columns and exposures of its facts, and contested where some are."""
    rows = []
    contested = table["contested"].fillna(False).astype(bool) if "contested" in table else pd.Series(False, index=table.index)
    for kind, chosen in (("uncontested", ~contested), ("contested", contested)):
        facts = table[chosen & table["score"].notna() & table["exposures"].notna()]
        for templates, column in (("all", "score"), ("seen", "seen_score"), ("unseen", "unseen_score")):
            groups = [("all", facts), *(facts.groupby("relation", sort=True) if templates == "all" else ())]
            for relation, group in groups:
                scores = group[column].astype(float)
                if len(group) >= LEAST and scores.notna().all():
                    never = scores[group["exposures"] == 0]
                    correlation = _spearman(group["exposures"], scores)
                    guessed = float(never.mean()) if len(never) else None
                    rows.append((model, kind, templates, relation, len(group), correlation, guessed))
    return pd.DataFrame(rows, columns=list(PLANTED))


def alike(models: Sequence[Outcomes], alpha: float = 0.05) -> pd.DataFrame:
    """Whether two models agree less on levels than each does with itself when it is probed again.

    model, other, facts (probed twice with both), same_level, same_again (mean of both models), difference, low, high (paired
    bootstrap over facts, the middle 1 - `alpha`).
    """
    rows = []
    for one, other in combinations(models, 2):
        if one.retest is None or other.retest is None:
            continue
        columns = {"own": one.facts, "own_again": one.retest, "other": other.facts, "other_again": other.retest}
        tables = [table.set_index("fact_id")["level"].rename(name) for name, table in columns.items()]
        both = pd.concat(tables, axis=1, join="inner").dropna()
        if len(both):
            same = (both["own"] == both["other"]).to_numpy(dtype=float)
            repeated = [(both[name] == both[f"{name}_again"]).to_numpy(dtype=float) for name in ("own", "other")]
            again = (repeated[0] + repeated[1]) / 2
            draws = resampled(np.stack([same, again], axis=1))
            ends = percentiles(draws[:, 0] - draws[:, 1], alpha)
            rows.append((one.model, other.model, len(both), float(same.mean()), float(again.mean()), float((same - again).mean()), *ends))
    return pd.DataFrame(rows, columns=["model", "other", "facts", "same_level", "same_again", "difference", "low", "high"])


def _common(models: Sequence[Outcomes]) -> pd.DataFrame:
    """fact_id, level_0, score_0, level_1, ...: the test facts that every model was probed on."""
    if not models:
        return pd.DataFrame(columns=["fact_id"])
    tables = [m.facts.loc[m.facts["level"].notna(), ["fact_id", "level", "score"]].set_index("fact_id") for m in models]
    joined = pd.concat([table.add_suffix(f"_{at}") for at, table in enumerate(tables)], axis=1, join="inner")
    return joined.reset_index()


def _spearman(first: pd.Series, second: pd.Series) -> float | None:
    correlation = spearman(first.astype(float), second.astype(float))
    return correlation if correlation == correlation else None


def models_findings(outcomes: Sequence[Outcomes], tables: Tables) -> Iterator[Finding]:
    """Do models know different facts, and do they answer differently after the same examples?"""
    pairs = max(1, len(outcomes) * (len(outcomes) - 1) // 2)
    ranks = {(row["model"], row["other"]): row["spearman"] for row in statistics.rows_of(tables["ranks"])}
    for row in statistics.rows_of(alike(outcomes, ALPHA / pairs)):
        rank = ranks.get((row["model"], row["other"]))
        known = "" if rank is None or math.isnan(rank) else f" Their memory scores have a rank correlation of {rank:z.2f}."
        text = (
            f"{row['same_level']:.0%} of {row['facts']:,} facts are on the same level in both; probed again, a model has "
            f"{row['same_again']:.0%} where they were: {statistics.change(row['difference'], row['low'], row['high'])}."
        )
        verdict = YES if row["high"] < 0 else NO if row["low"] > 0 else OPEN
        yield statistics.judged(f"{row['model']} and {row['other']}", "Do they know different facts?", verdict, text + known, row["facts"])
    for row in statistics.rows_of(tables["differences"]):
        text = (
            f"After the same {row['n']:,} examples they answer {row['accuracy']:.1%} and {row['other_accuracy']:.1%} of {row['facts']:,} "
            f"facts: {statistics.change(row['difference'], row['low'], row['high'], row['p_holm'])}."
        )
        about = f"{row['model']} and {row['other']}, {DOMAIN_NAMES[row['domain']]}"
        verdict = YES if row["p_holm"] < ALPHA else OPEN
        yield statistics.judged(about, "Do they answer differently after the same examples?", verdict, text, row["facts"])


_RANKED = {"facts": ("facts", ","), "spearman": ("Spearman", ".2f"), "same_level": ("same level", ".1%")}  # as they are printed
STUDY = Study(
    tables={"curve": curve, "retest": retest},
    tables_of_all={"shares": level_shares, "ranks": ranks, "differences": differences, "planted": planted, "known_by": known_by},
    findings=models_findings,
    printed=(
        Crossed("shares", ("model", "domain"), "level", "share"),
        Listed("ranks", {name: (name, "") for name in ("model", "other")} | _RANKED),
    ),
    papers="The follow-up: larger models have fewer facts at L0 and more at L4 (LLaMA-2 7B to 70B, LLaMA-3 8B and 70B).",
)
