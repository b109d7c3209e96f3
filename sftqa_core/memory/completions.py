"""Completions on disk: parts are added, never changed.

`<layer>/completions/<key>/` holds `part-*.parquet` with a `facts-*.parquet` beside each, written after it: a part
without one was interrupted and is not read. `<layer>/hits/<key>/` holds what was judged of them. The key is a hash of the
model fingerprint and the sampler's settings, which stand in `settings.json`.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sftqa_core.artifacts import write_bytes, write_json
from sftqa_core.errors import ArtifactDamaged
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.memory.tables import COMPLETIONS, HITS, PROBED, parquet_bytes, read_parquet
from sftqa_core.memory.wanted import WantedFact
from sftqa_core.records import SamplerSettings
from sftqa_core.workspace import Workspace

SCHEMA = 1  # of the parts; part of every key, so that an old reader never meets a new part
_log = logging.getLogger(__name__)


@dataclass
class CompletionStore:
    """One model's completions under one set of sampler settings, in both layers of a workspace."""

    key: str
    layers: tuple[Path, ...]  # the user's first; only that one is written
    settings: dict[str, Any]  # what the key stands for
    damaged: list[str] = field(default_factory=list)  # parts set aside, by name
    added: int = 0  # facts whose completions came in through this object

    @classmethod
    def of(cls, model: dict[str, Any], sampler: SamplerSettings, workspace: Workspace) -> CompletionStore:
        """The store of a model fingerprint's JSON (weights, adapter, dtype, tokenizer, device type)."""
        settings = {"model": model, "sampler": sampler.to_dict(), "schema": SCHEMA}
        return cls(fingerprint(settings), workspace.layers, settings)

    def locate(self, wanted: Sequence[WantedFact]) -> dict[str, Path]:
        """Fact id -> the newest part whose completions hold for it; a fact without one must be probed.

        Completions hold if the prompts are the same and no row stopped on an answer that is no longer one.
        """
        found: dict[str, Path] = {}
        for facts_file in self._facts_files():
            missing = {w.fact_id: w for w in wanted if w.fact_id not in found}
            if not missing:
                break
            part = facts_file.with_name(facts_file.name.replace("facts-", "part-", 1))
            found |= dict.fromkeys(self._holding(facts_file, part, missing), part)
        return found

    def completions(self, located: dict[str, Path]) -> pd.DataFrame:
        """COMPLETIONS rows of located facts. Raises `ArtifactDamaged` after setting a broken part aside: locate again."""
        parts: dict[Path, list[str]] = {}
        for fact_id, part in located.items():
            parts.setdefault(part, []).append(fact_id)
        tables = [self._rows(part, ids) for part, ids in parts.items()]
        empty = pd.DataFrame(columns=COMPLETIONS.names)
        return pd.concat(tables, ignore_index=True) if tables else empty

    def hits(self) -> pd.DataFrame:
        """Every HITS row known, the newest of each (fact, prompts, answers)."""
        tables = []
        for layer in self.layers:
            for path in sorted((layer / "hits" / self.key).glob("part-*.parquet"), reverse=True):
                try:
                    tables.append(read_parquet(path, HITS))
                except (OSError, pa.ArrowException) as error:
                    self._set_aside([path], error)
        if not tables:
            return pd.DataFrame(columns=HITS.names)
        return pd.concat(tables, ignore_index=True).drop_duplicates(["fact_id", "prompts_sha", "answers_sha"])

    def add(self, completions: pd.DataFrame, probed: Sequence[WantedFact]) -> None:
        """Keep the completions of whole facts."""
        name = part_name()
        folder = self._writable()
        write_bytes(folder / f"part-{name}", parquet_bytes(_sorted(completions, probed), COMPLETIONS))
        write_bytes(folder / f"facts-{name}", parquet_bytes(_probed_table(probed), PROBED))
        self.added += len(probed)

    def add_hits(self, hits: pd.DataFrame) -> None:
        """Keep what was judged."""
        write_bytes(self.layers[0] / "hits" / self.key / f"part-{part_name()}", parquet_bytes(hits, HITS))

    def compact(self, target: Path, wanted: Sequence[WantedFact], texts_of: Sequence[WantedFact] | None = None) -> Path:
        """Write these facts' hits, and the completions of `texts_of` (None: of all), as one sorted part each under the layer `target`.

        Facts that were not probed are left out; facts with hits alone keep their levels but must be sampled again when an
        alias changes. This is how results are made ready to ship. Returns the folder with the completions.
        """
        located = self.locate(wanted if texts_of is None else texts_of)
        alike = sorted(wanted, key=lambda w: (w.relation.id, w.fact_id))  # like beside like
        there = [w for w in alike if w.fact_id in located]
        folder = target / "completions" / self.key
        write_json(folder / "settings.json", self.settings)
        write_bytes(folder / "part-000.parquet", parquet_bytes(_sorted(self.completions(located), there), COMPLETIONS, 19))
        write_bytes(folder / "facts-000.parquet", parquet_bytes(_probed_table(there), PROBED, 19))
        same = pd.DataFrame([(w.fact_id, w.prompts_sha, w.answers_sha) for w in alike], columns=HITS.names[:3])
        hits = same.merge(self.hits(), on=HITS.names[:3])
        write_bytes(target / "hits" / self.key / "part-000.parquet", parquet_bytes(hits, HITS, 19))
        return folder

    @property
    def folder(self) -> Path:
        """Where the completions lie: the user's folder, or the shipped one if only that exists."""
        folders = [layer / "completions" / self.key for layer in self.layers]
        return next((folder for folder in folders if folder.exists()), folders[0])

    def set_aside(self, part: Path, error: Exception) -> None:
        """Never read this part of completions again; its facts count as not probed."""
        self._set_aside([part.with_name(part.name.replace("part-", "facts-", 1)), part], error)

    def _writable(self) -> Path:
        folder = self.layers[0] / "completions" / self.key
        if not (folder / "settings.json").exists():
            write_json(folder / "settings.json", self.settings)
        return folder

    def _facts_files(self) -> list[Path]:
        folders = [layer / "completions" / self.key for layer in self.layers]
        found = [path for folder in folders for path in sorted(folder.glob("facts-*.parquet"), reverse=True)]
        return [path for path in found if str(path) not in self.damaged]

    def _holding(self, facts_file: Path, part: Path, wanted: dict[str, WantedFact]) -> list[str]:
        try:
            table = read_parquet(facts_file, PROBED)
            pq.read_metadata(part)  # a part cut short has no footer
        except (OSError, pa.ArrowException) as error:
            self._set_aside([facts_file, part], error)
            return []
        rows = zip(*(table[name] for name in PROBED.names), strict=True)
        same = {f: (match, set(answers)) for f, prompts, match, answers in rows if f in wanted and wanted[f].prompts_sha == prompts}
        doubtful = [f for f, stopped_on in same.items() if stopped_on != (wanted[f].match, set(wanted[f].answers))]
        try:
            stale = self._stopped_on_no_answer(part, {f: wanted[f] for f in doubtful})
        except ArtifactDamaged:
            return []
        return [f for f in same if f not in stale]

    def _stopped_on_no_answer(self, part: Path, wanted: dict[str, WantedFact]) -> set[str]:
        if not wanted:
            return set()
        rows = self._rows(part, list(wanted))
        stopped = rows[rows["stop"] == "hit"]
        pairs = zip(stopped["fact_id"], stopped["text"], strict=True)
        return {fact_id for fact_id, text in pairs if wanted[fact_id].compiled.find(text) is None}

    def _rows(self, part: Path, fact_ids: list[str]) -> pd.DataFrame:
        try:
            return read_parquet(part, COMPLETIONS, fact_ids)
        except (OSError, pa.ArrowException) as error:
            self.set_aside(part, error)
            raise ArtifactDamaged(f"{part} can't be read and was set aside; its facts will be probed again.") from error

    def _set_aside(self, paths: list[Path], error: Exception) -> None:
        for path in paths:
            self.damaged.append(str(path))
            if path.is_relative_to(self.layers[0]) and path.exists():
                path.rename(path.with_name(path.name + ".damaged"))
        _log.warning("%s is damaged (%s): set aside, its facts will be probed again.", paths[-1], str(error).split("\n")[0])


