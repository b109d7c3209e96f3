"""Which facts are trained on: n examples, balanced over topics, from chosen memory levels. Never loads torch.

They are drawn from a pool: a source's train facts, one seeded order a relation. Facts in no split (they carry the corpus's QA text)
are never among them. An example list is made by letting the relations take turns, in a seeded order too, each giving its next
fact of a wanted level, so three things hold: counts per relation differ by at most one as long as no relation runs out; a fact
is taken for its place in the order, not for what else was probed, so wanted levels keep their natural proportions; and for one
seed n = 60 is a subset of n = 240.

`balance="level"` makes one such list per level, each with its own starting relation. `balance="matched"` is for comparing
levels: each relation gives as many as it could give of every single level, so that lists of different levels hold the same
topics as far as there are facts; what is missing then comes in turns again. Echo facts are taken, with their flag.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sftqa_core.artifacts import Kept
from sftqa_core.errors import NotEnoughFacts, SettingsError
from sftqa_core.knowledge.facts import FactSource, pick_facts
from sftqa_core.records import LevelScheme, TrainSettings

Rows = NDArray[np.intp]  # positions in a pool, in its order
Levels = NDArray[np.int8]
UNKNOWN = -1  # the level of a fact that was not probed
PROBE_AHEAD = 16  # facts a relation probed at a time, so that the last missing one does not cost a call of its own


@dataclass(frozen=True, eq=False)
class Levelled:
    """A pool and its levels."""

    facts: pd.DataFrame
    rows: dict[str, Rows]
    level: Levels  # a fact's level, `UNKNOWN` where it was not probed

    def counts(self, relation: str, levels: int) -> tuple[list[int], int]:
        """One relation's facts at each level, and those of no known level."""
        counted = np.bincount(self.level[self.rows[relation]] - UNKNOWN, minlength=levels + 1).tolist()
        return counted[1:], counted[0]

    def take(self, rows: Collection[int]) -> pd.DataFrame:
        """These facts, in the pool's order."""
        return self.facts.iloc[sorted(rows)].reset_index(drop=True)


@dataclass(frozen=True, eq=False)
class Pool:
    """Train facts in the order of a draw."""

    drawn_from: pd.DataFrame  # held, so that no other table gets its identity
    facts: pd.DataFrame

    @cached_property
    def ids(self) -> pd.Index:
        return pd.Index(self.facts["fact_id"].to_numpy(dtype=object))

    @cached_property
    def rows(self) -> dict[str, Rows]:
        """Each relation's, relations in order of appearance."""
        codes, names = pd.factorize(self.facts["relation"])
        cuts = np.cumsum(np.bincount(codes, minlength=len(names)))[:-1]
        return dict(zip(map(str, names), np.split(codes.argsort(kind="stable"), cuts), strict=True)) if len(codes) else {}

    def under(self, levels: pd.DataFrame | None) -> Levelled:
        """The pool with what is known of its levels."""
        level = np.full(len(self.facts), UNKNOWN, dtype=np.int8)
        if levels is not None and len(levels):
            known = levels.dropna(subset="level")
            at = self.ids.get_indexer(pd.Index(known["fact_id"].to_numpy(dtype=object)))
            level[at[at >= 0]] = known["level"].to_numpy(dtype=np.int8)[at >= 0]
        return Levelled(self.facts, self.rows, level)


def train_pool(source: FactSource, settings: TrainSettings) -> pd.DataFrame:
    """Train facts of the wanted topics in the seeded order in which they are probed and taken, relations in turns."""
    return pool_of(source, settings).facts


def pool_of(source: FactSource, settings: TrainSettings) -> Pool:
    """`train_pool` with its order looked up before. Raises `SettingsError` for topics that the source does not have."""
    if settings.relations is not None:
        known = source.facts["relation"].unique()
        strange = [name for name in settings.relations if name not in known]
        unknown = [f"{source.name} has no relation {name!r}; it has {', '.join(known)}." for name in strange]
        if unknown:
            raise SettingsError(unknown)

    def make() -> Pool:
        facts = pick_facts(source.facts, "train", None if settings.relations else "in", seed=settings.seed)
        if settings.relations is not None:
            facts = facts[facts["relation"].isin(list(settings.relations))].reset_index(drop=True)
        return Pool(source.facts, facts)

    return _pools.get((id(source.facts), settings.relations, settings.seed), make)


