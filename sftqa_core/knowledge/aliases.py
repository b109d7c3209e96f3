"""Objects that count as the same: "USA" where the answer says "United States of America".

The table is a CSV with two columns that a spreadsheet or the page's editor can change: `name` and `same_as`, the latter
with " | " between names. The shipped table holds until a person saves one of their own, which then replaces it whole.
Both the memory score and the accuracy after training use it (METHOD section 1), so its fingerprint is part of every result.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftqa_core.artifacts import write_bytes
from sftqa_core.errors import FactsError
from sftqa_core.jsonrecord import fingerprint, listed, shown
from sftqa_core.knowledge import facts, matching
from sftqa_core.knowledge.tables import spreadsheet
from sftqa_core.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("name", "same_as")
SHIPPED = Path(__file__).with_name("aliases.csv")
MAX_BYTES = 4_000_000
MAX_GROUPS = 50_000
_BETWEEN = "|"


@dataclass(frozen=True)
class Aliases:
    """Groups of names for one object each. Raises `FactsError` naming every name that can't be used or stands twice."""

    groups: tuple[tuple[str, ...], ...] = ()

    def __post_init__(self) -> None:
        problems = []
        first: dict[str, int] = {}
        for number, group in enumerate(self.groups, 1):
            for name in group:
                if _BETWEEN in name or facts.has_control(name) or not name.strip():
                    problems.append(f"Group {number}: {shown(name)} is empty or contains '{_BETWEEN}' or a control character.")
                elif len(name) > facts.MAX_TEXT:
                    problems.append(f"Group {number}: {shown(name)} has {len(name):,} characters, the most is {facts.MAX_TEXT:,}.")
                elif (other := first.setdefault(_written(name), number)) != number:
                    duplicate = f"{shown(name)} is already in group {other}"
                    problems.append(f"Group {number} ({shown(group[0])[1:-1]}): {duplicate}. Put each name into one group.")
        if problems:
            raise FactsError(listed(problems))

    def expand(self, answers: Iterable[str]) -> tuple[str, ...]:
        """`answers` in their order, then every other name of each, none twice."""
        given = list(answers)
        more = (name for answer in given for name in self._group(answer))
        return tuple(dict.fromkeys([*given, *more]))

    def fingerprint(self) -> str:
        """16 hex digits; the same for tables that only differ in order."""
        return fingerprint(sorted(sorted(group) for group in self.groups if len(group) > 1))

    def rows(self) -> list[dict[str, str]]:
        """The table as the page's editor shows it."""
        return [{"name": group[0], "same_as": f" {_BETWEEN} ".join(group[1:])} for group in self.groups]

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any]]) -> "Aliases":
        """The table out of an editor's rows; empty rows are passed over, a doubled name in one row is taken once."""
        cells = [[_text(row.get("name")), *_text(row.get("same_as")).split(_BETWEEN)] for row in rows]
        groups = [tuple(dict.fromkeys(name for cell in row if (name := facts.subject_key(cell)))) for row in cells]
        return cls(tuple(group for group in groups if group))

    def to_csv(self) -> bytes:
        """The file's content; cells that a spreadsheet would take for formulas are protected with an apostrophe."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([spreadsheet.protect_cell(value) for value in row.values()] for row in self.rows())
        return text.getvalue().encode()

    def _group(self, answer: str) -> tuple[str, ...]:
        """The group that has this name as it is written, else the first that has it spelled otherwise ("O’Brien.")."""
        written, spelled = self._groups_of
        name = _written(answer)
        if name in written:
            return written[name]
        return spelled.get(matching.same_name(answer) if matching.treats_otherwise("tokens", (answer,)) else name, ())

    @cached_property
    def _groups_of(self) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
        pairs = [(name, group) for group in self.groups for name in group]
        return {_written(name): group for name, group in pairs}, {matching.same_name(name): group for name, group in reversed(pairs)}


def rule_of(table: "pd.DataFrame", match: str, aliases: Aliases) -> str:
    """The name of a matching rule in the key of what is judged by it: `matching.named` by all answers and rivals of a fact table."""
    rivals = [(rival,) for rival in table["rival"].dropna()] if "rival" in table else []
    answers = {tuple(row) for row in table["answers"]} if "answers" in table else set()
    return matching.named(match, (name for given in (*answers, *rivals) for name in aliases.expand(given)))


def load_aliases(workspace: Workspace | None = None) -> Aliases:
    """The person's table, or the shipped one while there is none. Raises `FactsError` for a file that can't be used."""
    path = (workspace or Workspace.current()).aliases
    return read_aliases(path if path.exists() else SHIPPED)


def save_aliases(aliases: Aliases, workspace: Workspace | None = None) -> Path:
    """Store the person's table, whole or not at all. Raises `FactsError` for one that is too large to be read again."""
    path, content = (workspace or Workspace.current()).aliases, aliases.to_csv()
    _refuse_large(len(content), "The alias table")
    write_bytes(path, content)
    return path


def reset_aliases(workspace: Workspace | None = None) -> None:
    """Go back to the shipped table."""
    (workspace or Workspace.current()).aliases.unlink(missing_ok=True)


def read_aliases(path: Path) -> Aliases:
    """The table in a file. Raises `FactsError` with every problem."""
    try:
        if not path.is_file():
            raise FactsError(f"{path} is not a file. Remove it to use the table that came with the program.")
        _refuse_large(path.stat().st_size, path.name)
        return parse_aliases(path.read_bytes(), path.name)
    except OSError as error:
        raise FactsError(f"{path} can't be read: {error.strerror or error}.") from error


def parse_aliases(content: bytes, name: str = "The alias table") -> Aliases:
    """The table in a file's bytes (comma, semicolon or tab between the columns). Raises `FactsError` with every problem."""
    _refuse_large(len(content), name)
    header, rows, delimiter = spreadsheet.csv_table(spreadsheet.text_lines(io.BytesIO(content), name), name)
    table = list(rows)
    if header[:2] != list(COLUMNS):
        seen = f"its first line is {shown(delimiter.join(header))}"
        raise FactsError(
            f"{name} must begin with the columns {', '.join(COLUMNS)}; {seen}. Correct it, or delete it to use the shipped table."
        )
    wide = [number for number, row in enumerate(table, 2) if any(row[2:])]
    if wide:
        said = f"more than two columns; names are separated by '{_BETWEEN}', and one that holds {delimiter!r} needs quotes."
        raise FactsError(listed([f"{name}, row {number}: {said}" for number in wide]))
    if len(table) > MAX_GROUPS:
        raise FactsError(f"{name} has {len(table):,} rows; an alias table may have {MAX_GROUPS:,}.")
    return Aliases.from_rows(dict(zip(COLUMNS, map(spreadsheet.unprotect_cell, row), strict=False)) for row in table)


def _refuse_large(size: int, name: str) -> None:
    if size > MAX_BYTES:
        raise FactsError(f"{name} has {size:,} bytes; an alias table may have {MAX_BYTES:,}.")


def _written(name: str) -> str:
    """A name with its apostrophes, dashes and marks: groups that differ in these alone are as good as they ever were."""
    plain = facts.subject_key(name)
    if len(plain) <= matching.CASE_SENSITIVE_LENGTH:
        return plain
    return plain.lower() if plain.isascii() else facts.subject_key(plain.casefold())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
