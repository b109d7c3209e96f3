"""Memory score against how often a fact was mentioned: what no one can show for a big model."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from sftqa_core.figures.series import LogAxis
from sftqa_core.figures.style import FEW, GREY, canvas, plain

if TYPE_CHECKING:
    import pandas as pd

SCORES = {"all": "score", "seen": "seen_score", "unseen": "unseen_score"}
_KINDS = ((False, "uncontested", GREY, "circle"), (True, "contested", "#d1495b", "diamond"))  # no level's colours
_BINS = 8
_TICKS = (0, *(step * 10**power for power in range(6) for step in (1, 3)))


def planted_figure(facts: pd.DataFrame, templates: str = "all", height: int = 380) -> go.Figure:
    """One faint sign a fact and a line of means: contested facts apart, which also had a rival named.

    `facts` has exposures, contested, the levels table's scores, subject and relation; `templates` says whether wordings that
    the pre-training text used count ("seen"), others ("unseen"), or all. Means are of facts with about as many mentions;
    fewer than 30 facts give a hollow marker.
    """
    column = SCORES[templates]
    figure = canvas(height, x_title="mentions in the pre-training text", y_title="memory score R")
    figure.update_yaxes(range=[-0.03, 1.03])
    if not {"exposures", column} <= set(facts):
        return figure
    known = facts[facts["exposures"].notna() & facts[column].notna()]
    axis = LogAxis(known["exposures"].astype(float))
    contested = known["contested"].fillna(False).astype(bool) if "contested" in known else known["exposures"] < 0
    groups = [(known[contested == flag], name, colour, sign) for flag, name, colour, sign in _KINDS]
    for draw in (_signs, _means):  # all lines stand above all facts
        for own, name, colour, sign in groups:
            if len(own):
                draw(figure, own, column, axis, name, colour, sign)
    axis.draw(figure, [tick for tick in _TICKS if axis.numbers and axis.numbers[0] <= tick <= axis.numbers[-1]])
    figure.update_xaxes(tickangle=0)
    return figure


def _signs(figure: go.Figure, own: pd.DataFrame, column: str, axis: LogAxis, name: str, colour: str, sign: str) -> None:
    figure.add_scatter(
        x=[axis.place(float(count)) for count in own["exposures"]],
        y=own[column].astype(float).tolist(),
        mode="markers",
        marker={"size": 5, "color": colour, "symbol": sign, "opacity": 0.25},
        text=[_hover(row, column, name) for row in own.to_dict("records")],
        hovertemplate="%{text}<extra></extra>",
        cliponaxis=False,
        showlegend=False,
    )


def _means(figure: go.Figure, own: pd.DataFrame, column: str, axis: LogAxis, name: str, colour: str, sign: str) -> None:
    counts, scores = own["exposures"].to_numpy(dtype=float), own[column].to_numpy(dtype=float)
    points = []
    for group in _bins(counts):
        middle = float(np.exp(np.log(counts[group]).mean())) if counts[group][0] > 0 else 0.0
        points.append((axis.place(middle), float(scores[group].mean()), middle, scores[group]))
    figure.add_scatter(
        name=name,
        x=[x for x, *_ in points],
        y=[y for _, y, *_ in points],
        mode="lines+markers",
        line={"color": colour, "width": 2},
        marker={
            "size": 10,
            "color": colour,
            "symbol": [sign + ("-open" if len(inside) < FEW else "") for *_, inside in points],
            "line": {"color": colour, "width": 2},
        },
        text=[_mean_hover(name, middle, inside) for *_, middle, inside in points],
        hovertemplate="%{text}<extra></extra>",
        cliponaxis=False,
        showlegend=True,
    )


def _bins(counts: np.ndarray) -> list[np.ndarray]:
    """Facts never mentioned, then equal steps of the logarithm; empty ones are left out."""
    groups = [counts == 0]
    if (positive := counts[counts > 0]).size:
        edges = np.geomspace(positive.min(), positive.max() * (1 + 1e-9), _BINS + 1)
        groups += [(counts >= low) & (counts < high) for low, high in pairwise(edges)]
        if math.isclose(edges[0], edges[-1], rel_tol=1e-6):
            groups = [counts == 0, counts > 0]
    return [group for group in groups if group.any()]


def _hover(row: dict[Any, Any], column: str, name: str) -> str:
    level = f", {plain(row['level'])}" if isinstance(row.get("level"), str) else ""
    told = f"<b>{plain(row['subject'])}</b> ({plain(row['relation'])})<br>{int(row['exposures']):,} mentions, {name}"
    return f"{told}<br>R {row[column]:.2f}{level}"


def _mean_hover(name: str, middle: float, scores: np.ndarray) -> str:
    about = f"about {middle:,.0f} mentions" if middle else "never mentioned"
    told = f"<b>{name}, {about}</b><br>mean R {scores.mean():.2f} of {len(scores):,} fact{'' if len(scores) == 1 else 's'}"
    if len(scores) < FEW:
        return f"{told}<br>too few facts to tell"
    half = 1.96 * scores.std(ddof=1) / math.sqrt(len(scores))
    return f"{told} (95% over facts: {max(0, scores.mean() - half):.2f} to {min(1, scores.mean() + half):.2f})"
