"""Charts as the page shows them: in the page's own text colour, which plotly's theme would make a faint grey."""

from __future__ import annotations

from typing import Any

import streamlit as st

from sftqa_core.figures.style import CHART_CONFIG

_INK = {"light": "#262730", "dark": "#fafafa"}
_TOOLS = {"light": "#4b4f5a", "dark": "#c4c7cf"}  # axis labels and titles: 4.5 to 1 or more on either background


def draw(figure: Any, key: str, alt: str, place: Any = st) -> None:
    """Draw a figure at `place` (a column, or where the script stands); `alt` says what it shows."""
    theme = st.context.theme.type or "light"
    figure.update_layout(font_color=_INK[theme], legend_font_color=_INK[theme])
    figure.update_xaxes(tickfont_color=_TOOLS[theme], title_font_color=_TOOLS[theme])
    figure.update_yaxes(tickfont_color=_TOOLS[theme], title_font_color=_TOOLS[theme])
    figure.for_each_trace(lambda trace: trace.update(textfont_color=_INK[theme]), selector=_is_text)
    place.plotly_chart(figure, config=CHART_CONFIG, key=key, alt=alt)


def _is_text(trace: Any) -> bool:
    """Words that stand on the page itself, or on a translucent cell."""
    return trace.type == "scatter" and trace.mode == "text" and trace.textfont.color is None
