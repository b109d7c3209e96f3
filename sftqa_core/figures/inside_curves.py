"""How facts are learned, step by step: log P of answers by level, what is ever fitted and lost again, what fitted examples cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from sftqa_core.figures import style
from sftqa_core.figures.curves import MODEL_COLOURS
from sftqa_core.records import DOMAIN_NAMES
from sftqa_core.records.amounts import points, signed

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"
_BAND = 0.16  # how much of its colour a band has
_PARTS = {"train": ("training examples", MODEL_COLOURS[0], "diamond"), "dev": ("dev facts", style.GREY, "circle")}
_SIDE = 0.14  # between what stands at one level
_ANYTHING = 100  # points: an interval that ends there says nothing, and must not flatten the others
_COEFFICIENTS = {"known": "known examples<br>fitted", "unknown": "unknown examples<br>fitted"}
_DOMAINS = {"in": (MODEL_COLOURS[0], "circle"), "out": (MODEL_COLOURS[1], "square")}


def curves_figure(by_step: pd.DataFrame, part: str, domain: str, labels: Sequence[str], height: int = 340) -> go.Figure:
    """Mean log P of the answer against step, a line a level in its colour with its 95% band; facts whose level is not known make one grey
    line: `by_step` as evaluation.inside.curves_tables makes it. Fewer than 30 facts give hollow markers and no band."""
    figure = style.canvas(height, x_title="step (0: base model)", y_title="mean log P of the answer")
    colours = dict(zip(labels, style.level_colours(len(labels)), strict=True)) | {ALL: style.GREY}
    found = style.rows_with(by_step, part=part, domain=domain)
    levels = [level for level in labels if any(row["level"] == level for row in found)] or [ALL]
    for level in levels:
        rows = [row for row in found if row["level"] == level]
        if not rows:
            continue
        name, colour, x = "all facts" if level == ALL else style.plain(level), colours[level], [row["step"] for row in rows]
        if rows[0]["facts"] >= style.FEW:
            figure.add_scatter(
                x=[*x, *reversed(x)], y=[row["high"] for row in rows] + [row["low"] for row in reversed(rows)], fill="toself",
                fillcolor=style.rgba(colour, _BAND), line={"width": 0}, hoverinfo="skip", showlegend=False, mode="lines", legendgroup=name,
            )  # fmt: skip
        figure.add_scatter(
            name=name, x=x, y=[row["logprob"] for row in rows], mode="lines+markers", line={"color": colour, "width": 2}, legendgroup=name,
            marker={"size": 8, "color": colour, "symbol": style.signs("circle", (row["facts"] for row in rows))}, showlegend=True,
            text=[_curve_words(name, row) for row in rows], **style.POINTED,
        )  # fmt: skip
    ends = [row["low"] if row["facts"] >= style.FEW else row["logprob"] for row in style.rows_with(by_step)]
    if ends:
        figure.update_yaxes(range=[1.05 * min(ends), 0.3])  # of both parts alike, so that they can be compared
    last = max((row["step"] for row in found), default=1)
    figure.update_xaxes(range=[-0.04 * last, 1.04 * last], showgrid=False)
    return figure


def shares_figure(shares: pd.DataFrame, labels: Sequence[str], y_title: str, height: int = 320) -> go.Figure:
    """A share of facts by level, training examples beside dev facts: `steps_to_fit` or `forgetting` of evaluation.inside.curves_tables,
    whose dev facts are of the training examples' domain. Bars are 95% intervals; fewer than 30 facts give hollow markers."""
    figure = style.canvas(height, x_title="memory level", y_title=y_title, percent="y")
    rows = style.rows_with(shares, "share")
    shown = [level for level in (*labels, ALL) if any(row["level"] == level for row in rows)]
    for at, (part, (name, colour, sign)) in enumerate(_PARTS.items()):
        own = sorted((row for row in rows if row["part"] == part), key=lambda row: row["level"] != ALL)  # the legend shows the first one
        if own:
            values, lows, highs = ([row[column] for row in own] for column in ("share", "low", "high"))
            name = f"{DOMAIN_NAMES.get(own[0]['domain'], '')} {name}, not trained on".strip() if part == "dev" else name
            figure.add_scatter(
                name=name, x=[shown.index(row["level"]) + _SIDE * (2 * at - 1) for row in own], y=values, mode="markers", showlegend=True,
                marker={"size": 10, "color": colour, "symbol": style.signs(sign, (row["facts"] for row in own))},
                error_y=style.error_bars(values, lows, highs, colour), text=[_share_words(name, row) for row in own], **style.POINTED,
            )  # fmt: skip
    ticks = ["<b>all</b>" if level == ALL else f"<b>{style.plain(level)}</b>" for level in shown]
    figure.update_xaxes(
        tickvals=list(range(len(shown))), ticktext=ticks, range=[-0.5, max(1, len(shown)) - 0.5], showgrid=False, tickangle=0
    )
    figure.update_yaxes(range=[0, 1.03])
    return figure