_pools: Kept[Pool] = Kept(3)  # a form asks for the same one at every change


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

    def takes(self, level: Levels) -> NDArray[np.bool_]:
        return np.ones(len(level), dtype=bool) if self.wanted is None else np.isin(level, list(self.wanted))


def needs_levels(settings: TrainSettings) -> bool:
    """Whether train facts have to be probed before examples can be chosen."""
    return settings.n != 0 and (settings.levels is not None or settings.balance != "relation")


def select_examples(source: FactSource, levels: pd.DataFrame | None, settings: TrainSettings) -> Selection:
    """The run's examples (n = 0 gives none, n = `TrainSettings.ALL` all that levels, topics and balance allow).

    `levels` is a levels table (memory/scores.py) of at least the facts that `next_to_probe` asked for; it may be None
    when `needs_levels` is false, and then only labels the examples. Raises `NotEnoughFacts` with the number of facts
    there are, in all and per level.
    """
    pool = pool_of(source, settings).under(levels)
    quotas = _quotas(pool, settings)
    if needs_levels(settings) and any(len(_missing(pool, relation, quotas[relation], settings)) for relation in pool.rows):
        raise NotEnoughFacts("Some train facts of the wanted levels were not probed yet. Probe what next_to_probe names, then choose.")
    chosen: list[int] = []
    probed = 0
    for relation, rows in pool.rows.items():  # no two draws want the same level
        level = pool.level[rows]
        places = [place for draw, count in quotas[relation] for place in np.flatnonzero(draw.takes(level))[:count].tolist()]
        chosen += rows[places].tolist()
        probed += len(rows) if settings.balance == "matched" else max(places, default=-1) + 1
    facts = pool.take(chosen)
    facts["level"] = pd.Series(pool.level[sorted(chosen)], dtype="Int64").mask(pool.level[sorted(chosen)] == UNKNOWN)
    return Selection(facts, _counts(facts, settings.scheme), probed if needs_levels(settings) else 0, len(pool.facts))


def next_to_probe(source: FactSource, levels: pd.DataFrame | None, settings: TrainSettings, ahead: int = PROBE_AHEAD) -> pd.DataFrame:
    """Train facts whose level must be known next; empty when the examples can be chosen.

    Call it, probe what it returns, and again with the longer levels table. Relations that have their share are left
    alone. Raises `NotEnoughFacts` as soon as the rest of the pool could not make up the number, even at best.
    """
    pool = pool_of(source, settings).under(levels)
    if not needs_levels(settings):
        if settings.n != TrainSettings.ALL and settings.n > len(pool.facts):
            raise NotEnoughFacts(_shortage(pool, settings, _Draw(None, settings.n, ()), len(pool.facts)))
        return pool.facts.head(0)
    quotas = _quotas(pool, settings)
    return pool.take([row for relation in pool.rows for row in _missing(pool, relation, quotas[relation], settings)[:ahead].tolist()])


def available(source: FactSource, levels: pd.DataFrame | None, settings: TrainSettings) -> Available:
    """How many examples there are under these settings, as far as facts were probed."""
    pool = pool_of(source, settings).under(levels)
    if settings.levels is None and settings.balance == "relation":
        return Available(len(pool.facts), {relation: len(rows) for relation, rows in pool.rows.items()}, None, 0)
    labels, wanted = settings.scheme.labels, _wanted(settings)
    counted = {relation: pool.counts(relation, len(labels))[0] for relation in pool.rows}
    per_level = [sum(counts[level] for counts in counted.values()) for level in range(len(labels))]
    fitting = [per_level[level] for level in wanted]
    total = sum(fitting) if settings.balance != "level" else len(fitting) * min(fitting)
    per_relation = {relation: sum(counts[level] for level in wanted) for relation, counts in counted.items()}
    return Available(total, per_relation, dict(zip(labels, per_level, strict=True)), sum(per_level))


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


