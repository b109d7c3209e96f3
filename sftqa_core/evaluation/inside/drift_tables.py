"""What drifted, from the tables of drift.py: by level, against the number of examples, lost facts beside kept ones, by module. Light.

Each fact is averaged over the seeds of a setting, then facts are drawn anew (METHOD 8.9). Words follow intervals that leave out 0,
corrected (Bonferroni) where several differences could have said the same; below 30 facts nothing is said.

Where the token after a *statement* counts, it is where the answer comes at once: the base model's likeliest token is the first of the
right answer. That is the published condition ("only completions whose answer comes early") at its strictest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from sftqa_core.evaluation.inside.look import Look
from sftqa_core.evaluation.intervals import ALPHA, LEAST, median_interval, normal_interval, percentiles, resampled, spearman_interval
from sftqa_core.records import DOMAIN_NAMES, DOMAINS, TrainSettings

QUESTIONS, STATEMENTS = "questions", "statements"
LEAST_RUNS = 8  # below which a correlation over runs says nothing
EVERY = "all"  # levels, together
PUBLISHED_TOP = (0.7059, 0.7882, 0.8235, 0.8706, 0.9176, 0.9647, 0.9912)  # of LLaMA-3-8B, n = 240, trained on L0; at restoring.SHARES
PUBLISHED_MODULES = {  # where LLaMA-3-8B's redundant updates sit, and (by its published sizes) that share of these modules' parameters
    "down_proj": (0.2891, 0.2692), "up_proj": (0.2826, 0.2692), "gate_proj": (0.2337, 0.2692), "o_proj": (0.0940, 0.0769),
    "q_proj": (0.0641, 0.0769), "v_proj": (0.0255, 0.0192), "k_proj": (0.0109, 0.0192),
}  # fmt: skip
_SHARES = ["parameters", "top", "relative_share", "squared_share"]
_TABLES = {"questions", "statements", "layers", "top"}


def looked_at(looks: Sequence[Look]) -> list[Look]:
    """Those whose drift was measured of the facts that they name."""
    kept = [look for look in looks if _TABLES.issubset(look.tables.get("drift", ()))]
    return [look for look in kept if len(look.tables["drift"][QUESTIONS]) == len(look.facts)]


def facts_of(look: Look, kind: str) -> pd.DataFrame:
    """QUESTIONS or STATEMENTS of a run with the columns of its facts; all numbers are float64."""
    table, facts = look.tables["drift"][kind], look.facts.sort_values("fact_id", kind="stable").reset_index(drop=True)
    if kind == STATEMENTS:
        facts = facts.iloc[table["place"].to_numpy()].reset_index(drop=True)
        table = table.drop(columns="place")
    numbers = {str(name): column.to_numpy(dtype=float) for name, column in table.items()}
    return facts.assign(**numbers, was_right=facts["base_correct"].to_numpy(float), is_right=facts["correct"].to_numpy(float))


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
    numbers = [name for name in every.select_dtypes("float") if name not in ("rival_share", "level")]
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
                low, high = percentiles(_means(kl)[:, 0])
                middle = median_interval(kl)
                same = ["changed", "entropy_base", "entropy_tuned", "logprob_base", "logprob_tuned"]
                row = {"kind": kind, "domain": domain, "level": label, "facts": len(some), "seeds": self.seeds, "kl": kl.mean(), "low": low}
                row |= {"high": high, "median": middle.value, "median_low": middle.low, "median_high": middle.high}
                rows.append(row | {"kl10": some["kl10"].mean() if "kl10" in some else np.nan} | some[same].mean().to_dict())
        return pd.DataFrame(rows)

    @cached_property
    def lost_and_kept(self) -> pd.DataFrame:
        """kind, level, facts (right before), lost, kept (facts, means over seeds), kl_lost, kl_kept (mean KL), difference, low, high: of
        both domains together, each level and all. Differences are null with fewer than 30 facts on either side."""
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
            (kind, trained, n, seeds, len(kl), float(kl.mean()), *percentiles(_means(kl)[:, 0]))
            for kind, found in self.settings.items()
            for (trained, n), (seeds, kl) in found.items()
        ]
        return pd.DataFrame(rows, columns=["kind", "trained", "n", "seeds", "facts", "kl", "low", "high"])

    @cached_property
    def settings(self) -> dict[str, dict[tuple[str, int], tuple[int, pd.Series]]]:
        """By kind of prompt, of these settings: (trained on, n) -> seeds, and KL by fact, as `by_setting` has it."""
        chosen = _but_examples(self.chosen[0].settings)
        comparable = [look for look in self.others if _but_examples(look.settings) == chosen and look.settings.n > 0]
        return {kind: dict(sorted(_of_settings(comparable, kind).items())) for kind in (QUESTIONS, STATEMENTS)}

    @cached_property
    def runs(self) -> pd.DataFrame:
        """name, n, trained, seed, facts, kl, kl10, accuracy: each run's facts of the highest level with a statement whose answer comes at
        once (accuracy: share of all facts of that level answered rightly)."""
        rows = []
        for look in self.others:
            top, known = look.facts[look.facts["level"] == len(look.labels) - 1], at_once(look)
            if len(known) and len(top):
                numbers = len(known), known["kl"].mean(), known["kl10"].mean(), float(top["correct"].mean())
                rows.append((look.name, look.settings.n, trained_on(look), look.settings.seed, *numbers))
        return pd.DataFrame(rows, columns=["name", "n", "trained", "seed", "facts", "kl", "kl10", "accuracy"])

    @cached_property
    def modules(self) -> pd.DataFrame:
        """module, layer (null outside of layers), and shares of the model's: parameters, relative_share, squared_share, and top (of the
        parameters that changed most, relatively); means over seeds."""
        tables = [look.tables["drift"]["layers"] for look in self.chosen]
        every = pd.concat([table.astype({"module": "str", "layer": "Int64"}) for table in tables if len(table)] or [tables[0]])
        shares = every.groupby(["module", "layer"], sort=False, dropna=False)[_SHARES].sum().astype(float).reset_index()
        shares[_SHARES] = shares[_SHARES] / shares[_SHARES].sum().replace(0, 1)
        return shares

    @cached_property
    def by_module(self) -> pd.DataFrame:
        """module, parameters, top, relative_share, squared_share: of all modules of layers, all layers together; published and
        published_parameters: PUBLISHED_MODULES, null for others."""
        inside = self.modules[self.modules["layer"].notna()].groupby("module", sort=False)[_SHARES].sum()
        inside = inside / inside.sum().replace(0, 1)
        published = [PUBLISHED_MODULES.get(str(name), (np.nan, np.nan)) for name in inside.index]
        inside[["published", "published_parameters"]] = np.array(published, dtype=float).reshape(-1, 2)
        return inside.reset_index()

    @cached_property
    def top(self) -> pd.DataFrame:
        """measure, share, held: means over seeds."""
        every = pd.concat([look.tables["drift"]["top"].astype({"measure": "str", "held": "float64"}) for look in self.chosen])
        return every.groupby(["measure", "share"], sort=False)["held"].mean().reset_index()


LOST_AND_KEPT = ["kind", "level", "facts", "lost", "kept", "kl_lost", "kl_kept", "difference", "low", "high"]


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


def _means(values: pd.Series | np.ndarray) -> np.ndarray:
    """Means [draws, columns] of facts drawn anew, of values [facts] or [facts, columns]."""
    scores = np.asarray(values, dtype=float)
    return resampled(scores if scores.ndim == 2 else scores[:, None])


def _lost_and_kept(facts: pd.DataFrame) -> dict[str, float]:
    """Of facts that were right: how many were lost and kept, mean KL of both, and the difference with its interval."""
    sums = facts[["kl_lost", "lost", "kl_kept", "kept"]].to_numpy()
    lost, kept = sums[:, 1].sum(), sums[:, 3].sum()
    means = sums.mean(axis=0)
    told = {
        "lost": lost,
        "kept": kept,
        "kl_lost": means[0] / means[1] if lost else np.nan,
        "kl_kept": means[2] / means[3] if kept else np.nan,
    }
    if min(lost, kept) < LEAST:
        return {**told, "difference": np.nan, "low": np.nan, "high": np.nan}
    draws = _means(sums)
    low, high = percentiles(draws[:, 0] / draws[:, 1] - draws[:, 2] / draws[:, 3])  # facts are drawn whole, with all their seeds
    return {**told, "difference": told["kl_lost"] - told["kl_kept"], "low": low, "high": high}


# ---- words ----
def words(drift: Drift) -> list[str]:
    """What may be said of these runs, a sentence each."""
    return [
        *_moved(drift),
        *_of_right_tokens(drift),
        *_of_levels(drift),
        *_of_lost(drift),
        *_of_amounts(drift),
        *_of_training_levels(drift),
        _of_runs(drift),
        *_of_weights(drift),
    ]


def _moved(drift: Drift) -> Iterator[str]:
    rows = drift.by_level
    for row in _rows(rows[(rows["kind"] == QUESTIONS) & (rows["level"] == EVERY)]):
        name = DOMAIN_NAMES[row.domain].capitalize()
        yield (
            f"{name}: after the question, the likeliest next token is another one for {row.changed:.0%} of {row.facts:,} facts, and KL is "
            f"{row.kl:.2f} nats on average (95%: {row.low:.2f} to {row.high:.2f})."
            if row.facts >= LEAST
            else f"{name}: too few facts to tell ({row.facts:,})."
        )
    asked, stated = (facts.set_index("fact_id")["kl"] for facts in drift.facts.values())
    both = asked.loc[stated.index].to_numpy() - stated.to_numpy()
    if len(both) < LEAST:
        yield f"Whether questions moved more than statements: too few facts to tell ({len(both):,})."
        return
    low, high = percentiles(_means(both)[:, 0])
    numbers = f"{asked.loc[stated.index].mean():.2f} against {stated.mean():.2f} nats on the same {len(both):,} facts"
    yield {
        1: f"Answers to questions moved more than statements about the same facts: {numbers}.",
        -1: f"Statements moved more than answers to questions about the same facts: {numbers}.",
        0: f"Cannot tell whether answers to questions or statements moved more: {numbers}.",
    }[_side(low, high)]


def _of_right_tokens(drift: Drift) -> Iterator[str]:
    """Whether the right answer's first token became more or less probable: a large KL can be either."""
    for kind, facts in drift.facts.items():
        change = (facts["logprob_tuned"] - facts["logprob_base"]).to_numpy()
        if len(change) < LEAST:
            continue
        low, high = percentiles(_means(change)[:, 0], ALPHA / len(drift.facts))
        how = {1: "became more probable", -1: "became less probable", 0: "cannot be told to have changed"}[_side(low, high)]
        yield (
            f"At {kind}, the right answer's first token {how}: log P {facts['logprob_base'].mean():.2f} before, "
            f"{facts['logprob_tuned'].mean():.2f} after ({len(change):,} facts; interval of the change {low:+.2f} to {high:+.2f})."
        )


