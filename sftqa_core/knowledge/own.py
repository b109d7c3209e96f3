"""A person's own facts from a file: CSV, JSON Lines or Parquet. The columns are described in rows.py.

New relations bring their templates in a column or in a file beside this one, `<name>.relations.toml` for `<name>.csv`,
laid out as relations.toml (label and domain may be left out there).
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sftqa_core.errors import FactsError, SettingsError
from sftqa_core.knowledge.facts import FactSource, listed
from sftqa_core.knowledge.relations import Relation
from sftqa_core.knowledge.rows import MAX_ROWS, Cells, source_from_cells
from sftqa_core.knowledge.spreadsheet import csv_cells, decode_text

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
MAX_BYTES = 500_000_000


def load_own(path: Path, name: str | None = None) -> FactSource:
    """The facts in a file, in `name` (default: the path). Raises `FactsError` with every problem by row and column.

    A fact's id holds the file's name without its folder, so a file can be moved and keeps its results.
    """
    try:
        cells = _cells(path)
        brought = read_relations(sidecar(path)) if sidecar(path).exists() else {}
    except OSError as error:
        raise FactsError(f"{path} can't be read: {error.strerror or error}.") from error
    return source_from_cells(cells, name or str(path), brought)


def sidecar(path: Path) -> Path:
    """Where the relations of a fact file stand."""
    return path.with_name(f"{path.stem}.relations.toml")


def read_relations(path: Path) -> dict[str, Relation]:
    """Relations in a TOML file laid out as relations.toml. Raises `FactsError` with every problem."""
    try:
        data = tomllib.loads(decode_text(path.read_bytes(), path.name))
    except tomllib.TOMLDecodeError as error:
        raise FactsError(f"{path.name} is not readable TOML: {error}.") from error
    found, problems = {}, []
    for key, fields in data.items():
        try:
            if not isinstance(fields, dict):
                raise SettingsError(f"'{key}' must be a table: [{key}], then question and templates.")
            found[key] = Relation.from_dict({"id": key, "label": key, "domain": "in", **fields})
        except SettingsError as error:
            problems += [f"{path.name}: {problem}" for problem in error.problems]
    if problems:
        raise FactsError(listed(problems))
    return found


def _cells(path: Path) -> Cells:
    suffix = path.suffix.casefold()
    if suffix not in SUFFIXES:
        raise FactsError(f"{path.name}: files of facts end in {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise FactsError(f"{path} does not exist.")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise FactsError(f"{path.name} has {size:,} bytes; a file of facts may have {MAX_BYTES:,}. Cut it into smaller files.")
    if not size:
        raise FactsError(f"{path.name} is empty.")
    if suffix == ".parquet":
        return _parquet(path)
    return _json_lines(path) if suffix in (".jsonl", ".ndjson") else _csv(path)


def _csv(path: Path) -> Cells:
    header, rows, _ = csv_cells(path.read_bytes(), path.name)
    wide = [number for number, row in enumerate(rows, 2) if any(row[len(header) :])]
    if wide:
        problems = [
            f"{path.name}, row {n:,}: more cells than the {len(header)} columns; put quotes around text with a comma." for n in wide
        ]
        raise FactsError(listed(problems))
    return Cells(path.name, header, enumerate(rows, 2), text_lists=True)  # row 1 is the header, as a spreadsheet counts


def _json_lines(path: Path) -> Cells:
    objects: list[tuple[int, dict[str, Any]]] = []
    problems = []
    for number, line in enumerate(decode_text(path.read_bytes(), path.name).split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            fault = None if isinstance(value, dict) else f"must be an object, got {type(value).__name__}"
        except (ValueError, RecursionError) as error:
            fault = f"is not readable JSON ({error})"
        if fault:
            problems.append(f"{path.name}, row {number:,}: {fault}.")
        else:
            objects.append((number, value))
    if problems:
        raise FactsError(listed(problems))
    columns = list(dict.fromkeys(key for _, value in objects for key in value))
    return Cells(path.name, columns, ((number, [value.get(key) for key in columns]) for number, value in objects))


def _parquet(path: Path) -> Cells:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
        if file.metadata.num_rows > MAX_ROWS:
            raise FactsError(f"{path.name} has {file.metadata.num_rows:,} rows, the most is {MAX_ROWS:,}. Cut it into smaller files.")
        return Cells(path.name, file.schema_arrow.names, _parquet_rows(file))
    except pyarrow.ArrowException as error:
        raise FactsError(f"{path.name} is not a readable Parquet file ({error}).") from error


def _parquet_rows(file: Any) -> Iterator[tuple[int, list[Any]]]:
    import pyarrow

    number = 0
    try:
        for batch in file.iter_batches(batch_size=10_000):
            for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                number += 1
                yield number, list(values)
    except (pyarrow.ArrowException, OSError) as error:
        raise FactsError(f"Row {number + 1:,} and what follows can't be read from the Parquet file ({error}).") from error
