"""Light: what putting weights back does, from the stored tables of restoration.py: tables to show, and what may be said.

Each fact is averaged over the draws of a control, then over seeds; intervals draw facts anew, the same ones for both sides, within each
level for the mean over levels (METHOD 8.9). They do not know what other draws or seeds would have given: the range of the draws stands
beside them. A share is chosen for each way by the mean of the seeds' accuracy on dev facts; test facts have no part in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sftqa_core.artifacts import Kept
from sftqa_core.evaluation.comparing import BETTER, FEW, OPEN, WORSE, Difference, Resamples, corrected
from sftqa_core.evaluation.inside.drift_tables import trained_on
from sftqa_core.evaluation.inside.look import Look
from sftqa_core.evaluation.inside.sentences import Sentence, Weight, ordered, texts
from sftqa_core.evaluation.intervals import LEAST, Estimate, mean_interval, resampled
from sftqa_core.memory.shares import share_interval
from sftqa_core.records import DOMAIN_NAMES, DOMAINS, TrainSettings
from sftqa_core.records.amounts import points
from sftqa_core.records.recipes import Restore

if TYPE_CHECKING:
    import pandas as pd

MEASURE = "restoration"
NONE = "none"  # nothing put back
SHARES = Restore.tried  # of all parameters, as the paper has them; 0 is the tuned model
WAYS = {  # as the recipe `restore` names them -> which are put back
    "relative": "largest relative change",
    "absolute": "largest absolute change",
    "random": "by chance, as many",
    "random-update": "by chance, as large an update",
}
CONTROLS = ("random", "random-update")
MEAN, ALL = "mean over levels", "all facts"  # the latter where not every level has facts
OTHER = "other"  # the block of what is in no layer
CURVE = (
    "domain", "level", "way", "share", "facts", "least", "seeds", "draws", "accuracy", "difference", "low", "high", "verdict",
    "draw_low", "draw_high", "restored", "undone",
)  # fmt: skip
CLAIMS = ("domain", "share", "against", "other_share", "facts", "least", "seeds", "difference", "low", "high", "p_holm", "verdict")
BLOCKS = ("domain", "block", "facts", "least", "seeds", "accuracy", "difference", "low", "high", "verdict", "undone")
SETTINGS = ("domain", "n", "levels", "share", "facts", "least", "seeds", "tuned", "accuracy", "difference", "low", "high", "verdict")
OWN = ("level", "share", "facts", "correct", "accuracy", "low", "high")
Name = tuple[str, float] | str  # a way and a share, or a block of layers
TUNED = (NONE, 0.0)


@dataclass(frozen=True)
class Scores:
    """Of looks that differ in the seed only: answers to the test facts that all of them asked."""

    seeds: int
    labels: tuple[str, ...]
    domains: np.ndarray  # [facts]
    levels: np.ndarray  # [facts], float, NaN where not known
    answers: tuple[dict[Name, list[np.ndarray]], ...]  # of each look: what was put back -> its draws, bool [facts] each
    undone: dict[Name, tuple[int, float]]  # parameters put back and their share of the squared update, means

    @classmethod
    def of(cls, looks: Sequence[Look], table: str) -> Scores | None:
        """From the table `answers` or `blocks`; None where no look has it. It is kept and shared: it must not be changed."""
        return _scores.get((tuple(looks), table), lambda: cls._read(looks, table))

    @classmethod
    def _read(cls, looks: Sequence[Look], table: str) -> Scores | None:
        seen = [look for look in looks if len(look.tables.get(MEASURE, {}).get(table, ()))]
        asked = [look.tables[MEASURE]["facts"]["fact_id"].tolist() for look in seen]
        common = set.intersection(*map(set, asked)) if asked else set()
        if not common:
            return None
        facts = seen[0].facts.set_index("fact_id").loc[[fact for fact in asked[0] if fact in common]]
        answers, undone = [], dict[Name, list[tuple[int, float]]]()
        for look, ids in zip(seen, asked, strict=True):
            at = {fact: place for place, fact in enumerate(ids)}
            places, own = [at[fact] for fact in facts.index], dict[Name, list[np.ndarray]]()
            for row in look.tables[MEASURE][table].to_dict("records"):
                name = row["block"] if table == "blocks" else point(row["way"], row["share"])
                bits = np.unpackbits(np.frombuffer(row["correct"], dtype=np.uint8), count=len(ids)).astype(bool)
                own.setdefault(name, []).append(bits[places])
                undone.setdefault(name, []).append((row["restored"], row["undone"]))
            answers.append(own)
        means = {name: (round(np.mean([n for n, _ in each])), float(np.mean([part for _, part in each]))) for name, each in undone.items()}
        levels = facts["level"].to_numpy(float, na_value=np.nan)
        return cls(len(seen), seen[0].labels, facts["domain"].to_numpy(str), levels, tuple(answers), means)

    @property
    def names(self) -> list[Name]:
        """What was put back in every look."""
        return [name for name in self.undone if all(name in own for own in self.answers)]

    def draws(self, name: Name) -> int:
        """How often it was drawn, the fewest of any seed."""
        return min(len(own[name]) for own in self.answers)

    def by_draw(self, name: Name) -> list[np.ndarray]:
        """Of each draw that every seed has, the mean over seeds [facts]."""
        return [np.mean(rights, axis=0) for rights in zip(*(own[name] for own in self.answers), strict=False)]

    def resamples(self, names: Sequence[Name], strata: Sequence[np.ndarray]) -> Resamples:
        """Of the means over draws and then over seeds."""
        means = np.stack([np.mean([np.mean(own[name], axis=0) for own in self.answers], axis=0) for name in names], axis=1)
        return Resamples([means[group] for group in strata])

    def headline(self, domain: str) -> tuple[str, list[np.ndarray]]:
        """MEAN with the facts of each level, bool [facts]; ALL with all facts where a level has none (METHOD 8.11); none without facts."""
        inside = self.domains == domain
        groups = [inside & (self.levels == level) for level in range(len(self.labels))]
        if all(group.any() for group in groups):
            return MEAN, groups
        return ALL, [inside] if inside.any() else []

    def places(self) -> Iterator[tuple[str, str, list[np.ndarray]]]:
        """Domain by headline and level, with the facts of each stratum."""
        for domain in DOMAINS:
            levels = [(label, [(self.domains == domain) & (self.levels == level)]) for level, label in enumerate(self.labels)]
            for place, strata in (self.headline(domain), *levels):
                if strata and all(group.any() for group in strata):
                    yield domain, place, strata


_scores: Kept[Scores | None] = Kept(64)  # by looks and table: every table below begins with them


def point(way: str, share: float) -> tuple[str, float]:
    """A way and a share as the tables name them: shares are stored in 32 bits, and nothing put back is the same in every way."""
    exact = min(SHARES, key=lambda known: abs(known - share))
    share = exact if abs(exact - share) < 1e-6 else round(float(share), 6)
    return (way, share) if share else TUNED


def curve(looks: Sequence[Look]) -> pd.DataFrame:
    """CURVE: accuracy by way and share at each level and their mean, and what it changes against the tuned model.

    `low` and `high` are of that paired difference, 95% for each row alone; `draw_low` and `draw_high` the least and the most accurate draw
    of a control, averaged over seeds; `restored` and `undone` the parameters put back, and their share of the squared update.
    """
    import pandas as pd

    scores, rows = Scores.of(looks, "answers"), []
    for domain, level, strata in scores.places() if scores else ():
        assert scores is not None
        names = [TUNED, *(name for name in scores.names if name != TUNED)]
        resamples = scores.resamples(names, strata)
        for way, share in ((way, share) for way in WAYS for share in SHARES if point(way, share) in names):
            at = names.index(point(way, share))
            one = _judged([resamples.difference(at, 0)], [len(strata)])[0]
            draws = [float(np.mean([right[group].mean() for group in strata])) for right in scores.by_draw(names[at])]
            told = (one.value, one.low, one.high, one.verdict) if share else (0.0, 0.0, 0.0, "")
            ends = (min(draws), max(draws)) if len(draws) > 1 else (np.nan, np.nan)
            accuracy = float(resamples.means[at])
            about = (one.facts, one.least, scores.seeds, scores.draws(names[at]))
            rows.append((domain, level, way, share, *about, accuracy, *told, *ends, *scores.undone[names[at]]))
    return pd.DataFrame(rows, columns=list(CURVE))


_choices_of: Kept[pd.DataFrame] = Kept(64)  # by looks, like the scores


def chosen(looks: Sequence[Look]) -> pd.DataFrame:
    """way, share, accuracy (on dev facts, mean over seeds), facts (the fewest of a seed), by_level, chosen, by_seed (the shares that single
    seeds chose): which share dev facts choose for each way, of equal ones the smallest. It is kept and shared: it must not be changed."""
    return _choices_of.get(tuple(looks), lambda: _chosen(looks))


def _chosen(looks: Sequence[Look]) -> pd.DataFrame:
    import pandas as pd

    tables = [look.tables[MEASURE]["chosen"] for look in looks if len(look.tables.get(MEASURE, {}).get("chosen", ()))]
    if not tables:
        return pd.DataFrame(columns=["way", "share", "accuracy", "facts", "by_level", "chosen", "by_seed"])
    every = pd.concat([table.astype({"way": str, "accuracy": float}) for table in tables], ignore_index=True)
    every["share"] = [point("", share)[1] for share in every["share"]]
    own = every[every["chosen"]].groupby("way")["share"].apply(list)
    mean = every.groupby(["way", "share"]).agg(accuracy=("accuracy", "mean"), facts=("facts", "min"), by_level=("by_level", "all"))
    mean = mean.reset_index()
    mean["chosen"] = mean.index.isin(mean.dropna(subset="accuracy").groupby("way")["accuracy"].idxmax())
    mean["by_seed"] = [tuple(sorted(own.get(way, []))) for way in mean["way"]]
    return mean.sort_values("way", key=lambda ways: ways.map(list(WAYS).index), kind="stable", ignore_index=True)


def chosen_shares(looks: Sequence[Look]) -> dict[str, float]:
    """By way the share that dev facts choose."""
    table = chosen(looks)
    return {row["way"]: row["share"] for row in table[table["chosen"].astype(bool)].to_dict("records")}


def claims(looks: Sequence[Look]) -> pd.DataFrame:
    """CLAIMS: what putting back the largest relative change does to the mean over levels; verdicts have Holm's correction over all rows.

    In each domain, at the share that dev facts chose: against the tuned model (`against` is NONE), and against every other way at the share
    that dev facts chose for that; and at the largest share against the tuned model.
    """
    import pandas as pd

    scores, best = Scores.of(looks, "answers"), chosen_shares(looks)
    if scores is None or "relative" not in best:
        return pd.DataFrame(columns=list(CLAIMS))
    first = point("relative", best["relative"])
    others = {way: point(way, best[way]) for way in WAYS if way != "relative" and way in best}
    pairs = [(NONE, first, TUNED), *((way, first, other) for way, other in others.items() if other != TUNED)]
    pairs = [pair for pair in [*pairs, (NONE, point("relative", max(SHARES)), TUNED)] if pair[1] != pair[2]]
    asked = [(domain, *pair, strata) for domain in DOMAINS if (strata := scores.headline(domain)[1]) for pair in dict.fromkeys(pairs)]
    found = [scores.resamples([one, other], strata).difference(0, 1) for _, _, one, other, strata in asked]
    rows = [
        (domain, one[1], against, other[1], *_told(difference, scores.seeds), difference.p_holm, difference.verdict)
        for (domain, against, one, other, _), difference in zip(asked, _judged(found, [len(each[-1]) for each in asked]), strict=True)
    ]
    return pd.DataFrame(rows, columns=list(CLAIMS))


def _judged(differences: Sequence[Difference], strata: Sequence[int]) -> list[Difference]:
    """The 95% interval of each alone, and verdicts and p-values with Holm's correction over all of them (sentences.py).

    Where hardly a fact differs, the bound is of its own: a fact of the smallest of `strata` levels weighs one in their number times its
    size, so the mean over levels is bounded as a share of so many facts is, not as that of the smallest level's.
    """
    wider = [replace(one, least=one.least * count) for one, count in zip(differences, strata, strict=True)]
    return [
        replace(
            corrected([alone])[0], least=one.least, p_holm=told.p_holm, verdict=FEW if one.least < LEAST else told.verdict,
        )
        for one, alone, told in zip(differences, wider, corrected(wider), strict=True)
    ]  # fmt: skip


def _told(one: Difference, seeds: int) -> tuple[int, int, int, float, float, float]:
    return one.facts, one.least, seeds, one.value, one.low, one.high


def blocks(looks: Sequence[Look]) -> pd.DataFrame:
    """BLOCKS: the mean over levels with a block of layers put back wholly, against the tuned model; verdicts are Holm's over all rows."""
    import pandas as pd

    scores, plain = Scores.of(looks, "blocks"), Scores.of(looks, "answers")
    if scores is None or plain is None:
        return pd.DataFrame(columns=list(BLOCKS))
    beside = [{**own, TUNED: tuned[TUNED]} for own, tuned in zip(scores.answers, plain.answers, strict=True)]
    scores = replace(scores, answers=tuple(beside))
    names = [name for name in scores.names if name != TUNED]
    asked, found, means = [], [], []
    for domain in DOMAINS:
        _, strata = scores.headline(domain)
        resamples = scores.resamples([*names, TUNED], strata) if strata else None
        for at, name in enumerate(names if resamples else ()):
            assert resamples is not None
            asked.append((domain, str(name), scores.undone[name][1], len(strata)))
            found.append(resamples.difference(at, len(names)))
            means.append(float(resamples.means[at]))
    rows = []
    for (domain, name, undone, _), mean, one in zip(asked, means, _judged(found, [each[-1] for each in asked]), strict=True):
        told = _told(one, scores.seeds)
        rows.append((domain, name, *told[:3], mean, *told[3:], one.verdict, undone))
    return pd.DataFrame(rows, columns=list(BLOCKS))


