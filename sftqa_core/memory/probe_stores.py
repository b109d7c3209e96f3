"""What probes found, on disk: completions with the hits judged of them, and estimates.

Completions: `<layer>/completions/<key>/` holds `part-*.parquet` with a `facts-*.parquet` beside each, written after it: a part
without one was interrupted and is not read. `<layer>/hits/<key>/` holds what was judged of them. The key is a hash of the
model fingerprint and the sampler's settings, which stand in `settings.json`.

Estimates, levels that were not fully sampled: `<layer>/estimates/<key>/part-*.parquet`; the key is a hash of the model fingerprint
and the whole level scheme, which stand in `settings.json`. ESTIMATES has one row a fact, prompts and answers:

| column | type | meaning |
|---|---|---|
| fact_id, prompts_sha, answers_sha | str | as in HITS (scores.py) |
| rates | list[float] | per template: hits / samples (adaptive), or the answer's probability (likelihood) |
| samples | int | of each template, that the rates come from; 0 for the likelihood |
| score | float | the memory score that the full probe is expected to give |
| level | int | position in the scheme's labels |
| confidence | float | probability of that level; NaN for the likelihood, which states none |
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa

from sftqa_core.artifacts import write_bytes, write_json
from sftqa_core.engine.wanted_facts import WantedFact
from sftqa_core.errors import ArtifactDamaged
from sftqa_core.knowledge.matching import left_out
from sftqa_core.memory import scores
from sftqa_core.models.quantising import is_of
from sftqa_core.records import LevelScheme, SamplerSettings
from sftqa_core.workspace import Workspace

if TYPE_CHECKING:
    from sftqa_core.memory.estimating import Decided

_FEW = 1_000  # facts that are picked out of each part as it is read
SCHEMA = 1  # of the parts; part of every key, so that an old reader never meets a new part


class CompletionStore(scores.PartStore):
    """One model's completions under one set of sampler settings, in both layers of a workspace."""

    kind: ClassVar[str] = "completions"

    @classmethod
    def of(
        cls, model: dict[str, Any], sampler: SamplerSettings, workspace: Workspace, asking: dict[str, Any] | None = None
    ) -> "CompletionStore":
        """The store of a model fingerprint's JSON (weights, adapter, dtype, tokenizer, device type); `asking` is a scheme's."""
        return cls.under({"model": model, "sampler": sampler.to_dict(), "schema": SCHEMA, **(asking or {})}, workspace)

    @classmethod
    def under_scheme(cls, model: dict[str, Any], scheme: LevelScheme, workspace: Workspace) -> "CompletionStore":
        """The store whose completions decide this scheme's levels."""
        return cls.of(model, scheme.sampling, workspace, scheme.asking)

    def locate(self, wanted: Sequence[WantedFact]) -> dict[str, Path]:
        """Fact id -> the newest part whose completions hold for it; a fact without one must be probed.

        Completions hold if the prompts are the same and no row stopped on an answer that is no longer one.
        """
        located: dict[str, Path] = {}
        for facts_file in self.newest_first(self.kind, "facts-*.parquet"):
            missing = {w.fact_id: w for w in wanted if w.fact_id not in located}
            if not missing:
                break
            part = facts_file.with_name(facts_file.name.replace("facts-", "part-", 1))
            located |= dict.fromkeys(self._holding(facts_file, part, missing), part)
        return located

    def completions(self, located: dict[str, Path]) -> pd.DataFrame:
        """COMPLETIONS rows of located facts. Raises `ArtifactDamaged` after setting a broken part aside: locate again."""
        parts: dict[Path, list[str]] = {}
        for fact_id, part in located.items():
            parts.setdefault(part, []).append(fact_id)
        tables = [self._rows(part, ids) for part, ids in parts.items()]
        empty = pd.DataFrame(columns=scores.COMPLETIONS.names)
        return pd.concat(tables, ignore_index=True) if tables else empty

    def hits(self, fact_ids: list[str] | None = None) -> pd.DataFrame:
        """Every HITS row known, or those of these facts, the newest of each (fact, prompts, answers)."""
        tables = [table for table in self.each("hits", scores.HITS, fact_ids) if len(table)]
        if not tables:
            return pd.DataFrame(columns=scores.HITS.names)
        return pd.concat(tables, ignore_index=True).drop_duplicates(["fact_id", "prompts_sha", "answers_sha"])

    def add(self, completions: pd.DataFrame, probed: Sequence[WantedFact]) -> None:
        """Keep the completions of whole facts."""
        part = scores.parquet_bytes(_sorted(completions, probed), scores.COMPLETIONS)
        facts = scores.parquet_bytes(_probed_table(probed), scores.PROBED)
        name, folder = scores.part_name(part, facts), self.writable()
        write_bytes(folder / f"part-{name}", part)
        write_bytes(folder / f"facts-{name}", facts)
        self.added += len(probed)

    def add_hits(self, hits: pd.DataFrame) -> None:
        """Keep what was judged."""
        part = scores.parquet_bytes(hits, scores.HITS)
        write_bytes(self.layers[0] / "hits" / self.key / f"part-{scores.part_name(part)}", part)

    def compact(self, target: Path, wanted: Sequence[WantedFact], texts_of: Sequence[WantedFact] | None = None) -> Path:
        """Write these facts' hits, and the completions of `texts_of` (None: of all), as one sorted part each under the layer `target`.

        Facts that were not probed are left out; facts with hits alone keep their levels but must be sampled again when an
        alias changes. This is how results are made ready to ship. Returns the folder with the completions.
        """
        located = self.locate(wanted if texts_of is None else texts_of)
        alike = sorted(wanted, key=lambda w: (w.relation.id, w.fact_id))  # like beside like
        probed = [w for w in alike if w.fact_id in located]
        folder = target / "completions" / self.key
        write_json(folder / "settings.json", self.settings)
        write_bytes(folder / "part-000.parquet", scores.parquet_bytes(_sorted(self.completions(located), probed), scores.COMPLETIONS, 19))
        write_bytes(folder / "facts-000.parquet", scores.parquet_bytes(_probed_table(probed), scores.PROBED, 19))
        same = pd.DataFrame([(w.fact_id, w.prompts_sha, w.answers_sha) for w in alike], columns=scores.HITS.names[:3])
        hits = same.merge(self.hits(), on=scores.HITS.names[:3])
        write_bytes(target / "hits" / self.key / "part-000.parquet", scores.parquet_bytes(hits, scores.HITS, 19))
        return folder

    def set_part_aside(self, part: Path, error: Exception) -> None:
        """`set_aside` a part of completions with the file beside it."""
        self.set_aside([part.with_name(part.name.replace("part-", "facts-", 1)), part], error)

    def _holding(self, facts_file: Path, part: Path, wanted: dict[str, WantedFact]) -> list[str]:
        try:
            table = scores.read_parquet(facts_file, scores.PROBED, list(wanted) if len(wanted) <= _FEW else None)
            scores.require_parquet(part)
        except ArtifactDamaged as error:
            self.set_part_aside(part, error)
            return []
        rows = zip(*(table[name] for name in scores.PROBED.names), strict=True)
        same = {f: (match, set(answers)) for f, prompts, match, answers in rows if f in wanted and wanted[f].prompts_sha == prompts}
        doubtful = [f for f, stopped_on in same.items() if stopped_on != (wanted[f].rule, set(wanted[f].answers))]
        if not doubtful:
            return list(same)
        try:
            drawn = self._rows(part, doubtful)
        except ArtifactDamaged:
            return []
        stopped = drawn[drawn["stop"] == "hit"]
        pairs = zip(stopped["fact_id"], stopped["text"], strict=True)
        stale = {
            fact_id for fact_id, text in pairs if wanted[fact_id].compiled.find(text) is None
        }  # they stopped on a text that is no answer any more
        return [f for f in same if f not in stale]

    def _rows(self, part: Path, fact_ids: list[str]) -> pd.DataFrame:
        try:
            return scores.read_parquet(part, scores.COMPLETIONS, fact_ids)
        except ArtifactDamaged as error:
            self.set_part_aside(part, error)
            raise ArtifactDamaged(f"{part} can't be read and was set aside; its facts will be probed again.") from error


