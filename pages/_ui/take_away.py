"""Taking away what a page shows: each of its charts as PNG or SVG, each of its tables as CSV or Parquet, behind one button.

What a page draws is noted while it is drawn, so the list is always that of the page as it stands. Images are made by the browser: the
dialog shows the chart as it will be saved, and the camera above it saves it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import streamlit as st

from pages._ui.drawn import on_this_page
from sftqa_core.figures.style import CHART_CONFIG

_WIDTH = 900  # pixels of a saved chart: two columns of a paper at 150 dots an inch
_PAPER = {"light": "#ffffff", "dark": "#0e1117"}
_PRINT, _PAGE = "for print", "as on the page"


def button() -> None:
    """Draw the button, in a fragment."""
    if st.button("Take away", icon=":material/download:", type="tertiary", key="take-away-open", help="Charts and tables as files."):
        _opened()


@st.dialog("Take away", width="large")
def _opened() -> None:
    seen = on_this_page()
    charts, tables = seen.charts, seen.tables
    if not charts and not tables:
        st.caption("This page shows no chart and no table now.")
    if charts:
        _charts(seen.page, charts)
    if tables:
        _tables(seen.page, tables)


def _charts(page: str, charts: dict[str, tuple[str, Callable[[str], Any]]]) -> None:
    st.subheader("Charts", anchor=False)
    key = st.selectbox("Chart", list(charts), format_func=lambda key: charts[key][0], key="take-away-chart")
    with st.container(horizontal=True, gap="medium"):
        kind = st.segmented_control("Format", ("PNG", "SVG"), default="PNG", required=True, key="take-away-image")
        colours = st.segmented_control("Colours", (_PRINT, _PAGE), default=_PRINT, required=True, key="take-away-colours")
    theme = "light" if colours == _PRINT else st.context.theme.type or "light"
    alt, figure = charts[key]
    made = figure(theme)
    made = type(made)(made.to_dict(), _validate=False).update_layout(paper_bgcolor=_PAPER[theme], plot_bgcolor=_PAPER[theme])
    saved = {"format": kind.lower(), "filename": file_name(page, key), "width": _WIDTH, "height": made.layout.height or 450}
    saved |= {"scale": 2} if kind == "PNG" else {}
    shown = {"displayModeBar": True, "modeBarButtons": [["toImage"]], "toImageButtonOptions": saved}
    st.plotly_chart(made, config={**CHART_CONFIG, **shown}, theme=None, key=f"take-away-{key}-{kind}-{theme}", alt=alt)
    st.caption(f"The camera at the top right of the chart saves it as {kind}, {_WIDTH} pixels wide.")


def _tables(page: str, tables: dict[str, Callable[[], Any]]) -> None:
    import pandas as pd  # when somebody asks: the way to the first chart does without

    from pages._ui.downloads import csv_bytes, parquet_bytes

    st.subheader("Tables", anchor=False)
    name = st.selectbox("Table", list(tables), key="take-away-table")
    kind = st.segmented_control("File", ("CSV", "Parquet"), default="CSV", required=True, key="take-away-file")
    make = csv_bytes if kind == "CSV" else parquet_bytes
    st.download_button(
        f"Save as {kind}",
        lambda: make(pd.DataFrame(tables[name]())),
        f"{file_name(page, name)}.{kind.lower()}",
        "text/csv" if kind == "CSV" else "application/vnd.apache.parquet",
        key="take-away-save",
        icon=":material/download:",
        on_click="ignore",
    )


def file_name(page: str, name: str) -> str:
    """A file's name that every system takes: what page and name say, in small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", f"{page or 'overview'} {name}".lower()).strip("-")[:80]
