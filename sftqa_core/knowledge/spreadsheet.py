"""Text files from outside, line by line, and CSV as spreadsheets write and read it: byte-order mark, semicolons, formulas."""

import csv
import io
import unicodedata
from collections.abc import Iterator
from itertools import chain, count
from typing import BinaryIO

from sftqa_core.errors import FactsError

MAX_LINE_BYTES = 4_000_000
_MARKS = ((b"\xff\xfe\0\0", "UTF-32"), (b"\0\0\xfe\xff", "UTF-32"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
_OTHERS = (
    (b"PK\x03\x04", "a zip archive or a workbook (.xlsx)"),
    (b"\x1f\x8b", "packed with gzip"),
    (b"BZh", "packed with bzip2"),
    (b"\xfd7zXZ", "packed with xz"),
    (b"(\xb5/\xfd", "packed with zstd"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"\xd0\xcf\x11\xe0", "an old workbook (.xls)"),
    (b"SQLite format 3", "a database"),
    (b"%PDF", "a PDF"),
)
_SAVE = "Save it as UTF-8 (in a spreadsheet: 'CSV UTF-8') and try again."
_STARTS = "=+-@\t\r\n"  # what a spreadsheet takes for a formula; the last three hide one from a look at the first character


def decode_text(content: bytes, name: str) -> str:
    """UTF-8 text of a file, with or without a byte-order mark. Raises `FactsError` saying where it is not."""
    _refuse_other_formats(content, name)
    try:
        return _without_nul(content.decode("utf-8-sig"), name, 1)
    except UnicodeDecodeError as error:
        raise _not_utf8(name, content.count(b"\n", 0, error.start) + 1, content[error.start]) from error


def text_lines(file: BinaryIO, name: str) -> Iterator[str]:
    """The lines of a UTF-8 file with their ends, one at a time, so that a file of any size takes the room of a line.

    A lone carriage return ends a line too. Raises `FactsError` where a line is no UTF-8 text or has millions of characters.
    """
    for number in count(1):
        raw = file.readline(MAX_LINE_BYTES + 1)
        if number == 1:
            _refuse_other_formats(raw, name)
        if len(raw) > MAX_LINE_BYTES:
            raise FactsError(f"{name}, line {number:,} has more than {MAX_LINE_BYTES:,} bytes, so this is not a table of facts.")
        if not raw:
            return
        try:
            line = _without_nul(raw.decode("utf-8-sig" if number == 1 else "utf-8"), name, number)
        except UnicodeDecodeError as error:
            raise _not_utf8(name, number, raw[error.start]) from error
        yield from io.StringIO(line, newline="") if "\r" in line else (line,)


def csv_table(lines: Iterator[str], name: str) -> tuple[list[str], Iterator[list[str]], str]:
    """Header (names stripped), rows as they are asked for, and delimiter (comma, semicolon or tab).

    Raises `FactsError` for what is no CSV, also while the rows are read.
    """
    first = next(lines, "")
    delimiter = next((mark for mark in ",;\t" if mark in first), ",")
    reader = csv.reader(chain((first,), lines), delimiter=delimiter, strict=True)

    def readable() -> Iterator[list[str]]:
        try:
            yield from reader
        except csv.Error as error:
            line = f"{name}, line {reader.line_num:,}"
            raise FactsError(f"{line}: not readable as CSV ({error}). Look for a quote that is not closed.") from error

    rows = readable()
    return [column.strip() for column in next(rows, [])], rows, delimiter


def is_formula(text: str) -> bool:
    """Whether a spreadsheet may run a cell: it begins with = + - or @, also full-width ones, or after apostrophes, white space and
    characters that can't be seen."""
    if text[:1].isalnum():
        return False
    for character in text:
        plain = unicodedata.normalize("NFKC", character)
        if plain[:1] in _STARTS:
            return True
        if not (character == "'" or character.isspace() or unicodedata.category(character) in ("Cc", "Cf")):
            return False
    return False


def protect_cell(text: str) -> str:
    """A cell that a spreadsheet will not run: an apostrophe goes before what may be a formula."""
    return f"'{text}" if is_formula(text) else text


def unprotect_cell(text: str) -> str:
    """What `protect_cell` was given; a name's own apostrophe ('s-Hertogenbosch) stays."""
    return text[1:] if text.startswith("'") and is_formula(text) else text


def _refuse_other_formats(start: bytes, name: str) -> None:
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            raise FactsError(f"{name} is {encoding}. {_SAVE}")
    for mark, kind in _OTHERS:
        if start.startswith(mark):
            raise FactsError(f"{name} is {kind}, not text. Unpack or convert it to UTF-8 text and try again.")


def _without_nul(text: str, name: str, first_line: int) -> str:
    at = text.find("\0")
    if at < 0:
        return text
    line = first_line + text.count("\n", 0, at)
    raise FactsError(f"{name}, line {line:,} holds a NUL character: it is a binary file, or UTF-16 without its mark. {_SAVE}")


def _not_utf8(name: str, line: int, byte: int) -> FactsError:
    return FactsError(f"{name} is not UTF-8: line {line:,} holds the byte {byte:#04x}. {_SAVE}")
