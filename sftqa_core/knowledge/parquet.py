"""Facts from a Parquet file, within limits: a few kilobytes can stand for billions of rows or for terabytes of text.

The file's own numbers are checked before anything is read. Texts are read as dictionaries, so that a text that stands there a
million times takes the room of one; it becomes a million Python texts only if it is short enough to be a fact's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sftqa_core.errors import FactsError
from sftqa_core.jsonrecord import shown
from sftqa_core.knowledge.columns import COLUMN_NAMES, MAX_COLUMNS, Cells
from sftqa_core.knowledge.facts import MAX_TEXT
from sftqa_core.knowledge.rows import MAX_ROWS

MAX_DECODED = 2_000_000_000  # bytes of the columns that are read, unpacked
MAX_VALUES = 5_000_000  # in one column: cells, or entries where cells are lists
_BATCH = 2_000  # rows in hand
_KINDS = ("BYTE_ARRAY", "BOOLEAN", "INT32", "INT64", "FLOAT", "DOUBLE")


def parquet_cells(path: Path) -> Cells:
    """The columns of use in a Parquet file. Raises `FactsError` for what is no Parquet or beyond the limits, also while rows are read."""
    import pyarrow.parquet

    try:
        found = pyarrow.parquet.ParquetFile(path).metadata
        if found.num_rows > MAX_ROWS:
            raise FactsError(f"{path.name} has {found.num_rows:,} rows, the most is {MAX_ROWS:,}. Cut it into smaller files.")
        if found.num_columns > MAX_COLUMNS:
            raise FactsError(f"{path.name} has {found.num_columns:,} columns, the most is {MAX_COLUMNS:,}.")
        leaves = [leaf for leaf in range(found.num_columns) if _of_use(found.schema.column(leaf).path)]
        _refuse_bombs(path.name, found, leaves)
        texts = [found.schema.column(leaf).path for leaf in leaves if found.schema.column(leaf).physical_type == "BYTE_ARRAY"]
        file = pyarrow.parquet.ParquetFile(path, read_dictionary=texts)
        names = file.schema_arrow.names
    except _foreign() as error:
        raise FactsError(f"{path.name} is not a readable Parquet file ({_said(error)}).") from error
    used = [name for name in names if _of_use(name)]
    return Cells(path.name, used or names, _rows(path.name, file, used))


def _of_use(column_path: str) -> bool:
    return column_path.split(".")[0].strip().casefold() in COLUMN_NAMES


def _refuse_bombs(name: str, found: Any, leaves: Sequence[int]) -> None:
    """By the file's own numbers. One that lies about them ends where the lie is noticed: a column has no more values than it says."""
    for leaf in leaves:
        column = found.schema.column(leaf)
        if column.physical_type not in _KINDS:
            raise FactsError(f"{name}: column {shown(column.path)} is of type {column.physical_type.lower()}. Facts are texts and numbers.")
        chunks = [found.row_group(group).column(leaf) for group in range(found.num_row_groups)]
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
        raise FactsError(f"{name}: row {number + 1:,} and what follows can't be read ({_said(error)}).") from error


def _refuse_long_texts(name: str, before: int, column: Any) -> None:
    """Looks at each distinct text once, however often it stands there."""
    import pyarrow as pa
    import pyarrow.compute as pc

    inside = [column]
    while inside:
        array = inside.pop()
        if pa.types.is_dictionary(array.type):
            inside.append(array.dictionary)
        elif pa.types.is_struct(array.type):
            inside += array.flatten()
        elif pa.types.is_map(array.type):
            inside += [array.keys, array.items]
        elif pa.types.is_nested(array.type):
            inside.append(array.flatten())
        elif pa.types.is_string(array.type) or pa.types.is_large_string(array.type) or pa.types.is_binary(array.type):
            longest = pc.max(pc.binary_length(array)).as_py() or 0
            if longest > 4 * MAX_TEXT:
                raise FactsError(
                    f"{name}: row {before + 1:,} or one of the {_BATCH:,} from it on holds a text of {longest:,} bytes; "
                    f"the most is {MAX_TEXT:,} characters."
                )


def _foreign() -> tuple[type[Exception], ...]:
    """What pyarrow raises for damaged files, and Python for dates that it can't hold or texts that are no UTF-8."""
    import pyarrow

    return (pyarrow.ArrowException, OSError, ValueError, ArithmeticError, LookupError, TypeError)


def _said(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")
