"""What a model knows and what it says, as tables and words: by level, the moves between classes, the probe, and against the number of
examples. From the stored tables of evaluation/inside/knowledge.py, without torch.

Each fact is first averaged over the seeds of a setting, then facts are resampled for the interval (METHOD 8.9); one seed's shares have
Wilson's. A fact that only some seeds have is left out. Facts are those that were looked at, at most so many of each level and domain: a
total over them is not one over all test facts.

Intervals are 95%; verdicts in words follow those corrected (Bonferroni) for all comparisons that the words make (sentences.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sftqa_core.artifacts import Kept
from sftqa_core.evaluation.inside.look import Look
from sftqa_core.evaluation.inside.sentences import Sentence, Weight, compared, ordered, side, texts
from sftqa_core.evaluation.intervals import ALPHA, LEAST, Estimate, mean_interval, normal_interval, percentiles, resampled
from sftqa_core.memory.shares import share_interval
from sftqa_core.records import DOMAIN_NAMES, TrainSettings
from sftqa_core.records.amounts import points

if TYPE_CHECKING:
    import pandas as pd

MEASURE = "knowledge"
ALL = "all"
MODELS = ("base", "tuned")
CLASSES = ("known and said", "known, not said", "said, not known", "not known")
_KNOWN, _SAID = (True, True, False, False), (True, False, True, False)  # of CLASSES
MOVES = {  # a move -> what it is, the classes that it starts in, those that it ends in
    "activated": ("known but not said before, said now", (1,), (0,)),
    "silenced": ("known and said before, known but not said now", (0,), (1,)),
    "learned": ("not known before, known now", (2, 3), (0, 1)),
    "erased": ("known before, not known now", (0, 1), (2, 3)),
    "control": ("neither known nor said before, said now: beside activated", (3,), (0, 2)),
}
RANKED_BY = {  # a column of FACTS -> what ranks a pair there
    "outside": "likelihood",
    "inside": "linear probe",
    "inside_other": "linear probe, another subject",
    "identity": "the answer alone",
}
PUBLISHED_IDENTITY = 0.70  # AUC of the answer's identity alone (METHOD 10.3, after arXiv 2503.15299)
NOTHING = "No fact that every seed looked at has a wrong answer: there is nothing to rank."
_SHARES = ("known", "said", "other", "excess")
BY_LEVEL = (
    "domain", "level", "model", "facts", "seeds", *(f"{name}{end}" for name in _SHARES for end in ("", "_low", "_high")), "chance", "wrong",
)  # fmt: skip
ANSWERED = ("n", "kind", "facts", "seeds", "answered", "low", "high")
_OF_EACH = ("m", "rights", "k", "known", "other", "fixed", "said", "pairs", *RANKED_BY)  # columns for both models
_COMPARED = {  # what the words compare in each domain -> of which columns the difference is
    "excess": ("base_known", "base_other"),
    "change": ("tuned_fixed", "base_fixed"),
}
_PROBED = {"subject": ("base_inside", "base_inside_other"), "likelihood": ("base_inside", "base_outside")}  # likewise, of all facts
_NO_MATTER = ("save_model", "shots", "more_shots")  # settings that change no number here


def stored(looks: Sequence[Look]) -> list[Look]:
    """Those on which this was measured."""
    return [look for look in looks if MEASURE in look.tables]


def alike(chosen: Sequence[Look], others: Sequence[Look]) -> list[Look]:
    """Those of `others` whose settings differ from the chosen ones in the number of examples and the seed at most."""
    wanted = [_but_examples(look.settings) for look in chosen]
    return [look for look in others if _but_examples(look.settings) in wanted]


def _but_examples(settings: TrainSettings) -> dict[str, Any]:
    return {name: value for name, value in settings.to_dict().items() if name not in ("n", "seed", *_NO_MATTER)}


_read: Kept[pd.DataFrame] = Kept(16)  # by looks: every table below begins with theirs


def facts_by_seed(looks: Sequence[Look]) -> pd.DataFrame:
    """A row for each look and fact that all looks have: look (position), fact_id, fact (its place among the sorted ids), domain, level
    (Int64), and for both models (`base_known` and so on) m and rights (wrong and right answers), k, known, other (known under another
    subject; NaN where there is none), fixed (known in the fixed set), said, pairs and the columns of RANKED_BY.
    It is kept and shared: it must not be changed."""
    return _read.get(tuple(looks), lambda: _by_seed(looks))


def _by_seed(looks: Sequence[Look]) -> pd.DataFrame:
    import pandas as pd

    tables = []
    for at, look in enumerate(looks):
        facts = look.tables[MEASURE]["facts"]
        facts = facts.assign(
            fact_id=facts["fact_id"].astype(str), known=facts["k"] == 1, other=(facts["k_other"] == 1).where(facts["k_other"].notna()),
            fixed=(facts["k_fixed"] == 1).where(facts["k_fixed"].notna()),
            rights=facts.get("rights", 1),  # older looks do not say
        )  # fmt: skip
        both = [facts[facts["model"] == name].drop(columns="model").set_index("fact_id").add_prefix(f"{name}_") for name in MODELS]
        about = look.facts[["fact_id", "domain", "level"]].astype({"fact_id": str})
        tables.append(both[0].join(both[1], how="inner").reset_index().merge(about, on="fact_id").assign(look=at))
    if not tables:
        each = (f"{name}_{column}" for name in MODELS for column in _OF_EACH)
        return pd.DataFrame(columns=["look", "fact_id", "fact", "domain", "level", *each])
    every = pd.concat(tables, ignore_index=True)
    every = every[every.groupby("fact_id")["look"].transform("size") == len(looks)].reset_index(drop=True)
    return every.assign(fact=pd.factorize(every["fact_id"], sort=True)[0])  # tables below group by it: names would take ten times as long


def by_level(looks: Sequence[Look], totals: bool = False) -> pd.DataFrame:
    """What both models know and say, of `looks` that differ in the seed only; of ALL alone where only `totals` are wanted.

    A row a domain, level (and ALL) and model: domain, level, model, facts, seeds; shares of facts, each with `_low` and `_high`: `known`
    (K = 1), `said`, `other` (the right answer ranks first under another subject, too), `excess` (known - other); `chance`, that of K = 1:
    of r right and m wrong answers in any order a right one is first with r / (r + m), since the likeliest right one counts; `wrong`, the
    most wrong answers of a fact. Without facts an empty table.
    """
    import pandas as pd

    labels = looks[0].labels if looks and not totals else ()
    rows = []
    for domain, level, part in _parts(facts_by_seed(looks), labels):
        for name in MODELS:
            shares = {share: _mean(_per_fact(part, f"{name}_{share}"), len(looks)) for share in ("known", "said", "other")}
            shares["excess"] = _difference(part, f"{name}_known", f"{name}_other")
            about = {"domain": domain, "level": level, "model": name, "facts": part["fact"].nunique(), "seeds": len(looks)}
            right, wrong = (part[f"{name}_{column}"].to_numpy(dtype=float) for column in ("rights", "m"))
            rows.append({**about, **_flat(shares), "chance": float((right / (right + wrong)).mean()), "wrong": int(wrong.max())})
    return pd.DataFrame(rows, columns=list(BY_LEVEL))


def moves(looks: Sequence[Look]) -> pd.DataFrame:
    """From which class (before) to which (after) facts moved, of `looks` that differ in the seed only: domain (or ALL), before, after,
    facts (mean over seeds), share of all, seeds."""
    import pandas as pd

    table, rows = facts_by_seed(looks), []
    for domain, part in _domains(table):
        counts = np.zeros((len(CLASSES), len(CLASSES)))
        np.add.at(counts, (_classes(part, "base"), _classes(part, "tuned")), 1 / max(1, len(looks)))
        for before, after in np.ndindex(counts.shape):
            shown = {"before": CLASSES[before], "after": CLASSES[after], "facts": float(counts[before, after])}
            rows.append({"domain": domain, **shown, "share": float(counts[before, after] / max(counts.sum(), 1e-9)), "seeds": len(looks)})
    return pd.DataFrame(rows)


def named_moves(looks: Sequence[Look]) -> pd.DataFrame:
    """The moves that have a name, a row a domain (and ALL) and one of MOVES: domain, move, facts (where it starts, mean over seeds), moved
    (likewise), share, low, high."""
    import pandas as pd

    rows = []
    for domain, part in _domains(facts_by_seed(looks)):
        before, after = _classes(part, "base"), _classes(part, "tuned")
        for name, (_, starts, ends) in MOVES.items():
            start = np.isin(before, starts)
            counts = _sums(part, {"of": start, "moved": start & np.isin(after, ends)}, len(looks))
            share = _ratio(counts[:, 1], counts[:, 0], len(looks))
            rows.append({"domain": domain, "move": name, "facts": counts[:, 0].sum(), "moved": counts[:, 1].sum(), **_ends("share", share)})
    return pd.DataFrame(rows).rename(columns={"share_low": "low", "share_high": "high"})


def changes(looks: Sequence[Look]) -> pd.DataFrame:
    """Tuned minus base on the same facts, a row a domain and one of known, fixed (known in the fixed set), said, other: domain, share,
    facts, before, after, difference, low, high (95%, bootstrap over facts)."""
    import pandas as pd

    rows = []
    for domain, part in _domains(facts_by_seed(looks)):
        for share in ("known", "fixed", "said", "other"):
            means = {name: _per_fact(part, f"{name}_{share}") for name in MODELS}
            change = _difference(part, f"tuned_{share}", f"base_{share}")
            before, after = (float(values.mean()) if len(values) else None for values in means.values())
            ends = {"difference": change.value, "low": change.low, "high": change.high}
            rows.append({"domain": domain, "share": share, "facts": len(means["base"]), "before": before, "after": after, **ends})
    return pd.DataFrame(rows)


def internal(looks: Sequence[Look]) -> pd.DataFrame:
    """How well pairs of a right and a wrong answer are told apart, a row a model and one of RANKED_BY: model, by, facts, pairs (mean over
    seeds), auc (mean over facts of the share of their pairs ranked rightly), low, high; `layers`, where the probe was read, "" without one;
    dev_facts."""
    import pandas as pd

    table, rows = facts_by_seed(looks), []
    for name in MODELS:
        about = [row for look in looks for row in look.tables[MEASURE]["internal"].to_dict("records") if row["model"] == name]
        layers = ", ".join(dict.fromkeys(f"{row['layer']:.0f} of {row['layers']:.0f}" for row in about if row["layer"]))
        for column, by in RANKED_BY.items():
            scores = _per_fact(table, f"{name}_{column}")
            pairs = float(table.loc[table[f"{name}_{column}"].notna(), f"{name}_pairs"].sum()) / max(1, len(looks))
            value = _bootstrapped(scores)
            shown = {"model": name, "by": by, "facts": len(scores), "pairs": pairs, **_ends("auc", value), "layers": layers}
            rows.append({**shown, "dev_facts": min((row["dev_facts"] for row in about), default=0)})
    return pd.DataFrame(rows).rename(columns={"auc_low": "low", "auc_high": "high"})


def against_examples(looks: Sequence[Look]) -> pd.DataFrame:
    """How many facts are answered, by whether the base model knows them, against the number of examples: of looks whose settings differ in
    that number and the seed only (`alike`).

    A row a number n and kind of fact (ANSWERED): n, kind (known or not, by the fixed set, which no run's answers touch), facts (mean over
    seeds), seeds, answered, low, high. n = 0 is the base model. Without looks an empty table.
    """
    import pandas as pd

    rows = []
    sizes = {n: [look for look in looks if look.settings.n == n] for n in sorted({look.settings.n for look in looks})}
    for n, some in {0: looks, **sizes}.items() if looks else ():
        table = facts_by_seed(some)
        for kind, wanted in (("known", True), ("not known", False)):
            inside = (table["base_fixed"] == wanted).to_numpy(dtype=bool)
            said = table["tuned_said" if n else "base_said"].to_numpy(dtype=bool)
            counts = _sums(table, {"of": inside, "said": inside & said}, len(some))
            share = _ratio(counts[:, 1], counts[:, 0], len(some))
            seeds = len({look.settings.seed for look in some})
            rows.append((n, kind, counts[:, 0].sum(), seeds, share.value, share.low, share.high))
    return pd.DataFrame(rows, columns=list(ANSWERED))


# ---- words ----
class Compared(NamedTuple):
    """A difference with its 95% interval, and on which side of 0 it lies by the corrected one: 1, -1, or 0 for cannot tell."""

    value: float
    low: float
    high: float
    side: int


def sentences(chosen: Sequence[Look], others: Sequence[Look] = ()) -> list[Sentence]:
    """What may be said of the `chosen` looks (one setting) and of those of `others` that are `alike`, claims first."""
    if not chosen:
        return []
    if facts_by_seed(chosen).empty:
        return [Sentence(NOTHING, Weight.OPEN)]
    said: list[Sentence] = []
    answered = [row for row in against_examples(alike(chosen, others)).to_dict("records") if row["kind"] == "known" and row["n"]]
    sure = _comparisons(chosen, _more_examples(alike(chosen, others), answered))
    moved = {(row["move"], row["domain"]): row for row in named_moves(chosen).to_dict("records")}
    for base in by_level(chosen, totals=True).to_dict("records"):
        domain, place = base["domain"], DOMAIN_NAMES[base["domain"]].capitalize()
        if base["model"] != "base":
            continue
        if base["facts"] < LEAST:
            said.append(Sentence(f"{place}: too few facts to tell ({base['facts']}).", Weight.OPEN))
            continue
        told = f"{place}, of {base['facts']:,} facts the base model knows {_share(base, 'known')} and says {_share(base, 'said')}."
        said += [Sentence(told, Weight.NUMBER), _excess(place, base, sure.get(("excess", domain)))]
        said += [*_activated(place, moved["activated", domain], moved["control", domain]), _changed(place, sure.get(("change", domain)))]
    return ordered([*said, *_probed(chosen, sure), *_enough(answered, sure.get(("examples", ALL)))])


def words(chosen: Sequence[Look], others: Sequence[Look] = ()) -> list[str]:
    """The texts of `sentences`."""
    return texts(sentences(chosen, others))


def _comparisons(chosen: Sequence[Look], more_examples: np.ndarray) -> dict[tuple[str, str], Compared]:
    """Every difference that a verdict of the words follows, by what is compared and where. Those of fewer than LEAST facts are left out:
    nothing is said of them."""
    scores = {
        (name, place): _apart_by_fact(part, *columns)
        for place, part in _domains(facts_by_seed(chosen))
        for name, columns in (_PROBED if place == ALL else _COMPARED).items()
    }
    asked = {key: each for key, each in {**scores, ("examples", ALL): more_examples}.items() if len(each) >= LEAST}
    return {key: _judged(each, ALPHA / len(asked)) for key, each in asked.items()}


def _judged(scores: np.ndarray, alpha: float) -> Compared:
    """The mean of each fact's difference [facts]; its verdict at level 1 - alpha."""
    value, draws = float(scores.mean()), resampled(scores[:, None])[:, 0]
    shown = percentiles(draws)
    return Compared(value, *shown, side(shown, normal_interval(value, draws, alpha)))


