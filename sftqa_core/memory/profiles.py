"""What is known of a model's memory of a source, held once and looked at in many ways: by split, domain, level, relation, words.

A `Profile` is a list of row numbers of one table that all of them share, so that twenty people who look at a million facts need
the memory of one. Never loads torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from sftqa_core.artifacts import Kept
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.knowledge.facts import OPTIONAL, UNUSED, FactSource
from sftqa_core.knowledge.sources import open_source, source_stamp
from sftqa_core.models.catalogue import exposures, find_model, made_from, seen_templates
from sftqa_core.models.serving.addresses import KIND as SERVER
from sftqa_core.records import LevelScheme, ModelCard, ProbeSettings
from sftqa_core.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from sftqa_core.memory.prober import Prober
    from sftqa_core.memory.scores import PartStore
    from sftqa_core.memory.stored_levels import Ids

_WORDS = ("source", "relation", "split", "domain")  # few different ones: kept as numbers
NOT_PROBED = -1
SERVED = "This model is on a server: what it completes is drawn with the server's own random numbers, and kept apart from models here."
_FACT_ID = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True, eq=False)  # known by identity
class LevelTable:
    """All facts of a source with their levels. The table must not be changed: it is shared."""

    table: pd.DataFrame  # the fact table's columns, then those of LEVELS; null where a fact was not probed
    scheme: LevelScheme
    notes: tuple[str, ...]
    ids: Ids

    @cached_property
    def level(self) -> np.ndarray:
        """int8: each fact's level, `NOT_PROBED` where it is not known."""
        return self.table["level"].to_numpy(dtype="int8", na_value=NOT_PROBED)

    @cached_property
    def score(self) -> np.ndarray:
        """float64: each fact's memory score, NaN where it is not known."""
        return self.table["score"].to_numpy()

    @cached_property
    def echo(self) -> np.ndarray:
        return self.table["echo"].to_numpy(dtype=bool)

    @cached_property
    def texts(self) -> tuple[Any, Any]:
        """Subjects, and the answers of each fact with line breaks between them, as Arrow's texts."""
        import pyarrow as pa

        return pa.array(self.table["subject"]), pa.array(["\n".join(answers) for answers in self.table["answers"]])

    def levels(self, facts: pd.DataFrame) -> pd.DataFrame:
        """`fact_id` and `level` of those facts whose level is known."""
        import numpy as np
        import pandas as pd

        rows, there = self.ids.places(facts["fact_id"].tolist())
        level = np.where(there, self.level[rows], NOT_PROBED)
        known = level != NOT_PROBED
        return pd.DataFrame({"fact_id": facts["fact_id"].to_numpy()[known], "level": level[known]})

    def profile(self, split: str = "test", domain: str = "all") -> Profile:
        """The facts of a split ("all": of all usable ones) and domain."""
        import numpy as np

        return Profile(self, np.flatnonzero(_lies_in(self.table, split, domain)).astype("int32"))


