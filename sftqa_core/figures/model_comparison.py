"""What several models know, side by side.

Memory score against how often a fact was mentioned: what no one can show for a big model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from sftqa_core.figures.style import FEW, GREY, GRID, SHADES, LogAxis, canvas, ink_on, level_colours, plain, shortened

if TYPE_CHECKING:
    import pandas as pd

PUBLISHED = " (published)"
_LETTER = 0.032  # of the width: a letter of a share's figures on a chart of 420 px
_LINE = 12  # letters of a name below its column
_GAP = 0.6  # of a row, between one's own models and the published ones
_NAME = 24  # letters of a name beside its bar

Row = dict[str, Any]  # one bar: name, levels (label -> its row of the table), faint, hollow


def shares_figure(shares: pd.DataFrame, domain: str, labels: Sequence[str], reference: pd.DataFrame | None = None) -> go.Figure:
    """One bar a model, cut into levels: `shares` as studies.models.level_shares, `reference` as studies.published.shares make it.

    Published models stand below, paler, and say that they are published; those that use other levels than `labels` are left
    out. A model with fewer than 30 facts is outlined only.
    """
    own = _bars(shares, domain, labels, "")
    published = _bars(reference, domain, labels, PUBLISHED) if reference is not None else []
    rows = own + published
    places = [at + (_GAP if at >= len(own) and own else 0) for at in range(len(rows))]
    figure = canvas(30 * len(rows) + 96 + (18 if own and published else 0), percent="x")
    for label, colour in zip(labels, level_colours(len(labels)), strict=True):
        _segments(figure, rows, places, label, colour)
    _texts(figure, rows, places, labels)
    if own and published:
        figure.add_hline(y=len(own) - 0.5 + _GAP / 2, line={"color": GRID, "width": 1.5})
    figure.update_layout(barmode="stack", bargap=0.25, legend={"traceorder": "normal"}, margin={"r": 24})
    ends = [(places[-1] if places else 0) + 0.5, -0.5]
    figure.update_yaxes(tickvals=places, ticktext=[row["tick"] for row in rows], range=ends, showgrid=False, ticklabelstandoff=4)
    figure.update_xaxes(range=[0, 1], tickvals=[0, 0.25, 0.5, 0.75, 1], showgrid=False)
    return figure


def ranks_figure(ranks: pd.DataFrame) -> go.Figure:
    """Spearman of memory scores for each pair of models: `ranks` as studies.models.ranks makes it.

    Both halves are drawn and the diagonal is left empty. Pairs with fewer than 30 facts have no shade.
    """
    pairs = ranks[ranks["spearman"].notna()].to_dict("records") if len(ranks) else []
    names = list(dict.fromkeys([row["model"] for row in pairs] + [row["other"] for row in pairs]))
    known = {(row[a], row[b]): row for row in pairs for a, b in (("model", "other"), ("other", "model"))}
    places = list(range(len(names)))
    cells = [(x, y, known[names[y], names[x]]) for y in places for x in places if (names[y], names[x]) in known]
    grid: list[list[float | None]] = [[None] * len(names) for _ in names]
    texts = [[""] * len(names) for _ in names]
    for x, y, row in cells:
        grid[y][x] = row["spearman"] if row["facts"] >= FEW else None
        texts[y][x] = _pair(names[y], names[x], row)
    figure = canvas(44 * max(1, len(names)) + 44)
    figure.add_heatmap(
        x=places, y=places, z=grid, zmin=0, zmax=1, colorscale=SHADES, showscale=False, xgap=3, ygap=3, hoverinfo="skip",
    )  # fmt: skip
    figure.add_scatter(  # the pointer finds the text, so that empty cells on the diagonal stay silent
        x=[x for x, _, _ in cells], y=[y for _, y, _ in cells], text=[f"{row['spearman']:.2f}" for *_, row in cells], mode="text",
        hovertext=[texts[y][x] for x, y, _ in cells], hoverinfo="text", showlegend=False,
    )  # fmt: skip
    ticks = [plain(shortened(name, _NAME)) for name in names]
    wrapped = [_wrapped(shortened(name, _NAME)) for name in names]
    figure.update_xaxes(tickvals=places, ticktext=wrapped, range=[-0.5, len(names) - 0.5], showgrid=False, tickangle=0)
    figure.update_yaxes(tickvals=places, ticktext=ticks, range=[len(names) - 0.5, -0.5], showgrid=False, ticklabelstandoff=4)
    return figure


def _bars(table: pd.DataFrame, domain: str, labels: Sequence[str], suffix: str) -> list[Row]:
    """Models in the table's order; one with levels that the scheme does not have can't be cut by it."""
    rows = table[(table["domain"] == domain) & table["share"].notna()].to_dict("records") if len(table) else []
    found: dict[str, dict[str, dict[Any, Any]]] = {}
    for row in rows:
        found.setdefault(row["model"], {})[row["level"]] = row
    return [
        {
            "name": plain(name) + suffix,
            "tick": plain(shortened(name, _NAME - len(suffix))) + suffix,
            "levels": levels,
            "faint": bool(suffix),
            "facts": None if suffix else sum(row["facts"] for row in levels.values()),
        }
        for name, levels in found.items()
        if set(levels) == set(labels)
    ]


def _segments(figure: go.Figure, rows: list[Row], places: list[float], label: str, colour: str) -> None:
    """One level of every bar; numbers stand inside only where the colour is full."""
    values = [row["levels"][label]["share"] for row in rows]
    figure.add_bar(
        name=plain(label),
        orientation="h",
        y=places,
        x=values,
        marker={
            "color": [colour if _full(row) else _rgba(colour, 0.3 if row["faint"] else 0.0) for row in rows],
            "line": {"color": colour, "width": [0 if _full(row) else 1 for row in rows]},
        },
        text=[_fitting(share) if _full(row) else "" for row, share in zip(rows, values, strict=True)],
        constraintext="none",
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        textfont={"color": ink_on(colour), "size": 11},
        hovertext=[_hover(row, label) for row in rows],
        hoverinfo="text",
    )


def _texts(figure: go.Figure, rows: list[Row], places: list[float], labels: Sequence[str]) -> None:
    """Numbers on pale and outlined bars, in the page's own text colour."""
    found = []
    for row, place in zip(rows, places, strict=True):
        left = 0.0
        for label in labels:
            share = row["levels"][label]["share"]
            if not _full(row) and (text := _fitting(share)):
                found.append((left + share / 2, place, text))
            left += share
    if found:
        xs, ys, texts = zip(*found, strict=True)
        figure.add_scatter(x=xs, y=ys, text=texts, mode="text", textfont={"size": 11}, hoverinfo="skip", showlegend=False)


