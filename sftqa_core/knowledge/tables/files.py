"""A user's own facts from a file: CSV, TSV, JSON, JSON Lines or Parquet. What the columns mean is in columns.py, the readers are listed in
`READERS`.

New relations bring their templates in a column or in a file beside this one, `<name>.relations.toml` for `<name>.csv`,
laid out as relations.toml (label and domain may be left out there).

Every file is read within limits. A few kilobytes of Parquet can unpack to billions of rows or terabytes of text, so the file's own
numbers are checked before anything is read. Texts are read as dictionaries: a text that occurs a million times takes the memory
of one, and becomes a million Python texts only if it is short enough for a fact.
"""

import contextlib
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from sftqa_core.artifacts import write_bytes
from sftqa_core.errors import FactsError, SettingsError, first_line
from sftqa_core.jsonrecord import in_plain_words, listed, shown
from sftqa_core.knowledge import facts
from sftqa_core.knowledge.relations import MOST_DOTS, Relation, relations_toml
from sftqa_core.knowledge.tables import columns, json_files, layouts, spreadsheet, values
from sftqa_core.knowledge.tables.rows import MAX_ROWS, Cells, preview, refuse, refuse_many_rows, source_from_cells
from sftqa_core.records import SourcePreview

MAX_BYTES = 500_000_000
MAX_SIDECAR_BYTES = 200_000
MAX_RELATIONS = 1_000
MAX_DECODED = 2_000_000_000  # bytes of the columns that are read, unpacked
MAX_VALUES = 5_000_000  # in one column: cells, or entries where cells are lists
_BATCH = 2_000  # rows in hand
_MAX_LOOKED_AT = 50_000_000  # bytes of a column whose name says nothing
_PACKED = "Unpack it first."
_WORKBOOK = "In the spreadsheet, save it as CSV UTF-8."
_FIXES = {
    ".xlsx": _WORKBOOK,
    ".xls": _WORKBOOK,
    ".ods": _WORKBOOK,
    ".gz": _PACKED,
    ".bz2": _PACKED,
    ".zst": _PACKED,
}
_MARK_NAMES = {",": "a comma", ";": "a semicolon", "|": "a bar"}
_KINDS = ("BYTE_ARRAY", "BOOLEAN", "INT32", "INT64", "FLOAT", "DOUBLE")


def load_own(path: Path, name: str | None = None, query: str = "", relations: Mapping[str, Relation] | None = None) -> facts.FactSource:
    """The facts in a file, in `name` (default: the path), its columns named by `query` (see layouts.py) where their names don't tell.
    `relations`: in place of those that stand beside it.

    Raises `FactsError` with every problem by row and column. A fact's id holds the file's name without its folder, so a file can be
    moved and keeps its results.
    """
    mapping, options = layouts.read_query(query)
    with errors_told(path):
        own = brought(path) if relations is None else relations
        return source_from_cells(_typed(cells_of(path, mapping), name), name or str(path), own, mapping, options.get("read", ""))


def preview_own(path: Path, name: str | None = None, query: str = "") -> SourcePreview:
    """How a file would be read. Raises `FactsError` for what is no table."""
    mapping, options = layouts.read_query(query)
    with errors_told(path):
        return preview(_typed(cells_of(path, mapping), name), name or str(path), brought(path), mapping, options.get("read", ""))


def _typed(cells: Cells, name: str | None) -> Cells:
    """Of a file in a zip the zip's name: a mapping is written behind that."""
    return replace(cells, typed=Path(name.partition("?")[0]).name) if name else cells


def cells_of(path: Path, mapping: layouts.Mapped, split: str = "") -> Cells:
    """The table in a file, unchecked. `split`: of rows that state none. Raises `FactsError` for what is none, `OSError` from the disk."""
    read = READERS.get(suffix := path.suffix.casefold())
    if read is None:
        fix = _FIXES.get(suffix, "")
        raise FactsError(f"{path.name}: files of facts end in {', '.join(READERS)}.{fix and f' {fix}'}")
    if not path.is_file():
        raise FactsError(f"{path} does not exist.")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise FactsError(f"{path.name} has {size:,} bytes; a file of facts may have {MAX_BYTES:,}. Cut it into smaller files.")
    if not size:
        raise FactsError(f"{path.name} is empty.")
    return replace(read(path, mapping), split=split)


def brought(path: Path) -> dict[str, Relation]:
    """Relations that stand beside a file."""
    return read_relations(sidecar(path)) if sidecar(path).exists() else {}


@contextlib.contextmanager
def errors_told(path: Path) -> Iterator[None]:
    """Within it, what a disk refuses is a sentence."""
    try:
        yield
    except OSError as error:
        raise FactsError(f"{path} can't be read: {error.strerror or error}.") from error


def sidecar(path: Path) -> Path:
    """Where the relations of a fact file stand."""
    return path.with_name(f"{path.stem}.relations.toml")


