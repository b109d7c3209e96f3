"""What is known of a model's memory without running it: the browser's way in. Never loads torch."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from sftqa_core.engine.probe_prompts import WantedFact, wanted_facts
from sftqa_core.errors import ArtifactDamaged
from sftqa_core.knowledge.aliases import Aliases, load_aliases
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.memory.scores import judge, levels_table, matched_answers, miscounted
from sftqa_core.memory.stores import ESTIMATES, CompletionStore, EstimateStore, estimated_levels, find_estimates, find_stores
from sftqa_core.memory.tables import COMPLETIONS, HITS
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


def stored_completions(
    card: ModelCard,
    source: FactSource,
    fact_id: str,
    settings: ProbeSettings,
    aliases: Aliases | None = None,
    workspace: Workspace | None = None,
) -> pd.DataFrame:
    """One fact's COMPLETIONS with columns more: `prompt`, the filled template, `answer`, the answer found (missing where none), and
    of few-shot prompts `greedy`, whether it is the most probable completion; `template` is then the prompt's number for all.

    In the templates' order, the commonest first; empty if the fact was not probed.
    """
    workspace = workspace or Workspace.current()
    facts = source.facts[source.facts["fact_id"] == fact_id]
    wanted = wanted_facts(source, facts, aliases or load_aliases(workspace), settings.match, settings.scheme)
    store = _fullest(card, settings, wanted, workspace)
    rows = pd.DataFrame(columns=COMPLETIONS.names)
    if store:
        try:
            rows = store.completions(store.locate(wanted))
        except ArtifactDamaged:
            rows = store.completions(store.locate(wanted))  # the broken part was set aside; an older one may hold
    rows["answer"] = matched_answers(rows, {w.fact_id: w for w in wanted})
    if settings.scheme.few_shot:
        rows["greedy"] = [t < 0 for t in rows["template"]]
        rows["template"] = [-1 - t if t < 0 else t for t in rows["template"]]
    prompts = wanted[0].prompts if wanted else []
    rows["prompt"] = [prompts[t] for t in rows["template"]]
    first = ["greedy"] if settings.scheme.few_shot else []
    order = ["template", *first, "count", "text"]
    return rows.sort_values(order, ascending=[True, *(False for _ in first), False, True], ignore_index=True)


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