def _of_levels(drift: Drift) -> Iterator[str]:
    """The highest level against the lowest, by each kind of prompt."""
    last = drift.labels[-1]
    for kind, facts in drift.facts.items():
        low_facts, high_facts = (facts.loc[facts["level"] == level, "kl"].to_numpy() for level in (0, len(drift.labels) - 1))
        if min(len(low_facts), len(high_facts)) < LEAST:
            yield f"At {kind}, {last} against {drift.labels[0]}: too few facts to tell ({len(high_facts):,} and {len(low_facts):,})."
            continue
        draws = _means(high_facts)[:, 0] - resampled(low_facts[:, None], seed=1)[:, 0]
        side = _side(*percentiles(draws, ALPHA / len(drift.facts)))
        numbers = f"{high_facts.mean():.2f} against {low_facts.mean():.2f} nats"
        how = {1: "moved more than", -1: "moved less than", 0: "cannot be told from"}[side]
        yield f"At {kind}, {last} facts {how} {drift.labels[0]} facts: {numbers} ({len(high_facts):,} and {len(low_facts):,} facts)."


def _of_lost(drift: Drift) -> Iterator[str]:
    """Facts of the highest level that were lost, beside those that stayed right."""
    last, rows = drift.labels[-1], drift.lost_and_kept
    for row in _rows(rows[rows["level"] == last]):
        counts = f"{row.lost:,.0f} lost, {row.kept:,.0f} kept"
        if pd.isna(row.difference):
            yield f"At {row.kind}, {last} facts that were lost beside those that stayed right: too few facts to tell ({counts})."
            continue
        numbers = f"{row.kl_lost:.2f} against {row.kl_kept:.2f} nats ({counts}; 95% of the difference: {row.low:+.2f} to {row.high:+.2f})"
        how = {1: "moved more than", -1: "moved less than", 0: "cannot be told from"}[_side(row.low, row.high)]
        yield f"At {row.kind}, {last} facts that were lost {how} those that stayed right: {numbers}."


