"""What charts share: the level colours, quiet greys that read on light and dark, a bare canvas, intervals, cells, a log axis with 0.

The level scale runs from violet (nothing known) to gold (known well). Its luminance rises with the level, so the
order survives every kind of colour blindness, and each step keeps a contrast of 2.3 or more on white and on the dark
background. Colour only repeats what the axis already says.
"""

from __future__ import annotations

import html
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

if TYPE_CHECKING:
    import pandas as pd

FEW = 30  # below this many facts a marker is hollow and nothing is claimed in words (METHOD 8.9)
GREY = "#8a8f98"  # baselines and anything that is not a level
PUBLISHED = " (published)"  # behind the name of what a paper reports
GRID = "rgba(128, 132, 140, 0.22)"
# Of a table's cells: translucent, so that the page's own text colour reads on every one, light or dark.
SHADES = [[0, "rgba(63, 118, 191, 0.04)"], [1, "rgba(63, 118, 191, 0.4)"]]
CHART_CONFIG = {"displayModeBar": False, "displaylogo": False, "scrollZoom": False, "doubleClick": False}
POINTED: dict[str, Any] = {"hovertemplate": "%{text}<extra></extra>", "cliponaxis": False}  # of a trace whose text the pointer shows

_WIDE = "mwMW@%"
_LINE = 12  # letters of a name below its column
_NARROW = 388  # pixels of a chart on a telephone
_FIGURE = 6  # pixels of a letter of a share's figures
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


def canvas(
    height: int, *, x_title: str = "", y_title: str = "", percent: str = "", left: int = 64, below: int = 44, legend: bool = True
) -> go.Figure:
    """An empty transparent figure; `percent` names the axes ("x", "y") that show shares as per cent.

    `left` and `below` are the pixels beside the axes for their words, `legend` whether one line of names stands above: left to plotly,
    which draws once to measure and once to show, a figure takes half as long again. Numbers and a title fit into what is usual.
    """
    axis = {"gridcolor": GRID, "zeroline": False, "automargin": False, "fixedrange": True}

    def named(name: str, title: str) -> dict[str, object]:
        return {**axis, **({"title": {"text": title}} if title else {}), **({"tickformat": ".0%"} if name in percent else {})}

    layout = {  # at once: plotly takes seven times as long for the same in several updates
        "height": height,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": left, "r": 8, "t": 40 if legend else 8, "b": below},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "xanchor": "left", "x": 0, "title": {"text": ""}},
        "hoverlabel": {"align": "left"},
        "dragmode": False,
        "xaxis": named("x", x_title),
        "yaxis": named("y", y_title),
    }
    return go.Figure(layout=layout)


def beside(names: Iterable[str], title: bool = False) -> int:
    """Pixels that the longest of these labels takes, beside an axis with or without a title; markup in them takes none."""
    lines = [html.unescape(line) for name in names for line in re.sub(r"<(?!br>)[^>]*>", "", name).split("<br>")]
    return round(14 + 26 * title + max((sum(map(_letter, line)) for line in lines), default=0))


def _letter(sign: str) -> float:
    """Pixels of a letter at most, as good as."""
    if unicodedata.east_asian_width(sign) in "WF":
        return 13.2
    return 9.5 if sign in _WIDE or sign.isupper() else 6.6


def wrapped(name: str) -> str:
    """Short lines, where a name has joints: a column is narrow."""
    lines = [""]
    for part in re.findall(r"[^-_/ ]+[-_/ ]?|[-_/ ]", name):
        if lines[-1] and len(lines[-1] + part) > _LINE:
            lines.append("")
        lines[-1] += part
    return "<br>".join(plain(line.strip()) for line in lines)


def below(names: Iterable[str], more: int = 14) -> int:
    """Pixels that the labels below an axis take, by their lines; `more` for a title."""
    return more + 16 * max((name.count("<br>") + 1 for name in names), default=1)


def rows_with(table: pd.DataFrame, known: str = "", **wanted: str) -> list[dict[Any, Any]]:
    """Rows with these values, and with one in the column `known`; an empty table may have no columns at all."""
    if not len(table):
        return []
    chosen = table[(table[list(wanted)] == list(wanted.values())).all(axis=1)]
    return (chosen[chosen[known].notna()] if known else chosen).to_dict("records")


def error_bars(
    values: Iterable[float], lows: Iterable[float], highs: Iterable[float], colour: str = GREY, thickness: float = 1.4, width: int = 4
) -> dict[str, Any]:
    """Intervals around values as a trace has them."""
    ends = [(high - value, value - low) for value, low, high in zip(values, lows, highs, strict=True)]
    above, below = [up for up, _ in ends], [down for _, down in ends]
    looks = {"color": colour, "thickness": thickness, "width": width}
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below, **looks}


def signs(sign: str, facts: Iterable[float]) -> list[str]:
    """The sign of each point, hollow where facts are few."""
    return [sign + ("-open" if count < FEW else "") for count in facts]


def too_few(facts: float) -> str:
    """What the pointer adds where facts are few."""
    return "<br>too few facts to tell" if facts < FEW else ""


def interval_words(value: float, low: float, high: float) -> str:
    """30.0% (95%: 20.0% to 40.0%)."""
    return f"{value:.1%} (95%: {low:.1%} to {high:.1%})"


