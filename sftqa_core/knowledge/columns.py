"""Which column of a table is what: found by name, the first known name counts (rows.py says what the roles mean)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sftqa_core.errors import FactsError
from sftqa_core.jsonrecord import shown

ROLES = {
    "relation": ("relation", "predicate", "property"),
    "subject": ("subject", "entity"),
    "answers": ("answers", "answer", "objects", "object"),
    "question": ("question",),
    "split": ("split",),
    "domain": ("domain",),
    "exposures": ("exposures",),
    "templates": ("templates",),
}
COLUMN_NAMES = frozenset(name for names in ROLES.values() for name in names)
MAX_COLUMNS = 1_000
_LISTED = 20  # columns that a message names


@dataclass(frozen=True)
class Cells:
    """A file's content before anyone looked at it."""

    name: str  # shown in every message, and part of the facts' ids
    columns: Sequence[str]
    rows: Iterable[tuple[int, Sequence[Any]]]  # number as the person sees it, cells in the columns' order
    text_lists: bool = False  # cells hold text only, so several answers stand in one (CSV)


def find_columns(cells: Cells, mapping: Mapping[str, str]) -> dict[str, int]:
    """Role -> column index. `mapping`: role -> column, over the usual names. Raises `FactsError` with every problem."""
    if len(cells.columns) > MAX_COLUMNS:
        raise FactsError(f"{cells.name} has {len(cells.columns):,} columns, the most is {MAX_COLUMNS:,}.")
    plain = [str(column).strip().casefold() for column in cells.columns]
    problems = [f"'{role}' is no column role; there are {', '.join(ROLES)}." for role in mapping if role not in ROLES]
    problems += [
        f"{cells.name} has no column {shown(column)} (wanted as {role})."
        for role, column in mapping.items()
        if column.casefold() not in plain
    ]
    wanted = {role: (mapping[role].casefold(),) if role in mapping else names for role, names in ROLES.items()}
    at = {role: plain.index(known[0]) for role, names in wanted.items() if (known := [name for name in names if name in plain])}
    problems += [
        f"{cells.name} has the column '{plain[index]}' twice. Take one of them away."
        for index in at.values()
        if plain.count(plain[index]) > 1
    ]
    seen = f"its columns are {_names(cells.columns)}"
    if "answers" not in at:
        problems.append(f"{cells.name} has no column for the answers (answers or object); {seen}.")
    if "subject" in at and "relation" not in at:
        problems.append(f"{cells.name} has subjects but no column 'relation'; {seen}.")
    if "subject" not in at and "question" not in at:
        problems.append(f"{cells.name} has neither a column 'subject' (facts) nor 'question' (question-answer pairs); {seen}.")
    if problems:
        raise FactsError(problems)
    return at


def _names(columns: Sequence[str]) -> str:
    """A file's columns as a message lists them, however many and long they are."""
    some = [name if len(name) <= 40 and name.isprintable() else shown(name[:40]) for name in map(str, columns[:_LISTED])]
    return (", ".join(some) or "none") + (f" and {len(columns) - _LISTED:,} more" if len(columns) > _LISTED else "")