def _of_amounts(drift: Drift) -> Iterator[str]:
    """Whether KL falls, then rises with n, as published; for each training level with three sizes or more."""
    for kind, trained, ns, kl in _series(drift, "trained"):
        if len(ns) < 3:
            continue
        about = f"At {kind}, trained on {trained}, n = {', '.join(f'{n:,}' for n in ns)}"
        if len(kl) < LEAST:
            yield f"{about}: too few {drift.labels[-1]} facts to tell ({len(kl):,})."
            continue
        means, draws, asked = kl.mean(axis=0), _means(kl), 2 * (len(ns) - 2) + 1
        between = [_side(*_difference(means, draws, end, at, asked)) for at in range(1, len(ns) - 1) for end in (0, -1)]
        dips = [at for at, pair in enumerate(zip(between[::2], between[1::2], strict=True), 1) if pair == (1, 1)]
        whole = _side(*_difference(means, draws, -1, 0, asked))
        numbers = ", ".join(f"{mean:.2f}" for mean in means)
        if dips:
            lowest = min(dips, key=lambda at: means[at])
            yield f"{about}: KL falls, then rises ({numbers} nats); it is lowest at n = {ns[lowest]:,}."
        elif whole:
            yield f"{about}: KL {'rises' if whole > 0 else 'falls'} from the first to the last ({numbers} nats)."
        else:
            yield f"{about}: cannot tell whether KL rises or falls ({numbers} nats)."