def find_stores(weights: str, adapter: str | None, sampler: SamplerSettings, workspace: Workspace) -> list[CompletionStore]:
    """Stores of a model, whatever device and number format drew them; for reading without torch."""
    found: dict[str, CompletionStore] = {}
    for layer in workspace.layers:
        for path in sorted((layer / "completions").glob("*/settings.json")):
            try:
                settings = json.loads(path.read_text(encoding="utf-8"))
                same = settings["model"]["weights"] == weights and settings["model"]["adapter"] == adapter
                same = same and settings["sampler"] == sampler.to_dict()
            except (OSError, ValueError, KeyError, TypeError) as error:
                _log.warning("%s can't be read (%s): its completions are not shown.", path, error)
                continue
            if same:
                found.setdefault(path.parent.name, CompletionStore(path.parent.name, workspace.layers, settings))
    return list(found.values())


def _sorted(completions: pd.DataFrame, facts: Sequence[WantedFact]) -> pd.DataFrame:
    """Rows in the facts' order, equal texts of a fact side by side: that is what compresses."""
    order = completions["fact_id"].astype("str").map({w.fact_id: place for place, w in enumerate(facts)})
    return completions.assign(order=order).sort_values(["order", "text", "tokens", "stop", "template"])


def _probed_table(probed: Sequence[WantedFact]) -> pd.DataFrame:
    rows = [(w.fact_id, w.prompts_sha, w.match, list(w.answers)) for w in probed]
    return pd.DataFrame(rows, columns=PROBED.names)


def part_name() -> str:
    return f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.parquet"  # names rise with time: the newest holds
