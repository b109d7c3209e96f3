"""Levels before and after tuning (the study of what moves)."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from sftqa_core.figures import style
from sftqa_core.records.amounts import points

# move -> colour, sign, what the chart calls it, and on which axis: most facts stay, so that shares that move need their own
_MOVES = {
    "kept": (style.GREY, "circle", "same level", "y2"),
    "gained": ("#2e866e", "triangle-up", "higher level", "y"),
    "lost": ("#d1495b", "triangle-down", "lower level", "y"),
}
_SPLIT = (0.56, 0.66)  # of the height: top of the lower part, bottom of the upper one


def sankey_figure(transitions: pd.DataFrame, model: str, domain: str, after: str, labels: Sequence[str], height: int = 380) -> go.Figure:
    """Facts flowing from their level before (left) to the one after: `transitions` as studies.shift.transitions makes it.

    What leaves a level with fewer than 30 facts is a grey shadow; a level without facts is not drawn.
    """
    rows = [row for row in style.rows_with(transitions, model=model, domain=domain, after=after) if row["facts"] > 0]
    colours = dict(zip(labels, style.level_colours(len(labels)), strict=True))
    totals = {
        (side, label): total
        for side in ("before", "now")
        for label in labels
        if (total := sum(row["facts"] for row in rows if row[side] == label))  # plotly loses the order where there is nothing
    }
    nodes = list(totals)
    figure = style.canvas(height)
    figure.add_sankey(
        arrangement="snap",
        node={
            "label": [f"{style.plain(label)}  {total:,.0f}" for (_, label), total in totals.items()],
            "color": [colours[label] for _, label in nodes],
            "pad": 14,
            "thickness": 16,
            "line": {"width": 0},
            "x": [0.001 if side == "before" else 0.999 for side, _ in nodes],
            "y": [place for side in ("before", "now") for place in _heights([total for node, total in totals.items() if node[0] == side])],
            "customdata": ["before" if side == "before" else "after" for side, _ in nodes],
            "hovertemplate": "%{label} facts %{customdata}<extra></extra>",
        },
        link={
            "source": [nodes.index(("before", row["before"])) for row in rows],
            "target": [nodes.index(("now", row["now"])) for row in rows],
            "value": [row["facts"] for row in rows],
            "color": [_faint(colours[row["before"]], row, totals["before", row["before"]]) for row in rows],
            "customdata": [_flow(row, totals["before", row["before"]]) for row in rows],
            "hovertemplate": "%{customdata}<extra></extra>",
        },
    )
    figure.update_layout(margin={"t": 16, "b": 16})
    return figure


def moves_figure(moves: pd.DataFrame, model: str, domain: str, height: int = 320) -> go.Figure:
    """Shares of facts that kept their level, rose and fell, for the base model probed again and for each tuned one.

    `moves` as studies.shift.moves makes it; bars are 95% intervals. The upper part holds what stayed, on a scale of its own.
    """
    rows = style.rows_with(moves, model=model, domain=domain)
    names = list(dict.fromkeys(row["after"] for row in rows))
    figure = style.canvas(height, y_title="moved", percent="y")
    for move, (colour, sign, words, axis) in _MOVES.items():
        moved = [row for row in rows if row["move"] == move]
        if moved:
            aside = {"kept": 0, "gained": -0.12, "lost": 0.12}[move]
            shares, lows, highs = ([row[column] for row in moved] for column in ("share", "low", "high"))
            symbols = style.signs(sign, [row["facts"] for row in moved])
            figure.add_scatter(
                name=words, x=[names.index(row["after"]) + aside for row in moved], y=shares, yaxis=axis, mode="markers", showlegend=True,
                marker={"size": 9, "color": colour, "symbol": symbols, "line": {"color": colour, "width": 1.5}},
                error_y=style.error_bars(shares, lows, highs), text=[_hover(row, words) for row in moved], **style.POINTED,
            )  # fmt: skip
    upper = figure.layout.yaxis.to_plotly_json() | {"title": {"text": "stayed"}, "domain": [_SPLIT[1], 1], "range": _around(rows)}
    most = max((row["high"] for row in rows if row["move"] != "kept"), default=0.9)
    figure.update_layout(yaxis2=upper, yaxis={"domain": [0, _SPLIT[0]], "range": [0, max(0.05, 1.08 * most)]})
    ticks = [_named(name).replace(", ", ",<br>") for name in names]
    ends = [-0.5, max(1, len(names)) - 0.5]
    figure.update_xaxes(tickvals=list(range(len(names))), ticktext=ticks, range=ends, showgrid=False, tickangle=0)
    return figure


def _named(after: str) -> str:
    """What was done to the model, in the page's words."""
    return style.plain(after.replace("untouched", "base model"))


def _around(rows: Sequence[dict[Any, Any]]) -> list[float]:
    """A little more than the intervals of what stayed."""
    kept = [row for row in rows if row["move"] == "kept"]
    low, high = min((row["low"] for row in kept), default=0.0), max((row["high"] for row in kept), default=1.0)
    room = max(0.02, 0.2 * (high - low))
    return [max(0.0, low - room), min(1.0, high + room)]


def _heights(sums: Sequence[float]) -> list[float]:
    """Middles of the nodes from top to bottom, so that levels keep their order."""
    total = sum(sums) or 1.0
    return [min(0.999, max(0.001, (end - value / 2) / total)) for value, end in zip(sums, accumulate(sums), strict=True)]


def _faint(colour: str, row: dict[Any, Any], total: float) -> str:
    """What moved is stronger than what stayed; both let the page through."""
    if total < style.FEW:
        return style.GRID
    return style.rgba(colour, 0.28 if row["before"] == row["now"] else 0.55)


def _flow(row: dict[Any, Any], total: float) -> str:
    words = f"<b>{style.plain(row['before'])} to {style.plain(row['now'])}</b><br>{_counted(row['facts'])} of {_counted(total)} facts"
    return words + (style.too_few(total) or f", {row['facts'] / total:.1%}")


def _counted(facts: float) -> str:
    """Means over seeds may be broken numbers."""
    return f"{facts:,.0f}" if abs(facts - round(facts)) < 0.05 else f"{facts:,.1f}"


def _hover(row: dict[Any, Any], words: str) -> str:
    text = f"<b>{_named(row['after'])}: {words}</b><br>{style.interval_words(row['share'], row['low'], row['high'])}"
    text += f"<br>{row['facts']:,} facts, {style.counted(row['seeds'], 'seed')}"
    if row["excess"] is not None and row["excess"] == row["excess"]:
        ends = f"{points(row['excess_low'])} to {points(row['excess_high'])}"
        text += f"<br>{points(row['excess'])} points against the base model ({ends})"
    return text + style.too_few(row["facts"])
