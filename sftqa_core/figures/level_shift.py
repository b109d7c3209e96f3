"""Levels before and after tuning (the study of what moves)."""

from collections.abc import Sequence
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
_FILLED, _PITCH = 0.85, 13  # of the height of flows, by facts at most; pixels between levels at least, for their names
_APART = 28  # pixels between the points of a high flow
_NODE = 0.027  # of the width, each level's own bar
_POINTED_AT = (0.08, 0.3, 0.5, 0.7, 0.92)  # of a flow's way


def flows_figure(transitions: pd.DataFrame, model: str, domain: str, after: str, labels: Sequence[str], height: int = 380) -> go.Figure:
    """Facts flowing from their level before (left) to the one after: `transitions` as studies.shift.transitions makes it.

    What leaves a level with fewer than 30 facts is a grey shadow; a level without facts is not drawn. Shapes and points instead of
    plotly's Sankey diagram, which fades in for half a second whenever another is picked. The points, unseen, are what the pointer finds.
    """
    rows = [row for row in style.rows_with(transitions, model=model, domain=domain, after=after) if row["facts"] > 0]
    colours = dict(zip(labels, style.level_colours(len(labels)), strict=True))
    totals = {side: {at: sum(row["facts"] for row in rows if row[side] == at) for at in labels} for side in ("before", "now")}
    filled = min(_FILLED, max(0.1, 1 - _PITCH * (len(labels) - 1) / (height - 32)))
    tops = {side: _tops(of, filled) for side, of in totals.items()}
    figure = style.canvas(height, left=8, below=16, legend=False)
    shapes, points = list[dict[str, Any]](), list[tuple[float, float, str]]()
    used = {(side, label): 0.0 for side in tops for label in labels}  # of a level's height, by flows drawn above
    whole = sum(totals["before"].values()) or 1.0
    for row in sorted(rows, key=lambda row: (labels.index(row["before"]), labels.index(row["now"]))):
        high = row["facts"] / whole * filled
        places = [("before", row["before"]), ("now", row["now"])]
        left, right = (tops[side][label] + used[side, label] for side, label in places)
        for place in places:
            used[place] += high
        total = totals["before"][row["before"]]
        shapes.append(_shape(_ribbon(left, right, high), _faint(colours[row["before"]], row, total)))
        beside = max(1, round(high * (height - 32) / _APART))
        depths = [high * (at + 0.5) / beside for at in range(beside)]
        points += [(*_along(part, left + deep, right + deep), _flow(row, total)) for part in _POINTED_AT for deep in depths]
    for side, edge in (("before", 0.0), ("now", 1 - _NODE)):
        shown = [label for label in labels if totals[side][label]]
        ends = {label: tops[side][label] + totals[side][label] / whole * filled for label in shown}
        shapes += [_shape(f"M{edge},{tops[side][label]}H{edge + _NODE}V{ends[label]}H{edge}Z", colours[label]) for label in shown]
        figure.add_scatter(
            x=[abs(edge - _NODE * 1.4)] * len(shown) if side == "before" else [edge - _NODE * 0.4] * len(shown),
            y=[(tops[side][label] + ends[label]) / 2 for label in shown], mode="text", showlegend=False, hoverinfo="skip",
            text=[f"{style.plain(label)}  {totals[side][label]:,.0f}" for label in shown],
            textposition="middle right" if side == "before" else "middle left",
        )  # fmt: skip
    figure.add_scatter(
        x=[x for x, _, _ in points], y=[y for _, y, _ in points], text=[words for *_, words in points], mode="markers", showlegend=False,
        marker={"size": 16, "color": "rgba(0, 0, 0, 0)"}, **style.POINTED,
    )  # fmt: skip
    hidden = {"showgrid": False, "showticklabels": False}
    figure.update_layout(
        shapes=shapes, hoverdistance=40, margin={"t": 16}, xaxis={"range": [0, 1], **hidden}, yaxis={"range": [1, 0], **hidden}
    )
    return figure


def _tops(totals: dict[str, float], filled: float) -> dict[str, float]:
    """Where each level begins, from the top 0 to the bottom 1; one without facts takes no room."""
    whole, gap = sum(totals.values()) or 1.0, (1 - filled) / max(1, sum(total > 0 for total in totals.values()) - 1)
    tops, place = {}, 0.0
    for label, total in totals.items():
        tops[label] = place
        place += total / whole * filled + gap * (total > 0)
    return tops


def _ribbon(left: float, right: float, high: float) -> str:
    start, end, middle = _NODE, 1 - _NODE, 0.5
    there = f"M{start},{left}C{middle},{left} {middle},{right} {end},{right}"
    return f"{there}V{right + high}C{middle},{right + high} {middle},{left + high} {start},{left + high}Z"


def _along(part: float, left: float, right: float) -> tuple[float, float]:
    """A point on the curve that `_ribbon` draws."""
    late = part**2 * (3 - 2 * part)
    ends = (1 - part) ** 3 * _NODE + part**3 * (1 - _NODE)
    return ends + 1.5 * part * (1 - part), left + (right - left) * late


def _shape(path: str, colour: str) -> dict[str, Any]:
    return {"type": "path", "path": path, "fillcolor": colour, "line": {"width": 0}, "layer": "below"}


def moves_figure(moves: pd.DataFrame, model: str, domain: str, height: int = 320) -> go.Figure:
    """Shares of facts that kept their level, rose and fell, for the base model probed again and for each tuned one.

    `moves` as studies.shift.moves makes it; bars are 95% intervals. The upper part holds what stayed, on a scale of its own.
    """
    rows = style.rows_with(moves, model=model, domain=domain)
    names = list(dict.fromkeys(row["after"] for row in rows))
    ticks = [_named(name).replace(", ", ",<br>") for name in names]
    figure = style.canvas(height, y_title="moved", percent="y", below=style.below(ticks))
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
