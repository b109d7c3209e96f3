"""Tables as files, and whole reports. Cells that a spreadsheet would run as a formula are made plain text first."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from pages._ui import drawn, resources
from pages._ui.bundles import bundle_reads
from sftqa_core.knowledge.tables.spreadsheet import protect_cell
from sftqa_core.records.result_names import bundle_of

if TYPE_CHECKING:
    import pandas as pd

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def csv_button(label: str, table: pd.DataFrame | Callable[[], pd.DataFrame], name: str, key: str, empty: bool = False) -> None:
    """A download that is only built when somebody asks for it; a large table can be handed over as a function that makes it."""
    made = table if callable(table) else lambda: table
    drawn.note_table(key.removesuffix("-csv").replace("-", " "), made)
    st.download_button(
        label,
        lambda: csv_bytes(made()),
        f"{name}.csv",
        "text/csv",
        key=key,
        icon=":material/download:",
        on_click="ignore",
        disabled=empty if callable(table) else table.empty,
    )


def share_button(names: Sequence[str], key: str, reference: str | None = None, pool: bool = False, against: str | None = None) -> None:
    """A run, a study, or runs and cells beside each other as one file for others: a report to read, or a bundle that another explorer
    imports. Each is only made when somebody asks for it; what was imported has no bundle of its own."""
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", names[0])[:100] if len(names) == 1 else "comparison"
    with st.popover("Share", icon=":material/share:", key=key):
        st.caption("To read: charts, numbers, a methods paragraph and BibTeX in one file for any browser, without the network. About 5 MB.")
        st.download_button(
            "Report (HTML)", lambda: resources.report_page(tuple(names), reference, pool, against), f"{name}.html", "text/html",
            key=f"{key}-report", icon=":material/summarize:", on_click="ignore",
        )  # fmt: skip
        if not any(map(bundle_of, names)):
            st.caption(
                "For another explorer, which shows it beside its own results (*Import a bundle*). Neither holds a path or a name of yours."
            )
            st.download_button(
                "Bundle (.zip)", lambda: bundle_reads.packed(tuple(names), name), f"{name}.zip", "application/zip", key=f"{key}-bundle",
                icon=":material/inventory_2:", on_click="ignore",
            )  # fmt: skip


def csv_bytes(table: pd.DataFrame) -> bytes:
    """UTF-8 with a byte-order mark, so that spreadsheets read accents; names and text cells neutralised.

    Every text stands in quotes: where a spreadsheet takes semicolons for commas, one inside a text would begin a cell of its own.
    """
    single = table.select_dtypes("float32").columns  # their digits, not those of the double next to each
    shares = {name: table[name].astype("float64").round(6) for name in single}
    safe = table.assign(**shares).map(neutral).rename(columns=neutral)
    return safe.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC).encode("utf-8-sig")


def parquet_bytes(table: pd.DataFrame) -> bytes:
    """A table as Parquet: numbers with all their digits, texts as they are. A column of several kinds of values becomes text."""
    import pandas as pd
    import pyarrow as pa

    def plain(column: pd.Series) -> pd.Series:
        try:
            pa.Array.from_pandas(column)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            return column.map(str)
        return column

    if len({*map(str, table.columns)}) < table.shape[1]:
        raise ValueError(f"column names must differ, got {list(table.columns)}")
    out = io.BytesIO()
    pd.DataFrame({str(name): plain(table[name]) for name in table.columns}).to_parquet(out, index=False)
    return out.getvalue()


def neutral(cell: Any) -> Any:
    """A text that may be a formula gets an apostrophe in front, control characters are replaced; a list becomes text; numbers stay."""
    if isinstance(cell, np.ndarray):
        cell = [f"{value:g}" if isinstance(value, float) else value for value in cell.tolist()]
    if isinstance(cell, list | tuple):
        cell = " | ".join(map(str, cell))
    return protect_cell(_CONTROL.sub("\ufffd", cell)) if isinstance(cell, str) else cell
