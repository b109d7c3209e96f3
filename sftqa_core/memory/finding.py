"""Which facts have some words in their completions. Plain text, whatever its case; never a pattern. Never loads torch.

A hundred thousand facts have millions of completions and far fewer different ones: texts are kept once, and searched once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sftqa_core.artifacts import Kept
from sftqa_core.memory.probe_stores import CompletionStore
from sftqa_core.memory.stored_levels import stores_of
from sftqa_core.models.catalogue import find_model
from sftqa_core.records import LevelScheme, ProbeSettings

if TYPE_CHECKING:
    from pathlib import Path

_MOST_ROWS = 40_000_000  # completions of all models kept in RAM together, 8 bytes each beside the texts


@dataclass(frozen=True, eq=False)  # known by identity
class CompletionTexts:
    """Completions as pairs of numbers: whose and which text. Both of one length."""

    facts: pa.DictionaryArray
    texts: pa.DictionaryArray

    def saying(self, words: str) -> list[str]:
        """Ids of the facts with these words in a completion."""
        says = pc.match_substring(self.texts.dictionary, words, ignore_case=True)
        hit = pc.take(says, self.texts.indices)
        rows = self.facts.indices.filter(hit)
        return self.facts.dictionary.take(pc.unique(rows)).to_pylist()


def facts_saying(model: str, source: str, words: str, scheme: LevelScheme | None = None) -> list[str]:
    """Ids of facts with these words in a stored completion of this model; of any source, since completions lie together.

    Of a fact that was sampled again only the latest completions count. Levels by likelihood have those of the full probe.
    """
    scheme = replace(scheme or LevelScheme(), method="sampling")
    stores = [s for s in stores_of(find_model(model), ProbeSettings(model, source, scheme=scheme)) if isinstance(s, CompletionStore)]
    return sorted({fact for store in stores for fact in _texts(store).saying(words)})


def _texts(store: CompletionStore) -> CompletionTexts:
    parts = store.newest_first(store.kind, "facts-*.parquet")  # written last: a part without one was interrupted
    return _kept.get((store.key, *map(str, parts)), lambda: _read(parts))


_kept: Kept[CompletionTexts] = Kept(_MOST_ROWS, lambda known: len(known.facts))


def _read(lists: list[Path]) -> CompletionTexts:
    """The completions of these parts, the newest first."""
    known: set[str] = set()
    tables = [table for path in lists for table in _part(path, known)]
    if not tables:
        empty = pa.array([], pa.string()).dictionary_encode()
        return CompletionTexts(empty, empty)
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    facts, texts = (_one(table.column(name)) for name in ("fact_id", "text"))
    return CompletionTexts(facts, texts)


def _part(path: Path, known: set[str]) -> Iterator[pa.Table]:
    """A part's facts and texts, without the facts that are `known`, which it adds to. Nothing of one that can't be read: the next probe,
    or `cache verify`, sets it aside."""
    part = path.with_name(path.name.replace("facts-", "part-", 1))
    names = ["fact_id", "text"]
    try:
        table = pq.read_table(part, columns=names, read_dictionary=names)
        ids = set(pq.read_table(path, columns=["fact_id"]).column("fact_id").to_pylist())
    except (OSError, ValueError, pa.ArrowException):
        return
    if again := known & ids:
        table = table.filter(pc.invert(pc.is_in(table.column("fact_id").cast(pa.string()), pa.array(sorted(again)))))
    known |= ids
    words = pa.dictionary(pa.int32(), pa.string())
    yield table.cast(pa.schema([(name, words) for name in names]))


def _one(column: pa.ChunkedArray) -> pa.DictionaryArray:
    return column.chunk(0) if column.num_chunks else pa.array([], pa.string()).dictionary_encode()
