"""The tables of memory probing: their columns, and how they lie on disk.

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
| match | str | the matching rule that its rows stopped by |
| answers | list[str] | the answers, aliases included, that they stopped on |

HITS (completions judged; one row a fact, prompts and answers)
| fact_id, prompts_sha | str | |
| answers_sha | str | hash of the matching rule and the answers, aliases included |
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

Levels that were estimated, and not fully sampled, have no intervals (NaN); estimates.py has the table behind them.
"""

from __future__ import annotations

import hashlib
import io
import re
import time
import uuid
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sftqa_core.artifacts import fetching
from sftqa_core.errors import ArtifactDamaged, StorageError

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
        with fetching(path):
            content = path.read_bytes()
        if (named := _NAMED.fullmatch(path.name)) and _checksum(content) != named[named["kind"]]:
            raise ArtifactDamaged(f"{path}: its checksum differs from the one in its name")
        lacking = [name for name in schema.names if name not in pq.read_schema(pa.BufferReader(content)).names]
        if lacking:
            raise ArtifactDamaged(f"{path} lacks the columns {', '.join(lacking)}")
        table = pq.read_table(pa.BufferReader(content), columns=schema.names, filters=chosen, page_checksum_verification=True)
        return table.to_pandas()
    except StorageError:
        raise
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ArtifactDamaged(f"{path}: {error}") from error


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
