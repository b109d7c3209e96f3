"""JSON as people have it: an array, one object a line, an object of columns, SQuAD's own files. The ending says nothing: files that end in
.json often hold lines, and files that end in .jsonl an array.

Lines are read one by one, so millions of them fit; any other form is parsed whole and may have 100 million bytes.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

from sftqa_core.errors import FactsError
from sftqa_core.jsonrecord import parse_json, shown
from sftqa_core.knowledge.tables import layouts, spreadsheet
from sftqa_core.knowledge.tables.rows import Cells, refuse, refuse_many_rows

MAX_WHOLE_BYTES = 100_000_000
_SEARCHED = 200  # empty lines before the first one with anything
_WRAPS = ("data", "rows", "examples", "instances", "items", "questions", "questionanswers")  # objects around the rows


def json_cells(path: Path) -> Cells:
    """The rows of a JSON or JSON Lines file. Raises `FactsError` with every row that can't be read."""
    first = next((line.strip() for line in islice(_lines(path), _SEARCHED) if line.strip()), "")
    alone = path.suffix.casefold() == ".json" or first == "{"  # an object over several lines
    if first.startswith("[") or (first.startswith("{") and alone and not _is_row(first)):
        return _of_rows(path, _whole(path))
    rows = list(islice(_objects(path), 2))
    if len(rows) == 1 and isinstance(rows[0][1], dict) and (inside := _rows_inside(rows[0][1])) is not None:
        return _of_rows(path, inside)
    return _of_lines(path)


def _of_lines(path: Path) -> Cells:
    """Reads the file twice: columns must be known before the first row, and millions of objects would not fit the memory."""
    columns: dict[str, None] = {}

    def faults() -> Iterator[str]:
        for number, value in _objects(path):
            refuse_many_rows(path.name, number)
            if isinstance(value, str):
                yield f"{path.name}, row {number:,}: {value}."
            else:
                _add_columns(path.name, columns, value)

    refuse(faults())
    rows = ((number, [value.get(name) for name in columns]) for number, value in _objects(path) if isinstance(value, dict))
    return Cells(path.name, list(columns), rows)


def _of_rows(path: Path, found: list[Any]) -> Cells:
    columns: dict[str, None] = {}

    def faults() -> Iterator[str]:
        for number, value in enumerate(found, 1):
            refuse_many_rows(path.name, number)
            if isinstance(value, dict):
                _add_columns(path.name, columns, value)
            else:
                yield f"{path.name}, entry {number:,}: must be an object, got {type(value).__name__}."

    refuse(faults())
    return Cells(path.name, list(columns), ((number, [value.get(name) for name in columns]) for number, value in enumerate(found, 1)))


def _add_columns(name: str, columns: dict[str, None], row: Mapping[str, Any]) -> None:
    columns.update(dict.fromkeys(row))
    if len(columns) > layouts.MAX_COLUMNS:
        raise FactsError(f"{name} has more than {layouts.MAX_COLUMNS:,} different names in its rows, so this is not a table of facts.")


def _whole(path: Path) -> list[Any]:
    """The rows of a file that is one JSON value."""
    size = path.stat().st_size
    if size > MAX_WHOLE_BYTES:
        raise FactsError(
            f"{path.name} is one JSON value of {size:,} bytes; the most is {MAX_WHOLE_BYTES:,}. Write one object a line (JSON Lines)."
        )
    text = spreadsheet.decode_text(path.read_bytes(), path.name)
    try:
        value = parse_json(text)
    except ValueError as error:
        value = _mended(text)
        if value is None:
            raise FactsError(f"{path.name} is not readable JSON ({error}). Facts are an array of objects, or one object a line.") from error
    rows = value if isinstance(value, list) else _rows_inside(value) if isinstance(value, dict) else None
    if rows is None:
        keys = ", ".join(map(str, list(value)[:10])) if isinstance(value, dict) else shown(value)
        raise FactsError(f"{path.name} is one JSON object ({keys}), not a table. Facts are an array of objects, or one object a line.")
    return rows


