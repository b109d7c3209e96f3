"""What every chart shares: the level colours, quiet greys that read on light and dark, a bare canvas.

The level scale runs from violet (nothing known) to gold (known well). Its luminance rises with the level, so the
order survives every kind of colour blindness, and each step keeps a contrast of 2.3 or more on white and on the dark
background. Colour only repeats what the axis already says.

A logarithmic axis for numbers that start at 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import plotly.graph_objects as go

FEW = 30  # below this many facts a marker is hollow and nothing is claimed in words (METHOD 8.9)
GREY = "#8a8f98"  # baselines and anything that is not a level
GRID = "rgba(128, 132, 140, 0.22)"
# Of a table's cells: translucent, so that the page's own text colour reads on every one, light or dark.
SHADES = [[0, "rgba(63, 118, 191, 0.04)"], [1, "rgba(63, 118, 191, 0.4)"]]
CHART_CONFIG = {"displayModeBar": False, "displaylogo": False, "scrollZoom": False, "doubleClick": False}

_SCALE = ((116, 83, 166), (63, 118, 191), (29, 154, 156), (87, 176, 90), (196, 168, 33))


def level_colours(count: int) -> list[str]:
    """One hex colour a level, lowest first, for any number of levels."""
    if count == 1:
        return [_hex(_SCALE[-1])]
    return [_hex(_between(step * (len(_SCALE) - 1) / (count - 1))) for step in range(count)]


def ink_on(colour: str) -> str:
    """Black or white, whichever reads better on a hex colour."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#111111" if 0.299 * red + 0.587 * green + 0.114 * blue > 120 else "#ffffff"


def canvas(height: int, *, x_title: str = "", y_title: str = "", percent: str = "") -> go.Figure:
    """An empty transparent figure; `percent` names the axes ("x", "y") that show shares as per cent."""
    axis = {"gridcolor": GRID, "zeroline": False, "automargin": True, "fixedrange": True}

    def named(name: str, title: str) -> dict[str, object]:
        return {**axis, **({"title": {"text": title}} if title else {}), **({"tickformat": ".0%"} if name in percent else {})}

    layout = {  # at once: plotly takes seven times as long for the same in several updates
        "height": height,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "xanchor": "left", "x": 0, "title": {"text": ""}},
        "hoverlabel": {"align": "left"},
        "dragmode": False,
        "xaxis": named("x", x_title),
        "yaxis": named("y", y_title),
    }
    return go.Figure(layout=layout)


def plain(text: object) -> str:
    """Text of models or data for a chart: plotly reads a little HTML, so the brackets are spelled out."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shortened(text: str, length: int) -> str:
    """`text` cut to `length` characters with an ellipsis."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _between(position: float) -> Sequence[float]:
    low = min(int(position), len(_SCALE) - 2)
    part = position - low
    return [a + (b - a) * part for a, b in zip(_SCALE[low], _SCALE[low + 1], strict=True)]


def _hex(colour: Sequence[float]) -> str:
    return "#" + "".join(f"{round(value):02x}" for value in colour)


ZERO_GAP = 0.45  # on a log axis, in powers of ten: how far left of the smallest number 0 stands


class LogAxis:
    """Numbers of examples or mentions on a logarithmic axis where 0 has a place of its own at the left."""

    def __init__(self, numbers: Iterable[float]):
        self.numbers = sorted(set(numbers))
        positive = [number for number in self.numbers if number > 0]
        self._zero = math.log10(positive[0]) - ZERO_GAP if positive else 0.0

    def place(self, number: float) -> float:
        """Where a number stands."""
        return math.log10(number) if number > 0 else self._zero

    def draw(self, figure: go.Figure, ticks: Sequence[float]) -> None:
        """Label these numbers; where two stand too close the later one goes without."""
        kept: list[float] = []
        for tick in sorted(ticks):
            if not kept or self.place(tick) - self.place(kept[-1]) > 0.17:
                kept.append(tick)
        ends = [self.place(number) for number in (self.numbers[0], self.numbers[-1])] if self.numbers else [0.0, 1.0]
        figure.update_xaxes(
            tickvals=[self.place(tick) for tick in kept], ticktext=[f"{tick:,.0f}" for tick in kept], range=[ends[0] - 0.15, ends[1] + 0.15]
        )
