"""What drifted, from the tables of drift.py: by level, against the number of examples, lost facts beside kept ones. Light.

Each fact is averaged over the seeds of a setting, then facts are drawn anew (METHOD 8.9). Intervals are 95%. drift_words.py says what came
out.

Where the token after a *statement* counts, it is where the answer comes at once: the base model's likeliest token is the first of the
right answer. That is the published condition ("only completions whose answer comes early") at its strictest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from sftqa_core.artifacts import Kept
from sftqa_core.evaluation.inside import drift_weights
from sftqa_core.evaluation.inside.look import Look
from sftqa_core.evaluation.intervals import (
    LEAST,
    median_interval,
    percentiles,
    resampled,
    wilson,
)
from sftqa_core.records import DOMAINS, TrainSettings

QUESTIONS, STATEMENTS = "questions", "statements"
LEAST_SETTINGS = 8  # below which a correlation over settings says nothing
EVERY = "all"  # levels, together
_TABLES = {"questions", "statements", "layers", "top"}


def looked_at(looks: Sequence[Look]) -> list[Look]:
    """Those whose drift was measured of the facts that they name."""
    kept = [look for look in looks if _TABLES.issubset(look.tables.get("drift", ()))]
    return [look for look in kept if len(look.tables["drift"][QUESTIONS]) == len(look.facts)]


def facts_of(look: Look, kind: str) -> pd.DataFrame:
    """QUESTIONS or STATEMENTS of a run with fact_id, domain and level (Int64) of its facts, was_right and is_right; numbers are float64."""
    table, facts = look.tables["drift"][kind], _ordered.get(look, lambda: _by_id(look.facts))
    if kind == STATEMENTS:
        facts = facts.iloc[table["place"].to_numpy()].reset_index(drop=True)
        table = table.drop(columns="place")
    numbers = {str(name): column.to_numpy(dtype=float) for name, column in table.items()}
    return facts.assign(**numbers)


_ordered: Kept[pd.DataFrame] = Kept(64)  # by look: sorting by name takes longer than all else that is done with a run's facts


def _by_id(facts: pd.DataFrame) -> pd.DataFrame:
    """What drift's tables need of facts, in the order of their ids."""
    some = facts[["fact_id", "domain", "level"]].assign(
        was_right=facts["base_correct"].to_numpy(float), is_right=facts["correct"].to_numpy(float)
    )
    return some.sort_values("fact_id", kind="stable").reset_index(drop=True)


def over_seeds(looks: Sequence[Look], kind: str) -> pd.DataFrame:
    """The facts that all runs of a setting (seeds) have, averaged over them: fact_id, domain, level (-1: not known), the numbers, kl_lost
    and lost (KL where the fact was right and is wrong, else 0, and whether), kl_kept and kept."""
    tables = []
    for look in looks:
        rows = facts_of(look, kind)
        was, now = rows["was_right"], rows["is_right"]
        rows = rows.assign(lost=was * (1 - now), kept=was * now)
        tables.append(rows.assign(kl_lost=rows["kl"] * rows["lost"], kl_kept=rows["kl"] * rows["kept"]))
    every = pd.concat(tables, ignore_index=True)
    numbers = [name for name in every.select_dtypes("float") if name != "level"]
    known = every.assign(level=every["level"].astype("Int64").fillna(-1).astype(int), runs=1).groupby("fact_id", sort=True)
    mean = known[numbers].mean().assign(**{name: known[name].first() for name in ("domain", "level")}, runs=known["runs"].sum())
    return mean[mean["runs"] == len(looks)].drop(columns="runs").reset_index()


