"""Tables on a page: numbers by their kind, which the names of their columns tell (reports/number_columns.py has the rule)."""

from typing import Any

import pandas as pd
import streamlit as st

from pages._ui import drawn
from sftqa_core.reports import number_columns


def draw_table(table: pd.DataFrame, titles: dict[str, str] | None = None, helps: dict[str, str] | None = None, name: str = "") -> None:
    """Draw a table with its numbers by their kind, which the names of its columns tell; `titles` and `helps` are by column. With a
    `name` it can be taken away (take_away.py)."""
    if name:
        drawn.note_table(name, lambda: table)
    shown, config = readable(table, titles, helps)
    st.dataframe(shown, hide_index=True, column_config=config)


def readable(table: pd.DataFrame, titles: dict[str, str] | None = None, helps: dict[str, str] | None = None) -> tuple[Any, dict[str, Any]]:
    """A copy of a table as `draw_table` shows it, and the column configuration for it.

    Ends of a difference's interval (low and high beside a difference) are points, too.
    """
    shown, config = table.copy(), {}
    for name in table.columns:
        about = {"label": number_columns.title_of(name, titles), "help": (helps or {}).get(name)}
        if pd.api.types.is_bool_dtype(table[name]):
            config[name] = st.column_config.CheckboxColumn(**about)
        elif number_columns.as_words(name, table):
            config[name] = st.column_config.TextColumn(**about, alignment="right")
            shown[name] = [number_columns.word_of(name, at) for at in table[name]]
        elif pd.api.types.is_numeric_dtype(table[name]):
            form, times = number_columns.form_of(str(name), table)
            shown[name] = (table[name] * times).round(1) + 0.0 if times != 1 else table[name]  # never -0.0
            config[name] = st.column_config.NumberColumn(**about, format=form)
        elif len(table) and isinstance(table[name].iloc[0], list | tuple):
            config[name] = st.column_config.TextColumn(**about)
            shown[name] = [number_columns.listed(values, "accuracy" in table) for values in table[name]]
        else:
            config[name] = st.column_config.Column(**about)
    return shown, config
