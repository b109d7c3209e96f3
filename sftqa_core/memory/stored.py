"""What is known of a model's memory without running it: the browser's way in. Never loads torch."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from sftqa_core.errors import ArtifactDamaged
from sftqa_core.knowledge.aliases import Aliases, load_aliases
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.memory.completions import CompletionStore, find_stores
from sftqa_core.memory.scores import judge, levels_table, matched_answers
from sftqa_core.memory.tables import COMPLETIONS, HITS
from sftqa_core.memory.wanted import WantedFact, wanted_facts
from sftqa_core.models.catalogue import model_fingerprint, seen_templates
from sftqa_core.records import ModelCard, ProbeSettings
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
    know most of the facts are taken. Writes nothing.
    """
    workspace = workspace or Workspace.current()
    wanted = wanted_facts(source, facts, aliases or load_aliases(workspace), settings.match)
    store = _fullest(card, settings, wanted, workspace)
    hits = known_hits(store, wanted, keep=False) if store else pd.DataFrame(columns=HITS.names)
    return levels_table(hits, wanted, settings.scheme, seen_templates(card))


def stored_completions(
    card: ModelCard,
    source: FactSource,
    fact_id: str,
    settings: ProbeSettings,
    aliases: Aliases | None = None,
    workspace: Workspace | None = None,
) -> pd.DataFrame:
    """One fact's COMPLETIONS with two columns more: `prompt`, the filled template, and `answer`, the answer found or None.

    In the templates' order, the commonest first; empty if the fact was not probed.
    """
    workspace = workspace or Workspace.current()
    facts = source.facts[source.facts["fact_id"] == fact_id]
    wanted = wanted_facts(source, facts, aliases or load_aliases(workspace), settings.match)
    store = _fullest(card, settings, wanted, workspace)
    rows = pd.DataFrame(columns=COMPLETIONS.names)
    if store:
        try:
            rows = store.completions(store.locate(wanted))
        except ArtifactDamaged:
            rows = store.completions(store.locate(wanted))  # the broken part was set aside; an older one may hold
    rows["prompt"] = [wanted[0].prompts[t] for t in rows["template"]]
    rows["answer"] = matched_answers(rows, {w.fact_id: w for w in wanted})
    return rows.sort_values(["template", "count", "text"], ascending=[True, False, True], ignore_index=True)


def known_hits(store: CompletionStore, wanted: Sequence[WantedFact], keep: bool) -> pd.DataFrame:
    """HITS of every wanted fact that has completions: read where they were judged before, judged now where not.

    With `keep` what was judged now is stored. A damaged part is set aside, and its facts count as not probed.
    """
    while True:
        located = store.locate(wanted)
        there = pd.DataFrame(
            [(w.fact_id, w.prompts_sha, w.answers_sha) for w in wanted if w.fact_id in located], columns=HITS.names[:3], dtype="str"
        )
        known = store.hits().merge(there, on=HITS.names[:3])
        rest = [w for w in wanted if w.fact_id in located.keys() - set(known["fact_id"])]
        if not rest:
            return known
        try:
            rows = store.completions({w.fact_id: located[w.fact_id] for w in rest})
        except ArtifactDamaged:
            continue  # it is out of the way now
        judged = judge(rows, rest, store.settings["sampler"]["samples"])
        if keep:
            store.add_hits(judged)
        return pd.concat([known, judged], ignore_index=True) if len(known) else judged


def _fullest(card: ModelCard, settings: ProbeSettings, wanted: Sequence[WantedFact], workspace: Workspace) -> CompletionStore | None:
    if card.path is None:
        return None  # never on this machine, so never probed on it
    model = model_fingerprint(card, "", "", workspace)  # format and device are what this looks for
    stores = find_stores(model.weights, model.adapter, settings.scheme.sampling, workspace)
    if len(stores) < 2:
        return stores[0] if stores else None
    return max(stores, key=lambda store: len(store.locate(wanted)))