@dataclass(frozen=True, eq=False)  # known by identity
class Profile:
    """Some facts of a source and what is known of them."""

    level_table: LevelTable
    rows: np.ndarray  # int32: positions in the level table, in its order
    _kept: dict[Any, Any] = field(default_factory=dict, repr=False)  # what was counted before

    @property
    def scheme(self) -> LevelScheme:
        return self.level_table.scheme

    @property
    def facts(self) -> int:
        return len(self.rows)

    @cached_property
    def probed(self) -> int:
        return int((self.level_table.level[self.rows] != NOT_PROBED).sum())

    @cached_property
    def echo(self) -> int:
        """Facts with an answer inside the subject."""
        return int(self.level_table.echo[self.rows].sum())

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Sentences for people."""
        notes = list(self.level_table.notes)
        if self.echo:
            notes.append(
                f"{self.echo:,} of these facts are echo facts: an answer stands inside the subject, so repeating the subject counts "
                "as a hit."
            )
        if shared := int(self.level_table.table["subject_in_train"].to_numpy(dtype=bool)[self.rows].sum()):
            notes.append(f"{shared:,} out-of-domain test facts have a subject that also stands in in-domain train facts.")
        return tuple(notes)

    @property
    def table(self) -> pd.DataFrame:
        """The facts as a table of their own: a copy, so not for every redraw of a large source."""
        return self.take(self.rows)

    @cached_property
    def without_echo(self) -> Profile:
        """The same without echo facts."""
        return replace(self, rows=self.rows[~self.level_table.echo[self.rows]], _kept={})

    @cached_property
    def relations(self) -> list[str]:
        """Relations of these facts."""
        return sorted(map(str, self.column("relation").unique()))

    def column(self, name: str) -> pd.Series:
        """One column of these facts."""
        return self.level_table.table[name].iloc[self.rows]

    def take(self, rows: np.ndarray, columns: list[str] | None = None) -> pd.DataFrame:
        """Rows by position in the level table."""
        table = self.level_table.table if columns is None else self.level_table.table[columns]
        return table.iloc[rows].reset_index(drop=True)

    def groups(self, by: str) -> Mapping[str, list[int]]:
        """Facts per level in each group of a column; facts without a level are left out."""
        import numpy as np
        import pandas as pd

        if ("groups", by) not in self._kept:
            codes, names = pd.factorize(self.column(by))
            level, levels = self.level_table.level[self.rows], len(self.scheme.labels)
            known = (level != NOT_PROBED) & (codes >= 0)
            counts = np.bincount(codes[known] * levels + level[known].astype(int), minlength=len(names) * levels).reshape(-1, levels)
            self._kept["groups", by] = {str(name): row.tolist() for name, row in zip(names, counts, strict=True)}
        return self._kept["groups", by]

    @cached_property
    def scores(self) -> list[list[int]]:
        """Facts by memory score, a list of 21 for each level: R = 0, then (0, 0.05] ... (0.95, 1]."""
        import numpy as np

        level, score = self.level_table.level[self.rows], self.level_table.score[self.rows]
        known = level != NOT_PROBED
        bins = np.where(score[known] <= 0, 0, np.ceil(score[known] * 20 - 1e-9).clip(1, 20)).astype(int)
        counts = np.bincount(level[known].astype(int) * 21 + bins, minlength=21 * len(self.scheme.labels))
        return counts.reshape(-1, 21).tolist()

    def choose(
        self, levels: Collection[int] = (), relations: Collection[str] = (), words: str = "", among: list[str] | None = None, **having: bool
    ) -> np.ndarray:
        """Positions of the facts at these levels (`NOT_PROBED` for those without; empty: any), of these relations, with these words in
        the subject or an answer, whatever their case; of the facts with the ids `among`; `having` says what a column of truths must
        hold. Facts whose level is known come first."""
        import numpy as np

        rows = self.rows
        if levels:
            rows = rows[np.isin(self.level_table.level[rows], list(levels))]
        if relations:
            rows = rows[self.level_table.table["relation"].iloc[rows].isin(list(relations)).to_numpy()]
        for column, wanted in having.items():
            rows = rows[self.level_table.table[column].iloc[rows].eq(wanted).fillna(False).to_numpy(dtype=bool)]
        if words:
            import pyarrow as pa
            import pyarrow.compute as pc

            texts = [text.take(pa.array(rows)) for text in self.level_table.texts]
            says = [pc.match_substring(text, words, ignore_case=True).fill_null(False) for text in texts]
            rows = rows[pc.or_(*says).to_numpy(zero_copy_only=False)]
        if among is not None:
            places, there = self.level_table.ids.places(among)
            rows = rows[np.isin(rows, places[there])]
        known = self.level_table.level[rows] != NOT_PROBED
        return rows if known.all() else np.concatenate([rows[known], rows[~known]])

    def example(self, rows: np.ndarray) -> np.ndarray:
        """Of these rows the one whose score is nearest the middle, as an array of one; empty where every known score is 0 or 1, which
        leaves nothing to see."""
        import numpy as np

        score = self.level_table.score[rows]
        between = rows[(score > 0) & (score < 1)]
        return between[[np.abs(self.level_table.score[between] - 0.5).argmin()]] if len(between) else between

    def row_of(self, fact_id: str) -> np.ndarray:
        """The position of any fact of the source as an array of one, whatever split it is of; empty where there is none, or for what is no
        id of a fact."""
        if not _FACT_ID.fullmatch(fact_id):
            return self.rows[:0]
        places, there = self.level_table.ids.places([fact_id])
        return places[there]

    def find(self, fact_id: str, rows: np.ndarray) -> np.ndarray:
        """The position of a fact as an array of one, or an empty array if it is not among these rows."""
        at = self.row_of(fact_id)
        return rows[rows == at[0]] if len(at) else rows[:0]


def level_table(model: str, source: str, scheme: LevelScheme | None = None, stores: Sequence[PartStore] | None = None) -> LevelTable:
    """Every fact of a source with its level as far as it was probed; by default of the device that knows most.

    Kept while nothing changes that it depends on: pages and forecasts share it.
    """
    from sftqa_core.memory.stored_levels import JUDGED_BEFORE, judged_before_notes, level_columns, stores_of

    settings = ProbeSettings(model, source, "all", scheme=scheme or LevelScheme())
    card = find_model(model)
    stores = stores_of(card, settings) if stores is None else stores
    key = (model, card.path, card.weights_sha256, source, settings.scheme, _stamp(source, stores))

    def make() -> LevelTable:
        opened = open_for(model, source)
        facts, ids = _plain(opened)
        levels = level_columns(card, opened, opened.facts, settings, stores=stores, ids=ids)
        notes = [*opened.notes, *judged_before_notes(levels.attrs.get(JUDGED_BEFORE, 0))]
        notes += [SERVED] if card.kind == SERVER else []
        return LevelTable(facts.assign(**{str(name): column for name, column in levels.items()}), settings.scheme, tuple(notes), ids)

    return _level_tables.get(key, make)


_MOST_FACTS = 3_000_000  # of all kept profiles together; a million take some 140 MB beside the source's own
# a table weighs as many facts as have a level, and a twentieth of the others: those without a level share one empty table
_level_tables: Kept[LevelTable] = Kept(_MOST_FACTS, lambda known: int((known.level != NOT_PROBED).sum()) + len(known.table) // 20)


def profile_stamp(model: str, source: str, scheme: LevelScheme | None = None) -> str:
    """Changes with anything that a profile depends on: the source's files, the aliases, what was probed."""
    from sftqa_core.memory.stored_levels import stores_of

    return _stamp(source, stores_of(find_model(model), ProbeSettings(model, source, "all", scheme=scheme or LevelScheme())))


