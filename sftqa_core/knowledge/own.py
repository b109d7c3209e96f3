"""A person's own facts from a file: CSV, JSON Lines or Parquet. The columns are described in rows.py.

New relations bring their templates in a column or in a file beside this one, `<name>.relations.toml` for `<name>.csv`,
laid out as relations.toml (label and domain may be left out there).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sftqa_core.errors import FactsError, SettingsError
from sftqa_core.jsonrecord import MAX_LISTED, listed, parse_json, shown
from sftqa_core.knowledge.columns import MAX_COLUMNS, Cells
from sftqa_core.knowledge.facts import FactSource
from sftqa_core.knowledge.parquet import parquet_cells
from sftqa_core.knowledge.relations import Relation
from sftqa_core.knowledge.rows import refuse_many_rows, source_from_cells
from sftqa_core.knowledge.spreadsheet import csv_table, decode_text, text_lines

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
MAX_BYTES = 500_000_000
MAX_SIDECAR_BYTES = 200_000
MAX_RELATIONS = 1_000


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
    if not path.is_file():
        raise FactsError(f"{path} is no file.")
    if path.stat().st_size > MAX_SIDECAR_BYTES:
        raise FactsError(f"{path.name} has {path.stat().st_size:,} bytes; a file of relations may have {MAX_SIDECAR_BYTES:,}.")
    data = _toml(decode_text(path.read_bytes(), path.name), path.name)
    if len(data) > MAX_RELATIONS:
        raise FactsError(f"{path.name} holds {len(data):,} relations, the most is {MAX_RELATIONS:,}.")
    found, problems = {}, []
    for key, fields in data.items():
        try:
            if not isinstance(fields, dict):
                raise SettingsError(f"{shown(key)} must be a table: [name], then question and templates.")
            if "id" in fields:
                raise SettingsError(f"[{shown(key)[1:-1]}] must not hold 'id': a relation is called as its table is.")
            found[key] = Relation.from_dict({"id": key, "label": key, "domain": "in", **fields})
        except SettingsError as error:
            problems += [f"{path.name}: {problem}" for problem in error.problems]
    if problems:
        raise FactsError(listed(problems))
    return found


def _toml(text: str, name: str) -> dict[str, Any]:
    dots = max((line.partition("=")[0].count(".") for line in text.splitlines()), default=0)
    try:
        if dots > 50:  # tomllib takes the square of their number
            raise ValueError("it holds a name with many dots")
        return tomllib.loads(text)
    except RecursionError as error:
        raise FactsError(f"{name} is not readable TOML: it is nested too deeply.") from error
    except ValueError as error:  # TOMLDecodeError is one, as is Python's for numbers of thousands of digits
        reason = "it holds a number of thousands of digits" if "integer string" in str(error) else str(error)
        raise FactsError(f"{name} is not readable TOML: {reason}.") from error


class _Faults:
    """Problems of a file, the first of them kept, the others counted."""

    def __init__(self) -> None:
        self.first: list[str] = []
        self.count = 0

    def add(self, problem: str) -> None:
        """One more."""
        self.count += 1
        if self.count <= MAX_LISTED:
            self.first.append(problem)

    def refuse(self) -> None:
        """Raise `FactsError` if there is any."""
        if self.count:
            more = self.count - MAX_LISTED
            raise FactsError([*self.first, f"... and {more:,} more."] if more > 0 else self.first)


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
        return parquet_cells(path)
    return _json_lines(path) if suffix in (".jsonl", ".ndjson") else _csv(path)


def _csv(path: Path) -> Cells:
    """Read twice, too: a file of too many rows is refused before any of them is kept."""
    header, rows, _ = csv_table(_lines(path), path.name)
    wide = _Faults()
    for number, row in enumerate(rows, 2):  # row 1 is the header, as a spreadsheet counts
        refuse_many_rows(path.name, number - 1)
        if any(row[len(header) :]):
            wide.add(f"{path.name}, row {number:,}: more cells than the {len(header)} columns; put quotes around text with a comma.")
    wide.refuse()
    return Cells(path.name, header, enumerate(csv_table(_lines(path), path.name)[1], 2), text_lists=True)


def _json_lines(path: Path) -> Cells:
    """Read twice: the columns have to be known before the first row, and a file of millions of objects would not fit the memory."""
    columns: dict[str, None] = {}
    faults = _Faults()
    for number, value in _objects(path):
        refuse_many_rows(path.name, number)
        if isinstance(value, str):
            faults.add(f"{path.name}, row {number:,}: {value}.")
        else:
            columns |= dict.fromkeys(value)
        if len(columns) > MAX_COLUMNS:
            raise FactsError(f"{path.name} has more than {MAX_COLUMNS:,} different names in its rows, so this is no table of facts.")
    faults.refuse()
    names = list(columns)
    return Cells(
        path.name, names, ((number, [value.get(name) for name in names]) for number, value in _objects(path) if isinstance(value, dict))
    )


def _objects(path: Path) -> Iterator[tuple[int, Any]]:
    """(line, its object, or what is wrong with it as a text), empty lines left out."""
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            value = parse_json(line)
        except ValueError as error:
            yield number, f"is not readable JSON ({error})"
        else:
            yield number, value if isinstance(value, dict) else f"must be an object, got {type(value).__name__}"


def _lines(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        yield from text_lines(file, path.name)
