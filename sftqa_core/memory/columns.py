"""Levels of very many facts at once, column by column: what is known of a whole source, for pages and forecasts. Never loads torch.

The numbers are those of `stored.stored_levels` and `levels_in`, without an object a fact: a million facts take seconds and some 100 MB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sftqa_core.engine.probe_prompts import identities
from sftqa_core.knowledge.aliases import Aliases, load_aliases
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.memory.scores import levels_of
from sftqa_core.memory.stored import levels_in
from sftqa_core.memory.stores import ESTIMATES, CompletionStore, EstimateStore, find_estimates, find_stores
from sftqa_core.memory.tables import HITS, INTERVALS, LEVELS, PartStore
from sftqa_core.models.catalogue import model_fingerprint, seen_templates
from sftqa_core.records import ModelCard, ProbeSettings
from sftqa_core.workspace import Workspace

_IDENTITY = HITS.names[:3]
_LISTS = pd.ArrowDtype(pa.list_(pa.float32()))  # hits of each template; a likelihood's are no whole numbers
Names = NDArray[np.uint64]  # 16 hex digits as a number


class Ids:
    """The ids of facts as numbers, to look rows up by: 16 bytes a fact."""

    def __init__(self, facts: pd.DataFrame):
        self.fact = numbers(facts["fact_id"].tolist())
        self.order = self.fact.argsort(kind="stable").astype(np.int32)
        self.sorted = self.fact[self.order]

    def places(self, facts: Names) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """For each id its row, and whether there is one."""
        if not len(self.fact):
            return np.zeros(len(facts), dtype=np.int64), np.zeros(len(facts), dtype=bool)
        order = facts.argsort()  # looking up in order is several times as fast
        at = np.empty(len(facts), dtype=np.int64)
        at[order] = np.searchsorted(self.sorted, facts[order])
        rows = self.order[at.clip(max=len(self.fact) - 1)].astype(np.int64)
        return rows, self.fact[rows] == facts


@dataclass
class _Asked:
    """The facts asked for; what makes results theirs is only worked out for those that have any."""

    source: FactSource
    facts: pd.DataFrame
    aliases: Aliases
    settings: ProbeSettings
    ids: Ids

    def __post_init__(self) -> None:
        self.prompts, self.answers = np.zeros((2, len(self.facts)), dtype=np.uint64)
        self._identified = np.zeros(len(self.facts), dtype=bool)

    def identify(self, rows: NDArray[np.int64]) -> None:
        """Fill in `prompts` and `answers` of these rows."""
        rows = np.unique(rows[~self._identified[rows]])
        named = identities(self.source, self.facts.iloc[rows], self.aliases, self.settings.match, self.settings.scheme)
        pairs = [(prompts, answers) for prompts, answers, *_ in named]
        if pairs:
            self.prompts[rows], self.answers[rows] = (numbers(list(column)) for column in zip(*pairs, strict=True))
        self._identified[rows] = True


def stores_of(card: ModelCard, settings: ProbeSettings, workspace: Workspace | None = None) -> list[CompletionStore] | list[EstimateStore]:
    """Where a model's results under these settings lie, whatever device made them."""
    workspace = workspace or Workspace.current()
    if card.path is None:
        return []
    model = model_fingerprint(card, "", "", workspace)
    if settings.scheme.method != "sampling":
        return find_estimates(model.weights, model.adapter, settings.scheme, workspace, settings.quantization)
    return find_stores(model.weights, model.adapter, settings.scheme.sampling, workspace, settings.scheme.asking, settings.quantization)


def level_columns(
    card: ModelCard,
    source: FactSource,
    facts: pd.DataFrame,
    settings: ProbeSettings,
    aliases: Aliases | None = None,
    stores: Sequence[PartStore] | None = None,
    ids: Ids | None = None,
) -> pd.DataFrame:
    """The columns of LEVELS but the fact's id, a row for each row of `facts`, null where nothing is known; of the store that knows
    most. `hits_per_template` is a column of Arrow's lists."""
    stores = stores_of(card, settings) if stores is None else stores
    aliases = load_aliases() if aliases is None else aliases
    if not stores:
        return _nothing(len(facts))
    ids = Ids(facts) if ids is None else ids
    tables = [_known(store, card, source, facts, settings, aliases, ids) for store in stores]
    return max(tables, key=lambda table: table["level"].count())