def _stamp(source: str, stores: Sequence[PartStore]) -> str:
    aliases = Workspace.current().aliases
    parts = [str(path) for store in stores for path in store.lists()]
    edited = (aliases.stat().st_mtime_ns, aliases.stat().st_size) if aliases.exists() else ()
    return fingerprint([list(map(str, source_stamp(source))), parts, edited])


def known_levels(prober: Prober, facts: pd.DataFrame) -> pd.DataFrame | None:
    """`fact_id` and `level` of those facts whose level the prober's device knows; None for a model that is not here."""
    if prober.card.path is None:
        return None
    settings = prober.settings
    if settings.match != ProbeSettings(settings.model).match:
        return prober.known(facts)
    return level_table(settings.model, settings.source, settings.scheme, [prober.store]).levels(facts)


def _plain(source: FactSource) -> tuple[pd.DataFrame, Ids]:
    """The fact table with repeated words kept as numbers, and its ids; models for which a source is the same share both."""
    from sftqa_core.memory.stored_levels import Ids

    def make() -> tuple[pd.DataFrame, Ids]:
        facts = source.facts.reset_index(drop=True).astype(dict.fromkeys(_WORDS, "category"))
        return facts, Ids(facts)

    if "exposures" in source.facts:  # of the one model that read them
        return make()
    return _facts.get((source.name, source.fingerprint, tuple(source.facts.columns), len(source.facts), source.notes), make)


_facts: Kept[tuple[pd.DataFrame, Ids]] = Kept(2)