def _mended(text: str) -> Any:
    """An array with a comma behind its last entry, which JSON does not allow and programs write all the same; None for anything else."""
    plain = text.rstrip()
    body = plain.removesuffix("]").rstrip()
    if body == plain or not body.endswith(","):
        return None
    try:
        return parse_json(body[:-1] + "]")
    except ValueError:
        return None


def _rows_inside(value: Mapping[str, Any]) -> list[Any] | None:
    """The rows in an object: under "data" and the like, as pandas writes columns, or in SQuAD's articles; None where it is a row itself."""
    keys = {str(key).casefold(): key for key in value}
    if keys and keys.keys() <= layouts.SPLIT_NAMES.keys() and all(isinstance(part, list) for part in value.values()):
        return [{**row, "split": split} if isinstance(row, dict) else row for split, part in value.items() for row in part]
    if value and all(str(key).rstrip().endswith("?") for key in value):
        return [{"question": question, "answers": answers} for question, answers in value.items()]
    if {"columns", "data"} <= keys.keys() and isinstance(value[keys["data"]], list) and isinstance(value[keys["columns"]], list):
        return [dict(zip(map(str, value[keys["columns"]]), row, strict=False)) for row in value[keys["data"]] if isinstance(row, list)]
    for name in _WRAPS:
        if name in keys and isinstance(value[keys[name]], list) and all(isinstance(row, dict) for row in value[keys[name]]):
            return list(chain.from_iterable(map(_unwrapped, value[keys[name]])))
    if value and all(isinstance(part, dict) and part for part in value.values()):
        first = next(iter(value.values()))
        by_column = _named(value) or not (_named(first) or len(value) > len(first))  # pandas' default, or a row under each name
        if by_column and all(column.keys() == first.keys() for column in value.values()):
            return [{name: column[row] for name, column in value.items()} for row in first]
        return None if by_column else list(value.values())
    lengths = {len(column) if isinstance(column, list) else -1 for column in value.values()}
    if len(value) > 1 and len(lengths) == 1 and -1 not in lengths and _is_columns(value):
        return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
    return None


def _named(names: Iterable[Any]) -> bool:
    """Whether some of these are names of columns that a role or a layout knows."""
    known = {name for roles in layouts.ROLES.values() for name in roles} | {name for layout in layouts.LAYOUTS for name in layout.needs}
    return any(str(name).strip().casefold() in known for name in names)


def _is_columns(value: Mapping[str, Any]) -> bool:
    """Whether an object of lists is a table by columns rather than one row: a row's question is no list."""
    roles = {name for names in layouts.ROLES.values() for name in names}
    return any(
        isinstance(column, list) and str(name).strip().casefold() in roles - {"answers", "objects", "templates"}
        for name, column in value.items()
    )


def _unwrapped(row: Mapping[str, Any]) -> Iterator[Any]:
    """A row as it stands around in its file: alone, under "row" (the hub's viewer), or the questions of one of SQuAD's articles."""
    if isinstance(row.get("row"), dict):
        yield row["row"]
    elif isinstance(row.get("paragraphs"), list):
        for part in row["paragraphs"]:
            yield from (asked for asked in (part.get("qas") or ()) if isinstance(asked, dict) and not asked.get("is_impossible"))
    else:
        yield row


def _is_row(line: str) -> bool:
    try:
        return isinstance(parse_json(line.removesuffix(",")), dict)
    except ValueError:
        return False


def _objects(path: Path) -> Iterator[tuple[int, Any]]:
    """(line, its object, or what is wrong with it as a text), empty lines left out."""
    for number, line in enumerate(_lines(path), 1):
        text = line.strip()
        if not text:
            continue
        try:
            value = parse_json(text.removesuffix(",") if text.endswith("},") else text)
        except ValueError as error:
            yield number, f"is not readable JSON ({error})"
        else:
            yield number, value if isinstance(value, dict) else f"must be an object, got {type(value).__name__}"


def _lines(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        yield from spreadsheet.text_lines(file, path.name)