def _excess(place: str, row: dict[Any, Any], excess: Compared | None) -> Sentence:
    if excess is None:
        return Sentence(f"{place}, whether common answers explain what is known: too few facts have another subject.", Weight.OPEN)
    numbers = f"under another subject the same answers rank first for {row['other']:.1%}, {_apart(excess)}"
    if excess.side > 0:
        return compared(1, f"{place}, more facts are known than common answers explain: {numbers}.")
    return compared(0, f"{place}, common answers may explain what is known: {numbers}.")


def _activated(place: str, row: dict[Any, Any], control: dict[Any, Any]) -> list[Sentence]:
    """How many of the facts known and not said are said now, and beside it how many of those that were neither."""
    starts = ((row, "known and not said before tuning", "known and said now"), (control, "neither known nor said before", "said now"))
    few = [f"{place}, facts {before}: too few to tell ({each['facts']:.0f})." for each, before, _ in starts if each["facts"] < LEAST]
    shares = [
        f"of {each['facts']:.0f} facts {before}, {_share(each, 'share', 'low', 'high')} are {now}"
        for each, before, now in starts if each["facts"] >= LEAST
    ]  # fmt: skip
    numbers = [Sentence(f"{place}, {'; '.join(shares)}.", Weight.NUMBER)] if shares else []
    return [*numbers, *(Sentence(text, Weight.OPEN) for text in few)]


