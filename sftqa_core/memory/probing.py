"""The probe: facts x templates x samples -> completions -> levels, never doing twice what is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from sftqa_core.errors import SettingsError
from sftqa_core.knowledge.aliases import Aliases, load_aliases
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.memory.completions import CompletionStore
from sftqa_core.memory.room import require_room
from sftqa_core.memory.sampling import Completion, Prompt, Sampler, make_sampler
from sftqa_core.memory.scores import levels_table
from sftqa_core.memory.stored import known_hits
from sftqa_core.memory.wanted import WantedFact, wanted_facts
from sftqa_core.models.catalogue import seen_templates
from sftqa_core.models.loading import LoadedModel, encode_prompts
from sftqa_core.progress import Phase, Reporter, Silent
from sftqa_core.records import ProbeSettings
from sftqa_core.workspace import Workspace

# model size in parameters -> facts a part: more share batches, fewer are lost when the process dies
_PART_FACTS = ((20_000_000, 128), (500_000_000, 64), (1 << 62, 16))


def probe_facts(
    loaded: LoadedModel,
    source: FactSource,
    facts: pd.DataFrame,
    settings: ProbeSettings,
    aliases: Aliases | None = None,
    workspace: Workspace | None = None,
    reporter: Reporter | None = None,
    sampler: Sampler | None = None,
    store: CompletionStore | None = None,
) -> pd.DataFrame:
    """LEVELS of every row of `facts` (a fact table of `source`), in order; what was not probed before is probed now.

    Completed facts are kept part by part, and also when the work is stopped (`Stopped`, Ctrl-C) or fails. `sampler`
    replaces the one that the settings name (tests); `store` is this model's, if the caller has it open. Raises
    `SettingsError` (before anything is sampled, when a prompt is too long), `OutOfMemory`, `ModelUnavailable`.
    """
    workspace, reporter = workspace or Workspace.current(), reporter or Silent()
    if settings.scheme.prompts != "statements":
        raise SettingsError(f"Probing knows the prompts 'statements', got {settings.scheme.prompts!r} in scheme {settings.scheme.name}.")
    sampling = settings.scheme.sampling
    wanted = wanted_facts(source, facts, aliases or load_aliases(workspace), settings.match)
    store = store or CompletionStore.of(loaded.fingerprint.to_dict(), sampling, workspace)
    pending = _pending(store, wanted)
    reporter.log(f"{len(wanted) - len(pending)} of {len(wanted)} facts were probed before with these settings.")
    if pending:
        size = next(size for limit, size in _PART_FACTS if loaded.model.num_parameters() <= limit)
        parts = [pending[start : start + size] for start in range(0, len(pending), size)]
        _require_room(loaded, parts, sampling.max_new_tokens)
        sampler = sampler or make_sampler(sampling.sampler, loaded, settings.batch_size)
        phase = Phase(reporter, "probe", len(pending), "facts")
        for part in parts:
            _probe_part(loaded, store, part, settings, sampler, phase)
    return levels_table(known_hits(store, wanted, keep=True), wanted, settings.scheme, seen_templates(loaded.card))


def _pending(store: CompletionStore, wanted: Sequence[WantedFact]) -> list[WantedFact]:
    # judging reads every part that is needed, so a damaged one shows now and its facts are probed
    known = set(known_hits(store, wanted, keep=True)["fact_id"])
    return list({w.fact_id: w for w in wanted if w.fact_id not in known}.values())


def _probe_part(
    loaded: LoadedModel, store: CompletionStore, part: list[WantedFact], settings: ProbeSettings, sampler: Sampler, phase: Phase
) -> None:
    prompts = _prompts(loaded, part)
    left = {w.fact_id: len(w.relation.templates) for w in part}  # prompts of a fact still to come
    rows: list[Completion] = []
    through, told = 0, 0
    try:
        for batch in sampler.sample(prompts, settings.scheme.sampling):
            rows += batch
            completed = {(row.fact_id, row.template) for row in batch}
            for fact_id, _ in completed:
                left[fact_id] -= 1
            through += len(completed)
            # a fact's prompts are spread over batches of their lengths, so most facts end together: tell the share instead
            before, told = told, through * len(part) // len(prompts)
            phase.advance(told - before)
    finally:
        whole = [w for w in part if not left[w.fact_id]]
        if whole:
            ids = {w.fact_id for w in whole}
            store.add(pd.DataFrame([asdict(row) for row in rows if row.fact_id in ids]), whole)


def _require_room(loaded: LoadedModel, parts: Sequence[list[WantedFact]], max_new_tokens: int) -> None:
    """All facts before the first is sampled: hours may lie between the first part and the one with a prompt too long."""
    longest: list[int] = []
    for part in parts:  # encoded again when it is their turn: the ids of all prompts would fill the memory
        of_fact = dict.fromkeys((w.fact_id for w in part), 0)
        for prompt in _prompts(loaded, part):
            of_fact[prompt.fact_id] = max(of_fact[prompt.fact_id], len(prompt.ids))
        longest += of_fact.values()
    require_room(loaded, longest, max_new_tokens, "facts' statements", [w.subject for part in parts for w in part])


def _prompts(loaded: LoadedModel, part: list[WantedFact]) -> list[Prompt]:
    places = [(w, t, text) for w in part for t, text in enumerate(w.prompts)]
    encoded = encode_prompts(loaded, [text for _, _, text in places])
    return [Prompt(w.fact_id, t, tuple(ids), w.compiled) for (w, t, _), ids in zip(places, encoded, strict=True)]
