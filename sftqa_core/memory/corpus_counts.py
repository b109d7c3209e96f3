"""How often a fact's subject and answers stand in a training corpus, as a count service told it, and where that is kept.

`<layer>/exposures/<key>/exposures.parquet` holds the counts of one index of one service, whichever models and sources they were asked for:
a fact whose texts are the same is not asked about twice. The folder is a sealed result that is replaced whole. COUNTS, a row a question:

| column | type | meaning |
|---|---|---|
| fact_id | str | the fact that it was asked for first |
| corpus, index | str | what was counted in |
| method | str | how: METHOD |
| window | int | tokens that may stand between subject and answer |
| count | int | occurrences of the rarer of the two with the other within the window |
| subject_count, object_count | int | of the subject alone, and of any of the answers alone |
| estimated | bool | whether `count` is the service's estimate; 0 may then stand for a number that was too small to be met |
| asked_at | str | when, UTC |
| subject_query, object_query | str | what was sent |
| asked | str | 16 hex digits over what was sent and the window: an alias that changes is asked anew |

A count is no number of statements: texts that name both may say anything of them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from sftqa_core.artifacts import changing, place_of, read_kept, write_folder
from sftqa_core.artifacts.plain_tables import plain_bytes, plain_table, refuse_columns
from sftqa_core.errors import ArtifactDamaged, ServiceUnavailable
from sftqa_core.jsonrecord import digest, fingerprint
from sftqa_core.knowledge.aliases import Aliases
from sftqa_core.knowledge.facts import subject_key
from sftqa_core.models.corpora.count_service import (
    MOST_CHARACTERS,
    MOST_LOOKED_AT,
    MOST_TEXTS,
    Count,
    CountService,
    QueryRefused,
    both,
    clause,
    why_not_askable,
)
from sftqa_core.models.corpora.training_corpora import Corpus
from sftqa_core.progress import Phase, Reporter
from sftqa_core.records import AskedExposures
from sftqa_core.workspace import Workspace

FOLDER, FILE = "exposures", "exposures.parquet"
METHOD = f"infini-gram: subject AND answers, {MOST_LOOKED_AT:,} matches looked at"
NUMBERS = ("window", "count", "subject_count", "object_count", "estimated")
TEXTS = ("fact_id", "corpus", "index", "method", "asked_at", "subject_query", "object_query", "asked")
COUNTS = ("fact_id", "corpus", "index", "method", *NUMBERS, "asked_at", "subject_query", "object_query", "asked")
AT_ONCE = 10  # facts between two writes: what a kill can lose
IN_A_ROW = 3  # refused queries before the work ends
SCHEMA = 1


@dataclass(frozen=True)
class Question:
    """What is asked of one fact."""

    fact_id: str
    subject: str
    objects: tuple[str, ...]

    @property
    def object_query(self) -> str:
        return clause(self.objects)

    @property
    def query(self) -> str:
        return both((self.subject,), self.objects)

    def asked(self, window: int) -> str:
        """What its counts are found by."""
        return digest(f"{self.subject}\x1f{self.object_query}\x1f{window}")


def questions(facts: pd.DataFrame, aliases: Aliases) -> tuple[list[Question], int]:
    """What can be asked of these facts, in their order, and of how many nothing can.

    A fact is left out whose subject is its whole question, or holds what the service takes for its own words, or is too long. Of the
    answers and their aliases at most four are asked for; one that contains another is counted with that.
    """
    found = []
    for fact_id, subject, answers, question in zip(*(facts[name] for name in ("fact_id", "subject", "answers", "question")), strict=True):
        name = subject_key(subject)
        objects = _apart([subject_key(answer) for answer in aliases.expand(answers)])[:MOST_TEXTS]
        asks = Question(fact_id, name, objects)
        if name != subject_key(question) and objects and not why_not_askable(name) and len(asks.query) <= MOST_CHARACTERS:
            found.append(asks)
    return found, len(facts) - len(found)


def _apart(names: Sequence[str]) -> tuple[str, ...]:
    """Names of which none stands inside another: what contains one would be counted twice."""
    askable = [name for name in dict.fromkeys(names) if not why_not_askable(name)]
    return tuple(name for name in askable if not any(other != name and f" {other} " in f" {name} " for other in askable))


class CountStore:
    """The counts of one index of one service, in both layers of a workspace."""

    def __init__(self, service: str, index: str, workspace: Workspace | None = None):
        self.settings = {"service": service, "index": index, "method": METHOD, "schema": SCHEMA}
        self._layers = (workspace or Workspace.current()).layers
        self.folder = self._layers[0] / FOLDER / fingerprint(self.settings)

    @property
    def file(self) -> Path:
        """Where the person's counts lie."""
        return place_of(self.folder) / FILE

    def table(self) -> pd.DataFrame:
        """COUNTS, the newest of each question; a damaged file is set aside, and its questions are asked again."""
        tables = [self._read(layer) for layer in reversed(self._layers)]
        known = [table for table in tables if table is not None]
        if not known:
            return pd.DataFrame(columns=list(COUNTS))
        return pd.concat(known, ignore_index=True).drop_duplicates("asked", keep="last").reset_index(drop=True)

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep what was told; another process may do the same."""
        new = pd.DataFrame(list(rows), columns=list(COUNTS))
        with changing(self.folder):
            before = self._read(self._layers[0])
            table = new if before is None else pd.concat([before, new], ignore_index=True).drop_duplicates("asked", keep="last")
            content = plain_bytes(table.astype({"estimated": bool}))
            write_folder(place_of(self.folder), lambda folder: _write(folder / FILE, content), {"kind": FOLDER, "settings": self.settings})

    def _read(self, layer: Path) -> pd.DataFrame | None:
        return read_kept(layer / FOLDER / self.folder.name, self.settings, FILE, _parsed, layer == self._layers[0])


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _parsed(_: dict[str, Any], content: bytes) -> pd.DataFrame:
    try:
        table = plain_table(content)
        refuse_columns(table, COUNTS, TEXTS, ())
    except ValueError as error:
        raise ArtifactDamaged(f"{FILE} {error}.") from error
    return table[list(COUNTS)]


@dataclass(frozen=True)
class Missing:
    """What is not known of some questions yet."""

    questions: list[Question]
    known: dict[str, Count]  # of texts alone, by query

    @cached_property
    def requests(self) -> int:
        """At most so many."""
        alone = {text for asks in self.questions for text in (asks.subject, asks.object_query)}
        return len(alone - self.known.keys()) + len(self.questions)


def missing(asked: Sequence[Question], table: pd.DataFrame, window: int) -> Missing:
    """Those of the questions whose counts are not in COUNTS, each once."""
    there = set(table["asked"])
    new = {key: asks for asks in asked if (key := asks.asked(window)) not in there}
    alone: dict[str, Count] = {}
    for kind in ("subject", "object"):
        pairs = zip(table[f"{kind}_query"], table[f"{kind}_count"], strict=True)
        alone |= {text: Count(int(count), False) for text, count in pairs}
    return Missing(list(new.values()), alone)


def ask(wanted: Missing, store: CountStore, service: CountService, corpus: Corpus, reporter: Reporter) -> AskedExposures:
    """Send what is missing, and keep what is told: at most AT_ONCE facts are lost to a kill.

    Raises `ServiceUnavailable`, saying what is kept, and `Stopped`.
    """
    phase = Phase(reporter, "counting", len(wanted.questions), "facts")
    kept, refused, in_a_row, rows, alone = 0, 0, 0, [], dict(wanted.known)
    try:
        for asks in wanted.questions:
            try:
                rows.append(_counted(asks, service, corpus, alone))
                in_a_row = 0
            except QueryRefused as error:
                refused, in_a_row = refused + 1, in_a_row + 1
                reporter.log(f"{asks.query}: {error}")
                if in_a_row == IN_A_ROW:
                    raise ServiceUnavailable(f"{error} So it did {IN_A_ROW} times in a row.") from None
            if len(rows) == AT_ONCE:
                store.add(rows)
                kept, rows = kept + len(rows), []
            phase.advance(1)
    except ServiceUnavailable as error:
        raise ServiceUnavailable(f"{error} Counts of {kept + len(rows):,} facts are kept; the same command goes on from there.") from None
    finally:
        if rows:
            store.add(rows)
    return AskedExposures(kept + len(rows), service.asked, refused, str(store.file))


def _counted(asks: Question, service: CountService, corpus: Corpus, alone: dict[str, Count]) -> dict[str, Any]:
    """The row of one question; what does not occur alone does not occur together, and is not asked for."""
    for text in (asks.subject, asks.object_query):
        if text not in alone:
            alone[text] = service.count(text)
    subject, objects = alone[asks.subject], alone[asks.object_query]
    together = service.count(asks.query) if subject.count and objects.count else Count(0, False)
    return {
        "fact_id": asks.fact_id, "corpus": corpus.name, "index": corpus.index, "method": METHOD, "window": service.window,
        "count": together.count, "subject_count": subject.count, "object_count": objects.count, "estimated": together.estimated,
        "asked_at": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"), "subject_query": asks.subject,
        "object_query": asks.object_query, "asked": asks.asked(service.window),
    }  # fmt: skip


def counts_of(asked: Sequence[Question], table: pd.DataFrame) -> pd.DataFrame:
    """COUNTS of these questions in the window with most, each with the fact_id that it is asked for; empty where none is known."""
    best = table[:0].assign(fact_id=[])
    for window in sorted(set(table["window"].astype(int))):
        keys = pd.DataFrame({"fact_id": [asks.fact_id for asks in asked], "asked": [asks.asked(window) for asks in asked]})
        found = keys.merge(table.drop(columns="fact_id"), on="asked", how="inner")
        best = found if len(found) > len(best) else best
    return best[list(COUNTS)].reset_index(drop=True)
