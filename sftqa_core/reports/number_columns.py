"""How numbers stand in tables, on pages and in reports: one rule for each kind, the same digits as in sentences (records/amounts.py).

Shares: percent with one digit. Differences of shares: points with one digit and a sign. Counts: whole, in groups of three; means of
counts with one digit. p: three digits. Memory scores of one fact: three digits, as each hit moves it by 1 in 210. All other numbers: two
digits, or four in a column of numbers below 0.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sftqa_core.records import TrainSettings
from sftqa_core.records.amounts import counted, p_value

if TYPE_CHECKING:
    import pandas as pd

SHARES = frozenset((
    "accuracy", "other_accuracy", "low", "high", "share", "relative", "smallest", "moved", "same_level", "best", "shown_share", "forgotten",
    "learned", "known", "known_low", "known_high", "said", "other", "same_known",
))  # fmt: skip
POINTS = frozenset(("difference", "diff_low", "diff_high", "excess", "excess_low", "excess_high"))
COUNTS = frozenset(("n", "facts", "asked", "seeds", "least", "examples", "shots", "none", "right_answers", "common_answers"))
P = frozenset(("p", "p_holm"))
TITLES = {"p_holm": "p after Holm", "other_accuracy": "other accuracy", "diff_low": "from", "diff_high": "to"}
WHOLE = "localized"  # a form: a whole number in groups of three


def title_of(name: str, titles: Mapping[str, str] | None = None) -> str:
    """The heading of a column."""
    return {**TITLES, **(titles or {})}.get(name, str(name).replace("_", " "))


def as_words(name: str, table: pd.DataFrame) -> bool:
    """Whether a column's numbers are written as words: p-values, and numbers of examples among which "all" stands."""
    return name in P or (name == "asked" and bool((table[name] == TrainSettings.ALL).any()))  # -1 asks for all


def word_of(name: str, value: Any) -> str:
    """A number of such a column."""
    return p_value(value) if name in P else "all" if value == TrainSettings.ALL else counted(int(value))


def form_of(name: str, table: pd.DataFrame) -> tuple[str, int]:
    """A column's format (of %, or WHOLE), and what its numbers are multiplied by. Ends of a difference's interval (low and high beside a
    difference) are points, too."""
    import pandas as pd

    whole = pd.api.types.is_integer_dtype(table[name])
    if name in POINTS or (name in ("low", "high") and "difference" in table):
        return "%+.1f", 100
    if name in SHARES and not whole:
        return "%.1f%%", 100
    if whole or name in COUNTS:
        return (WHOLE if whole or (table[name].dropna() % 1 == 0).all() else "%.1f"), 1
    small = table[name].abs().max() < 0.1
    return ("%.3f" if name == "mean_score" else "%.4f" if small else "%.2f"), 1


def listed(values: Any, shares: bool) -> str:
    """Numbers of single seeds, or texts."""
    if any(isinstance(value, str) for value in values):
        return " | ".join(map(str, values))
    return ", ".join(f"{value:.1%}" if shares else f"{value:.2f}" for value in values)


def as_texts(table: pd.DataFrame, titles: Mapping[str, str] | None = None) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of a table as text; what is missing is empty."""
    columns = [_texts(str(name), table) for name in table.columns]
    return [title_of(str(name), titles) for name in table.columns], [list(row) for row in zip(*columns, strict=True)]


def _texts(name: str, table: pd.DataFrame) -> list[str]:
    import pandas as pd

    values, missing = table[name].tolist(), [not isinstance(value, list | tuple) and bool(pd.isna(value)) for value in table[name]]
    if pd.api.types.is_bool_dtype(table[name]):
        texts = ["" if gone else "yes" if value else "no" for value, gone in zip(values, missing, strict=True)]
    elif as_words(name, table):
        texts = ["" if gone else word_of(name, value) for value, gone in zip(values, missing, strict=True)]
    elif pd.api.types.is_numeric_dtype(table[name]):
        form, times = form_of(name, table)
        texts = ["" if gone else _number(form, value * times) for value, gone in zip(values, missing, strict=True)]
    else:
        shares = "accuracy" in table
        texts = [
            "" if gone else listed(value, shares) if isinstance(value, list | tuple) else str(value)
            for value, gone in zip(values, missing, strict=True)
        ]
    return texts


def _number(form: str, value: float) -> str:
    text = f"{value:,.0f}" if form == WHOLE else form % (round(value, 6) + 0.0)
    return text if any(digit in text for digit in "123456789") else text.lstrip("+-")  # nothing has no sign
