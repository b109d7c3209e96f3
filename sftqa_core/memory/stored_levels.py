"""What is known of a model's memory without running it: levels of very many facts at once, and one fact's completions. Never loads torch.

Levels are read column by column, without an object a fact: a million facts take seconds and some 100 MB.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from sftqa_core.engine.randomness import keys_of
from sftqa_core.engine.wanted_facts import WantedFact, identities, wanted_facts
from sftqa_core.errors import ArtifactDamaged, StorageError
from sftqa_core.knowledge.aliases import Aliases, load_aliases
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.knowledge.matching import judged_earlier
from sftqa_core.memory import scores
from sftqa_core.memory.probe_stores import (
    ESTIMATES,
    CompletionStore,
    EstimateStore,
    estimated_before,
    estimated_levels,
    find_estimates,
    find_stores,
)
from sftqa_core.models.catalogue import model_fingerprint, seen_templates
from sftqa_core.models.measured import KIND as MEASURED
from sftqa_core.records import ModelCard, ProbeSettings
from sftqa_core.records.probes import held_as
from sftqa_core.workspace import Workspace

_IDENTITY = scores.HITS.names[:3]
JUDGED_BEFORE = "judged before"
_FEW = 1_000  # facts that are picked out of each part as it is read
_LISTS = pd.ArrowDtype(pa.list_(pa.float32()))  # hits of each template; a likelihood's are no whole numbers
_COMPACT = dict.fromkeys((*scores.INTERVALS, "seen_score", "unseen_score", "confidence"), "float32") | {
    "hits": "Int32", "completions": "Int32", "level": "Int8", "score": "float64"
}  # fmt: skip
Rows = NDArray[np.int64]


class Ids:
    """The ids of facts as numbers, to look rows up by: 16 bytes a fact."""

    def __init__(self, facts: pd.DataFrame):
        self.fact = keys_of(facts["fact_id"].tolist())
        self.order = self.fact.argsort(kind="stable").astype(np.int32)
        self.sorted = self.fact[self.order]

    def places(self, facts: NDArray[np.uint64] | list[str]) -> tuple[Rows, NDArray[np.bool_]]:
        """For each id its first row, and whether there is one."""
        facts = keys_of(facts) if isinstance(facts, list) else facts
        if not len(self.fact):
            return np.zeros(len(facts), dtype=np.int64), np.zeros(len(facts), dtype=bool)
        order = facts.argsort()  # looking up in order is several times as fast
        at = np.empty(len(facts), dtype=np.int64)
        at[order] = np.searchsorted(self.sorted, facts[order])
        rows = self.order[at.clip(max=len(self.fact) - 1)].astype(np.int64)
        return rows, self.fact[rows] == facts


class AskedFacts:
    """The facts asked for. Hashes of their prompts and answers are computed only for facts that have results."""

    def __init__(
        self, source: FactSource, facts: pd.DataFrame, settings: ProbeSettings, aliases: Aliases | None = None, ids: Ids | None = None
    ):
        self.source, self.facts, self.settings = source, facts, settings
        self.aliases = load_aliases() if aliases is None else aliases
        self.ids = Ids(facts) if ids is None else ids
        self.prompts, self.answers, self.earlier = np.zeros((3, len(facts)), dtype=np.uint64)  # `earlier` is 0 where there is none
        self._identified = np.zeros(len(facts), dtype=bool)

    @cached_property
    def first(self) -> Rows:
        """For each row the first row of the same fact: a fact that is asked for twice has its results there."""
        return self.ids.places(self.ids.fact)[0]

    def identify(self, rows: Rows) -> None:
        """Fill in `prompts` and `answers` of these rows."""
        rows = np.unique(rows[~self._identified[rows]])
        named = identities(self.source, self.facts.iloc[rows], self.aliases, self.settings.match, self.settings.scheme)
        self._keep(rows, [(prompts, answers, earlier) for prompts, answers, earlier, *_ in named])

    def wanted(self, rows: Rows | slice = slice(None)) -> list[WantedFact]:
        """These facts (all of them by default) as they are probed and judged."""
        wanted = wanted_facts(self.source, self.facts.iloc[rows], self.aliases, self.settings.match, self.settings.scheme)
        self._keep(rows, [(w.prompts_sha, w.answers_sha, w.earlier_sha) for w in wanted])
        return wanted

    def _keep(self, rows: Rows | slice, named: list[tuple[str, str, str]]) -> None:
        if named:
            prompts, answers, earlier = (list(column) for column in zip(*named, strict=True))
            self.prompts[rows], self.answers[rows], self.earlier[rows] = keys_of(prompts), keys_of(answers), keys_of(earlier)
        self._identified[rows] = True


class KnownHits:
    """HITS of the facts asked for, column by column. Rows that are not `there` mean nothing."""

    def __init__(self, asked: AskedFacts):
        count = len(asked.facts)
        self.asked = asked
        self.there, self.judged_before = np.zeros((2, count), dtype=bool)  # the latter: by the rule's first version
        self.completions, self.hits, self.widths = np.zeros((3, count), dtype=np.int32)
        self.intervals = np.zeros((len(scores.INTERVALS), count), dtype=np.float32)
        self.per_template = np.zeros((count, 0), dtype=np.int16)  # [facts, slots]; the first `widths` of a row count

    def take(self, part: pd.DataFrame, earlier: bool = False) -> None:
        """Take the rows of a HITS table that hold for facts without hits so far; to be called with the newest part first.

        With `earlier` those that the rule's first version judged, of facts to which this one is another.
        """
        fact, prompts, answers = (keys_of(part[name].tolist()) for name in _IDENTITY)
        asked = self.asked
        rows, fits = asked.ids.places(fact)
        asked.identify(rows[fits])
        rows, of = rows[fits], np.flatnonzero(fits)
        known_by = asked.earlier if earlier else asked.answers
        holds = ~self.there[rows] & (asked.prompts[rows] == prompts[of]) & (known_by[rows] == answers[of])
        rows, first = np.unique(rows[holds], return_index=True)
        of = of[holds][first]
        for name, values in (("completions", self.completions), ("hits", self.hits), *zip(scores.INTERVALS, self.intervals, strict=True)):
            values[rows] = part[name].to_numpy()[of]
        lists = part["hits_per_template"].to_numpy()[of]
        self.widths[rows] = [len(row) for row in lists]
        missing = max(self.widths[rows], default=0) - self.per_template.shape[1]
        self.per_template = np.pad(self.per_template, ((0, 0), (0, max(0, missing))))
        for width in np.unique(self.widths[rows]):
            alike = self.widths[rows] == width
            self.per_template[rows[alike], :width] = np.stack(lists[alike])
        self.there[rows], self.judged_before[rows] = True, earlier

    def levels(self, rows: Rows, card: ModelCard) -> pd.DataFrame:
        """The numbers of LEVELS of these rows, all of which are `there`."""
        scheme, completions, per_template = self.asked.settings.scheme, self.completions[rows], self.per_template[rows]
        score = self.hits[rows] / completions
        seen = seen_templates(card) if scheme.by_statements else {}
        samples, relations = completions // self.widths[rows], self.asked.facts["relation"].to_numpy()[rows]
        levels = {
            "hits": self.hits[rows].astype(np.int64),
            "completions": completions.astype(np.int64),
            "score": score,
            **{name: values[rows].astype(np.float64).round(4) for name, values in zip(scores.INTERVALS, self.intervals, strict=True)},
            **scores.split_scores(per_template, self.widths[rows], samples, relations, seen),
            "level": scores.levels_of(per_template, score, scheme),
            "confidence": np.full(len(rows), np.nan),
        }
        return pd.DataFrame(levels)


def known_hits(store: CompletionStore, asked: AskedFacts, keep: bool = False) -> KnownHits:
    """HITS of every fact that was judged before, or has completions that can be judged now; others are not known.

    With `keep` what was judged now is stored. A part that can't be read, or has too few or too many completions of a fact,
    is set aside, and facts of which nothing else is known are left out. Facts that the rule's first version judged, and to which this
    one is another, are judged anew; where their completions are not kept, what that version found holds (`judged_before`).
    """
    hits = KnownHits(asked)
    few = asked.facts["fact_id"].tolist() if len(asked.facts) <= _FEW else None
    for part in store.each("hits", scores.HITS, few):
        hits.take(part)
    left = np.flatnonzero(~hits.there[asked.first]) if keep else sampled_rows(store, asked, hits.there)
    if len(left) and (judged := _judged_now(store, asked.wanted(left))) is not None:
        if keep:
            store.add_hits(judged)
        hits.take(judged)
    if (asked.earlier.astype(bool) & ~hits.there).any():
        for part in store.each("hits", scores.HITS, few):
            hits.take(part, earlier=True)
    return hits


def sampled_rows(store: CompletionStore, asked: AskedFacts, judged: NDArray[np.bool_] | None = None) -> Rows:
    """Rows whose facts have completions, which may hold for them; without those that are `judged` already."""
    sampled = np.zeros(len(asked.facts), dtype=bool)
    for path in store.newest_first(store.kind, "facts-*.parquet") if judged is None or not judged.all() else ():
        try:
            rows, fits = asked.ids.places(scores.facts_in(path))
        except (ArtifactDamaged, StorageError):
            continue  # the next probe, or `cache verify`, sets it aside
        sampled[rows[fits]] = True
    return np.flatnonzero(sampled if judged is None else sampled & ~judged)


def _judged_now(store: CompletionStore, wanted: Sequence[WantedFact]) -> pd.DataFrame | None:
    """HITS of the wanted facts that have completions; None where none has. Parts that prove damaged are set aside."""
    unjudged = {w.fact_id: w for w in wanted}
    samples = store.settings["sampler"]["samples"]
    while located := store.locate(list(unjudged.values())):
        try:
            rows = store.completions(located)
        except ArtifactDamaged:
            continue  # it was set aside
        facts = [unjudged[fact_id] for fact_id in located]
        if not (broken := scores.miscounted(rows, facts, samples)):
            return scores.judge(rows, facts, samples)
        for part in {located[fact_id] for fact_id in broken}:
            store.set_part_aside(part, ValueError(f"not {samples} completions of every template"))
    return None


def stores_of(card: ModelCard, settings: ProbeSettings, workspace: Workspace | None = None) -> Sequence[scores.PartStore]:
    """Where a model's results under these settings lie, whatever device made them; none for a model that was never on this machine."""
    workspace, scheme = workspace or Workspace.current(), settings.scheme
    if card.path is None and card.kind != MEASURED:
        return []
    model = model_fingerprint(card, "", "", workspace)  # format and device are what this looks for
    if scheme.method != "sampling":
        return find_estimates(model.weights, model.adapter, scheme, workspace, held_as(settings))
    return find_stores(model.weights, model.adapter, scheme.sampling, workspace, scheme.asking, held_as(settings))


