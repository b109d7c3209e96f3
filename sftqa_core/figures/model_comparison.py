"""What several models know, side by side; memory score against how often a fact was mentioned, which no one can show for a big model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sftqa_core.figures import style

_GAP = 0.6  # of a row, between one's own models and the published ones
_NAME = 24  # letters of a name beside its bar

Row = dict[str, Any]  # one bar: name, levels (label -> its row of the table), faint, hollow


def shares_figure(shares: pd.DataFrame, domain: str, labels: Sequence[str], reference: pd.DataFrame | None = None) -> go.Figure:
    """One bar a model, cut into levels: `shares` as studies.models.level_shares, `reference` as studies.published.shares make it.

    Published models stand below, paler, and say that they are published; those that use other levels than `labels` are left
    out. A model with fewer than 30 facts is outlined only.
    """
    measured = _bars(shares, domain, labels, "")
    published = _bars(reference, domain, labels, style.PUBLISHED) if reference is not None else []
    rows = measured + published
    places = [at + (_GAP if at >= len(measured) and measured else 0) for at in range(len(rows))]
    left = style.beside(row["tick"] for row in rows)
    # A telephone's legend takes three lines, so two bars are as high as three.
    figure = style.canvas(30 * max(len(rows), 3) + 96 + (18 if measured and published else 0), percent="x", left=left, below=30)
    figure.update_layout(margin={"r": 24})
    colours = style.level_colours(len(labels))
    for label, colour in zip(labels, colours, strict=True):
        _segments(figure, rows, places, label, colour)
    for full in (True, False):  # numbers on pale and outlined bars have the page's own text colour
        inks = [style.ink_on(colour) if full else None for colour in colours]
        some = [
            (place, [row["levels"][label]["share"] for label in labels])
            for place, row in zip(places, rows, strict=True)
            if _full(row) is full
        ]
        style.label_shares(figure, [place for place, _ in some], [shares for _, shares in some], inks)
    if measured and published:
        figure.add_hline(y=len(measured) - 0.5 + _GAP / 2, line={"color": style.GRID, "width": 1.5})
    figure.update_layout(barmode="stack", bargap=0.25, legend={"traceorder": "normal"})
    ends = [(places[-1] if places else 0) + 0.5, -0.5]
    figure.update_yaxes(tickvals=places, ticktext=[row["tick"] for row in rows], range=ends, showgrid=False, ticklabelstandoff=4)
    figure.update_xaxes(range=[0, 1], tickvals=[0, 0.25, 0.5, 0.75, 1], showgrid=False)
    return figure


def ranked(ranks: pd.DataFrame) -> list[str]:
    """The models of `ranks_figure`'s rows and columns, in their order."""
    pairs = ranks[ranks["spearman"].notna()] if len(ranks) else pd.DataFrame({"model": [], "other": []})
    return list(dict.fromkeys([*pairs["model"], *pairs["other"]]))


def ranks_figure(ranks: pd.DataFrame) -> go.Figure:
    """Spearman of memory scores for each pair of models: `ranks` as studies.models.ranks makes it.

    Both halves are drawn and the diagonal is left empty. Pairs with fewer than 30 facts have no shade.
    """
    pairs, names = ranks[ranks["spearman"].notna()].to_dict("records") if len(ranks) else [], ranked(ranks)
    known = {(row[a], row[b]): row for row in pairs for a, b in (("model", "other"), ("other", "model"))}
    cells = {(x, y): known[pair] for y, one in enumerate(names) for x, other in enumerate(names) if (pair := (one, other)) in known}
    grid: list[list[float | None]] = [[None] * len(names) for _ in names]
    for (x, y), row in cells.items():
        grid[y][x] = row["spearman"] if row["facts"] >= style.FEW else None
    ticks = [style.plain(style.shortened(name, _NAME)) for name in names]
    wrapped = [style.wrapped(style.shortened(name, _NAME)) for name in names]
    below = style.below(wrapped)
    figure = style.canvas(44 * max(1, len(names)) + 16 + below, left=style.beside(ticks), below=below, legend=False)
    style.draw_cells(figure, wrapped, ticks, grid, {place: f"{row['spearman']:z.2f}" for place, row in cells.items()}, None)
    hovers = [_pair(names[y], names[x], row) for (x, y), row in cells.items()]
    figure.data[1].update(hovertext=hovers, hoverinfo="text")  # the pointer finds the text: empty cells on the diagonal stay silent
    figure.update_xaxes(tickangle=0)
    figure.update_yaxes(ticklabelstandoff=4)
    return figure