def _changed(place: str, change: Compared | None) -> Sentence:
    about = f"{place}, whether tuning changes how much is known in the fixed set"
    if change is None:
        return Sentence(f"{about}: too few facts to tell.", Weight.OPEN)
    if not change.side:
        return compared(0, f"{about}: cannot tell, {_apart(change)}.")
    return compared(1, f"{place}, with tuning {'more' if change.side > 0 else 'fewer'} facts are known in the fixed set: {_apart(change)}.")


def _probed(looks: Sequence[Look], sure: Mapping[tuple[str, str], Compared]) -> list[Sentence]:
    """Whether a probe finds more in the base model's states than the likelihood shows."""
    rows = {row["by"]: row for row in internal(looks).to_dict("records") if row["model"] == "base"}
    probe, other, outside = (rows[RANKED_BY[by]] for by in ("inside", "inside_other", "outside"))
    subject, change = sure.get(("subject", ALL)), sure.get(("likelihood", ALL))
    if change is None:
        return [Sentence("What a linear probe of the hidden states finds: too few facts to tell.", Weight.OPEN)]
    text = f"A linear probe of the base model's hidden states ranks {_share(probe, 'auc', 'low', 'high')} of pairs rightly"
    text += f", {other['auc']:.1%} where the question is about another subject" if other["facts"] else ""
    number = Sentence(f"{text}; the likelihood ranks {_share(outside, 'auc', 'low', 'high')} of them rightly.", Weight.NUMBER)
    alone = "What the linear probe finds may be about the answers alone"
    if subject is None:
        return [number, Sentence(f"{alone}: too few facts have another subject.", Weight.OPEN)]
    if subject.side <= 0:
        return [number, compared(0, f"{alone}: under the right subject {_apart(subject)}.")]
    if not change.side:
        return [number, compared(0, f"Whether the linear probe or the likelihood tells more: cannot tell, {_apart(change)}.")]
    how = "more" if change.side > 0 else "less"
    return [number, compared(1, f"The linear probe finds {how} than the likelihood shows: {_apart(change)}.")]