def counted(number: float, thing: str) -> str:
    """1 seed, 2,000 seeds."""
    return f"{number:,.0f} {thing}{'' if number == 1 else 's'}"


def label_shares(figure: go.Figure, rows: Sequence[Any], bars: Sequence[Sequence[float]], inks: Sequence[str | None]) -> None:
    """Numbers in the middle of what stacked bars are made of, where there is room: `bars` [rows][parts], `inks` a colour for each part,
    None for the page's own. There is room if there is on a telephone.

    Traces of their own, one a colour: plotly measures each text of a bar, which takes longer than all the rest of a chart.
    """
    width = max(1, _NARROW - figure.layout.margin.l - figure.layout.margin.r)
    for ink in dict.fromkeys(inks):
        found = [
            (middle, row, text)
            for row, shares in zip(rows, bars, strict=True)
            for share, middle, own in zip(shares, _middles(shares), inks, strict=True)
            if own == ink and share * width >= _FIGURE * len(text := f"{share:.0%}")
        ]
        if found:
            xs, ys, texts = zip(*found, strict=True)
            font = {"size": 11, "color": ink}
            figure.add_scatter(x=xs, y=ys, text=texts, mode="text", textfont=font, hoverinfo="skip", showlegend=False)


def _middles(shares: Sequence[float]) -> list[float]:
    return [end - share / 2 for share, end in zip(shares, accumulate(shares), strict=True)]


Cells = dict[tuple[int, int], str]  # column, row -> text


def draw_cells(figure: go.Figure, columns: Sequence[str], rows: Sequence[str], shades: Sequence[Sequence[float | None]], texts: Cells,
               hovers: Sequence[Sequence[str]] | None, **heat: Any) -> None:  # fmt: skip
    """A table of shaded cells, the first row on top: `shades` [rows][columns], the texts of filled cells, `hovers` [rows][columns].

    Texts are a trace of their own, so that they keep the page's ink, which a heatmap's would not. Its points have unseen markers as large
    as a cell: a heatmap's own cells can't be clicked on a page. Their positions are (column, row).
    """
    same = {"zmin": 0, "zmax": 1, "colorscale": SHADES, "showscale": False, "xgap": 3, "ygap": 3}
    pointer = {"hoverinfo": "skip"} if hovers is None else {"text": hovers, "hovertemplate": "%{text}<extra></extra>", "hoverongaps": True}
    figure.add_heatmap(x=list(range(len(columns))), y=list(range(len(rows))), z=shades, **{**same, **pointer, **heat})
    xs, ys = [x for x, _ in texts], [y for _, y in texts]
    over = [] if hovers is None else [hovers[y][x] for x, y in texts]
    figure.add_scatter(
        x=xs, y=ys, text=list(texts.values()), mode="markers+text", marker={"size": 40, "symbol": "square", "color": "rgba(0, 0, 0, 0)"},
        textposition="middle center", hovertext=over or None, hoverinfo="text" if over else "skip", showlegend=False,
    )  # fmt: skip
    figure.update_xaxes(tickvals=list(range(len(columns))), ticktext=list(columns), range=[-0.5, len(columns) - 0.5], showgrid=False)
    figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=list(rows), range=[len(rows) - 0.5, -0.5], showgrid=False)


def outline(figure: go.Figure, x: int, y: int, width: float) -> None:
    """A frame around a cell."""
    figure.add_shape(type="rect", x0=x - 0.485, x1=x + 0.485, y0=y - 0.465, y1=y + 0.465, line={"color": GREY, "width": width})


def rgba(colour: str, alpha: float) -> str:
    """A hex colour that lets the page through."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {alpha})"


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


LETTER = 0.021  # of the axis: a letter of a label on a chart of 420 px
_MARGIN = 0.15  # of a log axis, in powers of ten: beside the first and the last number
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

    def draw(self, figure: go.Figure, ticks: Iterable[float]) -> None:
        """Label all of these numbers: one that has no room beside its neighbour, on a narrow chart, stands a line lower."""
        shown = sorted(set(ticks))
        lines = self._lines(shown)
        figure.update_xaxes(
            tickvals=[self.place(tick) for tick in shown],
            ticktext=["<br>" * line + f"{tick:,.0f}" for tick, line in zip(shown, lines, strict=True)],
            range=[self._start - _MARGIN, self._start - _MARGIN + self.length],
        )

    def _lines(self, ticks: Sequence[float]) -> list[int]:
        """The line that each label stands on, 0 the highest with room."""
        ends: list[float] = []  # where the last label of each line ends
        lines = []
        for tick in ticks:
            half = (len(f"{tick:,.0f}") + 1) / 2 * LETTER * self.length
            line = next((at for at, end in enumerate(ends) if end <= self.place(tick) - half), len(ends))
            ends[line : line + 1] = [self.place(tick) + half]
            lines.append(line)
        return lines

    @property
    def _start(self) -> float:
        return self.place(self.numbers[0]) if self.numbers else 0.0

    @property
    def length(self) -> float:
        """Of the whole axis, its margins included."""
        return (self.place(self.numbers[-1]) - self._start if self.numbers else 1.0) + 2 * _MARGIN