def _of_training_levels(drift: Drift) -> Iterator[str]:
    """Which training level moved the highest level's facts most, at each n with two or more."""
    for kind, n, levels, kl in _series(drift, "n"):
        if len(levels) < 2 or len(kl) < LEAST:
            continue
        means, draws = kl.mean(axis=0), _means(kl)
        most, others = int(means.argmax()), [at for at in range(len(levels)) if at != int(means.argmax())]
        asked = len(levels) * (len(levels) - 1) // 2  # any pair could have been the two ends
        apart = all(_side(*_difference(means, draws, most, at, asked)) == 1 for at in others)
        numbers = ", ".join(f"{level} {mean:.2f}" for level, mean in zip(levels, means, strict=True))
        moved = (
            f"training on {levels[most]} moved {drift.labels[-1]} facts most" if apart else "cannot tell which training level moved most"
        )
        yield f"At {kind}, n = {n:,}: {moved} ({numbers} nats)."


def _of_runs(drift: Drift) -> str:
    """Whether runs with more drift are worse on the highest level."""
    runs, last = drift.runs, drift.labels[-1]
    if len(runs) < LEAST_RUNS:
        return (
            f"Over runs, whether more drift goes with lower accuracy on {last}: too few runs to tell ({len(runs)} of {LEAST_RUNS} or more)."
        )
    found = spearman_interval(runs["kl10"].to_numpy(), runs["accuracy"].to_numpy())
    if found.value is None or found.low is None or found.high is None:
        return f"Over {len(runs)} runs, cannot tell whether more drift goes with lower accuracy on {last}: the runs do not differ."
    how = {1: "higher", -1: "lower", 0: None}[_side(found.low, found.high)]
    numbers = f"Spearman {found.value:.2f}, 95%: {found.low:.2f} to {found.high:.2f}"
    if how is None:
        return f"Over {len(runs)} runs, cannot tell whether more drift goes with lower accuracy on {last} ({numbers})."
    return f"Over {len(runs)} runs, more drift at statements goes with {how} accuracy on {last} ({numbers})."


def _of_weights(drift: Drift) -> Iterator[str]:
    """What the largest relative changes hold, and what small |p| alone would."""
    held = drift.top.set_index(["measure", "share"])["held"]
    if not len(held):
        yield "The base is in 4 bits: its weights have no values that could be compared."
    elif not held.max():
        yield "No parameter changed."
    else:
        least = drift.top["share"].min()
        yield (
            f"The {least:.0%} of parameters that changed most, relatively, hold {held['relative', least]:.1%} of the summed relative "
            f"change. The same changes dealt out by chance give {held['shuffled', least]:.1%}, so it says how small those parameters "
            f"were; by size of the change alone, the top {least:.0%} hold {held['absolute', least]:.1%}."
        )


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


def _difference(means: np.ndarray, draws: np.ndarray, one: int, other: int, asked: int) -> tuple[float, float]:
    """The interval of one setting's mean less another's, corrected for `asked` differences."""
    return normal_interval(float(means[one] - means[other]), draws[:, one] - draws[:, other], ALPHA / asked)


def _rows(table: pd.DataFrame) -> Iterator[Any]:
    """Rows with their columns as attributes."""
    yield from table.itertuples(index=False)


def _side(low: float, high: float) -> int:
    """1 or -1 where an interval lies on one side of 0, else 0."""
    return int(low > 0) - int(high < 0)