def store_for(model: dict[str, Any], scheme: LevelScheme, workspace: Workspace) -> "CompletionStore | EstimateStore":
    """Where the results lie that decide a model's levels under this scheme; `model` is its fingerprint's JSON."""
    if scheme.method == "sampling":
        return CompletionStore.under_scheme(model, scheme, workspace)
    return EstimateStore.of(model, scheme, workspace)


def find_stores(
    weights: str,
    adapter: str | None,
    sampler: SamplerSettings,
    workspace: Workspace,
    asking: dict[str, Any] | None = None,
    quantization: str = "none",
) -> list[CompletionStore]:
    """Stores of a model on any device, in its own number format; for reading without torch. `asking` is a scheme's.

    A model in 4 bits, or on a processor in bfloat16, is another model: completions of one are not results of the other.
    """

    def fits(settings: dict[str, Any]) -> bool:
        model = settings["model"]
        stored = (model["weights"], model["adapter"], settings["sampler"], settings["schema"], settings.get("prompts"))
        same = stored == (weights, adapter, sampler.to_dict(), SCHEMA, (asking or {}).get("prompts"))
        return same and is_of(model, quantization)

    return CompletionStore.find(workspace, fits)


def _sorted(completions: pd.DataFrame, facts: Sequence[WantedFact]) -> pd.DataFrame:
    """Rows in the facts' order, equal texts of a fact side by side: that is what compresses."""
    order = completions["fact_id"].astype("str").map({w.fact_id: place for place, w in enumerate(facts)})
    return completions.assign(order=order).sort_values(["order", "text", "tokens", "stop", "template"])


