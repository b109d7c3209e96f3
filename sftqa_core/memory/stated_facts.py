"""The facts that a pre-training states: all of its source, or those on some levels of the model that it goes on from."""

from __future__ import annotations

from dataclasses import replace

from sftqa_core.errors import NotEnoughFacts, SettingsError
from sftqa_core.jsonrecord import shown
from sftqa_core.knowledge.facts import FactSource, content_fingerprint
from sftqa_core.knowledge.sources import open_source
from sftqa_core.memory import profiles
from sftqa_core.records import PretrainSettings


def stated_source(settings: PretrainSettings) -> FactSource:
    """The source of these settings. With `base_levels` only its facts that the full probe of `base` has put on one of them so far; these
    have a fingerprint of their own, so a model made of them is another one once more facts are probed.

    Raises `SettingsError` for a level that there is not, `NotEnoughFacts` where no fact lies on these levels, and what opening a source
    or finding a model does.
    """
    source = open_source(settings.source)
    if settings.base is None or settings.base_levels is None:
        return source
    known = profiles.level_table(settings.base, settings.source)
    labels = known.scheme.labels
    if wrong := [name for name in settings.base_levels if name not in labels]:
        raise SettingsError(f"Levels are {', '.join(labels)}, got {shown(wrong)}.")
    wanted = [labels.index(name) for name in settings.base_levels]
    probed = int((known.level != profiles.NOT_PROBED).sum())
    chosen = known.table.loc[known.table["level"].isin(wanted), "fact_id"]
    facts = source.facts[source.facts["fact_id"].isin(set(chosen))].reset_index(drop=True)
    if facts.empty:
        raise NotEnoughFacts(
            f"None of the {probed:,} facts of {source.name} that were probed with {settings.base} lies on "
            f"{' or '.join(settings.base_levels)}. Probe it first: sftqa probe --model {settings.base} --source {settings.source}"
        )
    return replace(source, facts=facts, fingerprint=content_fingerprint(facts, source.relations))