def read_relations(path: Path) -> dict[str, Relation]:
    """Relations in a TOML file laid out as relations.toml. Raises `FactsError` with every problem."""
    if not path.is_file():
        raise FactsError(f"{path} is not a file.")
    if path.stat().st_size > MAX_SIDECAR_BYTES:
        raise FactsError(f"{path.name} has {path.stat().st_size:,} bytes; a file of relations may have {MAX_SIDECAR_BYTES:,}.")
    data = _toml(spreadsheet.decode_text(path.read_bytes(), path.name), path.name)
    if len(data) > MAX_RELATIONS:
        raise FactsError(f"{path.name} has {len(data):,} relations, the most is {MAX_RELATIONS:,}.")
    relations, problems = {}, []
    for key, fields in data.items():
        try:
            if not isinstance(fields, dict):
                raise SettingsError(f"{shown(key)} must be a table: [name], then question and templates.")
            if "id" in fields:
                raise SettingsError(f"[{shown(key)[1:-1]}] must not have 'id': the table's name is the relation's id.")
            relations[key] = Relation.from_dict({"id": key, "label": key, "domain": "in", **fields})
        except SettingsError as error:
            problems += [f"{path.name}: {problem}" for problem in error.problems]
    if problems:
        raise FactsError(listed(problems))
    return relations


def write_relations(path: Path, relations: Mapping[str, Relation]) -> None:
    """Put relations beside a file of facts, in place of those that stand there; none: the file of relations goes.

    Raises `FactsError` for relations that `read_relations` would refuse, or where nothing can be written: then nothing has changed.
    """
    place = sidecar(path)
    if not relations:
        with errors_told(place):
            place.unlink(missing_ok=True)
        return
    content = relations_toml(relations).encode()
    with tempfile.TemporaryDirectory(prefix="sftqa-relations-") as folder:
        trial = Path(folder) / place.name
        trial.write_bytes(content)
        read_relations(trial)
    try:
        write_bytes(place, content)
    except OSError as error:
        raise FactsError(f"{place.name} can't be written in {place.parent}: {error.strerror or error}.") from error


def _toml(text: str, name: str) -> dict[str, Any]:
    dots = max((line.partition("=")[0].count(".") for line in text.splitlines()), default=0)
    try:
        if dots > MOST_DOTS:
            raise ValueError("it holds a name with many dots")
        return in_plain_words(tomllib.loads, text)
    except ValueError as error:
        raise FactsError(f"{name} is not readable TOML: {error}.") from error


def _csv(path: Path, mapping: layouts.Mapped) -> Cells:
    """Reads the file twice: one of too many rows is refused before any row is kept."""
    header, rows, delimiter = spreadsheet.csv_table(_lines(path), path.name)
    fix = (
        "write a tab inside a text as a space"
        if delimiter == "\t"
        else f"put quotes around text with {_MARK_NAMES.get(delimiter, 'a mark')}"
    )

    if not any(header):
        raise FactsError(f"{path.name} begins with an empty line. Its first line must name the columns, such as question,answer.")

    def faults() -> Iterator[str]:
        for number, row in enumerate(rows, 2):  # row 1 is the header, as a spreadsheet counts
            refuse_many_rows(path.name, number - 1)
            if number == 2 and len(header) == 1 and len(row) > 1:
                raise FactsError(
                    f"{path.name}: the first line has one column, {shown(header[0])}, and the next line {len(row)}. "
                    "The first line must name the columns, such as question,answer."
                )
            if any(row[len(header) :]):
                yield f"{path.name}, row {number:,}: more cells than the {len(header)} columns; {fix}."

    refuse(faults())
    body = spreadsheet.csv_table(_lines(path), path.name)[1]
    if _has_no_header(header):
        note = "The first line holds a question and its answers, so it is read as a fact: the file has no header."
        return Cells(path.name, ["question", "answers"], enumerate(chain([header], body), 1), text_lists=True, notes=(note,))
    return Cells(path.name, header, enumerate(body, 2), text_lists=True)


def _has_no_header(header: Sequence[str]) -> bool:
    """DPR's files of questions begin with the first of them: a text, a tab, and a Python list of answers. Others with a question."""
    try:
        return len(header) == 2 and (header[0].endswith("?") or isinstance(values.container(header[1]), list))
    except values.UnreadableCell:
        return False