def level_columns(
    card: ModelCard,
    source: FactSource,
    facts: pd.DataFrame,
    settings: ProbeSettings,
    aliases: Aliases | None = None,
    stores: Sequence[scores.PartStore] | None = None,
    ids: Ids | None = None,
) -> pd.DataFrame:
    """The columns of LEVELS but the fact's id, a row for each row of `facts`, null where nothing is known; of the store that knows
    most. Compact: small numbers, and `hits_per_template` as a column of Arrow's lists. `attrs[JUDGED_BEFORE]` is the number of facts
    whose hits the first version of the matching rule counted, though this one is another to them."""
    stores = stores_of(card, settings) if stores is None else stores
    if not stores:
        return _nothing(len(facts))
    asked = AskedFacts(source, facts, settings, aliases, ids)
    if settings.scheme.method == "sampling":
        hits = _fullest(stores, asked)
        return _telling(_compact(hits, card), int(hits.judged_before.sum()))
    estimated = {fact_id for store in stores for table in store.each(store.kind, ESTIMATES) for fact_id in table["fact_id"]}
    rows = np.flatnonzero(facts["fact_id"].isin(estimated))  # only of these is an object made
    levels = _best_estimates(stores, asked.wanted(rows), card, settings)
    if not len(levels):
        return _nothing(len(facts))
    lists = pd.Series(levels["hits_per_template"].tolist(), dtype=_LISTS)
    before = levels.attrs[JUDGED_BEFORE]
    levels = levels.assign(hits_per_template=lists).astype(_COMPACT).set_index("fact_id")
    return _telling(levels.reindex(facts["fact_id"]).reset_index(drop=True), before)


