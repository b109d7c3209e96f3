"""Levels that were not fully sampled, on disk: one row a fact, parts are added and never changed.

`<layer>/estimates/<key>/part-*.parquet`; the key is a hash of the model fingerprint and the whole level scheme, which stand
in `settings.json`. ESTIMATES has one row a fact, prompts and answers:

| column | type | meaning |
|---|---|---|
| fact_id, prompts_sha, answers_sha | str | as in HITS (tables.py) |
| rates | list[float] | per template: hits / samples (adaptive), or the answer's probability (likelihood) |
| samples | int | of each template, that the rates come from; 0 for the likelihood |
| score | float | the memory score that the full probe is expected to give |
| level | int | position in the scheme's labels |
| confidence | float | probability of that level; NaN for the likelihood, which states none |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa

from sftqa_core.artifacts import write_bytes, write_json
from sftqa_core.memory.parts import PartStore
from sftqa_core.memory.scores import level_of, split_scores
from sftqa_core.memory.tables import INTERVALS, LEVELS, parquet_bytes, part_name
from sftqa_core.memory.wanted import WantedFact
from sftqa_core.models.quantising import is_of
from sftqa_core.records import LevelScheme
from sftqa_core.workspace import Workspace

if TYPE_CHECKING:
    from sftqa_core.memory.adaptive import Decided

SCHEMA = 1  # of the parts; part of every key
_IDENTITY = ["fact_id", "prompts_sha", "answers_sha"]
ESTIMATES = pa.schema(
    [(name, pa.string()) for name in _IDENTITY]
    + [("rates", pa.list_(pa.float32())), ("samples", pa.int16())]
    + [("score", pa.float64()), ("level", pa.int8()), ("confidence", pa.float32())]
)


class EstimateStore(PartStore):
    """One model's estimates under one scheme, in both layers of a workspace."""

    kind: ClassVar[str] = "estimates"

    @classmethod
    def of(cls, model: dict[str, Any], scheme: LevelScheme, workspace: Workspace) -> EstimateStore:
        """The store of a model fingerprint's JSON and a scheme whose method is not "sampling"."""
        return cls.under({"model": model, "scheme": scheme.to_dict(), "schema": SCHEMA}, workspace)

    def rows(self, wanted: Sequence[WantedFact]) -> pd.DataFrame:
        """ESTIMATES of the wanted facts that are known, the newest of each."""
        tables = self.tables(self.kind, ESTIMATES)
        if not tables:
            return pd.DataFrame(columns=ESTIMATES.names)
        levels = len(LevelScheme.from_dict(self.settings["scheme"]).labels)
        tables = [table[table["level"].between(0, levels - 1)] for table in tables]  # what is no level here is estimated again
        asked = pd.DataFrame([(w.fact_id, w.prompts_sha, w.answers_sha) for w in wanted], columns=_IDENTITY, dtype="str")
        return pd.concat(tables, ignore_index=True).drop_duplicates(_IDENTITY).merge(asked.drop_duplicates(), on=_IDENTITY)

    def add(self, rows: Sequence[Decided] | Sequence[tuple[str, int, float]], facts: Sequence[WantedFact]) -> None:
        """Keep the estimates of whole facts."""
        scheme = LevelScheme.from_dict(self.settings["scheme"])
        table = _decided(rows, facts) if scheme.method == "adaptive" else _looked_up(rows, facts, scheme)  # type: ignore[arg-type]
        part = parquet_bytes(table, ESTIMATES)
        write_bytes(self.writable() / f"part-{part_name(part)}", part)
        self.added += len(facts)

    def compact(self, target: Path, wanted: Sequence[WantedFact]) -> Path:
        """Write what is known of these facts as one sorted part under the layer `target`; returns its folder."""
        folder = target / self.kind / self.key
        write_json(folder / "settings.json", self.settings)
        write_bytes(folder / "part-000.parquet", parquet_bytes(self.rows(wanted).sort_values("fact_id"), ESTIMATES, 19))
        return folder