def _lines(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        yield from spreadsheet.text_lines(file, path.name)


def _parquet(path: Path, mapping: layouts.Mapped) -> Cells:
    """The columns of use in a Parquet file. Raises `FactsError` for what is no Parquet or beyond the limits, also while rows are read."""
    import pyarrow.parquet

    try:
        metadata = pyarrow.parquet.ParquetFile(path).metadata
        if metadata.num_rows > MAX_ROWS:
            raise FactsError(f"{path.name} has {metadata.num_rows:,} rows, the most is {MAX_ROWS:,}. Cut it into smaller files.")
        if metadata.num_columns > layouts.MAX_COLUMNS:
            raise FactsError(f"{path.name} has {metadata.num_columns:,} columns, the most is {layouts.MAX_COLUMNS:,}.")
        names = pyarrow.parquet.ParquetFile(path).schema_arrow.names
        used = columns.columns_used(names, mapping) or [name for name in names if _holds_texts(metadata, name)]
        leaves = [leaf for leaf in range(metadata.num_columns) if metadata.schema.column(leaf).path.split(".")[0] in used]
        _refuse_bombs(path.name, metadata, leaves)
        texts = [metadata.schema.column(leaf).path for leaf in leaves if metadata.schema.column(leaf).physical_type == "BYTE_ARRAY"]
        file = pyarrow.parquet.ParquetFile(path, read_dictionary=texts)
    except _foreign() as error:
        raise FactsError(f"{path.name} is not a readable Parquet file ({first_line(error)}).") from error
    rest = tuple(name for name in names if name not in used)
    return Cells(path.name, used or names, _rows(path.name, file, used), unread=rest if used else ())


def _holds_texts(metadata: Any, name: str) -> bool:
    """Whether a column of a file without a known layout may be looked at: of a kind that facts have, and small."""
    leaves = [metadata.schema.column(leaf) for leaf in range(metadata.num_columns)]
    own = [leaf for leaf, column in enumerate(leaves) if column.path.split(".")[0] == name]
    size = sum(metadata.row_group(group).column(leaf).total_uncompressed_size for leaf in own for group in range(metadata.num_row_groups))
    return bool(own) and all(leaves[leaf].physical_type in _KINDS for leaf in own) and size <= _MAX_LOOKED_AT


def _refuse_bombs(name: str, metadata: Any, leaves: Sequence[int]) -> None:
    """Judges by the numbers that the file states. If they are false, reading fails later: a column has no more values than stated."""
    for leaf in leaves:
        column = metadata.schema.column(leaf)
        if column.physical_type not in _KINDS and column.converted_type != "DECIMAL":
            raise FactsError(f"{name}: column {shown(column.path)} is of type {column.physical_type.lower()}. Facts are texts and numbers.")
        chunks = [metadata.row_group(group).column(leaf) for group in range(metadata.num_row_groups)]
        values = sum(chunk.num_values for chunk in chunks)
        size = sum(chunk.total_uncompressed_size for chunk in chunks)
        if values > MAX_VALUES or size > MAX_DECODED or min((min(c.num_values, c.total_uncompressed_size) for c in chunks), default=0) < 0:
            raise FactsError(
                f"{name}: column {shown(column.path)} unpacks to {values:,} values in {size:,} bytes; "
                f"the most is {MAX_VALUES:,} in {MAX_DECODED:,}. Cut it into smaller files."
            )


def _rows(name: str, file: Any, used: list[str]) -> Iterator[tuple[int, list[Any]]]:
    number = 0
    try:
        for batch in file.iter_batches(batch_size=_BATCH, columns=used) if used else ():
            for column in batch.columns:
                _refuse_long_texts(name, number, column)
            for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                number += 1
                yield number, list(values)
    except _foreign() as error:
        raise FactsError(f"{name}: row {number + 1:,} and what follows can't be read ({first_line(error)}).") from error


def _refuse_long_texts(name: str, before: int, column: Any) -> None:
    """Looks at each distinct text once, however often it occurs."""
    from pyarrow import compute, types

    inside = [column]
    while inside:
        array = inside.pop()
        if types.is_dictionary(array.type):
            inside.append(array.dictionary)
        elif types.is_struct(array.type):
            inside += array.flatten()
        elif types.is_map(array.type):
            inside += [array.keys, array.items]
        elif types.is_nested(array.type):
            inside.append(array.flatten())
        elif types.is_string(array.type) or types.is_large_string(array.type) or types.is_binary(array.type):
            longest = compute.max(compute.binary_length(array)).as_py() or 0
            if longest > 4 * facts.MAX_TEXT:
                raise FactsError(
                    f"{name}: row {before + 1:,} or one of the {_BATCH:,} from it on holds a text of {longest:,} bytes; "
                    f"the most is {facts.MAX_TEXT:,} characters."
                )


def _foreign() -> tuple[type[Exception], ...]:
    """What pyarrow raises for damaged files, and Python for dates that it can't hold or texts that are no UTF-8."""
    import pyarrow

    return (pyarrow.ArrowException, OSError, ValueError, ArithmeticError, LookupError, TypeError)


READERS: dict[str, Callable[[Path, layouts.Mapped], Cells]] = {  # by a file's ending
    ".csv": _csv,
    ".tsv": _csv,
    ".txt": _csv,
    ".json": lambda path, mapping: json_files.json_cells(path),
    ".jsonl": lambda path, mapping: json_files.json_cells(path),
    ".ndjson": lambda path, mapping: json_files.json_cells(path),
    ".parquet": _parquet,
}