def own(looks: Sequence[Look]) -> pd.DataFrame:
    """OWN: the runs' own training examples by level (None: not known) and share of the largest relative change put back.

    A fact that several seeds were trained on is averaged over them and counts once; then facts are resampled, or one seed's have Wilson's
    interval. Older looks do not say which example was answered rightly, only how many: theirs have Wilson's interval of as many facts as
    the seeds were trained on, each once, or, where facts are not named either, of as many as the seed with most has.
    """
    import pandas as pd

    seen = [look.tables[MEASURE] for look in looks if len(look.tables.get(MEASURE, {}).get("own", ()))]
    if not seen:
        return pd.DataFrame(columns=list(OWN))
    one_by_one = all("own_examples" in tables for tables in seen)
    named = [tables["own_facts"] for tables in seen if "own_facts" in tables]
    apart = pd.concat(named).drop_duplicates("fact_id")["level"] if len(named) == len(seen) else None
    every = pd.concat([tables["own_examples" if one_by_one else "own"].astype({"correct": float}) for tables in seen], ignore_index=True)
    labels, rows = looks[0].labels, []
    groups: Any = every.groupby(["level", "share"], dropna=False)
    for (at, share), some in groups:
        level = None if pd.isna(at) else labels[int(at)]
        own = None if apart is None else int((apart.isna() if level is None else apart == at).sum())
        facts, value = _of_examples(some, len(seen)) if one_by_one else _of_counts(some, own)
        rows.append((level, point("", share)[1], facts, (value.value or 0) * facts, *value))
    return pd.DataFrame(rows, columns=list(OWN))