def estimated_levels(
    rows: pd.DataFrame, wanted: Sequence[WantedFact], scheme: LevelScheme, seen_templates: Mapping[str, Sequence[int]] | None = None
) -> pd.DataFrame:
    """LEVELS of the wanted facts that `rows` (ESTIMATES) knows, in their order. Their intervals are NaN: those of a fixed number of
    samples are not valid here."""
    by_fact = rows.set_index("fact_id")
    known = [w for w in wanted if w.fact_id in by_fact.index]
    table = by_fact.loc[[w.fact_id for w in known]].reset_index()
    rates = [np.asarray(row, dtype=np.float64) for row in table["rates"]]
    samples = table["samples"].astype("int64")
    table["completions"] = [len(row) * n for row, n in zip(rates, samples, strict=True)]
    per_template = [row * (n or scheme.sampling.samples) for row, n in zip(rates, samples, strict=True)]
    table["hits_per_template"] = [row.round(2).tolist() for row in per_template]
    table["hits"] = [round(float(row.sum())) if n else 0 for row, n in zip(per_template, samples, strict=True)]
    table[["seen_score", "unseen_score"]] = split_scores(rates, known, seen_templates)
    table = table.assign(**dict.fromkeys(INTERVALS, float("nan")))[list(LEVELS)]
    return table.astype({"hits": "int64", "completions": "int64", "level": "int64", "score": "float64", "confidence": "float64"})


def likelihood_levels(rates: np.ndarray, scheme: LevelScheme) -> np.ndarray:
    """Levels of facts from the probability of each template's answer, [facts, templates] (METHOD 8.10).

    A level for R = 0 goes to facts that more likely than not would have no hit in all samples; others are at least one above.
    """
    levels = level_of(rates.mean(axis=1), scheme)
    if scheme.cutoffs[0] > 0:
        return levels
    with np.errstate(divide="ignore"):
        silent = np.exp(scheme.sampling.samples * np.log1p(-rates).sum(axis=1)) >= 0.5
    return np.where(silent, 0, np.maximum(levels, 1))


def _decided(rows: Sequence[Decided], facts: Sequence[WantedFact]) -> pd.DataFrame:
    found = {row.fact_id: row for row in rows}
    of = [(w, found[w.fact_id]) for w in facts]
    return pd.DataFrame(
        [
            (w.fact_id, w.prompts_sha, w.answers_sha, [h / d.seen for h in d.hits], d.seen, d.score, d.level, d.confidence)
            for w, d in of
        ],
        columns=ESTIMATES.names,
    )  # fmt: skip


def _looked_up(rows: Sequence[tuple[str, int, float]], facts: Sequence[WantedFact], scheme: LevelScheme) -> pd.DataFrame:
    rates = {w.fact_id: np.zeros(len(w.relation.templates)) for w in facts}
    for fact_id, template, chance in rows:
        rates[fact_id][template] = chance
    table = []
    for w in facts:
        own = rates[w.fact_id]
        level = int(likelihood_levels(own[None], scheme)[0])
        table.append((w.fact_id, w.prompts_sha, w.answers_sha, own.tolist(), 0, float(own.mean()), level, float("nan")))
    return pd.DataFrame(table, columns=ESTIMATES.names)


def find_estimates(
    weights: str, adapter: str | None, scheme: LevelScheme, workspace: Workspace, quantization: str = "none"
) -> list[EstimateStore]:
    """Estimates of a model under this scheme, whatever device and number format of it made them; for reading without torch."""

    def fits(settings: dict[str, Any]) -> bool:
        model, known = settings["model"], LevelScheme.from_dict(settings["scheme"])
        same = (model["weights"], model["adapter"], known, settings["schema"]) == (weights, adapter, scheme, SCHEMA)
        return same and is_of(model["dtype"], quantization)

    return EstimateStore.find(workspace, fits)
