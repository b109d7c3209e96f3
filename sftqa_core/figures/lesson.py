"""The lesson's own chart: accuracy at the numbers of examples that were tried, beside what somebody guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from sftqa_core.figures import style
from sftqa_core.records import MeanAccuracy

_COLOUR = "#3f76bf"  # reads on white and on the dark page


def sizes_figure(accuracy: Mapping[int, MeanAccuracy], tried: Sequence[int], guess: int | None, height: int = 320) -> go.Figure:
    """A place for each of the numbers `tried`, empty while there is no result; the guessed one is shaded.

    `accuracy`: number of examples -> micro average. Bars are 95% intervals; fewer than 30 facts give hollow markers.
    """
    figure = style.canvas(height, x_title="examples trained on", percent="y", legend=False)
    known = [(at, accuracy[n]) for at, n in enumerate(tried) if n in accuracy and accuracy[n].value is not None]
    values, lows, highs = ([getattr(mean, name) for _, mean in known] for name in ("value", "low", "high"))
    texts = [f"<b>{tried[at]:,} examples</b><br>{_numbers(mean)}{style.too_few(mean.n)}" for at, mean in known]
    signs = style.signs("circle", [mean.n for _, mean in known])
    marker = {"size": 13, "symbol": signs, "color": _COLOUR, "line": {"color": _COLOUR, "width": 2}}
    figure.add_scatter(
        x=[at for at, _ in known], y=values, mode="markers", marker=marker, text=texts, showlegend=False,
        error_y=style.error_bars(values, lows, highs, _COLOUR, 2, 7), **style.POINTED,
    )  # fmt: skip
    if guess is not None and guess in tried:
        place = list(tried).index(guess)
        figure.add_vrect(x0=place - 0.4, x1=place + 0.4, fillcolor=style.rgba(_COLOUR, 0.14), line_width=0, layer="below")
        figure.add_annotation(x=place, y=1, yref="paper", yanchor="top", text="your guess", showarrow=False)
    figure.update_xaxes(
        tickvals=list(range(len(tried))), ticktext=[f"{n:,}" for n in tried], range=[-0.5, len(tried) - 0.5], showgrid=False
    )
    figure.update_yaxes(range=[0, min(1.02, 1.3 * max(highs, default=0.5))])
    return figure


def _numbers(mean: MeanAccuracy) -> str:
    value, low, high = (end or 0.0 for end in (mean.value, mean.low, mean.high))  # means without a value are not drawn
    return f"{style.interval_words(value, low, high)}<br>{style.counted(mean.n, 'test fact')}"