def _of_examples(some: pd.DataFrame, seeds: int) -> tuple[int, Estimate]:
    """How many facts they are, and the share that is right."""
    scores = some.groupby(some["example"].astype(str))["correct"].mean().to_numpy()
    return len(scores), mean_interval(scores, seeds, resampled(scores[:, None])[:, 0])


def _of_counts(some: pd.DataFrame, facts: int | None) -> tuple[int, Estimate]:
    """The same of each seed's counts: of so many facts, or at least so many where that is not known; the interval is Wilson's."""
    facts, share = int(some["facts"].max()) if facts is None else facts, float(some["correct"].sum() / some["facts"].sum())
    low, high = map(float, share_interval(share * facts, facts))
    return facts, Estimate(share, max(0.0, low), min(1.0, high))


def by_setting(looks: Sequence[Look]) -> list[list[Look]]:
    """Looks with the same number of examples and training levels, by these; others that differ in more than the seed stay apart."""
    groups: dict[tuple[Any, ...], list[Look]] = {}
    for look in looks:
        groups.setdefault((look.settings.n, look.settings.levels or (), repr(_without_seed(look.settings))), []).append(look)
    return [groups[key] for key in sorted(groups)]


def _without_seed(settings: TrainSettings) -> dict[str, Any]:
    return {name: value for name, value in settings.to_dict().items() if name not in ("seed", "save_model", "shots")}


