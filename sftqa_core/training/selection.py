"""Which facts are trained on: n examples, balanced over topics, from chosen memory levels.

Every relation has one seeded order of its train facts. An example list is made by letting the relations take turns (in
a seeded order too), each giving its next fact of a wanted level, so three things hold: counts per relation differ by at
most one as long as no relation runs out; a fact is taken for its place in the order, not for what else was probed, so
wanted levels keep their natural proportions; and for one seed n = 60 is a subset of n = 240.

`balance="level"` makes one such list per level, each with its own starting relation. `balance="matched"` is for comparing
levels: each relation gives as many as it could give of every single level, so that lists of different levels hold the same
topics as far as there are facts; what is missing then comes in turns again. Facts in no split (they carry the corpus's QA
text) are never taken; echo facts are, with their flag.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sftqa_core.artifacts.kept import Kept
from sftqa_core.errors import NotEnoughFacts, SettingsError
from sftqa_core.knowledge.facts import FactSource, pick_facts
from sftqa_core.records import LevelScheme, TrainSettings

if TYPE_CHECKING:
    import pandas as pd

PROBE_AHEAD = 16  # facts a relation probed at a time, so that the last missing one does not cost a call of its own


@dataclass(frozen=True)
class Selection:
    """The examples of one run. `facts` is the fact table's rows plus `level` (Int64, null when it was not probed)."""

    facts: pd.DataFrame
    counts: dict[str, dict[str, int]]  # relation -> level label ("any" when not probed) -> examples
    probed: int  # train facts whose level had to be known to make this choice
    pool: int  # train facts of the topics

    @property
    def echo(self) -> int:
        """Examples that have an answer inside their subject."""
        return int(self.facts["echo"].sum())


@dataclass(frozen=True)
class Available:
    """How many examples these settings could have, whatever their n."""

    total: int  # the largest n that can be supplied
    per_relation: dict[str, int]
    per_level: dict[str, int] | None  # of the facts that were probed; None when levels play no part
    probed: int


@dataclass(frozen=True)
class _Draw:
    """One list to fill: `count` facts whose level is in `wanted` (None: whatever level), relations in this order."""

    wanted: frozenset[int] | None
    count: int
    relations: tuple[str, ...]

    def takes(self, level: int | None) -> bool:
        return self.wanted is None or level in self.wanted


def needs_levels(settings: TrainSettings) -> bool:
    """Whether train facts have to be probed before examples can be chosen."""
    return settings.n != 0 and (settings.levels is not None or settings.balance != "relation")


def train_pool(source: FactSource, settings: TrainSettings) -> pd.DataFrame:
    """Train facts of the wanted topics in the seeded order in which they are probed and taken, relations in turns."""
    if settings.relations is not None:
        known = source.facts["relation"].unique()
        strange = [name for name in settings.relations if name not in known]
        unknown = [f"{source.name} has no relation {name!r}; it has {', '.join(known)}." for name in strange]
        if unknown:
            raise SettingsError(unknown)

    def make() -> tuple[pd.DataFrame, pd.DataFrame]:
        facts = pick_facts(source.facts, "train", None if settings.relations else "in", seed=settings.seed)
        return source.facts, facts if settings.relations is None else _of_relations(facts, settings.relations)

    return _pools.get((id(source.facts), settings.relations, settings.seed), make)[1]


# A form asks for the same pool at every change. The facts are kept beside it, so that no other table gets their identity.
_pools: Kept[tuple[pd.DataFrame, pd.DataFrame]] = Kept(3)


def _of_relations(facts: pd.DataFrame, relations: Iterable[str]) -> pd.DataFrame:
    return facts[facts["relation"].isin(list(relations))].reset_index(drop=True)


def select_examples(source: FactSource, levels: pd.DataFrame | None, settings: TrainSettings) -> Selection:
    """The run's examples (n = 0 gives none, n = `TrainSettings.ALL` all that levels, topics and balance allow).

    `levels` is a levels table (memory/tables.py) of at least the facts that `next_to_probe` asked for; it may be None
    when `needs_levels` is false, and then only labels the examples. Raises `NotEnoughFacts` with the number of facts
    there are, in all and per level.
    """
    pool, known = train_pool(source, settings), _known(levels)
    quotas = _quotas(pool, known, settings)
    if needs_levels(settings) and any(_missing(rows, quotas[relation], known, settings) for relation, rows in _by_relation(pool).items()):
        raise NotEnoughFacts("Some train facts of the wanted levels were not probed yet. Probe what next_to_probe names, then choose.")
    chosen, probed = [], 0
    for relation, rows in _by_relation(pool).items():
        places = _places(rows, quotas[relation], known)
        chosen += [rows[place] for place in places]
        probed += len(rows) if settings.balance == "matched" else max(places, default=-1) + 1
    facts = pool[pool["fact_id"].isin(chosen)].reset_index(drop=True)
    facts["level"] = facts["fact_id"].map(known).astype("Int64")
    return Selection(facts, _counts(facts, settings.scheme), probed if needs_levels(settings) else 0, len(pool))


