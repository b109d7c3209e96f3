"""What a model knows and does not say: by level, the moves between classes, the probe, and against the number of examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from sftqa_core.figures import style
from sftqa_core.figures.curves import MODEL_COLOURS

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"
_TUNED, _SAYS, *_ = MODEL_COLOURS
_BASE = "#3f76bf"
_SERIES = (  # name, model, column, colour, sign
    ("base knows", "base", "known", _BASE, "circle"),
    ("base says", "base", "said", _BASE, "x"),
    ("tuned knows", "tuned", "known", _TUNED, "diamond"),
    ("tuned says", "tuned", "said", _TUNED, "cross"),
    ("base, another subject", "base", "other", style.GREY, "square"),
)
_KINDS = {"known": ("base knows it", _BASE, "circle"), "not known": ("base does not know it", style.GREY, "square")}
_BY = {  # what ranks pairs -> its sign
    "likelihood": "circle",
    "linear probe": "diamond",
    "linear probe, another subject": "square",
    "the answer alone": "triangle-up",
}
_SHORT = {"linear probe, another subject": "linear probe,<br>another subject"}
_SPREAD = 0.7  # of the room of a level: its points are side by side in it


def known_figure(levels: pd.DataFrame, domain: str, labels: Sequence[str], height: int = 380) -> go.Figure:
    """What both models know and say at each level of a domain, and over all: `levels` as evaluation.inside.knowledge_tables.by_level makes
    it. Bars are 95% intervals; the dotted line is the chance of ranking first; fewer than 30 facts give hollow markers."""
    rows = style.rows_with(levels, domain=domain)
    figure = style.canvas(height, x_title="memory level", y_title="share of facts", percent="y", below=44)
    figure.update_layout(margin={"t": 84})
    shown = [name for name in (*labels, ALL) if any(row["level"] == name for row in rows)]
    for at, (name, model, column, colour, sign) in enumerate(_SERIES):
        own = [row for row in rows if row["model"] == model and row[column] is not None and row[column] == row[column]]
        values, lows, highs = ([row[f"{column}{end}"] for row in own] for end in ("", "_low", "_high"))
        shift = _SPREAD * ((at + 0.5) / len(_SERIES) - 0.5)
        texts = [_level_words(name, row, column) for row in own]
        figure.add_scatter(
            name=name, x=[shown.index(row["level"]) + shift for row in own], y=values, mode="markers", text=texts, **style.POINTED,
            marker={"color": colour, "size": 8, "symbol": style.signs(sign, (row["facts"] for row in own))},
            error_y=style.error_bars(values, lows, highs, style.rgba(colour, 0.7), width=2), showlegend=True,
        )  # fmt: skip
    chance = [row["chance"] for row in rows if row["level"] == ALL and row["model"] == "base"]
    if chance:
        ends = {"x": [-0.5, len(shown) - 0.5], "y": [chance[0]] * 2}
        words = [f"<b>chance</b><br>{chance[0]:.1%}: a right answer first of all, if the order were drawn"] * 2
        figure.add_scatter(name="chance", **ends, mode="lines", line={"color": style.GREY, "dash": "dot", "width": 1.2}, text=words,
                           hovertemplate="%{text}<extra></extra>")  # fmt: skip
    names = ["<b>all</b>" if name == ALL else f"<b>{style.plain(name)}</b>" for name in shown]
    figure.update_xaxes(
        tickvals=list(range(len(shown))), ticktext=names, range=[-0.5, max(1, len(shown)) - 0.5], showgrid=False, tickangle=0
    )
    figure.update_yaxes(range=[-0.03, 1.03], tickvals=[0, 0.25, 0.5, 0.75, 1])
    return figure


def _level_words(name: str, row: dict[Any, Any], column: str) -> str:
    text = f"<b>{name}, {style.plain(row['level'])}</b><br>{style.interval_words(row[column], row[f'{column}_low'], row[f'{column}_high'])}"
    return f"{text}<br>{style.counted(row['facts'], 'fact')}, {style.counted(row['seeds'], 'seed')}{style.too_few(row['facts'])}"


def moves_figure(moves: pd.DataFrame, domain: str, classes: Sequence[str], height: int = 300) -> go.Figure:
    """Counts of facts by their class before (rows) and after (columns): `moves` as evaluation.inside.knowledge_tables.moves makes it.
    A cell is shaded by its share of its row; those on the diagonal, which did not move, have a frame."""
    rows = {(row["before"], row["after"]): row for row in style.rows_with(moves, domain=domain)}
    names = [style.wrapped(name) for name in classes]
    figure = style.canvas(height, left=style.beside(names, title=True), below=style.below(names, 40), legend=False)
    figure.update_layout(xaxis_title="tuned model", yaxis_title="base model", showlegend=False)
    totals = {before: sum(rows[before, after]["facts"] for after in classes if (before, after) in rows) for before in classes}
    shades: list[list[float | None]] = []
    hovers: list[list[str]] = []
    texts: style.Cells = {}
    for at, before in enumerate(classes):
        own = [rows[before, after]["facts"] if (before, after) in rows else 0.0 for after in classes]
        of = totals[before]
        shades.append([count / of if of else None for count in own])
        hovers.append([_move_words(before, after, count, of) for after, count in zip(classes, own, strict=True)])
        texts |= {(to, at): f"{count:,.0f}" for to, count in enumerate(own)}
    style.draw_cells(figure, names, names, shades, texts, hovers)
    for at in range(len(classes)):
        style.outline(figure, at, at, 1)
    return figure


def _move_words(before: str, after: str, count: float, of: float) -> str:
    share = f"<br>{count / of:.1%} of {of:,.0f} facts that were {before}" if of else ""
    return f"<b>{before} → {after}</b><br>{count:,.1f} facts{share}{style.too_few(of)}"


def internal_figure(internal: pd.DataFrame, published: float, height: int = 300) -> go.Figure:
    """Which share of pairs is ranked rightly, by what ranks them and for both models: `internal` as
    evaluation.inside.knowledge_tables.internal makes it. `published` is drawn at "the answer alone"; the dotted line is chance."""
    rows = style.rows_with(internal, "auc")
    names = [_SHORT.get(by, by) for by in _BY]
    figure = style.canvas(height, x_title="pairs ranked rightly", percent="x", left=style.beside(names), below=44)
    for at, (model, colour) in enumerate((("base", _BASE), ("tuned", _TUNED))):
        own = [row for row in rows if row["model"] == model]
        values, lows, highs = ([row[name] for row in own] for name in ("auc", "low", "high"))
        figure.add_scatter(
            name=f"{model} model", x=values, y=[list(_BY).index(row["by"]) + 0.24 * at - 0.12 for row in own], mode="markers",
            marker={"color": colour, "size": 9, "symbol": [style.signs(_BY[row["by"]], [row["facts"]])[0] for row in own]},
            error_x=style.error_bars(values, lows, highs, colour), text=[_pair_words(row) for row in own], **style.POINTED,
        )  # fmt: skip
    figure.add_scatter(
        name=f"answer alone{style.PUBLISHED}", x=[published], y=[list(_BY).index("the answer alone") + 0.36], mode="markers",
        marker={"color": style.GREY, "size": 9, "symbol": "star"}, **style.POINTED,
        text=[f"<b>the answer alone, published</b><br>{published:.0%}, large models, other facts"],
    )  # fmt: skip
    figure.add_shape(type="line", x0=0.5, x1=0.5, y0=-0.5, y1=len(_BY) - 0.5, line={"color": style.GREY, "dash": "dot", "width": 1.2})
    figure.update_xaxes(range=[0.28, 1.02], tickvals=[0.5, 0.75, 1])
    figure.update_yaxes(tickvals=list(range(len(_BY))), ticktext=names, range=[len(_BY) - 0.4, -0.5], showgrid=False)
    return figure


def _pair_words(row: dict[Any, Any]) -> str:
    text = f"<b>{row['model']} model, {row['by']}</b><br>{style.interval_words(row['auc'], row['low'], row['high'])}"
    return f"{text}<br>{style.counted(row['facts'], 'fact')}, {row['pairs']:,.0f} pairs{style.too_few(row['facts'])}"


def activation_figure(answered: pd.DataFrame, height: int = 340) -> go.Figure:
    """Share of facts answered against the number of examples, those that the base model knows and the others: `answered` as
    evaluation.inside.knowledge_tables.against_examples makes it. Bars are 95% intervals; n = 0 is the base model."""
    rows = style.rows_with(answered, "answered")
    figure = style.canvas(height, x_title="examples", y_title="answered rightly", percent="y", below=58)
    axis = style.LogAxis(row["n"] for row in rows)
    for kind, (name, colour, sign) in _KINDS.items():
        own = [row for row in rows if row["kind"] == kind]
        values, lows, highs = ([row[column] for row in own] for column in ("answered", "low", "high"))
        figure.add_scatter(
            name=name, x=[axis.place(row["n"]) for row in own], y=values, mode="lines+markers", line={"color": colour, "width": 2},
            marker={"size": 9, "color": colour, "symbol": style.signs(sign, (row["facts"] for row in own))},
            error_y=style.error_bars(values, lows, highs, colour), text=[_answered_words(name, row) for row in own], **style.POINTED,
        )  # fmt: skip
    axis.draw(figure, axis.numbers)
    figure.update_yaxes(range=[-0.03, 1.03], tickvals=[0, 0.25, 0.5, 0.75, 1])
    return figure


def _answered_words(name: str, row: dict[Any, Any]) -> str:
    head = f"<b>{name}, {style.counted(row['n'], 'example')}</b>" if row["n"] else f"<b>{name}, before tuning</b>"
    text = f"{head}<br>{style.interval_words(row['answered'], row['low'], row['high'])}"
    return f"{text}<br>{row['facts']:,.0f} facts, {style.counted(row['seeds'], 'seed')}{style.too_few(row['facts'])}"