def _bars(table: pd.DataFrame, domain: str, labels: Sequence[str], suffix: str) -> list[Row]:
    """Models in the table's order; one with levels that the scheme does not have can't be cut by it."""
    rows = style.rows_with(table, "share", domain=domain)
    by_model: dict[str, dict[str, dict[Any, Any]]] = {}
    for row in rows:
        by_model.setdefault(row["model"], {})[row["level"]] = row
    return [
        {
            "name": style.plain(name) + suffix,
            "tick": style.plain(style.shortened(name, _NAME - len(suffix))) + suffix,
            "levels": levels,
            "faint": bool(suffix),
            "facts": None if suffix else sum(row["facts"] for row in levels.values()),
        }
        for name, levels in by_model.items()
        if set(levels) == set(labels)
    ]


def _segments(figure: go.Figure, rows: list[Row], places: list[float], label: str, colour: str) -> None:
    """One level of every bar."""
    values = [row["levels"][label]["share"] for row in rows]
    fill = [colour if _full(row) else style.rgba(colour, 0.3 if row["faint"] else 0.0) for row in rows]
    figure.add_bar(
        name=style.plain(label), orientation="h", y=places, x=values, hovertext=[_hover(row, label) for row in rows], hoverinfo="text",
        marker={"color": fill, "line": {"color": colour, "width": [0 if _full(row) else 1 for row in rows]}},
    )  # fmt: skip


def _full(row: Row) -> bool:
    return not row["faint"] and row["facts"] >= style.FEW


def _hover(row: Row, label: str) -> str:
    cell = row["levels"][label]
    name = f"<b>{row['name']}, {style.plain(label)}</b><br>"
    if row["facts"] is None:
        return f"{name}{cell['share']:.1%}"
    numbers = style.interval_words(cell["share"], cell["low"], cell["high"])
    return f"{name}{numbers}<br>{cell['facts']:,} of {row['facts']:,} facts{style.too_few(row['facts'])}"


def _pair(first: str, second: str, row: dict[Any, Any]) -> str:
    words = f"<b>{style.plain(first)} and {style.plain(second)}</b><br>rank correlation {row['spearman']:z.2f} on {row['facts']:,} facts"
    return words + (style.too_few(row["facts"]) or f"<br>{row['same_level']:.0%} on the same level")


SCORES = {"all": "score", "seen": "seen_score", "unseen": "unseen_score"}
_CONTESTED = ((False, "uncontested", style.GREY, "circle"), (True, "contested", "#d1495b", "diamond"))  # no level's colours
_ESTIMATED = ((False, "counted", style.GREY, "circle"), (True, "estimated count", "#d1495b", "diamond"))
_BINS = 8
MOST_SIGNS = 300  # facts with a sign of their own: a browser draws each twice
_TICKS = (0, *(step * 10**power for power in range(6) for step in (1, 3)))
_WIDE = (0, *(100**power for power in range(7)))  # where counts span many powers of ten


@dataclass(frozen=True)
class _Counted:
    """What stands on the axis, and how it is called: `{:,}` or `{:,.0f}` for a number."""

    column: str  # of the counts
    score: str  # of the scores
    each: str  # of one fact
    about: str  # of several with about so many
    never: str
    close: float = math.inf  # beyond that number ticks stand far apart: a telephone has no room for more


def planted_figure(facts: pd.DataFrame, templates: str = "all", height: int = 380) -> go.Figure:
    """One faint sign a fact and a line of means: contested facts apart, which also had a rival named.

    `facts` has exposures, contested, the levels table's scores, subject and relation; `templates` says whether wordings that
    the pre-training text used count ("seen"), others ("unseen"), or all. Means are of all facts with about as many mentions;
    fewer than 30 facts give a hollow marker. Of more than `MOST_SIGNS` facts so many, drawn at random, have a sign.
    """
    counted = _Counted("exposures", SCORES[templates], "{:,} mentions", "about {:,.0f} mentions", "never mentioned")
    figure = style.canvas(height, x_title="mentions in the pre-training text", y_title="memory score R")
    contested = facts["contested"].fillna(False).astype(bool) if "contested" in facts else pd.Series(False, index=facts.index)
    return _against_counts(figure, facts, counted, contested, _CONTESTED)


def corpus_figure(facts: pd.DataFrame, height: int = 380) -> go.Figure:
    """The same for a real model: how often texts of its training corpus name subject and answer together. Estimated counts apart.

    `facts` has count, estimated, score, level, subject and relation. The axis says what was counted; it is no number of statements.
    """
    counted = _Counted("count", "score", "named together {:,} times", "named together about {:,.0f} times", "not counted together", 1_000)
    figure = style.canvas(height, x_title="places in the corpus that name both", y_title="memory score R")
    return _against_counts(figure, facts, counted, facts["estimated"].astype(bool), _ESTIMATED)