def regression_figure(own: pd.DataFrame, published: pd.DataFrame | None = None, height: int = 320) -> go.Figure:
    """What fitted examples do to dev accuracy, in points for all of the training set fitted: `Regression.table`, with 95% intervals, and
    the published coefficients beside it as grey crosses."""
    figure = style.canvas(height, y_title="dev accuracy, points", left=74, below=58)
    places = list(_COEFFICIENTS)
    for at, (domain, (colour, sign)) in enumerate(_DOMAINS.items()):
        rows = [row for row in style.rows_with(own, domain=domain) if row["coefficient"] in places]
        if rows:
            values, lows, highs = ([100 * row[column] for row in rows] for column in ("value", "low", "high"))
            figure.add_scatter(
                name=DOMAIN_NAMES[domain], x=[places.index(row["coefficient"]) + _SIDE * (2 * at - 1) for row in rows], y=values,
                mode="markers", marker={"size": 10, "color": colour, "symbol": style.signs(sign, (row["facts"] for row in rows))},
                error_y=style.error_bars(values, lows, highs, colour), text=[_effect_words(row) for row in rows], showlegend=True,
                **style.POINTED,
            )  # fmt: skip
    if published is not None:
        rows = [row for row in published.to_dict("records") if row["coefficient"] in places]
        sides = {domain: _SIDE * (2 * at - 1) + _SIDE / 2 for at, domain in enumerate(_DOMAINS)}
        figure.add_scatter(
            name="PaLM 2-M" + style.PUBLISHED, x=[places.index(row["coefficient"]) + sides[row["domain"]] for row in rows],
            y=[100 * row["value"] for row in rows], mode="markers", showlegend=True,
            marker={"size": 10, "color": style.GREY, "symbol": "x-thin", "line": {"color": style.GREY, "width": 2}},
            text=[f"<b>PaLM 2-M (published), {DOMAIN_NAMES[row['domain']]}</b><br>{points(row['value'])} points" for row in rows],
            **style.POINTED,
        )  # fmt: skip
    ends = [100 * row[end] for row in style.rows_with(own, "value") if row["coefficient"] in places for end in ("value", "low", "high")]
    reach = max((abs(end) for end in ends if abs(end) < _ANYTHING), default=10)
    figure.update_yaxes(range=[-1.08 * max(reach, 10), 1.08 * max(reach, 10)])
    figure.add_hline(y=0, line={"width": 1, "color": style.GREY})
    figure.update_xaxes(tickvals=[0, 1], ticktext=list(_COEFFICIENTS.values()), range=[-0.5, 1.5], showgrid=False, tickangle=0)
    return figure


def train_by_test_figure(table: pd.DataFrame, stop: str, tests: Sequence[str], height: int = 280) -> go.Figure:
    """Accuracy by train level (rows) and test level (columns) in shaded cells at one stop: `train_by_test` of
    evaluation.inside.curves_tables, or the published table, which has no numbers of facts."""
    found = style.rows_with(table, stop=stop)
    trains = list(dict.fromkeys(row["train"] for row in found))
    columns = [test for test in tests if any(row["test"] == test for row in found)]
    cells = {(row["train"], row["test"]): row for row in found}
    known = [[cells.get((train, test)) for test in columns] for train in trains]
    names = [style.wrapped(name) for name in columns]
    figure = style.canvas(height, left=style.beside(trains, title=False), below=style.below(names), legend=False)
    texts = {(x, y): _cell_text(row) for y, line in enumerate(known) for x, row in enumerate(line) if row}
    hovers = [[_cell_words(row) if row else "" for row in line] for line in known]
    shades = [[row["accuracy"] if row else None for row in line] for line in known]
    style.draw_cells(figure, names, [style.plain(train) for train in trains], shades, texts, hovers)
    return figure


def _curve_words(name: str, row: dict[Any, Any]) -> str:
    ends = f"95%: {signed(row['low'], 2)} to {signed(row['high'], 2)}"
    fits = style.interval_words(row["fits"], row["fits_low"], row["fits_high"])
    counts = f"{row['facts']:,} facts, {style.counted(row['seeds'], 'seed')}{style.too_few(row['facts'])}"
    return f"<b>{name}, step {row['step']:,}</b><br>log P {signed(row['logprob'], 2)} ({ends})<br>fitted: {fits}<br>{counts}"


def _share_words(name: str, row: dict[Any, Any]) -> str:
    level = "all levels" if row["level"] == ALL else style.plain(row["level"])
    text = f"<b>{name}, {level}</b><br>{style.interval_words(row['share'], row['low'], row['high'])}"
    if "median" in row:
        known = row["median"] is not None and row["median"] == row["median"]
        text += f"<br>median step {row['median']:,.0f}" if known else "<br>median step: fewer than half are ever fitted"
    return f"{text}<br>{row['facts']:,} facts, {style.counted(row['seeds'], 'seed')}{style.too_few(row['facts'])}"


def _effect_words(row: dict[Any, Any]) -> str:
    ends = f"95%: {points(row['low'])} to {points(row['high'])}"
    name = f"{DOMAIN_NAMES[row['domain']]}, {row['coefficient']} examples"
    return f"<b>{name}</b><br>{points(row['value'])} points ({ends})<br>R² {row['r2']:.2f}{style.too_few(row['facts'])}"


def _cell_text(row: dict[Any, Any]) -> str:
    few = "facts" in row and row["facts"] < style.FEW
    return f"({row['accuracy']:.0%})" if few else f"{row['accuracy']:.0%}"


def _cell_words(row: dict[Any, Any]) -> str:
    about = f"{row['facts']:,} facts{style.too_few(row['facts'])}" if "facts" in row else "published"
    head = f"<b>trained on {style.plain(row['train'])}, tested on {style.plain(row['test'])}</b>"
    return f"{head}<br>{row['accuracy']:.1%}<br>{about}"
