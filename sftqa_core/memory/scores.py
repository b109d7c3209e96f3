"""From completions to memory scores and levels (METHOD section 1), with both intervals (METHOD 8.9), and the tables they lie in.

COMPLETIONS (what the model said; one row a distinct outcome of one prompt)
| fact_id | str | the fact, 16 hex digits |
| template | int | position in the relation's templates, or of a few-shot prompt; -1 - position for its greedy completion |
| text | str | what was generated, without the end token |
| count | int | samples with this outcome |
| tokens | int | tokens drawn, the end token included |
| stop | str | `end` (end token), `hit` (an answer stood in the text), `line` (few-shot: a line ended) or `length` |

PROBED (which facts have completions; one row a fact)
| fact_id | str | |
| prompts_sha | str | with the fact id: hash of the templates and of what fills them |
| match | str | the matching rule that its rows stopped by, with its version where that matters to the answers (`matching.named`) |
| answers | list[str] | the answers, aliases included, that they stopped on |

HITS (completions judged; one row a fact, prompts and answers)
| fact_id, prompts_sha | str | |
| answers_sha | str | hash of the matching rule, named as in PROBED, and the answers, aliases included |
| completions | int | samples over all templates; greedy completions are not counted |
| hits | int | samples that contain an answer |
| hits_per_template | list[int] | in the templates' order; of few-shot prompts then 1 or 0 for each one's greedy completion |
| low_samples, high_samples | float | interval of R over samples, templates fixed (scores.samples_interval) |
| low_templates, high_templates | float | interval of R over templates (scores.templates_interval) |

LEVELS (what the browser and training read; one row a fact, in the order of the facts asked for)
| fact_id | str | |
| hits, completions | int | |
| score | float | R = hits / completions (METHOD section 1), or what is expected of it |
| low_samples, high_samples, low_templates, high_templates | float | |
| seen_score, unseen_score | float | R on the templates the model's corpus used and on the others; NaN where unknown |
| level | int | position in the scheme's labels |
| confidence | float | adaptive probe: probability that the full probe gives this level; NaN for other methods |
| hits_per_template | list[int] | for a likelihood estimate list[float]: the hits to be expected of the scheme's samples |

Levels that were estimated, and not fully sampled, have no intervals (NaN); probe_stores.py has the table behind them.

A store has a key made of all that a result depends on, and parts that are added, never changed, in the person's layer over the
shipped one. `<layer>/<kind>/<key>/` holds the parts, `settings.json`, the settings that the key is a hash of, and `origin.json`.
"""

import hashlib
import io
import json
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from sftqa_core.artifacts import Kept, fetching, keep_json, read_json, set_aside, write_json
from sftqa_core.engine.randomness import keys_of
from sftqa_core.engine.wanted_facts import WantedFact
from sftqa_core.errors import ArtifactDamaged, SettingsError, StorageError
from sftqa_core.jsonrecord import fingerprint
from sftqa_core.memory.shares import share_interval
from sftqa_core.records import LevelScheme
from sftqa_core.workspace import Workspace

_WORD = pa.dictionary(pa.int32(), pa.string())
COMPLETIONS = pa.schema(
    [("fact_id", _WORD), ("template", pa.int16()), ("text", pa.string()), ("count", pa.int16()), ("tokens", pa.int16()), ("stop", _WORD)]
)
PROBED = pa.schema([("fact_id", pa.string()), ("prompts_sha", pa.string()), ("match", pa.string()), ("answers", pa.list_(pa.string()))])
INTERVALS = ("low_samples", "high_samples", "low_templates", "high_templates")
HITS = pa.schema(
    [
        ("fact_id", pa.string()),
        ("prompts_sha", pa.string()),
        ("answers_sha", pa.string()),
        ("completions", pa.int32()),
        ("hits", pa.int32()),
    ]
    + [("hits_per_template", pa.list_(pa.int16()))]
    + [(name, pa.float32()) for name in INTERVALS]
)
LEVELS = (
    "fact_id", "hits", "completions", "score", *INTERVALS, "seen_score", "unseen_score", "level", "confidence", "hits_per_template",
)  # fmt: skip
_SMALL_NUMBERS = ("template", "count", "tokens")  # compress best as bytes
_NAMED = re.compile(r"(?P<kind>part|facts)-\d{20}-(?P<part>[0-9a-f]{8})(?P<facts>[0-9a-f]{8})\.parquet")
_ONE_PAGE = 64 << 20  # bytes: pages are compressed apart, and texts repeat over the whole part