def stored_levels(
    card: ModelCard,
    source: FactSource,
    facts: pd.DataFrame,
    settings: ProbeSettings,
    aliases: Aliases | None = None,
    workspace: Workspace | None = None,
    stores: Sequence[scores.PartStore] | None = None,
) -> pd.DataFrame:
    """LEVELS of the facts already probed with these settings, in the order of `facts`; empty if none were.

    `attrs` as in `level_columns`. Results from the person's layer go before shipped ones. When a model was probed on several kinds of
    device (`stores`, all of them by default), those that know most of the facts are taken. Probes nothing; a damaged part it meets is
    set aside.
    """
    stores = stores_of(card, settings, workspace) if stores is None else stores
    asked = AskedFacts(source, facts, settings, aliases)
    if settings.scheme.method != "sampling":
        return _best_estimates(stores, asked.wanted(), card, settings)
    hits = _fullest(stores, asked)
    return _telling(level_rows(hits, card), int(hits.judged_before.sum()))


def judged_before_notes(facts: int) -> list[str]:
    """A sentence on levels that keep the first version of the matching rule; none where there are no such facts."""
    then = "No completions are kept from which their levels could be counted anew."
    return [judged_earlier(f"{facts:,} of these facts were", then)] if facts else []


def level_rows(hits: KnownHits, card: ModelCard) -> pd.DataFrame:
    """LEVELS of the facts that are known, in the order in which they were asked for."""
    rows = hits.asked.first[hits.there[hits.asked.first]]
    lists = [row[:width].tolist() for row, width in zip(hits.per_template[rows], hits.widths[rows], strict=True)]
    levels = hits.levels(rows, card).assign(hits_per_template=pd.Series(lists, dtype=object))
    levels.insert(0, "fact_id", hits.asked.facts["fact_id"].iloc[rows].reset_index(drop=True))
    return levels


