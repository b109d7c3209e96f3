"""Tables as plain Parquet, which may come from strangers: columns of texts, numbers, truth values and lists of these, and nothing else.

What is written holds no metadata of pandas or Arrow. What is read is judged before a value is unpacked: a few kilobytes of Parquet can
state billions of rows, a text that is repeated a million times, or types whose making would run code. Never loads torch.
"""

from __future__ import annotations

import io
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MAX_COLUMNS = 4_000
MAX_ROWS = 2_000_000
MAX_VALUES = 30_000_000  # in all columns: cells, or entries where cells are lists
MAX_UNPACKED_BYTES = 500_000_000
MAX_TEXT_BYTES = 100_000  # of one cell
_MAX_FOOTER_BYTES = 8_000_000
_SIGN = b"PAR1"
_ARROW = b"ARROW:schema"  # a key of the footer: types beyond Parquet's own, which reading would make objects of
_BATCH = 10_000  # rows in hand
_LONGEST_NAME = 200


def plain_bytes(table: pd.DataFrame) -> bytes:
    """A table as plain Parquet, without its index. Raises ValueError for a column that is neither plain nor a list of plain values."""
    import pyarrow
    import pyarrow.parquet

    arrow = pyarrow.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
    schema = pyarrow.schema([pyarrow.field(field.name, _written_type(field.type)) for field in arrow.schema])
    _refuse_types(schema)
    out = io.BytesIO()
    pyarrow.parquet.write_table(arrow.cast(schema), out, store_schema=False, compression="zstd")
    return out.getvalue()


def plain_table(content: bytes) -> pd.DataFrame:
    """The table in plain Parquet that anybody may have written: whole numbers with gaps are Int64, lists are lists.

    Raises ValueError, in words that follow the file's name, for what is no Parquet, holds other types or is beyond the limits.
    """
    import pyarrow
    import pyarrow.parquet

    _refuse_footer(content)
    try:
        file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content))
        _refuse_types(file.schema_arrow)
        _refuse_bombs(file.metadata)
        _refuse_texts(content, file.metadata)
        return _frame(file.read().replace_schema_metadata(None))
    except (pyarrow.ArrowException, OSError, ArithmeticError, LookupError, TypeError) as error:
        raise ValueError(f"is no Parquet that can be read ({str(error).splitlines()[0][:200] if str(error) else error!r})") from error


def refuse_columns(table: pd.DataFrame, needed: Collection[str], texts: Collection[str], lists: Collection[str]) -> None:
    """Raise ValueError for a table that lacks columns, or in which one of `texts` or `lists` holds something else, or any other column
    anything but numbers, truth values or nothing: what reads a table relies on no more than that."""
    from pandas.api import types

    if missing := [name for name in needed if name not in table]:
        raise ValueError(f"lacks the columns {', '.join(missing)}")
    for name, column in table.items():
        listed = all(isinstance(cell, list) for cell in column)
        plain = types.is_numeric_dtype(column) or types.is_bool_dtype(column) or column.isna().all()
        fits = listed if name in lists else types.is_string_dtype(column) if name in texts else plain
        if not fits and len(column):
            kind = "lists" if name in lists else "texts" if name in texts else "numbers, or yes and no"
            raise ValueError(f"has a column {str(name)[:80]!r} that does not hold {kind}")


def _refuse_footer(content: bytes) -> None:
    """Before pyarrow sees it: where the footer lies, and that it names no types of Arrow's."""
    length = int.from_bytes(content[-8:-4], "little")
    if len(content) < 12 or content[:4] != _SIGN or content[-4:] != _SIGN or length > len(content) - 12:
        raise ValueError("is no Parquet file")
    if length > _MAX_FOOTER_BYTES:
        raise ValueError(f"describes itself in {length:,} bytes; the most is {_MAX_FOOTER_BYTES:,}")
    if _ARROW in content[-8 - length : -8]:
        raise ValueError("names types of Arrow's own (ARROW:schema), which may be extensions; a bundle holds plain Parquet")