def _fitting(share: float) -> str:
    text = f"{share:.0%}"
    return text if share >= _LETTER * len(text) else ""


def _full(row: Row) -> bool:
    return not row["faint"] and row["facts"] >= FEW


def _rgba(colour: str, alpha: float) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {alpha})"


def _hover(row: Row, label: str) -> str:
    cell = row["levels"][label]
    told = f"<b>{row['name']}, {plain(label)}</b><br>{cell['share']:.1%}"
    if row["facts"] is None:
        return told
    told += f" (95%: {cell['low']:.1%} to {cell['high']:.1%})<br>{cell['facts']:,} of {row['facts']:,} facts"
    return told + ("<br>too few facts to tell" if row["facts"] < FEW else "")


def _wrapped(name: str) -> str:
    """Short lines, where the name has joints: a column is narrow."""
    lines = [""]
    for part in re.findall(r"[^-_/ ]+[-_/ ]?|[-_/ ]", name):
        if lines[-1] and len(lines[-1] + part) > _LINE:
            lines.append("")
        lines[-1] += part
    return "<br>".join(plain(line) for line in lines)


def _pair(one: str, other: str, row: dict[Any, Any]) -> str:
    told = f"<b>{plain(one)} and {plain(other)}</b><br>rank correlation {row['spearman']:.2f} on {row['facts']:,} facts"
    return told + (f"<br>{row['same_level']:.0%} on the same level" if row["facts"] >= FEW else "<br>too few facts to tell")


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
        text=[_planted_hover(row, column, name) for row in own.to_dict("records")],
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


def _planted_hover(row: dict[Any, Any], column: str, name: str) -> str:
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