def _fullest(stores: Sequence[scores.PartStore], asked: AskedFacts) -> KnownHits:
    """What the store that knows most of these facts knows."""
    return max(
        (known_hits(store, asked) for store in stores if isinstance(store, CompletionStore)),
        key=lambda hits: hits.there.sum(),
        default=KnownHits(asked),
    )


def _best_estimates(stores: Sequence[scores.PartStore], wanted: list[WantedFact], card: ModelCard, settings: ProbeSettings) -> pd.DataFrame:
    """LEVELS of the store that has estimates of most of these facts."""
    tables = [pd.DataFrame(columns=ESTIMATES.names), *(store.rows(wanted) for store in stores if isinstance(store, EstimateStore))]
    fullest = max(tables, key=len)
    before = estimated_before(fullest, wanted, settings.scheme)
    return _telling(estimated_levels(fullest, wanted, settings.scheme, seen_templates(card)), before)


def _telling(levels: pd.DataFrame, before: int) -> pd.DataFrame:
    levels.attrs = {JUDGED_BEFORE: before}
    return levels


def _compact(hits: KnownHits, card: ModelCard) -> pd.DataFrame:
    judged, widths = hits.there, np.where(hits.there, hits.widths, 0)
    if not judged.any():
        return _nothing(len(judged))
    rows = np.flatnonzero(judged)
    table = hits.levels(rows, card).astype(_COMPACT).set_axis(rows).reindex(np.arange(len(judged)))
    return table.assign(hits_per_template=_lists(hits.per_template, widths, judged))


@lru_cache(maxsize=4)
def _nothing(count: int) -> pd.DataFrame:
    """Columns without a value; cached, so that all tables of this length without levels share them."""
    table = pd.DataFrame({name: np.full(count, np.nan, dtype=np.float32) for name in scores.LEVELS[1:-1]}).astype(_COMPACT)
    lists = _lists(np.zeros((count, 0), dtype=np.int16), np.zeros(count, dtype=np.int32), np.zeros(count, dtype=bool))
    return table.assign(hits_per_template=lists)


def _lists(values: NDArray[np.int16], widths: NDArray[np.int32], there: NDArray[np.bool_]) -> pd.api.extensions.ExtensionArray:
    """Each row's first `widths` values as a list; null where it is not there."""
    kept = np.arange(values.shape[1]) < widths[:, None]
    offsets = np.concatenate([[0], np.cumsum(widths, dtype=np.int64)]).astype(np.int32)
    column = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values[kept].astype(np.float32)), mask=pa.array(~there))
    return pd.arrays.ArrowExtensionArray(column)


def stored_completions(
    card: ModelCard,
    source: FactSource,
    fact_id: str,
    settings: ProbeSettings,
    aliases: Aliases | None = None,
    workspace: Workspace | None = None,
) -> pd.DataFrame:
    """One fact's COMPLETIONS with more columns: `prompt`, the filled template, `answer`, the answer found (missing where none), and
    of few-shot prompts `greedy`, whether it is the most probable completion; `template` is then the prompt's number for all.

    In the templates' order, the commonest first; empty if the fact was not probed.
    """
    settings = replace(settings, scheme=replace(settings.scheme, method="sampling"))  # estimates have none
    facts = source.facts[source.facts["fact_id"] == fact_id]
    asked = AskedFacts(source, facts, settings, aliases)
    wanted = asked.wanted()
    stores = [store for store in stores_of(card, settings, workspace) if isinstance(store, CompletionStore)]
    rows = pd.DataFrame(columns=scores.COMPLETIONS.names)
    if stores:
        store = stores[0] if len(stores) == 1 else max(stores, key=lambda store: known_hits(store, asked).there.sum())
        try:
            rows = store.completions(store.locate(wanted))
        except ArtifactDamaged:
            rows = store.completions(store.locate(wanted))  # the broken part was set aside; an older one may hold
    rows["answer"] = scores.matched_answers(rows, {w.fact_id: w for w in wanted})
    first = ["greedy"] if settings.scheme.few_shot else []
    if first:
        rows["greedy"] = [t < 0 for t in rows["template"]]
        rows["template"] = [-1 - t if t < 0 else t for t in rows["template"]]
    prompts = wanted[0].prompts if wanted else []
    rows["prompt"] = [prompts[t] for t in rows["template"]]
    order = ["template", *first, "count", "text"]
    return rows.sort_values(order, ascending=[True, *(False for _ in first), False, True], ignore_index=True)