def _refuse_types(schema: Any) -> None:
    from pyarrow import types

    if len(schema.names) > MAX_COLUMNS:
        raise ValueError(f"has {len(schema.names):,} columns; the most is {MAX_COLUMNS:,}")
    if len(set(schema.names)) < len(schema.names) or any(len(name) > _LONGEST_NAME for name in schema.names):
        raise ValueError("has two columns of one name, or a name that is too long")
    for field in schema:
        inner = field.type.value_type if types.is_list(field.type) else field.type
        if not (types.is_boolean(inner) or types.is_integer(inner) or types.is_floating(inner) or types.is_string(inner)):
            kind = str(field.type)[:80]
            raise ValueError(f"has a column {field.name[:80]!r} of type {kind}; columns are texts, numbers, yes or no, or lists of these")


def _refuse_bombs(metadata: Any) -> None:
    """Judges by the numbers that the file states. If they are false, reading fails later: a column has no more values than stated."""
    if not 0 <= metadata.num_rows <= MAX_ROWS:
        raise ValueError(f"has {metadata.num_rows:,} rows; the most is {MAX_ROWS:,}")
    groups = [metadata.row_group(at) for at in range(metadata.num_row_groups)]
    chunks = [group.column(at) for group in groups for at in range(group.num_columns)]
    values, size = sum(chunk.num_values for chunk in chunks), sum(chunk.total_uncompressed_size for chunk in chunks)
    if any(chunk.num_values < 0 or chunk.total_uncompressed_size < 0 for chunk in chunks) or values > MAX_VALUES:
        raise ValueError(f"unpacks to {values:,} values; the most is {MAX_VALUES:,}")
    if size > MAX_UNPACKED_BYTES:
        raise ValueError(f"unpacks to {size:,} bytes; the most is {MAX_UNPACKED_BYTES:,}")


def _refuse_texts(content: bytes, metadata: Any) -> None:
    """How much memory its texts would take, told while each distinct text is held once."""
    import pyarrow
    import pyarrow.parquet
    from pyarrow import compute, types

    columns = [metadata.schema.column(at) for at in range(metadata.num_columns)]
    texts = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
    if not texts:
        return
    file, size = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content), read_dictionary=texts), 0
    for batch in file.iter_batches(batch_size=_BATCH, columns=texts):
        for column in batch.columns:
            inner = column.flatten() if types.is_list(column.type) else column
            lengths = compute.binary_length(inner.dictionary if types.is_dictionary(inner.type) else inner)
            if (longest := compute.max(lengths).as_py() or 0) > MAX_TEXT_BYTES:
                raise ValueError(f"holds a text of {longest:,} bytes; the most is {MAX_TEXT_BYTES:,}")
            each = lengths.take(inner.indices) if types.is_dictionary(inner.type) else lengths
            size += compute.sum(each).as_py() or 0
            if size > MAX_UNPACKED_BYTES:
                raise ValueError(f"unpacks to more than {MAX_UNPACKED_BYTES:,} bytes of text")


def _written_type(kind: Any) -> Any:
    """The plain type that stands for a column's: a column, or lists, without any value are of texts."""
    import pyarrow
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind):
        return pyarrow.list_(_written_type(kind.value_type))
    if types.is_dictionary(kind):
        return _written_type(kind.value_type)
    return pyarrow.string() if types.is_null(kind) or types.is_large_string(kind) or types.is_string_view(kind) else kind


def _frame(arrow: Any) -> pd.DataFrame:
    import pandas as pd
    from pyarrow import types

    gaps = [field.name for field in arrow.schema if types.is_integer(field.type) and arrow.column(field.name).null_count]
    lists = {field.name: arrow.column(field.name).to_pylist() for field in arrow.schema if types.is_list(field.type)}
    whole = {name: pd.array(arrow.column(name).to_pylist(), dtype="Int64") for name in gaps}
    return arrow.to_pandas().assign(**whole, **lists)