@dataclass(frozen=True, eq=False)
class Drift:
    """All that is told of the runs of one setting (seeds), beside others on the same base model."""

    chosen: Sequence[Look]
    others: Sequence[Look]  # the chosen ones among them

    @property
    def labels(self) -> tuple[str, ...]:
        return self.chosen[0].labels

    @property
    def seeds(self) -> int:
        return len(self.chosen)

    @cached_property
    def facts(self) -> dict[str, pd.DataFrame]:
        """`over_seeds` by the kind of prompt."""
        return {kind: over_seeds(self.chosen, kind) for kind in (QUESTIONS, STATEMENTS)}

    @cached_property
    def by_level(self) -> pd.DataFrame:
        """kind, domain, level, facts, seeds, kl (mean), low, high, median, median_low, median_high, kl10 (null of questions), changed
        (share whose likeliest token is another), entropy_base, entropy_tuned, logprob_base, logprob_tuned.

        Each domain by level, then all its facts. Groups without facts are left out.
        """
        rows = []
        for kind, facts in self.facts.items():
            for domain, label, some in _groups(facts, self.labels):
                kl = some["kl"].to_numpy()
                low, high = percentiles(mean_draws(kl)[:, 0])
                middle = median_interval(kl)
                same = ["changed", "entropy_base", "entropy_tuned", "logprob_base", "logprob_tuned"]
                row = {"kind": kind, "domain": domain, "level": label, "facts": len(some), "seeds": self.seeds, "kl": kl.mean(), "low": low}
                row |= {"high": high, "median": middle.value, "median_low": middle.low, "median_high": middle.high}
                rows.append(row | {"kl10": some["kl10"].mean() if "kl10" in some else np.nan} | some[same].mean().to_dict())
        return pd.DataFrame(rows)

    @cached_property
    def lost_and_kept(self) -> pd.DataFrame:
        """LOST_AND_KEPT: facts (right before), lost and kept (facts, means over seeds), mean KL of both and the difference, each with low
        and high (95%): of both domains together, each level and all. Intervals of fewer than 30 facts are null, and so are differences."""
        rows = []
        for kind, facts in self.facts.items():
            for label in (*self.labels, EVERY):
                some = facts if label == EVERY else facts[facts["level"] == self.labels.index(label)]
                some = some[some["was_right"] > 0]
                if len(some):
                    rows.append({"kind": kind, "level": label, "facts": len(some), **_lost_and_kept(some)})
        return pd.DataFrame(rows, columns=LOST_AND_KEPT)

    @cached_property
    def by_setting(self) -> pd.DataFrame:
        """kind, trained, n, seeds, facts, kl, low, high: KL at facts of the highest level, of every setting that differs from the chosen
        one in the number of examples and their levels at most; at questions over the vocabulary, at statements as published (top 10,
        answers that come at once). Ordered by trained and n."""
        rows = [
            (kind, trained, n, seeds, len(kl), float(kl.mean()), *percentiles(mean_draws(kl)[:, 0]))
            for kind, found in self.settings.items()
            for (trained, n), (seeds, kl) in found.items()
        ]
        return pd.DataFrame(rows, columns=["kind", "trained", "n", "seeds", "facts", "kl", "low", "high"])

    @cached_property
    def settings(self) -> dict[str, dict[tuple[str, int], tuple[int, pd.Series]]]:
        """By kind of prompt, of these settings: (trained on, n) -> seeds, and KL by fact, as `by_setting` has it."""
        comparable = [look for look in self.others if self._comparable(look)]
        return {kind: dict(sorted(_of_settings(comparable, kind).items())) for kind in (QUESTIONS, STATEMENTS)}

    def _comparable(self, look: Look) -> bool:
        """Whether a run differs from the chosen ones in the number of examples, their levels and the seed at most."""
        return look.settings.n > 0 and _but_examples(look.settings) == _but_examples(self.chosen[0].settings)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """RUNS: each run's facts of the highest level with a statement whose answer comes at once, their mean KL (kl10: as published), and
        accuracy on all `asked` facts of that level; kl10 and accuracy with low and high (95%). comparable: `_comparable`."""
        rows = []
        for look in self.others:
            top, known = look.facts[look.facts["level"] == len(look.labels) - 1], at_once(look)
            if len(known) and len(top):
                kl10 = known["kl10"].mean(), *percentiles(mean_draws(known["kl10"])[:, 0])
                right = int(top["correct"].sum())
                about = (look.name, look.settings.n, trained_on(look), look.settings.seed, self._comparable(look))
                rows.append((*about, len(known), known["kl"].mean(), *kl10, len(top), right / len(top), *wilson(right, len(top))))
        return pd.DataFrame(rows, columns=RUNS)

    @cached_property
    def modules(self) -> pd.DataFrame:
        """`drift_weights.modules` of these runs."""
        return drift_weights.modules([look.tables["drift"]["layers"] for look in self.chosen])

    @cached_property
    def by_module(self) -> pd.DataFrame:
        """`drift_weights.by_module` of these runs."""
        return drift_weights.by_module(self.modules)

    @cached_property
    def top(self) -> pd.DataFrame:
        """`drift_weights.top` of these runs."""
        return drift_weights.top([look.tables["drift"]["top"] for look in self.chosen])