def parquet_bytes(table: pd.DataFrame, schema: pa.Schema, compression_level: int = 3) -> bytes:
    """A table as a parquet file: zstd, a checksum on every page. Completions are smallest sorted by text within a fact."""
    rows = pa.Table.from_pandas(table[schema.names], schema=schema, preserve_index=False).replace_schema_metadata(None)
    small = [name for name in schema.names if name in _SMALL_NUMBERS] if schema is COMPLETIONS else []
    target = io.BytesIO()
    pq.write_table(
        rows,
        target,
        compression="zstd",
        compression_level=compression_level,
        use_dictionary=[name for name in schema.names if name not in (*small, "text")],
        column_encoding=dict.fromkeys(small, "BYTE_STREAM_SPLIT"),
        write_page_checksum=True,
        store_schema=False,
        data_page_size=_ONE_PAGE,
    )
    return target.getvalue()


def part_name(part: bytes, beside: bytes | None = None) -> str:
    """What follows `part-` in the name of a part with this content, and `facts-` in that of the list `beside` it.

    Names rise with time: the newest holds. The last 16 hex digits are checksums, 8 of the part and 8 of the list beside it (random
    where there is none): a file is checked before anything is made of its bytes, since some damage makes the reader of parquet
    files hang.
    """
    return f"{time.time_ns():020d}-{_checksum(part)}{uuid.uuid4().hex[:8] if beside is None else _checksum(beside)}.parquet"


def read_parquet(path: Path, schema: pa.Schema, fact_ids: list[str] | None = None) -> pd.DataFrame:
    """A table from disk, all of it or these facts' rows.

    Raises `ArtifactDamaged` for a file that is missing, altered or no parquet, or that lacks a column of `schema`; `StorageError`
    when the disk refuses.
    """
    chosen = None if fact_ids is None else [("fact_id", "in", fact_ids)]
    try:
        content = _content(path)
        lacking = [name for name in schema.names if name not in pq.read_schema(pa.BufferReader(content)).names]
        if lacking:
            raise ArtifactDamaged(f"{path} lacks the columns {', '.join(lacking)}")
        table = pq.read_table(pa.BufferReader(content), columns=schema.names, filters=chosen, page_checksum_verification=True)
        return table.to_pandas()
    except StorageError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ArtifactDamaged(f"{path}: {error}") from error


def facts_in(path: Path) -> NDArray[np.uint64]:
    """The keys of the facts that a file has rows of, kept while the file stays as it is. Raises as `read_parquet` does."""

    def read() -> NDArray[np.uint64]:
        return np.unique(keys_of(pq.read_table(pa.BufferReader(_content(path)), columns=["fact_id"]).column("fact_id").to_pylist()))

    try:
        about = path.stat()
        return _facts_in.get((path, about.st_mtime_ns, about.st_size), read)
    except (OSError, ValueError, TypeError, pa.ArrowException) as error:
        raise ArtifactDamaged(f"{path}: {error}") from error


_facts_in: Kept[NDArray[np.uint64]] = Kept(10_000_000, len)  # 80 MB; where one model has 100,000 facts, this is the lists of fifty


def holds_any(path: Path, fact_ids: list[str]) -> bool:
    """Whether a file has a row of one of these facts, or can't be read: whoever reads it says so."""
    try:
        known, wanted = facts_in(path), keys_of(fact_ids)
        return bool(len(known) and (known[np.searchsorted(known, wanted).clip(max=len(known) - 1)] == wanted).any())
    except (ArtifactDamaged, StorageError, ValueError):
        return True


def _content(path: Path) -> bytes:
    """A file's bytes, checked against the sum in its name, where it has one."""
    with fetching(path):
        content = path.read_bytes()
    if (named := _NAMED.fullmatch(path.name)) and _checksum(content) != named[named["kind"]]:
        raise ArtifactDamaged(f"{path}: its checksum differs from the one in its name")
    return content


def require_parquet(path: Path) -> None:
    """Raise as `read_parquet` does unless there is a parquet file, which one that was cut short is not; reads only its end."""
    try:
        with fetching(path):
            pq.read_metadata(path)
    except StorageError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise ArtifactDamaged(f"{path}: {error}") from error


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:8]