def _more_examples(looks: Sequence[Look], answered: Sequence[dict[Any, Any]]) -> np.ndarray:
    """Of the facts that the base model knows: answered with the most examples less answered with the fewest, means over seeds [facts]; of
    the numbers of examples that have facts enough. Empty where these are fewer than two."""
    sizes = [row["n"] for row in answered if row["facts"] >= LEAST]
    means = []
    for n in (sizes[0], sizes[-1]) if len(sizes) > 1 else ():
        table = facts_by_seed([look for look in looks if look.settings.n == n])
        means.append(table[table["base_fixed"] == 1].groupby("fact_id")["tuned_said"].mean())
    return (means[1] - means[0]).dropna().to_numpy(dtype=float) if means else np.zeros(0)


def _enough(answered: Sequence[dict[Any, Any]], change: Compared | None) -> list[Sentence]:
    """What the smallest and the largest number of examples say to "60 are enough to activate what is there"."""
    about, rows = "How many examples it takes to activate what the base model knows", [row for row in answered if row["facts"] >= LEAST]
    if len(answered) < 2:
        return [Sentence(f"{about}: only one number was looked at.", Weight.OPEN)] if answered else []
    if len(rows) < 2:
        told = ", ".join(f"{row['facts']:.0f} with {row['n']:,} examples" for row in answered if row["facts"] < LEAST)
        return [Sentence(f"{about}: too few known facts to tell ({told}).", Weight.OPEN)]
    few, many = rows[0], rows[-1]
    text = f"Of the facts that the base model knows, {few['n']:,} examples get {_share(few, 'answered', 'low', 'high')} answered, "
    text += f"{many['n']:,} get {_share(many, 'answered', 'low', 'high')}"
    number, doubt = Sentence(f"{text}.", Weight.NUMBER), "Whether more examples get more of the known facts answered"
    if change is None:
        return [number, Sentence(f"{doubt}: too few facts in common to tell.", Weight.OPEN)]
    if not change.side:
        return [number, compared(0, f"{doubt}: cannot tell, {_apart(change)}.")]
    return [compared(1, f"{text}: {'more' if change.side > 0 else 'fewer'}, {_apart(change)}.")]


