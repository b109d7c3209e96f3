"""Several tested models in one chart: accuracy per memory level, and both means beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from sftqa_core.figures import style
from sftqa_core.records import DomainMeans, MeanAccuracy

# Told apart in the usual colour blindnesses as far as eight can be, 3 to 1 or more on white and on the dark page but for the gold; the
# ninth begins again with another sign.
COLOURS = ("#3f76bf", "#d9772b", "#2a9470", "#b455a8", "#b3941b", "#d1495b", "#1d9a9c", "#7d6bd6")
SIGNS = ("circle", "diamond", "triangle-up", "pentagon")
BASE_SIGNS = ("square", "cross", "x", "star")  # grey: of several base models
MEANS = {"macro": "mean", "micro": "micro"}
_WIDTH = 0.64  # of a level's place that markers take
_GAP = 0.4  # between levels and means


@dataclass(frozen=True)
class Line:
    """One column of a comparison."""

    label: str
    means: DomainMeans
    base: bool = False


def colour_of(at: int) -> str:
    """The colour of the model at this place."""
    return COLOURS[at % len(COLOURS)]


def overlaid_figure(lines: Sequence[Line], height: int = 400, means: Mapping[str, str] = MEANS) -> go.Figure:
    """One domain. Each model's accuracies with their 95% intervals, side by side within a level; base models are grey, a square and
    other signs where there are several.

    Hollow: fewer than 30 facts. The means stand apart at the right: field of `DomainMeans` -> name below the axis. Thin lines join a
    model's levels.
    """
    figure = style.canvas(height, y_title="accuracy", percent="y", below=style.below(_names(lines[0].means, means) if lines else ()))
    steps = max(len(lines) - 1, 1)
    runs, bases = ([line.label for line in lines if line.base is base] for base in (False, True))
    for at, line in enumerate(lines):
        shift = (at / steps - 0.5) * _WIDTH if len(lines) > 1 else 0.0
        if line.base:
            colour, sign = style.GREY, BASE_SIGNS[bases.index(line.label) % len(BASE_SIGNS)]
        else:
            place = runs.index(line.label)
            colour, sign = colour_of(place), SIGNS[place // len(COLOURS) % len(SIGNS)]
        _draw(figure, line, _places(line.means, means), shift, colour, sign, size=11 if len(lines) <= 6 else 8)
    if lines:
        _name_places(figure, lines[0].means, means)
    figure.update_yaxes(range=[-0.02, 1.02], tickvals=[0, 0.25, 0.5, 0.75, 1])
    return figure


def _places(means: DomainMeans, named: Mapping[str, str]) -> list[tuple[float, MeanAccuracy]]:
    count = len(means.per_level)
    return [*enumerate(means.per_level), *((count + at + _GAP, getattr(means, name)) for at, name in enumerate(named))]


def _draw(
    figure: go.Figure, line: Line, places: Sequence[tuple[float, MeanAccuracy]], shift: float, colour: str, sign: str, size: int
) -> None:
    known = [(place + shift, mean) for place, mean in places if mean.value is not None]
    levels = [(x, mean) for x, mean in known if mean in line.means.per_level]
    join = {"color": style.rgba(colour, 0.45), "width": 1.3}
    figure.add_scatter(
        x=[x for x, _ in levels], y=[mean.value for _, mean in levels], mode="lines", line=join, hoverinfo="skip", showlegend=False
    )
    values, lows, highs = ([getattr(mean, name) for _, mean in known] for name in ("value", "low", "high"))
    signs, texts = style.signs(sign, [mean.n for _, mean in known]), [_hover(line.label, mean) for _, mean in known]
    marker = {"size": size, "symbol": signs, "color": colour, "line": {"color": colour, "width": 2}}
    figure.add_scatter(
        name=line.label, x=[x for x, _ in known], y=values, mode="markers", marker=marker, text=texts, showlegend=False,
        error_y=style.error_bars(values, lows, highs, style.rgba(colour, 0.75)), **style.POINTED,
    )  # fmt: skip
    # the legend's own sign: a model whose first level is scarce would have a hollow one there
    marker = {"size": 10, "symbol": sign, "color": colour}
    figure.add_scatter(name=line.label, x=[None], y=[None], mode="markers", hoverinfo="skip", marker=marker)


def _hover(label: str, mean: MeanAccuracy) -> str:
    if mean.value is None or mean.low is None or mean.high is None:
        return ""
    seeds = f"<br>seeds: {', '.join(f'{value:.1%}' for value in mean.per_seed)}" if mean.per_seed else ""
    words = f"{style.interval_words(mean.value, mean.low, mean.high)}<br>{style.counted(mean.n, 'fact')}"
    return f"<b>{style.plain(label)}, {style.plain(mean.level)}</b><br>{words}{seeds}{style.too_few(mean.n)}"


def _name_places(figure: go.Figure, means: DomainMeans, named: Mapping[str, str]) -> None:
    places = _places(means, named)
    figure.update_xaxes(
        tickvals=[place for place, _ in places],
        ticktext=_names(means, named),
        tickangle=0,
        range=[-0.55, places[-1][0] + 0.55],
        showgrid=False,
    )
    levels = len(means.per_level)
    border = (places[levels - 1][0] + places[levels][0]) / 2 if 0 < levels < len(places) else 0
    figure.add_vline(x=border, line={"width": 1, "dash": "dot", "color": style.GRID})


def _names(means: DomainMeans, named: Mapping[str, str]) -> list[str]:
    """What stands below the axis: levels with their facts, and the means."""
    levels = [f"<b>{style.wrapped(mean.level)}</b><br>{mean.n:,}" for mean in means.per_level]
    return [*levels, *(f"<b>{name}</b><br>" for name in named.values())]
