"""How numbers stand in tables: one rule for each kind, the same digits as in sentences (wording.py and records/amounts.py).

Shares: percent with one digit. Differences of shares: points with one digit and a sign. Counts: whole, in groups of three; means of
counts with one digit. p: three digits. Memory scores of one fact: three digits, as each hit moves it by 1 in 210. All other numbers: two
digits, or four in a column of numbers below 0.1.
"""

from typing import Any

import pandas as pd
import streamlit as st

from pages._ui.wording import counted, p_value
from sftqa_core.records import TrainSettings

SHARES = frozenset((
    "accuracy", "other_accuracy", "low", "high", "share", "relative", "smallest", "moved", "same_level", "best", "shown_share", "forgotten",
    "learned", "known", "known_low", "known_high", "said", "other",
))  # fmt: skip
POINTS = frozenset(("difference", "diff_low", "diff_high", "excess", "excess_low", "excess_high"))
COUNTS = frozenset(("n", "facts", "asked", "seeds", "least", "examples", "shots", "none"))
P = frozenset(("p", "p_holm"))
TITLES = {"p_holm": "p after Holm", "other_accuracy": "other accuracy", "diff_low": "from", "diff_high": "to"}


def draw_table(table: pd.DataFrame, titles: dict[str, str] | None = None, helps: dict[str, str] | None = None) -> None:
    """Draw a table with its numbers by their kind, which the names of its columns tell; `titles` and `helps` are by column."""
    shown, config = readable(table, titles, helps)
    st.dataframe(shown, hide_index=True, column_config=config)


def readable(table: pd.DataFrame, titles: dict[str, str] | None = None, helps: dict[str, str] | None = None) -> tuple[Any, dict[str, Any]]:
    """A copy of a table as `draw_table` shows it, and the column configuration for it.

    Ends of a difference's interval (low and high beside a difference) are points, too.
    """
    titles, shown, config = {**TITLES, **(titles or {})}, table.copy(), {}
    for name in table.columns:
        about = {"label": titles.get(name, str(name).replace("_", " ")), "help": (helps or {}).get(name)}
        if pd.api.types.is_bool_dtype(table[name]):
            config[name] = st.column_config.CheckboxColumn(**about)
        elif name in P or (name == "asked" and (table[name] == TrainSettings.ALL).any()):  # -1 asks for all
            config[name] = st.column_config.TextColumn(**about, alignment="right")
            shown[name] = [p_value(at) if name in P else "all" if at == TrainSettings.ALL else counted(int(at)) for at in table[name]]
        elif pd.api.types.is_numeric_dtype(table[name]):
            form, times = _form(str(name), table)
            shown[name] = (table[name] * times).round(1) + 0.0 if times != 1 else table[name]  # never -0.0
            config[name] = st.column_config.NumberColumn(**about, format=form)
        elif len(table) and isinstance(table[name].iloc[0], list | tuple):
            config[name] = st.column_config.TextColumn(**about)
            shown[name] = [_listed(values, "accuracy" in table) for values in table[name]]
        else:
            config[name] = st.column_config.Column(**about)
    return shown, config


def _form(name: str, table: pd.DataFrame) -> tuple[str, int]:
    """A column's format, and what its numbers are multiplied by."""
    whole = pd.api.types.is_integer_dtype(table[name])
    if name in POINTS or (name in ("low", "high") and "difference" in table):
        return "%+.1f", 100
    if name in SHARES and not whole:
        return "%.1f%%", 100
    if whole or name in COUNTS:
        return ("localized" if whole or (table[name].dropna() % 1 == 0).all() else "%.1f"), 1
    small = table[name].abs().max() < 0.1
    return ("%.3f" if name == "mean_score" else "%.4f" if small else "%.2f"), 1


def _listed(values: Any, shares: bool) -> str:
    """Numbers of single seeds, or texts."""
    if any(isinstance(value, str) for value in values):
        return " | ".join(map(str, values))
    return ", ".join(f"{value:.1%}" if shares else f"{value:.2f}" for value in values)