def _apart(change: Compared) -> str:
    return f"{points(change.value)} points ({points(change.low)} to {points(change.high)})"


def _share(row: dict[Any, Any], name: str, low: str = "", high: str = "") -> str:
    return f"{row[name]:.1%} ({row[low or f'{name}_low']:.1%} to {row[high or f'{name}_high']:.1%})"


def _parts(table: pd.DataFrame, labels: Sequence[str]) -> list[tuple[str, str, pd.DataFrame]]:
    """Each domain's levels with facts and all its facts, those without a level among them."""
    parts = []
    for domain, rows in _domains(table)[:-1]:
        level = rows["level"].to_numpy(dtype=float, na_value=np.nan)
        parts += [(domain, label, rows[level == at]) for at, label in enumerate(labels) if (level == at).any()]
        parts.append((domain, ALL, rows))
    return parts


def _domains(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The domains that have facts, and all facts last."""
    found = [(name, table[table["domain"] == name]) for name in DOMAIN_NAMES]
    return [(name, rows) for name, rows in found if len(rows)] + [(ALL, table)]


def _classes(table: pd.DataFrame, model: str) -> np.ndarray:
    """Which of CLASSES each row is in."""
    known, said = (table[f"{model}_{name}"].to_numpy(dtype=bool) for name in ("known", "said"))
    return np.where(known, np.where(said, 0, 1), np.where(said, 2, 3))


def _per_fact(table: pd.DataFrame, column: str) -> np.ndarray:
    """Means over seeds [facts] of those facts that have a value with every seed."""
    values: np.ndarray = table[column].astype(float).groupby(table["fact"]).mean(skipna=False).dropna().to_numpy()
    return values


def _sums(table: pd.DataFrame, columns: dict[str, np.ndarray], seeds: int) -> np.ndarray:
    """Counts [facts, columns], as means over the seeds."""
    import pandas as pd

    counted = pd.DataFrame({name: values.astype(float) / max(1, seeds) for name, values in columns.items()})
    sums: np.ndarray = counted.groupby(table["fact"].to_numpy()).sum().to_numpy()
    return sums


def _mean(scores: np.ndarray, seeds: int) -> Estimate:
    return mean_interval(scores, seeds, resampled(scores[:, None])[:, 0] if len(scores) else scores)


def _bootstrapped(scores: np.ndarray) -> Estimate:
    """A mean of what is no share of facts, and its bootstrap over facts."""
    return Estimate(float(scores.mean()), *percentiles(resampled(scores[:, None])[:, 0])) if len(scores) else Estimate(None, None, None)


def _difference(table: pd.DataFrame, more: str, less: str) -> Estimate:
    """The mean of `more` - `less` over the facts that have both."""
    return _bootstrapped(_apart_by_fact(table, more, less))


def _apart_by_fact(table: pd.DataFrame, more: str, less: str) -> np.ndarray:
    """`more` - `less`, means over seeds [facts that have both]."""
    return _per_fact(table.assign(change=table[more].astype(float) - table[less].astype(float)), "change")


def _ratio(part: np.ndarray, of: np.ndarray, seeds: int) -> Estimate:
    """sum(part) / sum(of) over facts: one seed's is a share with Wilson's interval, several seeds' are resampled."""
    whole = float(of.sum())
    if not whole:
        return Estimate(None, None, None)
    value = float(part.sum()) / whole
    if seeds == 1 or value in (0.0, 1.0):
        low, high = map(float, share_interval(value * whole, whole))
        return Estimate(value, max(0.0, low), min(1.0, high))
    draws = resampled(np.stack([part, of], axis=1))
    return Estimate(value, *percentiles(draws[:, 0] / np.maximum(draws[:, 1], 1e-9)))


def _ends(name: str, value: Estimate) -> dict[str, float | None]:
    return {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}


def _flat(shares: dict[str, Estimate]) -> dict[str, Any]:
    return {column: number for name, value in shares.items() for column, number in _ends(name, value).items()}
