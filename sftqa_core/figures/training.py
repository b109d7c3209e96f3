"""What happened while a model was trained: the loss, and dev facts answered rightly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from sftqa_core.figures.style import FEW, GREY, canvas, level_colours

if TYPE_CHECKING:
    import pandas as pd

_DOMAINS = {"in": ("in-domain", "#3f76bf", "circle"), "out": ("out-of-domain", "#de702c", "square")}


def loss_figure(steps: Sequence[int], losses: Sequence[float], total_steps: int | None = None, height: int = 220) -> go.Figure:
    """Loss against step; with `total_steps` the axis keeps its length while the run goes on, so nothing jumps."""
    figure = canvas(height, x_title="step", y_title="loss")
    figure.add_scatter(
        x=list(steps),
        y=list(losses),
        mode="lines+markers" if len(steps) <= 60 else "lines",
        line={"color": level_colours(5)[1], "width": 2},
        marker={"size": 5},
        hovertemplate="step %{x}: loss %{y:.3f}<extra></extra>",
        showlegend=False,
    )
    figure.update_xaxes(range=[0, max(total_steps or 0, steps[-1] if len(steps) else 0, 1) * 1.03], showgrid=False)
    figure.update_yaxes(rangemode="tozero", zeroline=True, zerolinecolor=GREY)
    return figure


def looks_figure(looks: pd.DataFrame, kept_step: int | None = None, height: int = 220) -> go.Figure:
    """Share of dev facts answered rightly against step: `looks` as workflows.run_looks gives it, a line a domain.

    Bars are Wilson 95% intervals; fewer than 30 facts give hollow markers. `kept_step` is marked as the step whose weights the run kept.
    """
    figure = canvas(height, x_title="step", y_title="dev accuracy", percent="y")
    for domain, rows in looks.groupby("domain", sort=False):
        name, colour, sign = _DOMAINS.get(str(domain), (str(domain), GREY, "diamond"))
        figure.add_scatter(
            name=name,
            x=rows["step"].tolist(),
            y=rows["accuracy"].tolist(),
            mode="lines+markers",
            line={"color": colour, "width": 2},
            marker={"size": 7, "symbol": [sign + ("-open" if facts < FEW else "") for facts in rows["n"]]},
            error_y={
                "type": "data", "symmetric": False, "thickness": 1, "width": 3, "color": colour,
                "array": (rows["high"] - rows["accuracy"]).tolist(), "arrayminus": (rows["accuracy"] - rows["low"]).tolist(),
            },
            text=[f"{row.correct:,} of {row.n:,}, 95% {row.low:.1%} to {row.high:.1%}" for row in rows.itertuples()],
            hovertemplate="step %{x}: %{y:.1%}<br>%{text}<extra>" + name + "</extra>",
            showlegend=True,
        )  # fmt: skip
    if kept_step is not None:
        figure.add_vline(x=kept_step, line={"color": GREY, "width": 1.2, "dash": "dash"}, annotation_text="weights kept")
        figure.update_annotations(yanchor="bottom", y=0, xanchor="left", x=kept_step, yref="y")
    figure.update_xaxes(range=[0, max(looks["step"].max() if len(looks) else 0, 1) * 1.03], showgrid=False)
    figure.update_yaxes(rangemode="tozero", zeroline=True, zerolinecolor=GREY)
    return figure
