"""Counts of a model's training corpus: what would be sent, sending it, and what is known beside the memory score.

Only `ask_exposures` sends anything, and only the command line calls it. Never loads torch.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sftqa_core.artifacts import MANIFEST, finished, read_manifest
from sftqa_core.errors import SettingsError, SftqaError
from sftqa_core.models import catalogue
from sftqa_core.models.corpora.training_corpora import corpus_for, corpus_of
from sftqa_core.records import COUNT_SERVICE, AskedExposures, ExposurePlan, ExposureRanks, ExposureSettings, LevelScheme, ProbeSettings
from sftqa_core.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from sftqa_core.memory.corpus_counts import CountStore, Missing, Question
    from sftqa_core.models.corpora.training_corpora import Corpus
    from sftqa_core.progress import Reporter

FOLDER = "exposures"  # of a layer
EXAMPLES = 1  # facts whose queries are shown
ANSWER_S = 0.2  # of one request, at least


@dataclass(frozen=True)
class _Chosen:
    corpus: Corpus
    note: str
    questions: list[Question]
    left_out: int
    store: CountStore
    missing: Missing


def exposure_plan(settings: ExposureSettings) -> ExposurePlan:
    """What would be sent. Raises `SettingsError` for a model whose corpus has no known index, another index, or an address that is
    neither https nor this machine; `FactsError` for facts that can't be read."""
    chosen = _chosen(settings)
    wanted, requests = chosen.missing, chosen.missing.requests
    examples = tuple(text for asks in wanted.questions[:EXAMPLES] for text in (asks.subject, asks.object_query, asks.query))
    facts = len(chosen.questions) + chosen.left_out
    return ExposurePlan(
        settings.model, settings.source, chosen.corpus.name, chosen.corpus.index, str(chosen.store.settings["service"]), facts,
        len(chosen.questions) - len(wanted.questions), chosen.left_out, requests, requests * (settings.pause_s + ANSWER_S), examples,
        (chosen.note,) if chosen.note else (),
    )  # fmt: skip


def ask_exposures(settings: ExposureSettings, reporter: Reporter) -> AskedExposures:
    """Send what `exposure_plan` tells, and keep the counts. A person must have agreed.

    Raises as `exposure_plan` does, `SettingsError` while HF_HUB_OFFLINE is set, `ServiceUnavailable` where no counts come, `Stopped`.
    """
    from sftqa_core.memory.corpus_counts import ask
    from sftqa_core.models.corpora.count_service import CountService

    refuse_offline()
    chosen = _chosen(settings)
    service = CountService(settings.service, chosen.corpus.index, chosen.corpus.tokens, settings.window, settings.pause_s, reporter.check)
    try:
        return ask(chosen.missing, chosen.store, service, chosen.corpus, reporter)
    finally:
        service.close()


def refuse_offline() -> None:
    """Raise `SettingsError` while the hub must not be asked: then nobody is."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise SettingsError("HF_HUB_OFFLINE is set, so nothing is sent anywhere. Unset it to ask the count service.")


def _chosen(settings: ExposureSettings) -> _Chosen:
    from sftqa_core.knowledge.aliases import load_aliases
    from sftqa_core.knowledge.atlas import is_atlas
    from sftqa_core.knowledge.sources import open_source
    from sftqa_core.memory.corpus_counts import CountStore, missing, questions
    from sftqa_core.memory.prober import chosen_facts
    from sftqa_core.models.corpora.count_service import service_address

    if is_atlas(settings.source):
        raise SettingsError(
            f"{settings.source} is an invented world, which no real corpus speaks of. Choose real facts: --source entity-questions-sample"
        )
    corpus, note = corpus_for(catalogue.find_model(settings.model), settings.index)
    store = CountStore(service_address(settings.service), corpus.index)
    probed = ProbeSettings(settings.model, settings.source, settings.split, settings.domain, settings.limit)
    asked, left_out = questions(chosen_facts(open_source(settings.source), probed), load_aliases())
    return _Chosen(corpus, note, asked, left_out, store, missing(asked, store.table(), settings.window))


@dataclass(frozen=True, eq=False)  # known by identity
class Exposures:
    """Counts beside the memory score of facts that have both."""

    corpus: str
    index: str
    service: str
    window: int
    first_asked: str  # UTC dates
    last_asked: str
    table: pd.DataFrame  # COUNTS with relation, subject, score and level (its label)
    ranks: tuple[ExposureRanks, ...]


def exposures(model: str, source: str, split: str = "test", domain: str = "all", scheme: LevelScheme | None = None) -> Exposures | None:
    """What is known, of the usual service where it was asked, else of another; None for a model whose corpus has no known index, and where
    nothing was asked for facts that have a level. Asks nobody."""
    from sftqa_core.evaluation.exposure_ranks import exposure_ranks
    from sftqa_core.knowledge.aliases import load_aliases
    from sftqa_core.memory.corpus_counts import CountStore, counts_of, questions
    from sftqa_core.memory.profiles import profile

    try:
        corpus, _ = corpus_of(catalogue.find_model(model))
    except SftqaError:  # whoever shows the model says what is wrong with it
        return None
    services = _services(corpus)
    known = profile(model, source, split, domain, scheme) if services else None
    if known is None or not known.probed:
        return None
    facts = known.take(known.rows, ["fact_id", "relation", "subject", "answers", "question", "score", "level"])
    facts = facts[facts["level"].notna()]
    asked, _ = questions(facts, load_aliases())
    for service in services:
        counts = counts_of(asked, CountStore(service, corpus.index).table())
        if len(counts):
            labels = facts.assign(level=[known.scheme.labels[int(level)] for level in facts["level"]])
            table = counts.merge(labels[["fact_id", "relation", "subject", "score", "level"]], on="fact_id")
            days = counts["asked_at"].min()[:10], counts["asked_at"].max()[:10]
            return Exposures(corpus.name, corpus.index, service, int(counts["window"].iloc[0]), *days, table, exposure_ranks(table))
    return None


def _services(corpus: Corpus) -> list[str]:
    """Those that have told counts of this corpus, the usual one first."""
    told = set()
    for folder in finished(layer / FOLDER for layer in Workspace.current().layers).values():
        with contextlib.suppress(SftqaError):
            settings = read_manifest(folder).get("settings", {})
            told |= {str(settings.get("service"))} if settings.get("index") == corpus.index else set()
    return sorted(told, key=lambda service: (service != COUNT_SERVICE, service))


def exposures_stamp() -> str:
    """Changes when counts are kept; empty where there are none."""
    places = finished(layer / FOLDER for layer in Workspace.current().layers)
    return " ".join(f"{name} {(path / MANIFEST).stat().st_mtime_ns}" for name, path in places.items())