def _known(
    store: PartStore,
    card: ModelCard,
    source: FactSource,
    facts: pd.DataFrame,
    settings: ProbeSettings,
    aliases: Aliases,
    ids: Ids,
) -> pd.DataFrame:
    if isinstance(store, EstimateStore):
        own = _estimated(store, facts)
        return _placed(levels_in(store, card, source, own, settings, aliases), own, len(facts))
    assert isinstance(store, CompletionStore)
    asked = _Asked(source, facts, aliases, settings, ids)
    there, columns = _judged(store, asked)
    left = _unjudged(store, asked, there)
    if not there.any() and not len(left):
        return _nothing(len(facts))
    found = _with_levels(there, columns, facts, card, settings)
    if not len(left):
        return found
    own = facts.iloc[left].set_axis(left)
    more = _spread(levels_in(store, card, source, own, settings, aliases), own).set_axis(left)
    return pd.concat([found.drop(index=pd.Index(left)), more]).sort_index()


def _estimated(store: EstimateStore, facts: pd.DataFrame) -> pd.DataFrame:
    """Facts of which there may be estimates, each with its row as index."""
    ids = {fact_id for table in store.each(store.kind, ESTIMATES) for fact_id in table["fact_id"]}
    return facts.set_axis(np.arange(len(facts)))[facts["fact_id"].isin(ids).to_numpy()]


def _placed(levels: pd.DataFrame, own: pd.DataFrame, count: int) -> pd.DataFrame:
    """LEVELS of some facts among `count` rows; `own` has each one's row as index."""
    if not len(levels):
        return _nothing(count)
    return _spread(levels, own).set_axis(own.index).reindex(np.arange(count))


def _judged(store: CompletionStore, asked: _Asked) -> tuple[NDArray[np.bool_], dict[str, np.ndarray]]:
    """Which rows have hits, and the HITS columns of all rows (whatever, where there are none), the newest of each."""
    count = len(asked.facts)
    there = np.zeros(count, dtype=bool)
    columns = {name: np.zeros(count, dtype=np.float32 if name in INTERVALS else np.int32) for name in ("completions", "hits", *INTERVALS)}
    hits, widths = np.zeros((count, 0), dtype=np.int16), np.zeros(count, dtype=np.int32)
    for part in store.each("hits", HITS):
        fact, prompts, answers = (numbers(part[name].tolist()) for name in _IDENTITY)
        rows, fits = asked.ids.places(fact)
        asked.identify(rows[fits])
        fits &= (asked.prompts[rows] == prompts) & (asked.answers[rows] == answers) & ~there[rows] if count else fits
        rows, first = np.unique(rows[fits], return_index=True)
        of = np.flatnonzero(fits)[first]
        for name, values in columns.items():
            values[rows] = part[name].to_numpy()[of]
        lists = part["hits_per_template"].to_numpy()[of]
        widths[rows] = [len(own) for own in lists]
        hits = _wide(hits, max(widths[rows], default=0))
        for width in np.unique(widths[rows]):
            alike = widths[rows] == width
            hits[rows[alike], :width] = np.stack(lists[alike])
        there[rows] = True
    return there, {**columns, "hits_per_template": hits, "widths": widths}


def _with_levels(
    there: NDArray[np.bool_], columns: dict[str, np.ndarray], facts: pd.DataFrame, card: ModelCard, settings: ProbeSettings
) -> pd.DataFrame:
    completions, hits, lists, widths = (columns[name] for name in ("completions", "hits", "hits_per_template", "widths"))
    read = {} if settings.scheme.few_shot else seen_templates(card)
    with np.errstate(invalid="ignore"):
        score = np.where(there, hits / np.where(there, completions, 1), np.nan)
    found: dict[str, object] = {
        "hits": pd.array(hits, dtype="Int32"),
        "completions": pd.array(completions, dtype="Int32"),
        "score": score,
        **{name: np.where(there, columns[name].astype(np.float64).round(4), np.nan).astype(np.float32) for name in INTERVALS},
        **_seen_and_unseen(lists * (widths / np.where(there, completions, 1))[:, None].astype(np.float32), widths, facts, read),
        "level": pd.array(levels_of(lists, np.nan_to_num(score), settings.scheme).astype(np.int8), dtype="Int8"),
        "confidence": np.full(len(score), np.nan, dtype=np.float32),
        "hits_per_template": _lists(lists, np.where(there, widths, 0), there),
    }
    for name in ("hits", "completions", "level"):
        found[name][~there] = pd.NA  # type: ignore[index]
    return pd.DataFrame(found)[list(LEVELS[1:])]