def next_to_probe(source: FactSource, levels: pd.DataFrame | None, settings: TrainSettings, ahead: int = PROBE_AHEAD) -> pd.DataFrame:
    """Train facts whose level must be known next; empty when the examples can be chosen.

    Call it, probe what it returns, and again with the longer levels table. Relations that have their share are left
    alone. Raises `NotEnoughFacts` as soon as the rest of the pool could not make up the number, even at best.
    """
    pool, known = train_pool(source, settings), _known(levels)
    if not needs_levels(settings):
        if settings.n != TrainSettings.ALL and settings.n > len(pool):
            raise NotEnoughFacts(_shortage(pool, known, settings, _Draw(None, settings.n, ()), len(pool)))
        return pool.head(0)
    quotas = _quotas(pool, known, settings)
    wanted: list[str] = []
    for relation, rows in _by_relation(pool).items():
        wanted += _missing(rows, quotas[relation], known, settings)[:ahead]
    return pool[pool["fact_id"].isin(wanted)].reset_index(drop=True)


def available(source: FactSource, levels: pd.DataFrame | None, settings: TrainSettings) -> Available:
    """How many examples there are under these settings, as far as facts were probed."""
    pool, known = train_pool(source, settings), _known(levels)
    by_relation = {str(name): int(count) for name, count in pool["relation"].value_counts(sort=False).items()}
    if settings.levels is None and settings.balance == "relation":
        return Available(len(pool), by_relation, None, 0)
    probed = pool.assign(level=pool["fact_id"].map(known)).dropna(subset="level")
    found = {index: int((probed["level"] == index).sum()) for index in range(len(settings.scheme.labels))}
    wanted = _wanted(settings)
    total = sum(found[index] for index in wanted) if settings.balance != "level" else len(wanted) * min(found[index] for index in wanted)
    kept = probed[probed["level"].isin(wanted)]
    counts = dict.fromkeys(by_relation, 0) | {relation: len(rows) for relation, rows in _by_relation(kept).items()}
    return Available(total, counts, {settings.scheme.labels[index]: count for index, count in found.items()}, len(probed))


def _wanted(settings: TrainSettings) -> tuple[int, ...]:
    return tuple(sorted(set(settings.levels))) if settings.levels is not None else tuple(range(len(settings.scheme.labels)))


def _draws(relations: Iterable[str], settings: TrainSettings) -> list[_Draw]:
    order = _shuffled(relations, settings.seed)
    if settings.balance != "level":
        return [_Draw(None if settings.levels is None else frozenset(settings.levels), settings.n, order)]
    wanted = _wanted(settings)
    favoured = _shuffled(map(str, wanted), settings.seed)  # levels that take the remainder of n
    draws = []
    for turn, level in enumerate(wanted):
        count = settings.n // len(wanted) + (favoured.index(str(level)) < settings.n % len(wanted))
        first = turn * len(order) // len(wanted)  # each level starts elsewhere, so that its remainder lands elsewhere
        draws.append(_Draw(frozenset((level,)), count, order[first:] + order[:first]))
    return draws


def _quotas(pool: pd.DataFrame, known: Mapping[str, int], settings: TrainSettings) -> dict[str, list[tuple[_Draw, int]]]:
    """Per relation, how many facts each draw takes there; a fact of unknown level counts as one that might fit."""
    rows = _by_relation(pool)
    if settings.balance == "matched":
        return _matched(rows, pool, known, settings)
    quotas: dict[str, list[tuple[_Draw, int]]] = {relation: [] for relation in rows}
    draws = _draws(rows, settings)
    rooms = [{name: _room(facts, known, draw) for name, facts in rows.items()} for draw in draws]
    most = min(sum(room.values()) for room in rooms)  # per draw: levels that are balanced get as many as the scarcest has
    for draw, room in zip(draws, rooms, strict=True):
        count = most if settings.n == TrainSettings.ALL else draw.count
        if sum(room.values()) < count:
            raise NotEnoughFacts(_shortage(pool, known, settings, draw, sum(room.values())))
        for name, share in take_turns(draw.relations, room, count).items():
            quotas[name].append((draw, share))
    return quotas


def _room(facts: list[str], known: Mapping[str, int], draw: _Draw) -> int:
    return len(facts) if draw.wanted is None else sum(fact not in known or known[fact] in draw.wanted for fact in facts)


