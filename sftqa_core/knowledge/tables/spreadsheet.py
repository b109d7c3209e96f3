"""Text files from outside, line by line, and tables as spreadsheets and programs write them: byte-order mark, `sep=;`, semicolons, tabs,
blanks around quotes, formulas.

The delimiter is the one that cuts most of the first lines into as many cells as the header has. Where it is a tab, quotes are ordinary
characters unless they stand around the whole of a field, with quotes inside it doubled: such files are mostly written without quoting,
and a lone quote would swallow the lines after it.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterator
from itertools import chain, count, islice
from typing import BinaryIO

from sftqa_core.errors import FactsError
from sftqa_core.knowledge.spelling import unseen_left_out

MAX_LINE_BYTES = 4_000_000
_DELIMITERS = "\t,;|"  # of two that cut alike the first
_LOOKED_AT = 50  # lines, to find the delimiter
_SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # how a spreadsheet says its delimiter
_QUOTED_TAB = re.compile(r'(?:^|\t)"[^"\t]*\t')
_FIELD = r'(?:\s*"(?:[^"]|"")*"[ \t]*|[^"{0}]*)'
_MARKS = ((b"\xff\xfe\0\0", "UTF-32"), (b"\0\0\xfe\xff", "UTF-32"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))
_OTHERS = (
    (b"PK\x03\x04", "a zip archive or a workbook (.xlsx; in a spreadsheet save it as CSV UTF-8)"),
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
    """Header (names stripped), rows as they are asked for, and delimiter (comma, semicolon, tab or bar).

    Raises `FactsError` for what is no CSV, also while the rows are read.
    """
    first = next(lines, "")
    named = _SEPARATOR.fullmatch(first)
    start = list(islice(lines, _LOOKED_AT)) if named else [first, *islice(lines, _LOOKED_AT - 1)]
    delimiter = named[1] if named and not named[1].isalnum() and named[1] not in "\"'" else _delimiter(start)
    lines = chain(start, lines)
    rows = _tab_rows(lines) if delimiter == "\t" else _csv_rows(lines, delimiter, name)
    return [unseen_left_out(column).strip() for column in next(rows, [])], rows, delimiter


def _csv_rows(lines: Iterator[str], delimiter: str, name: str) -> Iterator[list[str]]:
    field = _FIELD.format(re.escape(delimiter))
    whole = re.compile(f"{field}(?:{re.escape(delimiter)}{field})*")
    reader = csv.reader(
        (_without_blanks(line, whole, delimiter) for line in lines), delimiter=delimiter, strict=True, skipinitialspace=True
    )
    try:
        yield from reader
    except csv.Error as error:
        line = f"{name}, line {reader.line_num:,}"
        open_quote = "expected after" not in str(error)
        fix = "Look for a quote that is not closed." if open_quote else "Text follows a closing quote: double the quotes in a quoted cell."
        raise FactsError(f"{line}: not readable as CSV ({error}). {fix}") from error


def _without_blanks(line: str, whole: re.Pattern[str], delimiter: str) -> str:
    """A line of its own whose quoted fields have blanks behind them, which CSV does not allow, without these blanks."""
    if ('" ' not in line and '"\t' not in line) or not whole.fullmatch(line.rstrip("\r\n")):
        return line
    pieces = re.split(r'("(?:[^"]|"")*")', line)  # every second one is a quoted field
    for number in range(2, len(pieces), 2):
        behind = pieces[number].lstrip(" \t")
        if behind.startswith(delimiter) or not behind.strip("\r\n"):
            pieces[number] = behind
    return "".join(pieces)


def _tab_rows(lines: Iterator[str]) -> Iterator[list[str]]:
    width = 0
    for line in lines:
        text = line.rstrip("\r\n")
        cells = text.split("\t") if text else []
        if width and len(cells) > width and _QUOTED_TAB.search(text):
            cells = _cut_quoted(text, "\t")
        width = width or len(cells)
        yield [_unquoted(cell) for cell in cells]


def _unquoted(cell: str) -> str:
    plain = cell.strip()
    inside = plain[1:-1]
    if len(plain) > 1 and plain[0] == plain[-1] == '"' and '"' not in inside.replace('""', ""):
        return inside.replace('""', '"')
    return cell


def _delimiter(lines: list[str]) -> str:
    """The one of comma, semicolon, tab and bar that cuts the most lines alike; the one with the most columns among equals."""
    header = next((line for line in lines if line.strip()), "")

    def fit(mark: str) -> tuple[float, int]:
        width = len(_cut(header, mark))
        filled = [line for line in lines if line.strip()]
        alike = sum(len(_cut(line, mark)) == width for line in filled) / max(1, len(filled))
        return (alike, width) if width > 1 else (-1.0, 0)

    best = max(_DELIMITERS, key=fit)
    return best if fit(best)[1] > 1 else ","


def _cut(line: str, mark: str) -> list[str]:
    return line.split(mark) if mark == "\t" else _cut_quoted(line, mark)


def _cut_quoted(line: str, mark: str) -> list[str]:
    """A line's cells, in which quotes may stand around a delimiter; where the csv module refuses a field as too long, without."""
    try:
        return next(csv.reader([line], delimiter=mark, skipinitialspace=True), [])
    except csv.Error:
        return line.split(mark)


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