def _quotas(pool: Levelled, settings: TrainSettings) -> dict[str, list[tuple[_Draw, int]]]:
    """Per relation, how many facts each draw takes there; a fact of unknown level counts as one that might fit."""
    if settings.balance == "matched":
        return _matched(pool, settings)
    quotas: dict[str, list[tuple[_Draw, int]]] = {relation: [] for relation in pool.rows}
    draws = _draws(pool.rows, settings)
    rooms = [{relation: _room(pool.level[rows], draw) for relation, rows in pool.rows.items()} for draw in draws]
    most = min(sum(room.values()) for room in rooms)  # per draw: levels that are balanced get as many as the scarcest has
    for draw, room in zip(draws, rooms, strict=True):
        count = most if settings.n == TrainSettings.ALL else draw.count
        if sum(room.values()) < count:
            raise NotEnoughFacts(_shortage(pool, settings, draw, sum(room.values())))
        for name, share in take_turns(draw.relations, room, count).items():
            quotas[name].append((draw, share))
    return quotas


def _room(level: Levels, draw: _Draw) -> int:
    return int((draw.takes(level) | (level == UNKNOWN)).sum())


def _matched(pool: Levelled, settings: TrainSettings) -> dict[str, list[tuple[_Draw, int]]]:
    """`_quotas` for comparing levels: first what a relation could give of every level, then turns among what is left."""
    (draw,) = _draws(pool.rows, settings)
    counted = {relation: pool.counts(relation, len(settings.scheme.labels)) for relation in pool.rows}
    every = {relation: min(counts) for relation, (counts, _) in counted.items()}
    own = {relation: int(draw.takes(pool.level[rows]).sum()) for relation, rows in pool.rows.items()}
    unknown = sum(missing for _, missing in counted.values())
    count = sum(own.values()) if settings.n == TrainSettings.ALL else draw.count
    if sum(own.values()) + (unknown if draw.wanted is not None else 0) < count:
        raise NotEnoughFacts(_shortage(pool, settings, draw, sum(own.values()) + unknown))
    given = take_turns(draw.relations, every, count)
    more = take_turns(draw.relations, {name: own[name] - given[name] for name in own}, count - sum(given.values()))
    return {name: [(draw, given[name] + more[name])] for name in own}


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


def _missing(pool: Levelled, relation: str, quotas: list[tuple[_Draw, int]], settings: TrainSettings) -> Rows:
    """Facts of one relation, in order, that were not probed and stand before the last place needed (matched: at any place)."""
    rows = pool.rows[relation]
    level = pool.level[rows]
    if settings.balance == "matched":
        return rows[level == UNKNOWN]
    if all(draw.wanted is None for draw, _ in quotas):
        return rows[:0]
    needed = max(_place_of(draw.takes(level), count) for draw, count in quotas)
    return rows[:needed][level[:needed] == UNKNOWN]


def _place_of(fits: NDArray[np.bool_], count: int) -> int:
    """How many places a draw looks at until it has `count`: all, where it does not get them."""
    if not count:
        return 0
    places = np.flatnonzero(fits)
    return int(places[count - 1]) + 1 if len(places) >= count else len(fits)


def _shortage(pool: Levelled, settings: TrainSettings, draw: _Draw, room: int) -> str:
    labels = settings.scheme.labels
    asked = f"{settings.n:,} examples were asked for"
    count, facts = len(pool.rows), len(pool.facts)
    topics = f"{facts:,} train facts in {count} relation{'' if count == 1 else 's'}"
    source = Path(settings.source).name  # of a file its name: where it lies says nothing here
    if not facts:
        return f"{asked}, but {', '.join(settings.relations or ('in-domain relations',))} of {source} have no train facts. Choose others."
    if draw.wanted is None:
        return f"{asked}, but {source} has {topics}. Ask for {room:,} or fewer, or add relations."
    probed = [int((pool.level == level).sum()) for level in range(len(labels))]
    per_level = ", ".join(f"{label} {count:,}" for label, count in zip(labels, probed, strict=True))
    names = "+".join(labels[index] for index in sorted(draw.wanted))
    return (
        f"{asked}, {draw.count:,} of them from {names}, but {source} has at most {room:,} there: of {topics}, probed so far "
        f"{sum(probed):,} ({per_level}). Ask for fewer, or for other levels or relations."
    )


def _counts(facts: pd.DataFrame, scheme: LevelScheme) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for relation, level in zip(facts["relation"], facts["level"].tolist(), strict=True):
        label = scheme.labels[level] if isinstance(level, int) else "any"
        row = counts.setdefault(relation, {})
        row[label] = row.get(label, 0) + 1
    return counts


def _shuffled(names: Iterable[str], seed: int) -> tuple[str, ...]:
    return tuple(sorted(names, key=lambda name: hashlib.sha256(f"{seed}\x1f{name}".encode()).digest()))
