"""The loss of a run, finished or under way."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from sftqa_core.figures.style import GREY, canvas, level_colours


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