def settings_table(looks: Sequence[Look]) -> pd.DataFrame:
    """SETTINGS: for every number of examples and training levels what the largest relative change put back does, at the share that dev
    facts chose; verdicts have Holm's correction over all rows. No row where they chose to put nothing back (`nothing_chosen`)."""
    import pandas as pd

    about, found, sizes = [], [], []
    for group in by_setting(looks):
        scores, best, first = Scores.of(group, "answers"), chosen_shares(group).get("relative"), group[0]
        if scores is None or not best:
            continue
        for domain, (_, strata) in ((domain, scores.headline(domain)) for domain in DOMAINS):
            if strata:
                resamples = scores.resamples([point("relative", best), TUNED], strata)
                about.append((domain, first.settings.n, trained_on(first), best, scores.seeds, *map(float, resamples.means)))
                found.append(resamples.difference(0, 1))
                sizes.append(len(strata))
    rows = [
        (domain, n, trained, best, one.facts, one.least, seeds, tuned, accuracy, one.value, one.low, one.high, one.verdict)
        for (domain, n, trained, best, seeds, accuracy, tuned), one in zip(about, _judged(found, sizes), strict=True)
    ]
    return pd.DataFrame(rows, columns=list(SETTINGS))


def nothing_chosen(looks: Sequence[Look]) -> list[str]:
    """The settings whose dev facts choose to put nothing back, in words."""
    groups = [group for group in by_setting(looks) if chosen_shares(group).get("relative") == 0]
    return [f"n = {group[0].settings.n:,} trained on {trained_on(group[0])}" for group in groups]


