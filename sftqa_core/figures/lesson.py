"""The lesson's own charts: sampled answers, accuracy by number of examples beside a guess, accuracy of models before and after tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from sftqa_core.figures import style
from sftqa_core.figures.answer_kinds import LOOKS
from sftqa_core.records import MeanAccuracy, Sampled

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


def samples_figure(samples: Sequence[Sampled]) -> go.Figure:
    """A bar for each distinct text, as long as it was drawn often, with the text behind it; right ones are teal and have a tick."""
    figure = style.canvas(30 * max(len(samples), 1) + 16, left=34, below=8, legend=False)
    most = max((sample.count for sample in samples), default=1)
    colours = [LOOKS["settled"][0] if sample.right else style.GREY for sample in samples]
    words = [style.plain(style.shortened(sample.text.strip() or "(nothing)", 60)) + (" ✓" if sample.right else "") for sample in samples]
    figure.add_bar(
        orientation="h", y=list(range(len(samples))), x=[sample.count for sample in samples], text=words, textposition="outside",
        marker={"color": colours, "line": {"width": 0}}, hoverinfo="skip", showlegend=False, cliponaxis=False, textangle=0,
    )  # fmt: skip
    figure.update_layout(bargap=0.3)
    figure.update_xaxes(range=[0, 3 * most], visible=False)  # two thirds are for the words
    counts = [str(sample.count) for sample in samples]
    figure.update_yaxes(tickvals=list(range(len(samples))), ticktext=counts, range=[len(samples) - 0.5, -0.5], showgrid=False)
    return figure


def models_figure(rows: Mapping[str, Mapping[str, MeanAccuracy]], height: int = 240) -> go.Figure:
    """Each model's accuracies on one line, the first model on top: `rows` has model -> stage -> micro average, stages in their order.

    The first stage is grey (the base model), the last has its value beside it. Bars are 95% intervals, hollow: fewer than 30 facts.
    """
    figure = style.canvas(height, percent="x", left=style.beside(rows), below=30)
    figure.update_layout(margin={"r": 24})
    stages = list(dict.fromkeys(stage for means in rows.values() for stage in means))
    highest = 0.0
    for at, stage in enumerate(stages):
        colour, sign = (style.GREY, "square") if at == 0 else (_COLOUR, "circle")
        known = [(place, mean) for place, means in enumerate(rows.values()) if (mean := means.get(stage)) and mean.value is not None]
        values, lows, highs = ([getattr(mean, name) for _, mean in known] for name in ("value", "low", "high"))
        highest = max([highest, *highs])
        hovers = [f"<b>{style.plain(list(rows)[place])}, {style.plain(stage)}</b><br>{_numbers(mean)}" for place, mean in known]
        marker = {"size": 13, "symbol": style.signs(sign, [mean.n for _, mean in known]), "color": colour,
                  "line": {"color": colour, "width": 2}}  # fmt: skip
        figure.add_scatter(
            name=style.plain(stage), x=values, y=[place for place, _ in known], mode="markers+text", marker=marker, hovertext=hovers,
            text=[f"<b>{value:.1%}</b>" for value in values], textposition="top center", hoverinfo="text", cliponaxis=False,
            error_x=style.error_bars(values, lows, highs, colour, 2, 7),
        )  # fmt: skip
    figure.update_xaxes(range=[0, min(1.02, 1.3 * highest or 1.0)])
    figure.update_yaxes(
        tickvals=list(range(len(rows))), ticktext=[style.plain(name) for name in rows], range=[len(rows) - 0.5, -0.6], showgrid=False
    )
    return figure


def _numbers(mean: MeanAccuracy) -> str:
    value, low, high = (end or 0.0 for end in (mean.value, mean.low, mean.high))  # means without a value are not drawn
    return f"{style.interval_words(value, low, high)}<br>{style.counted(mean.n, 'test fact')}"
