"""A figure's words and axes in the colours of a light or a dark page, on pages and in reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

INK = {"light": "#262730", "dark": "#fafafa"}
TOOLS = {"light": "#4b4f5a", "dark": "#c4c7cf"}  # axis labels and titles: 4.5 to 1 or more on either background


def themed(figure: go.Figure, theme: str) -> dict[str, Any]:
    """The figure as plain values, in the theme's own text colour, which plotly's theme would make a faint grey: plotly's own updates take
    five times as long."""
    content: dict[str, Any] = figure.to_dict()
    layout = content["layout"]
    layout.setdefault("font", {})["color"] = layout.setdefault("legend", {}).setdefault("font", {})["color"] = INK[theme]
    for name in {"xaxis", "yaxis", *(name for name in layout if name.startswith(("xaxis", "yaxis")))}:
        axis = layout.setdefault(name, {})
        axis.setdefault("tickfont", {})["color"] = TOOLS[theme]
        axis.setdefault("title", {}).setdefault("font", {})["color"] = TOOLS[theme]
    for trace in content["data"]:
        if trace["type"] in ("bar", "scatter"):  # a click opens what lies behind and leaves the others as they are
            trace.setdefault("unselected", {}).setdefault("marker", {})["opacity"] = 1
        if trace["type"] == "scatter" and trace.get("mode", "").endswith("text"):
            if trace.get("textfont", {}).get("color") is None:
                trace.setdefault("textfont", {})["color"] = INK[theme]  # words that stand on the page itself, or on a translucent cell
            trace["unselected"].setdefault("textfont", {})["color"] = trace["textfont"]["color"]
    return content