def sentences(looks: Sequence[Look]) -> list[Sentence]:
    """What may be said, claims first: numbers with facts and intervals, and "cannot tell" where they allow no answer."""
    if Scores.of(looks, "answers") is None:
        return []
    table, picks = claims(looks), chosen(looks)
    none = Sentence("Which share is best to put back: there are no dev facts to choose by.", Weight.OPEN)
    said = [Sentence(_choices(picks), Weight.NUMBER) if picks["chosen"].any() else none]
    for domain, rows in table.groupby("domain", sort=False):
        where, last = DOMAIN_NAMES[str(domain)].capitalize(), rows.iloc[-1]
        known = f"{last['facts']:,} facts, {last['seeds']} seed{'' if last['seeds'] == 1 else 's'}"
        for row in rows[rows["against"] == NONE].to_dict("records"):
            verdict = {BETTER: "it helps", WORSE: "it harms", OPEN: "cannot tell whether it helps"}.get(row["verdict"], row["verdict"])
            text = f"{where}, {row['share']:.0%} put back by relative change: {_points(row)}, {known}: {verdict}."
            said.append(Sentence(text, _weight(row["verdict"])))
        said += _beside(where, rows[rows["against"] != NONE])
    return ordered([*said, *_of_blocks(blocks(looks))])


