"""Which corpus a model was trained on, as far as an index of the count service holds it (training_corpora.toml). Asks nobody."""

import tomllib
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import Record
from sftqa_core.models.catalogue import made_from
from sftqa_core.models.hub.hub_cache import hub_name
from sftqa_core.records import ModelCard

TABLE = Path(__file__).with_name("training_corpora.toml")


@dataclass(frozen=True)
class Corpus(Record):
    """A corpus, and the index that holds it."""

    name: str
    index: str
    tokens: int  # of the index: no text stands in it more often
    source: str


@dataclass(frozen=True)
class TrainedOn(Record):
    """Models that were trained on a corpus."""

    corpus: str
    models: tuple[str, ...]  # hub ids, with * for any text
    source: str
    note: str = ""  # what a person should know before believing it


@dataclass(frozen=True)
class WithoutIndex(Record):
    """Models whose corpus has no index, though one might think so."""

    models: tuple[str, ...]
    why: str  # behind "can't be asked about: "
    source: str


@dataclass(frozen=True)
class KnownCorpora(Record):
    """The whole table."""

    corpus: tuple[Corpus, ...] = field(default_factory=tuple)
    trained: tuple[TrainedOn, ...] = field(default_factory=tuple)
    without: tuple[WithoutIndex, ...] = field(default_factory=tuple)


@cache
def known_corpora() -> KnownCorpora:
    """The table as it ships."""
    return KnownCorpora.from_dict(tomllib.loads(TABLE.read_text(encoding="utf-8")))


def corpus_of(card: ModelCard) -> tuple[Corpus, str]:
    """The corpus that a model has read, or the one that it was tuned from, and a note for the person (may be empty).

    Raises `SettingsError` saying why there is none that can be asked about.
    """
    root, known = made_from(card), known_corpora()
    hub = hub_name(root.name) if root.kind == "hub" else None
    if hub is None or hub.subfolder:
        raise SettingsError(
            f"{root.name} is not a model of the hub by its name there, so it is unknown what it has read. Name it as owner/name; "
            f"known are {_names(known)}."
        )
    if hub.revision not in (None, "main"):
        raise SettingsError(
            f"{root.name} may be a checkpoint that has read a part of its corpus only. Use {hub.repository}, without a revision."
        )
    for without in known.without:
        if _listed(hub.repository, without.models):
            raise SettingsError(f"{hub.repository} can't be asked about: {without.why}. Known are {_names(known)}.")
    for trained in known.trained:
        if _listed(hub.repository, trained.models):
            return next(corpus for corpus in known.corpus if corpus.name == trained.corpus), trained.note
    raise SettingsError(
        f"It is not known that an index of the count service holds what {hub.repository} was trained on, so there is nothing to ask. "
        f"Known are {_names(known)}."
    )


def corpus_for(card: ModelCard, index: str | None) -> tuple[Corpus, str]:
    """The same where a person names an `index`. Raises `SettingsError` for an index of another corpus, too."""
    corpus, note = corpus_of(card)
    if index not in (None, corpus.index):
        raise SettingsError(f"{card.name} was trained on {corpus.name}, which is the index {corpus.index}, got {index}.")
    return corpus, note


def _listed(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


def _names(known: KnownCorpora) -> str:
    return ", ".join(name for trained in known.trained for name in trained.models)