def _matched(
    rows: dict[str, list[str]], pool: pd.DataFrame, known: Mapping[str, int], settings: TrainSettings
) -> dict[str, list[tuple[_Draw, int]]]:
    """`_quotas` for comparing levels: first what a relation could give of every level, then turns among what is left."""
    (draw,) = _draws(rows, settings)
    per_level = {name: Counter(known.get(fact) for fact in facts) for name, facts in rows.items()}
    levels = range(len(settings.scheme.labels))
    every = {name: min(counts[level] for level in levels) for name, counts in per_level.items()}
    own = {name: sum(count for level, count in counts.items() if draw.takes(level)) for name, counts in per_level.items()}
    unknown = sum(counts[None] for counts in per_level.values())
    count = sum(own.values()) if settings.n == TrainSettings.ALL else draw.count
    if sum(own.values()) + (unknown if draw.wanted is not None else 0) < count:
        raise NotEnoughFacts(_shortage(pool, known, settings, draw, sum(own.values()) + unknown))
    given = take_turns(draw.relations, every, count)
    more = take_turns(draw.relations, {name: own[name] - given[name] for name in rows}, count - sum(given.values()))
    return {name: [(draw, given[name] + more[name])] for name in rows}


def take_turns(order: Iterable[str], room: Mapping[str, int], count: int) -> dict[str, int]:
    """`count` places given out one a turn, passing over who has no room left; a larger count only adds places."""
    given, waiting = dict.fromkeys(order, 0), [name for name in order if room[name]]
    while count and waiting:
        rounds = min(min(room[name] - given[name] for name in waiting), count // len(waiting))
        takers = waiting if rounds else waiting[:count]
        for name in takers:
            given[name] += max(rounds, 1)
        count -= len(takers) * max(rounds, 1)
        waiting = [name for name in waiting if given[name] < room[name]]
    return given


def _missing(rows: list[str], quotas: list[tuple[_Draw, int]], known: Mapping[str, int], settings: TrainSettings) -> list[str]:
    """Facts of one relation, in order, that were not probed and stand before the last place needed (matched: at any place)."""
    if settings.balance == "matched":
        return [fact for fact in rows if fact not in known]
    if all(draw.wanted is None for draw, _ in quotas):
        return []
    unknown, left = [], [count for _, count in quotas]
    for fact in rows:
        if not any(left):
            break
        if fact not in known:
            unknown.append(fact)
            continue
        for index, (draw, _) in enumerate(quotas):
            left[index] -= left[index] > 0 and draw.takes(known[fact])
    return unknown


def _places(rows: list[str], quotas: list[tuple[_Draw, int]], known: Mapping[str, int]) -> list[int]:
    """Places, in the relation's order, of the facts that its draws take; no two draws want the same level."""
    return [place for draw, count in quotas for place in [place for place, fact in enumerate(rows) if draw.takes(known.get(fact))][:count]]


def _shortage(pool: pd.DataFrame, known: Mapping[str, int], settings: TrainSettings, draw: _Draw, room: int) -> str:
    labels = settings.scheme.labels
    asked = f"{settings.n:,} examples were asked for"
    count = pool["relation"].nunique()
    topics = f"{len(pool):,} train facts in {count} topic{'' if count == 1 else 's'}"
    source = Path(settings.source).name  # of a file its name: where it lies says nothing here
    if not len(pool):
        return f"{asked}, but {', '.join(settings.relations or ('the in-domain topics',))} of {source} have no train facts. Choose others."
    if draw.wanted is None:
        return f"{asked}, but {source} has {topics}. Ask for {room:,} or fewer, or add topics."
    per_level = ", ".join(f"{label} {sum(known.get(fact) == index for fact in pool['fact_id']):,}" for index, label in enumerate(labels))
    unknown = sum(fact not in known for fact in pool["fact_id"])
    names = "+".join(labels[index] for index in sorted(draw.wanted))
    return (
        f"{asked}, {draw.count:,} of them from {names}, but {source} has at most {room:,} there: of {topics}, probed so far "
        f"{len(pool) - unknown:,} ({per_level}). Ask for fewer, or for other levels or topics."
    )


def _known(levels: pd.DataFrame | None) -> dict[str, int]:
    if levels is None or not len(levels):
        return {}
    kept = levels.dropna(subset="level")
    return {fact: int(level) for fact, level in zip(kept["fact_id"].tolist(), kept["level"].tolist(), strict=True)}


def _by_relation(pool: pd.DataFrame) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for relation, fact in zip(pool["relation"].tolist(), pool["fact_id"].tolist(), strict=True):
        rows.setdefault(relation, []).append(fact)
    return rows


def _counts(facts: pd.DataFrame, scheme: LevelScheme) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for relation, level in zip(facts["relation"], facts["level"].tolist(), strict=True):
        label = scheme.labels[level] if isinstance(level, int) else "any"
        row = counts.setdefault(relation, {})
        row[label] = row.get(label, 0) + 1
    return counts


def _shuffled(names: Iterable[str], seed: int) -> tuple[str, ...]:
    return tuple(sorted(names, key=lambda name: hashlib.sha256(f"{seed}\x1f{name}".encode()).digest()))