def words(looks: Sequence[Look]) -> list[str]:
    """The texts of `sentences`."""
    return texts(sentences(looks))


def _weight(verdict: str) -> Weight:
    return Weight.CLAIM if verdict in (BETTER, WORSE) else Weight.OPEN


def _choices(picks: pd.DataFrame) -> str:
    """Which share dev facts choose for each way."""
    best = picks[picks["chosen"].astype(bool)].to_dict("records")
    shares = [f"{row['share']:.0%} ({WAYS[row['way']]})" if row["share"] else f"nothing ({WAYS[row['way']]})" for row in best]
    by = "mean over levels" if best[0]["by_level"] else "accuracy"
    apart = [f"{share:.0%}" for share in best[0]["by_seed"]]
    seeds = f" Single seeds choose {', '.join(apart)} by relative change." if len(set(apart)) > 1 else ""
    if not any(row["share"] for row in best):
        return f"By the {by} of {best[0]['facts']:,} dev facts, putting back any share by any of the four ways gains nothing.{seeds}"
    return f"By the {by} of {best[0]['facts']:,} dev facts, best to put back are: {', '.join(shares)}.{seeds}"


def _beside(where: str, rows: pd.DataFrame) -> list[Sentence]:
    """The relative ranking against the other ways, each at its share, by verdict."""
    verbs = {BETTER: "does better than", WORSE: "does worse than", OPEN: "cannot be told from", FEW: "has too few facts to be told from"}
    said = []
    for verdict, verb in verbs.items():
        some = rows[rows["verdict"] == verdict].to_dict("records")
        others = [f"{row['other_share']:.0%} {WAYS[row['against']]} ({_points(row)})" for row in some]
        if others:
            share = f"{some[0]['share']:.0%} by relative change" if some[0]["share"] else "putting nothing back"
            said.append(Sentence(f"{where}, {share} {verb}: {', '.join(others)}.", _weight(verdict)))
    return said


def _points(row: dict[Any, Any]) -> str:
    return f"{points(row['difference'])} points, {points(row['low'])} to {points(row['high'])}"


def undone_words(rows: pd.DataFrame, best: float) -> str:
    """How much of the squared update is put back with the same number of parameters, at this share or, for 0, at 5%: `rows` of `curve`."""
    share = best or 0.05
    own = rows[rows["share"] == share].drop_duplicates("way").set_index("way")["undone"].to_dict()
    parts = [f"{WAYS[way]} {own[way]:.1%}" for way in ("relative", "absolute", "random") if way in own]
    return f"With {share:.0%} of the parameters so much of the squared update is put back: {', '.join(parts)}." if parts else ""


def _of_blocks(table: pd.DataFrame) -> list[Sentence]:
    """The block that costs most in each domain, where that can be told; and which blocks have too few facts."""
    said = []
    for domain, rows in table.groupby("domain", sort=False):
        where = f"{DOMAIN_NAMES[str(domain)].capitalize()}, whole layers put back"
        sure, few = rows[rows["verdict"] == WORSE], rows[rows["verdict"] == FEW]
        if len(sure):
            row = sure.sort_values("difference").iloc[0]
            ends = f"{points(row['low'])} to {points(row['high'])}; {row['facts']:,} facts"
            text = f"{where}: {block_name(row['block'])} cost most, {points(row['difference'])} points ({ends})."
            said.append(Sentence(text, Weight.CLAIM))
        elif len(few) < len(rows):
            said.append(Sentence(f"{where}: cannot tell that any block of them costs accuracy.", Weight.OPEN))
        if len(few):
            blocks = f" for {', '.join(block_name(block) for block in few['block'])}" if len(few) < len(rows) else ""
            said.append(Sentence(f"{where}: {FEW}{blocks}.", Weight.OPEN))
    return said


def block_name(block: str) -> str:
    """ "layers 0-3", "layer 2", "embeddings"."""
    if block == OTHER:
        return "embeddings and the rest"
    return f"layer{'s' if '-' in block else ''} {block}"