def _probed_table(probed: Sequence[WantedFact]) -> pd.DataFrame:
    rows = [(w.fact_id, w.prompts_sha, w.rule, list(w.answers)) for w in probed]
    return pd.DataFrame(rows, columns=scores.PROBED.names)


ESTIMATES_SCHEMA = 1  # of the parts; part of every key
_IDENTITY = ["fact_id", "prompts_sha", "answers_sha"]
ESTIMATES = pa.schema(
    [(name, pa.string()) for name in _IDENTITY]
    + [("rates", pa.list_(pa.float32())), ("samples", pa.int16())]
    + [("score", pa.float64()), ("level", pa.int8()), ("confidence", pa.float32())]
)


class EstimateStore(scores.PartStore):
    """One model's estimates under one scheme, in both layers of a workspace."""

    kind: ClassVar[str] = "estimates"

    @classmethod
    def of(cls, model: dict[str, Any], scheme: LevelScheme, workspace: Workspace) -> "EstimateStore":
        """The store of a model fingerprint's JSON and a scheme whose method is not "sampling"."""
        return cls.under({"model": model, "scheme": scheme.to_dict(), "schema": ESTIMATES_SCHEMA}, workspace)

    def rows(self, wanted: Sequence[WantedFact]) -> pd.DataFrame:
        """ESTIMATES of the wanted facts that are known, the newest of each; those of the matching rule's first version hold where there are
        no others, since no texts are kept that could be judged anew."""
        tables = list(self.each(self.kind, ESTIMATES, [w.fact_id for w in wanted] if len(wanted) <= _FEW else None))
        if not tables:
            return pd.DataFrame(columns=ESTIMATES.names)
        levels = len(LevelScheme.from_dict(self.settings["scheme"]).labels)
        tables = [table[table["level"].between(0, levels - 1)] for table in tables]  # what is no level here is estimated again
        known = [(w.fact_id, w.prompts_sha, w.answers_sha) for w in wanted]
        earlier = [(w.fact_id, w.prompts_sha, w.earlier_sha) for w in wanted if w.earlier_sha]
        asked = pd.DataFrame([*known, *earlier], columns=_IDENTITY, dtype="str").drop_duplicates()
        rows = pd.concat(tables, ignore_index=True).drop_duplicates(_IDENTITY).merge(asked, on=_IDENTITY)
        if not earlier:
            return rows
        current = rows["answers_sha"].isin({w.answers_sha for w in wanted})
        return pd.concat([rows[current], rows[~current]], ignore_index=True).drop_duplicates(_IDENTITY[:2])

    def add(self, rows: "Sequence[Decided] | Sequence[tuple[str, int, float]]", facts: Sequence[WantedFact]) -> None:
        """Keep the estimates of whole facts."""
        scheme = LevelScheme.from_dict(self.settings["scheme"])
        table = _decided(rows, facts) if scheme.method == "adaptive" else _looked_up(rows, facts, scheme)  # type: ignore[arg-type]
        part = scores.parquet_bytes(table, ESTIMATES)
        write_bytes(self.writable() / f"part-{scores.part_name(part)}", part)
        self.added += len(facts)

    def compact(self, target: Path, wanted: Sequence[WantedFact]) -> Path:
        """Write what is known of these facts as one sorted part under the layer `target`; returns its folder."""
        folder = target / self.kind / self.key
        write_json(folder / "settings.json", self.settings)
        write_bytes(folder / "part-000.parquet", scores.parquet_bytes(self.rows(wanted).sort_values("fact_id"), ESTIMATES, 19))
        return folder