ORIGINS = "origin.json"  # beside settings.json: where the model came from, each place once
_log = logging.getLogger(__name__)


@dataclass
class PartStore:
    """One model's results under one set of settings, in both layers of a workspace."""

    kind: ClassVar[str]  # the folder of a layer that its parts lie in

    key: str
    layers: tuple[Path, ...]  # the user's first; only that one is written
    settings: dict[str, Any]  # what the key stands for
    damaged: list[str] = field(default_factory=list)  # parts set aside, by path
    added: int = 0  # facts whose results came in through this object

    @classmethod
    def under(cls, settings: Mapping[str, Any], workspace: Workspace) -> Self:
        """The store whose key these settings make."""
        return cls(fingerprint(dict(settings)), workspace.layers, dict(settings))

    @property
    def folder(self) -> Path:
        """Where the results lie: the user's folder, or the shipped one if only that exists."""
        folders = [layer / self.kind / self.key for layer in self.layers]
        return next((folder for folder in folders if folder.exists()), folders[0])

    def set_aside(self, paths: list[Path], error: Exception) -> None:
        """Never read these files of one part again; its facts count as not probed. Where nothing can be renamed, this object
        remembers."""
        for path in paths:
            self.damaged.append(str(path))
            if path.is_relative_to(self.layers[0]):
                set_aside(path)
        _log.warning("%s is damaged (%s): set aside, its facts will be probed again.", paths[-1], str(error).split("\n")[0])

    def newest_first(self, kind: str, pattern: str) -> list[Path]:
        """Files of this key under `kind`: the user's before shipped ones, late ones before early ones, damaged ones left out."""
        paths = [path for layer in self.layers for path in sorted((layer / kind / self.key).glob(pattern), reverse=True)]
        return [path for path in paths if str(path) not in self.damaged]

    def each(self, kind: str, schema: pa.Schema, fact_ids: list[str] | None = None) -> Iterator[pd.DataFrame]:
        """Each part under `kind` that can be read, or these facts' rows of it, as `newest_first` has them; damaged ones are set aside."""
        for path in self.newest_first(kind, "part-*.parquet"):
            if fact_ids is not None and not holds_any(path, fact_ids):
                continue
            try:
                yield read_parquet(path, schema, fact_ids)
            except ArtifactDamaged as error:
                self.set_aside([path], error)

    def lists(self) -> list[Path]:
        """Files that name the facts with results, newest first. A part of completions counts once its list of facts is written, which
        comes last."""
        of_kind = "facts-*.parquet" if self.kind == "completions" else "part-*.parquet"
        return [*self.newest_first("hits", "part-*.parquet"), *self.newest_first(self.kind, of_kind)]

    def writable(self) -> Path:
        """The user's folder, with the settings in it."""
        folder = self.layers[0] / self.kind / self.key
        if not (folder / "settings.json").exists():
            write_json(folder / "settings.json", self.settings)
        return folder

    def tell_origin(self, origin: dict[str, Any]) -> None:
        """Note where the model came from (models/catalogue.py) beside what it said. The same weights may come from several places, and
        the key is none of them: results of a model that was fetched elsewhere, or at another commit with the same files, are found."""
        path = self.writable() / ORIGINS
        known = read_json(path)
        origins = known if isinstance(known, list) else []
        if origin not in origins:
            keep_json(path, [*origins, origin])

    def mend(self) -> None:
        """Write the settings anew where they are lost or damaged: without them the results are not found by looking."""
        path = self.layers[0] / self.kind / self.key / "settings.json"
        if not path.parent.exists():
            return
        if read_json(path) != self.settings:
            write_json(path, self.settings)

    @classmethod
    def find(cls, workspace: Workspace, fits: Callable[[dict[str, Any]], bool]) -> list[Self]:
        """The stores whose settings fit; files that are no settings, or not those of their folder, are passed over."""
        stores: dict[str, Self] = {}
        for layer in workspace.layers:
            for path in sorted((layer / cls.kind).glob("*/settings.json")):
                try:
                    settings = json.loads(path.read_text(encoding="utf-8"))
                    fit = fits(settings)
                except (OSError, ValueError, KeyError, TypeError, SettingsError) as error:
                    _log.warning("%s can't be read (%s): its results are not shown.", path, error)
                    continue
                if fit and path.parent.name == fingerprint(settings):
                    stores.setdefault(path.parent.name, cls(path.parent.name, workspace.layers, settings))
        return list(stores.values())


