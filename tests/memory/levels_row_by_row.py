"""What `stored_levels` and `level_columns` must say, worked out fact by fact, with an object a fact and no arithmetic of columns.

Slow, and simple enough to be read: judged facts are looked up by their ids and hashes, the others judged from their completions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sftqa_core.engine.wanted_facts import WantedFact, wanted_facts
from sftqa_core.errors import ArtifactDamaged
from sftqa_core.knowledge.aliases import Aliases, load_aliases
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.memory.probe_stores import ESTIMATES, CompletionStore, EstimateStore, estimated_levels, find_estimates, find_stores
from sftqa_core.memory.scores import HITS, INTERVALS, LEVELS, judge, levels_of, miscounted
from sftqa_core.models.catalogue import model_fingerprint, seen_templates
from sftqa_core.records import LevelScheme, ModelCard, ProbeSettings
from sftqa_core.workspace import Workspace


def stored_levels(
    card: ModelCard,
    source: FactSource,
    facts: pd.DataFrame,
    settings: ProbeSettings,
    aliases: Aliases | None = None,
    workspace: Workspace | None = None,
) -> pd.DataFrame:
    """LEVELS of the facts already probed with these settings, in the order of `facts`; empty if none were.

    Results from the person's layer go before shipped ones. When a model was probed on several kinds of device, those that
    know most of the facts are taken. Probes nothing; a damaged part it meets is set aside.
    """
    workspace = workspace or Workspace.current()
    wanted = wanted_facts(source, facts, aliases or load_aliases(workspace), settings.match, settings.scheme)
    if settings.scheme.method != "sampling":
        return _estimated(card, settings, wanted, workspace)
    store = _fullest(card, settings, wanted, workspace)
    return _levels(store, card, wanted, settings)


def levels_in(
    store: CompletionStore | EstimateStore,
    card: ModelCard,
    source: FactSource,
    facts: pd.DataFrame,
    settings: ProbeSettings,
    aliases: Aliases,
) -> pd.DataFrame:
    """LEVELS of those facts that this one store knows: what `probe_facts` would not probe again. A damaged part is set aside."""
    wanted = wanted_facts(source, facts, aliases, settings.match, settings.scheme)
    if isinstance(store, EstimateStore):
        return estimated_levels(store.rows(wanted), wanted, settings.scheme, seen_templates(card))
    return _levels(store, card, wanted, settings)


def known_hits(store: CompletionStore, wanted: Sequence[WantedFact], keep: bool) -> pd.DataFrame:
    """HITS of every wanted fact that was judged before, or has completions that can be judged now; others are not known.

    With `keep` what was judged now is stored. A part that can't be read, or has too few or too many completions of a fact,
    is set aside, and facts of which nothing else is known are left out.
    """
    asked = pd.DataFrame([(w.fact_id, w.prompts_sha, w.answers_sha) for w in wanted], columns=HITS.names[:3], dtype="str")
    known = store.hits(asked["fact_id"].tolist()).merge(asked.drop_duplicates(), on=HITS.names[:3])
    unjudged = {w.fact_id: w for w in wanted}
    for fact_id in known["fact_id"]:
        unjudged.pop(fact_id, None)
    samples = store.settings["sampler"]["samples"]
    while located := store.locate(list(unjudged.values())):
        try:
            rows = store.completions(located)
        except ArtifactDamaged:
            continue  # it is out of the way now
        facts = [unjudged[fact_id] for fact_id in located]
        if broken := miscounted(rows, facts, samples):
            for part in {located[fact_id] for fact_id in broken}:
                store.set_part_aside(part, ValueError(f"not {samples} completions of every template"))
            continue
        judged = judge(rows, facts, samples)
        if keep:
            store.add_hits(judged)
        return pd.concat([known, judged], ignore_index=True) if len(known) else judged
    return known


def _levels(store: CompletionStore | None, card: ModelCard, wanted: Sequence[WantedFact], settings: ProbeSettings) -> pd.DataFrame:
    hits = known_hits(store, wanted, keep=False) if store else pd.DataFrame(columns=HITS.names)
    return levels_table(hits, wanted, settings.scheme, seen_templates(card))


def _estimated(card: ModelCard, settings: ProbeSettings, wanted: Sequence[WantedFact], workspace: Workspace) -> pd.DataFrame:
    tables = [pd.DataFrame(columns=ESTIMATES.names)]
    if card.path is not None:
        model = model_fingerprint(card, "", "", workspace)
        stores = find_estimates(model.weights, model.adapter, settings.scheme, workspace, settings.quantization)
        tables += [store.rows(wanted) for store in stores]
    return estimated_levels(max(tables, key=len), wanted, settings.scheme, seen_templates(card))


def _fullest(card: ModelCard, settings: ProbeSettings, wanted: Sequence[WantedFact], workspace: Workspace) -> CompletionStore | None:
    if card.path is None:
        return None  # never on this machine, so never probed on it
    model = model_fingerprint(card, "", "", workspace)  # format and device are what this looks for
    scheme = settings.scheme
    stores = find_stores(model.weights, model.adapter, scheme.sampling, workspace, scheme.asking, settings.quantization)
    if len(stores) < 2:
        return stores[0] if stores else None
    return max(stores, key=lambda store: len(known_hits(store, wanted, keep=False)))


def levels_table(
    hits: pd.DataFrame, wanted: Sequence[WantedFact], scheme: LevelScheme, seen_templates: Mapping[str, Sequence[int]] | None = None
) -> pd.DataFrame:
    """LEVELS of the wanted facts that `hits` knows, in their order; `seen_templates` by relation, as the model's corpus used them."""
    by_fact = hits.set_index("fact_id")
    known = [w for w in wanted if w.fact_id in by_fact.index]
    table = by_fact.loc[[w.fact_id for w in known]].reset_index()
    table["hits_per_template"] = [list(map(int, row)) for row in table["hits_per_template"]]
    table["score"] = table["hits"].astype("int64") / table["completions"].astype("int64")
    lists = table["hits_per_template"].tolist()
    table["level"] = levels_of(lists if scheme.few_shot else [], table["score"], scheme)
    rates = [np.array(row) * len(row) / n for row, n in zip(lists, table["completions"], strict=True)]
    table[["seen_score", "unseen_score"]] = split_scores(rates, known, None if scheme.few_shot else seen_templates)
    table["confidence"] = float("nan")
    table = table[list(LEVELS)].astype({"hits": "int64", "completions": "int64", **dict.fromkeys(INTERVALS, "float64")})
    return table.round(dict.fromkeys(INTERVALS, 4))  # the same numbers whether judged just now or read from disk


def split_scores(
    rates: Sequence[NDArray[np.float64]], facts: Sequence[WantedFact], seen_templates: Mapping[str, Sequence[int]] | None
) -> NDArray[np.float64]:
    """Mean rates [facts, 2] on the templates that the model's corpus used and on the others; NaN where there are none or it is unknown."""
    found = np.full((len(facts), 2), np.nan)
    for row, (own, fact) in enumerate(zip(rates, facts, strict=True)):
        seen = list((seen_templates or {}).get(fact.relation.id, ()))
        if seen:
            used = np.isin(np.arange(len(own)), seen)
            found[row] = [own[part].sum() / part.sum() if part.any() else np.nan for part in (used, ~used)]
    return found