def _against_counts(
    figure: go.Figure, facts: pd.DataFrame, counted: _Counted, apart: "pd.Series[bool]", kinds: Sequence[tuple[bool, str, str, str]]
) -> go.Figure:
    figure.update_yaxes(range=[-0.03, 1.03])
    if not {counted.column, counted.score} <= set(facts):
        return figure
    known = facts[facts[counted.column].notna() & facts[counted.score].notna()]
    axis = style.LogAxis(known[counted.column].astype(float))
    shown = known.sample(MOST_SIGNS, random_state=0).sort_index() if len(known) > MOST_SIGNS else known
    for draw, some in ((_signs, shown), (_means, known)):  # all lines stand above all facts
        for flag, name, colour, sign in kinds:
            group = some[apart[some.index] == flag]
            if len(group):
                draw(figure, group, counted, axis, name, colour, sign)
    ticks = _WIDE if axis.numbers and axis.numbers[-1] > counted.close else _TICKS
    axis.draw(figure, [tick for tick in ticks if axis.numbers and axis.numbers[0] <= tick <= axis.numbers[-1]])
    figure.update_xaxes(tickangle=0)
    return figure


def _signs(figure: go.Figure, facts: pd.DataFrame, counted: _Counted, axis: style.LogAxis, name: str, colour: str, sign: str) -> None:
    figure.add_scatter(
        x=[axis.place(float(count)) for count in facts[counted.column]], y=facts[counted.score].astype(float).tolist(), mode="markers",
        marker={"size": 5, "color": colour, "symbol": sign, "opacity": 0.25}, showlegend=False,
        text=[_fact_hover(row, counted, name) for row in facts.to_dict("records")], **style.POINTED,
    )  # fmt: skip


def _means(figure: go.Figure, facts: pd.DataFrame, counted: _Counted, axis: style.LogAxis, name: str, colour: str, sign: str) -> None:
    counts, scores = facts[counted.column].to_numpy(dtype=float), facts[counted.score].to_numpy(dtype=float)
    points = []
    for group in _bins(counts):
        middle = float(np.exp(np.log(counts[group]).mean())) if counts[group][0] > 0 else 0.0
        points.append((axis.place(middle), float(scores[group].mean()), middle, scores[group]))
    symbols = style.signs(sign, [len(inside) for *_, inside in points])
    figure.add_scatter(
        name=name, x=[x for x, *_ in points], y=[y for _, y, *_ in points], mode="lines+markers", line={"color": colour, "width": 2},
        marker={"size": 10, "color": colour, "symbol": symbols, "line": {"color": colour, "width": 2}}, showlegend=True,
        text=[_mean_hover(name, counted, middle, inside) for *_, middle, inside in points], **style.POINTED,
    )  # fmt: skip


def _bins(counts: np.ndarray) -> list[np.ndarray]:
    """Facts never mentioned, then equal steps of the logarithm; empty ones are left out."""
    groups = [counts == 0]
    if (positive := counts[counts > 0]).size:
        edges = np.geomspace(positive.min(), positive.max() * (1 + 1e-9), _BINS + 1)
        groups += [(counts >= low) & (counts < high) for low, high in pairwise(edges)]
        if math.isclose(edges[0], edges[-1], rel_tol=1e-6):
            groups = [counts == 0, counts > 0]
    return [group for group in groups if group.any()]


def _fact_hover(row: dict[Any, Any], counted: _Counted, name: str) -> str:
    level = f", {style.plain(row['level'])}" if isinstance(row.get("level"), str) else ""
    told = counted.each.format(int(row[counted.column]))
    words = f"<b>{style.plain(row['subject'])}</b> ({style.plain(row['relation'])})<br>{told}, {name}"
    return f"{words}<br>R {row[counted.score]:.2f}{level}"


def _mean_hover(name: str, counted: _Counted, middle: float, scores: np.ndarray) -> str:
    about = counted.about.format(middle) if middle else counted.never
    words = f"<b>{name}, {about}</b><br>mean R {scores.mean():.2f} of {style.counted(len(scores), 'fact')}"
    if len(scores) < style.FEW:
        return words + style.too_few(len(scores))
    half = 1.96 * scores.std(ddof=1) / math.sqrt(len(scores))
    return f"{words} (95% over facts: {max(0, scores.mean() - half):.2f} to {min(1, scores.mean() + half):.2f})"