_RESAMPLES = 1000


def matched_answers(completions: pd.DataFrame, wanted: Mapping[str, WantedFact]) -> list[str | None]:
    """For each COMPLETIONS row the answer its text contains, as it was given, or None. Every fact must be in `wanted`."""
    answer_in: dict[tuple[str, str], str | None] = {}
    matched = []
    for pair in zip(completions["fact_id"], completions["text"], strict=True):
        if pair not in answer_in:
            answer_in[pair] = wanted[pair[0]].compiled.find(pair[1])
        matched.append(answer_in[pair])
    return matched


def judge(completions: pd.DataFrame, wanted: Sequence[WantedFact], samples: int) -> pd.DataFrame:
    """HITS rows of these facts, in their order. Raises `ArtifactDamaged` if completions are missing or too many."""
    broken = miscounted(completions, wanted, samples)
    if broken:
        raise ArtifactDamaged(f"{len(broken)} facts do not have {samples} completions for every template, {broken[0]} among them.")
    matched = matched_answers(completions, {w.fact_id: w for w in wanted})
    hits = _per_slot(completions[[answer is not None for answer in matched]], wanted)
    sampled = [hits[row, : w.count] for row, w in enumerate(wanted)]
    identity = pd.DataFrame([(w.fact_id, w.prompts_sha, w.answers_sha) for w in wanted], columns=HITS.names[:3])
    numbers = {"completions": [samples * len(h) for h in sampled], "hits": [int(h.sum()) for h in sampled]}
    lists = [hits[row, : w.slots].tolist() for row, w in enumerate(wanted)]
    return identity.assign(**numbers, hits_per_template=lists, **_intervals(sampled, samples))


def miscounted(completions: pd.DataFrame, wanted: Sequence[WantedFact], samples: int) -> list[str]:
    """Ids of the wanted facts that have not exactly `samples` COMPLETIONS of each of their prompts, with one greedy one where those
    are drawn, and of no other prompt."""
    columns = completions[["fact_id", "template", "count"]]
    most = columns["fact_id"].map({w.fact_id: w.count for w in wanted}).astype(float) - 1
    least = columns["fact_id"].map({w.fact_id: w.count - w.slots for w in wanted}).astype(float)
    odd = columns.isna().any(axis=1) | ~columns["template"].between(least, most)
    drawn = _per_slot(columns[~odd], wanted)
    right = {(w.count, w.slots): np.repeat([samples, 1], [w.count, w.slots - w.count]) for w in wanted}
    wrong = {w.fact_id for row, w in enumerate(wanted) if (drawn[row, : w.slots] != right[w.count, w.slots]).any()}
    return [w.fact_id for w in wanted if w.fact_id in wrong.union(columns.loc[odd, "fact_id"])]