LOST_AND_KEPT = [
    "kind", "level", "facts", "lost", "kl_lost", "kl_lost_low", "kl_lost_high", "kept", "kl_kept", "kl_kept_low", "kl_kept_high",
    "difference", "low", "high",
]  # fmt: skip
RUNS = [
    "name", "n", "trained", "seed", "comparable", "facts", "kl", "kl10", "kl10_low", "kl10_high", "asked", "accuracy", "accuracy_low",
    "accuracy_high",
]  # fmt: skip


def trained_on(look: Look) -> str:
    """The levels of a run's examples, as a chart names them."""
    levels = look.settings.levels
    return "all levels" if levels is None else ", ".join(look.labels[level] if level < len(look.labels) else str(level) for level in levels)


def at_once(look: Look) -> pd.DataFrame:
    """A run's facts of the highest level with a statement whose answer comes at once."""
    facts = facts_of(look, STATEMENTS)
    return facts[(facts["level"] == len(look.labels) - 1) & (facts["first_base"] > 0)]


def _but_examples(settings: TrainSettings) -> TrainSettings:
    return replace(settings, n=1, levels=None, seed=0)


def _of_settings(looks: Sequence[Look], kind: str) -> dict[tuple[str, int], tuple[int, pd.Series]]:
    """(trained on, n) -> seeds, and KL by fact of the highest level."""
    groups: dict[tuple[str, int], list[Look]] = {}
    for look in looks:
        groups.setdefault((trained_on(look), look.settings.n), []).append(look)
    found = {}
    for setting, runs in groups.items():
        facts = over_seeds(runs, kind)
        facts = facts[facts["level"] == len(runs[0].labels) - 1]
        facts = facts[facts["first_base"] > 0] if kind == STATEMENTS else facts
        if len(facts):
            found[setting] = len(runs), facts.set_index("fact_id")["kl10" if kind == STATEMENTS else "kl"]
    return found


def _groups(facts: pd.DataFrame, labels: Sequence[str]) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Domain, level and its facts; those of all levels count facts without a known one, too."""
    for domain in DOMAINS:
        inside = facts[facts["domain"] == domain]
        for label in (*labels, EVERY):
            some = inside if label == EVERY else inside[inside["level"] == labels.index(label)]
            if len(some):
                yield domain, label, some


def mean_draws(values: pd.Series | np.ndarray) -> np.ndarray:
    """Means [draws, columns] of facts drawn anew, of values [facts] or [facts, columns]."""
    scores = np.asarray(values, dtype=float)
    return resampled(scores if scores.ndim == 2 else scores[:, None])


def _lost_and_kept(facts: pd.DataFrame) -> dict[str, float]:
    """Of facts that were right: how many were lost and kept, mean KL of both and the difference, each with its interval."""
    lost, kept = facts["lost"].sum(), facts["kept"].sum()
    told = {"lost": lost, "kept": kept}
    means, draws = {}, lost_draws(facts)
    for at, (name, count) in enumerate(told.items()):
        means[name] = facts[f"kl_{name}"].sum() / count if count else np.nan
        ends = percentiles(draws[:, at]) if count >= LEAST else (np.nan, np.nan)
        told = {**told, f"kl_{name}": means[name], f"kl_{name}_low": ends[0], f"kl_{name}_high": ends[1]}
    if min(lost, kept) < LEAST:
        return {**told, "difference": np.nan, "low": np.nan, "high": np.nan}
    low, high = percentiles(draws[:, 2])
    return {**told, "difference": means["lost"] - means["kept"], "low": low, "high": high}


def lost_draws(facts: pd.DataFrame) -> np.ndarray:
    """Mean KL of lost facts, of kept ones, and the difference [draws, 3]; facts are drawn whole, with all their seeds. NaN where a draw has
    no such fact."""
    draws = mean_draws(facts[["kl_lost", "lost", "kl_kept", "kept"]].to_numpy())
    with np.errstate(invalid="ignore", divide="ignore"):
        lost, kept = draws[:, 0] / draws[:, 1], draws[:, 2] / draws[:, 3]
    return np.stack([lost, kept, lost - kept], axis=1)


# ---- words ----