def estimated_levels(
    rows: pd.DataFrame, wanted: Sequence[WantedFact], scheme: LevelScheme, seen_templates: Mapping[str, Sequence[int]]
) -> pd.DataFrame:
    """LEVELS of the wanted facts that `rows` (ESTIMATES) knows, in their order. Their intervals are NaN: those of a fixed number of
    samples are not valid here."""
    by_fact = rows.set_index("fact_id")
    estimated = [w for w in wanted if w.fact_id in by_fact.index]
    table = by_fact.loc[[w.fact_id for w in estimated]].reset_index()
    rates = [np.asarray(row, dtype=np.float64) for row in table["rates"]]
    samples, widths = table["samples"].astype("int64"), np.array([len(row) for row in rates], dtype=np.int64)
    per_template = [row * (n or scheme.sampling.samples) for row, n in zip(rates, samples, strict=True)]
    side_by_side = np.zeros((len(rates), max(widths, default=0)))
    for row, rate in zip(side_by_side, rates, strict=True):
        row[: len(rate)] = rate
    relations = np.array([w.relation.id for w in estimated], dtype=object)
    table = table.assign(
        completions=widths * samples,
        hits_per_template=[row.round(2).tolist() for row in per_template],
        hits=[round(float(row.sum())) if n else 0 for row, n in zip(per_template, samples, strict=True)],
        **scores.split_scores(side_by_side, widths, np.ones(len(estimated)), relations, seen_templates),
        **dict.fromkeys(scores.INTERVALS, float("nan")),
    )[list(scores.LEVELS)]
    return table.astype({"hits": "int64", "completions": "int64", "level": "int64", "score": "float64", "confidence": "float64"})


def estimated_before(rows: pd.DataFrame, wanted: Sequence[WantedFact], scheme: LevelScheme) -> int:
    """How many of `rows` (ESTIMATES) depend on the matching rule's first version, though this one is another to their answers.

    The likelihood depends on the rule only where something is taken off an answer before it is looked up.
    """
    known = dict(zip(rows["fact_id"], rows["answers_sha"], strict=True))
    before = [w for w in wanted if w.earlier_sha and known.get(w.fact_id) == w.earlier_sha]
    if scheme.method == "likelihood":
        before = [w for w in before if any(map(left_out, w.answers))]
    return len({w.fact_id for w in before})


def likelihood_levels(rates: np.ndarray, scheme: LevelScheme) -> np.ndarray:
    """Levels of facts from the probability of each template's answer, [facts, templates] (METHOD 8.10).

    A level for R = 0 goes to facts that more likely than not would have no hit in all samples; others are at least one above.
    """
    levels = scores.level_of(rates.mean(axis=1), scheme)
    if scheme.cutoffs[0] > 0:
        return levels
    with np.errstate(divide="ignore"):
        silent = np.exp(scheme.sampling.samples * np.log1p(-rates).sum(axis=1)) >= 0.5
    return np.where(silent, 0, np.maximum(levels, 1))


def _decided(rows: "Sequence[Decided]", facts: Sequence[WantedFact]) -> pd.DataFrame:
    decided, table = {row.fact_id: row for row in rows}, []
    for w in facts:
        estimate = decided[w.fact_id]
        rates = [hits / estimate.seen for hits in estimate.hits]
        table.append((w.fact_id, w.prompts_sha, w.answers_sha, rates, estimate.seen, estimate.score, estimate.level, estimate.confidence))
    return pd.DataFrame(table, columns=ESTIMATES.names)


def _looked_up(rows: Sequence[tuple[str, int, float]], facts: Sequence[WantedFact], scheme: LevelScheme) -> pd.DataFrame:
    rates = {w.fact_id: np.zeros(len(w.relation.templates)) for w in facts}
    for fact_id, template, chance in rows:
        rates[fact_id][template] = chance
    table = []
    for w in facts:
        rate = rates[w.fact_id]
        level = int(likelihood_levels(rate[None], scheme)[0])
        table.append((w.fact_id, w.prompts_sha, w.answers_sha, rate.tolist(), 0, float(rate.mean()), level, float("nan")))
    return pd.DataFrame(table, columns=ESTIMATES.names)


def find_estimates(
    weights: str, adapter: str | None, scheme: LevelScheme, workspace: Workspace, quantization: str = "none"
) -> list[EstimateStore]:
    """Estimates of a model under this scheme, on any device, in its own number format; for reading without torch (see `find_stores`)."""

    def fits(settings: dict[str, Any]) -> bool:
        model, known = settings["model"], LevelScheme.from_dict(settings["scheme"])
        same = (model["weights"], model["adapter"], known, settings["schema"]) == (weights, adapter, scheme, ESTIMATES_SCHEMA)
        return same and is_of(model, quantization)

    return EstimateStore.find(workspace, fits)