def _seen_and_unseen(
    rates: NDArray[np.float32], widths: NDArray[np.int32], facts: pd.DataFrame, read: Mapping[str, Sequence[int]]
) -> dict[str, np.ndarray]:
    """Mean rates on the templates that the model's corpus used and on the others; NaN where there are none or it is unknown."""
    found = np.full((2, len(rates)), np.nan, dtype=np.float32)
    for relation, positions in read.items():
        rows = np.flatnonzero((facts["relation"] == relation).to_numpy())
        for width in np.unique(widths[rows]) if positions else ():
            alike, used = rows[widths[rows] == width], np.isin(np.arange(width), positions)
            for at, part in enumerate((used, ~used)):
                if part.any():
                    found[at, alike] = rates[alike, :width][:, part].mean(axis=1)
    return {"seen_score": found[0], "unseen_score": found[1]}


def _unjudged(store: CompletionStore, asked: _Asked, judged: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Rows without hits whose facts have completions, which may hold for them."""
    sampled = np.zeros(len(judged), dtype=bool)
    for path in store.newest_first(store.kind, "facts-*.parquet") if not judged.all() else ():
        try:
            ids = numbers(pq.read_table(path, columns=["fact_id"]).column("fact_id").to_pylist())
        except (OSError, ValueError, TypeError, pa.ArrowException):
            continue  # damaged: the next probe, or `cache verify`, sets it aside
        rows, fits = asked.ids.places(ids)
        sampled[rows[fits]] = True
    return np.flatnonzero(sampled & ~judged)


@lru_cache(maxsize=4)
def _nothing(count: int) -> pd.DataFrame:
    """Columns without a value; the same ones for all who know nothing of as many facts."""
    lists = _lists(np.zeros((count, 0), dtype=np.int16), np.zeros(count, dtype=np.int32), np.zeros(count, dtype=bool))
    numbers = {name: np.full(count, np.nan, dtype=np.float32) for name in LEVELS[1:-1]}
    return _typed(pd.DataFrame(numbers).assign(hits_per_template=lists))


def _spread(levels: pd.DataFrame, facts: pd.DataFrame) -> pd.DataFrame:
    """LEVELS as columns for each row of `facts`."""
    table = levels.assign(hits_per_template=pd.Series(levels["hits_per_template"].tolist(), dtype=_LISTS, index=levels.index))
    return _typed(table.set_index("fact_id").reindex(facts["fact_id"]).reset_index(drop=True))


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    floats = dict.fromkeys((*INTERVALS, "seen_score", "unseen_score", "confidence"), "float32")
    return table.astype({"hits": "Int32", "completions": "Int32", "level": "Int8", "score": "float64", **floats})


def _lists(values: NDArray[np.int16], widths: NDArray[np.int32], there: NDArray[np.bool_]) -> pd.api.extensions.ExtensionArray:
    """Each row's first `widths` values as a list; null where it is not there."""
    kept = np.arange(values.shape[1]) < widths[:, None]
    offsets = np.concatenate([[0], np.cumsum(widths, dtype=np.int64)]).astype(np.int32)
    column = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values[kept].astype(np.float32)), mask=pa.array(~there))
    return pd.arrays.ArrowExtensionArray(column)


def _wide(values: NDArray[np.int16], width: int) -> NDArray[np.int16]:
    """The same with at least so many columns."""
    missing = width - values.shape[1]
    return values if missing <= 0 else np.concatenate([values, np.zeros((len(values), missing), dtype=values.dtype)], axis=1)


def numbers(names: list[str]) -> Names:
    """Names of 16 hex digits as numbers."""
    return np.frombuffer(bytes.fromhex("".join(names)), dtype=">u8").astype(np.uint64)
