"""CSV as spreadsheets write and read it: byte-order mark, semicolons, formulas."""

from __future__ import annotations

import csv
import io
import re

from sftqa_core.errors import FactsError

_FORMULA = re.compile(r"'*[=+\-@]")  # what a spreadsheet would run, and what was already protected from that
_BOMS = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))


def decode_text(content: bytes, name: str) -> str:
    """UTF-8 text of a file, with or without a byte-order mark. Raises `FactsError` saying where it is not."""
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            raise FactsError(f"{name} is {encoding}. Save it as UTF-8 (in a spreadsheet: 'CSV UTF-8') and try again.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise FactsError(
            f"{name} is not UTF-8: line {line:,} holds the byte {content[error.start]:#04x}. "
            "Save it as UTF-8 (in a spreadsheet: 'CSV UTF-8') and try again."
        ) from error


def csv_cells(content: bytes, name: str) -> tuple[list[str], list[list[str]], str]:
    """Header (names stripped), rows and delimiter (comma, semicolon or tab). Raises `FactsError` for what is no CSV."""
    text = decode_text(content, name)
    delimiter = next((mark for mark in ",;\t" if mark in text.partition("\n")[0]), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header, *rows = list(reader) or [[]]
    except csv.Error as error:
        raise FactsError(
            f"{name}, line {reader.line_num:,}: not readable as CSV ({error}). Look for a quote that is not closed."
        ) from error
    return [column.strip() for column in header], rows, delimiter


def protect_cell(text: str) -> str:
    """A cell that a spreadsheet will not run: an apostrophe goes before a leading = + - or @."""
    return f"'{text}" if _FORMULA.match(text) else text


def unprotect_cell(text: str) -> str:
    """What `protect_cell` was given; a name's own apostrophe ('s-Hertogenbosch) stays."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