def samples_interval(hits: ArrayLike, samples: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95% interval of R over samples, the templates being fixed: hits [facts, templates] -> low, high [facts].

    Wilson's interval with the effective number of completions R(1 - R) / v, where v is the stratified variance
    of R, sum over templates of q(1 - q) / samples / templates^2, with Jeffreys rates q = (hits + 1/2) / (samples + 1) so
    that an all-or-nothing template still has some. Drawing a fixed number for each template can only narrow R (Hoeffding
    1956), so the effective number is never below the completions drawn. Never of zero width: 0 of 210 gives [0, 0.018].
    """
    counts = np.asarray(hits, dtype=np.float64)
    templates = counts.shape[1]
    total = templates * samples
    score = counts.sum(1) / total
    rate = (counts + 0.5) / (samples + 1)
    variance = (rate * (1 - rate)).sum(1) / samples / templates**2
    effective = np.maximum(total, score * (1 - score) / variance)
    low, high = share_interval(score * effective, effective)
    return np.where(score == 0, 0.0, low), np.where(score == 1, 1.0, high)


def templates_interval(hits: ArrayLike, samples: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95% interval of R over templates: hits [facts, templates] -> low, high [facts].

    Percentile bootstrap, 1,000 seeded resamples, the same for every fact. Where all templates agree it has no width:
    it can't speak of templates that were never written.
    """
    rates = np.asarray(hits, dtype=np.float64) / samples
    templates = rates.shape[1]
    weights = np.random.default_rng(seed).multinomial(templates, np.full(templates, 1 / templates), size=_RESAMPLES) / templates
    low, high = np.empty((2, len(rates)))
    for start in range(0, len(rates), 2000):
        part = slice(start, start + 2000)
        low[part], high[part] = np.quantile(weights @ rates[part].T, [0.025, 0.975], axis=0)
    return low, high


def level_of(scores: ArrayLike, scheme: LevelScheme) -> NDArray[np.int64]:
    """Positions in `scheme.labels` of memory scores: level i holds cutoffs[i-1] < R <= cutoffs[i] (METHOD section 1)."""
    return np.searchsorted(np.asarray(scheme.cutoffs), np.asarray(scores, dtype=np.float64), side="left")


def levels_of(hits: ArrayLike, scores: ArrayLike, scheme: LevelScheme) -> NDArray[np.int64]:
    """Positions in `scheme.labels` of facts with these `hits_per_template` [facts, slots] and memory scores [facts].

    By R and the cut-offs, or with few-shot prompts SliCK's (METHOD section 1): 3 where every greedy completion is right, 2 where
    some are, 1 where none of them but some sample is, 0 where nothing is.
    """
    if not scheme.few_shot:
        return level_of(scores, scheme)
    counts = np.asarray(hits, dtype=np.float64)
    counts = counts if counts.ndim == 2 else np.zeros((len(np.asarray(scores)), 0))
    sampled, greedy = (counts[:, part].sum(axis=1) for part in (slice(scheme.contexts), slice(scheme.contexts, None)))
    return np.select([greedy >= scheme.contexts, greedy > 0, sampled > 0], [3, 2, 1], 0)


def split_scores(
    counts: NDArray[Any], widths: NDArray[Any], of: NDArray[Any], relations: NDArray[Any], seen_templates: Mapping[str, Sequence[int]]
) -> dict[str, NDArray[np.float64]]:
    """Mean hit rates [facts] on the templates that the model's corpus used (`seen_templates`, by relation) and on the others.

    `counts` [facts, templates] are hits of `of` [facts] samples each; the first `widths` [facts] of a row count. NaN where there are
    no such templates, or the corpus is unknown.
    """
    split = np.full((2, len(counts)), np.nan)
    for relation, positions in seen_templates.items():
        rows = np.flatnonzero(relations == relation)
        for width in np.unique(widths[rows]) if positions else ():
            alike, used = rows[widths[rows] == width], np.isin(np.arange(width), positions)
            rates = counts[alike, :width] / of[alike, None]
            for at, part in enumerate((used, ~used)):
                if part.any():
                    split[at, alike] = np.ascontiguousarray(rates[:, part]).sum(axis=1) / part.sum()
    return {"seen_score": split[0], "unseen_score": split[1]}


def _per_slot(completions: pd.DataFrame, wanted: Sequence[WantedFact]) -> NDArray[np.int64]:
    """Counts added up: int64 [facts, slots of the fact that has most]; template -1 - t is the greedy completion of prompt t."""
    place = {w.fact_id: row for row, w in enumerate(wanted)}
    added = np.zeros((len(wanted), max((w.slots for w in wanted), default=0)), dtype=np.int64)
    rows, templates, counts = (
        column.to_numpy(dtype=np.int64) for column in (completions["fact_id"].map(place), completions["template"], completions["count"])
    )
    prompts = np.array([w.count for w in wanted], dtype=np.int64)
    np.add.at(added, (rows, np.where(templates < 0, prompts[rows] - 1 - templates, templates)), counts)
    return added


def _intervals(per_template: list[NDArray[np.int64]], samples: int) -> dict[str, NDArray[np.float64]]:
    columns = {name: np.empty(len(per_template)) for name in INTERVALS}
    widths = np.array([len(h) for h in per_template], dtype=np.int64)
    for width in np.unique(widths):
        rows = np.flatnonzero(widths == width)
        block = np.stack([per_template[row] for row in rows])
        bounds = (*samples_interval(block, samples), *templates_interval(block, samples))
        for name, values in zip(INTERVALS, bounds, strict=True):
            columns[name][rows] = values.round(4)  # finer than any reader needs, and fewer bytes on disk
    return columns