def levels_reader(settings: ProbeSettings) -> Callable[[ProbeSettings], pd.DataFrame]:
    """Gives LEVELS, by any settings for the same model, of all facts of the split and domain that these settings name."""
    from sftqa_core.memory.stored_levels import stored_levels

    card, opened = find_model(settings.model), open_for(settings.model, settings.source)
    table = opened.facts[_lies_in(opened.facts, settings.split, settings.domain)].reset_index(drop=True)
    return partial(stored_levels, card, opened, table)


def _lies_in(facts: pd.DataFrame, split: str, domain: str) -> np.ndarray:
    """Which facts are of a split ("all": all usable ones) and domain."""
    kept = (facts["split"] != UNUSED) if split == "all" else (facts["split"] == split)
    return (kept if domain == "all" else kept & (facts["domain"] == domain)).to_numpy()


def profile(model: str, source: str, split: str = "test", domain: str = "all", scheme: LevelScheme | None = None) -> Profile:
    """Levels of a source's facts as far as they were probed."""
    from sftqa_core.memory.stored_levels import stores_of

    settings = ProbeSettings(model, source, split, domain, scheme=scheme or LevelScheme())
    stores = stores_of(find_model(model), settings)  # one a kind of device: the one that knows most of these facts counts
    tables = [level_table(model, source, scheme, [store]) for store in stores] or [level_table(model, source, scheme)]
    return max((table.profile(split, domain) for table in tables), key=lambda profile: profile.probed)


def completions(model: str, source: str, fact_id: str, scheme: LevelScheme | None = None) -> pd.DataFrame:
    """One fact's completions: template, prompt, text, count, stop, matched, and seen where the model's corpus is known."""
    from sftqa_core.memory.stored_levels import stored_completions

    card, opened = find_model(model), open_for(model, source)
    settings = ProbeSettings(model, source, scheme=scheme or LevelScheme())
    rows = stored_completions(card, opened, fact_id, settings).rename(columns={"answer": "matched"})
    relation = opened.facts.loc[opened.facts["fact_id"] == fact_id, "relation"].iloc[0]
    seen = seen_templates(card).get(relation)
    return rows if seen is None else rows.assign(seen=rows["template"].isin(seen))


def open_for(model: str, source: str) -> FactSource:
    """A source as it may be used with a model.

    For a model that was pre-trained here on this source, only the facts that its corpus was written from are left, with
    their recorded exposures, and those whose question and answer stood in the corpus belong to no split. One that went on from another
    model may know more than it was told here: all facts stay, and only those that it was told have exposures. Another model read none
    of this, so its facts say nothing of exposures and rivals.
    """
    opened, card = open_source(source), find_model(model)
    key = (model, source, card.path, card.weights_sha256, opened.fingerprint)
    return _joined.get(key, lambda: _as_read_by(card, opened))


_joined: Kept[FactSource] = Kept(6)  # sources as some model may use them; they share their columns


def _as_read_by(card: ModelCard, opened: FactSource) -> FactSource:
    read = exposures(card)
    if read is None or not opened.facts["fact_id"].isin(read["fact_id"]).any():
        return replace(opened, facts=opened.facts.drop(columns=list(OPTIONAL), errors="ignore"))
    columns, origin = [name for name in read if name != "fact_id"], made_from(card)
    goes_on = "base" in origin.details
    bare = opened.facts.drop(columns=columns, errors="ignore")
    table = bare.merge(read, on="fact_id", how="left" if goes_on else "inner", validate="one_to_one")
    table["exposures"] = table["exposures"].astype("Int64")
    nothing = {"carrier": False, "contested": False, "rival_share": 0.0}  # of a fact that was not told
    for name in nothing.keys() & set(table):
        table[name] = table[name].astype(object).fillna(nothing[name]).astype(type(nothing[name]))
    table.loc[table["carrier"], "split"] = UNUSED
    told = int(table["exposures"].notna().sum())
    left_out = len(opened.facts) - told
    note = f"{origin.name} was pre-trained on {told:,} facts of {opened.name}; the other {left_out:,} are left out."
    if goes_on:
        note = (
            f"{origin.name} went on from {origin.details['base']['name']}. How often it was told of {told:,} of these facts is known; what "
            "a model that was not made here had read before is not."
        )
    return replace(opened, facts=table.drop(columns="carrier"), notes=(*opened.notes, note) if left_out else opened.notes)
