"""Tables as files. Cells that a spreadsheet would run as a formula are made plain text first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

if TYPE_CHECKING:
    import pandas as pd

_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_button(label: str, table: pd.DataFrame, name: str, key: str) -> None:
    """A download that is only built when somebody asks for it."""
    st.download_button(
        label,
        lambda: csv_bytes(table),
        f"{name}.csv",
        "text/csv",
        key=key,
        icon=":material/download:",
        on_click="ignore",
        disabled=table.empty,
    )


def csv_bytes(table: pd.DataFrame) -> bytes:
    """UTF-8 with a byte-order mark, so that spreadsheets read accents; text cells neutralised."""
    return table.map(neutral).to_csv(index=False).encode("utf-8-sig")


def neutral(cell: Any) -> Any:
    """A text that begins like a formula gets an apostrophe in front; a list becomes text; numbers stay numbers."""
    if isinstance(cell, list | tuple):
        cell = " | ".join(map(str, cell))
    return f"'{cell}" if isinstance(cell, str) and cell.lstrip(" ").startswith(_STARTS) else cell
