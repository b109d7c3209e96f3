"""What putting weights back does: against the share put back, by memory level at one share, and by block of layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from sftqa_core.figures import style
from sftqa_core.figures.curves import MODEL_COLOURS
from sftqa_core.records import DOMAIN_NAMES
from sftqa_core.records.amounts import points

if TYPE_CHECKING:
    import pandas as pd

_LOOKS = {  # way -> colour, sign, dash; controls by chance are dotted
    "relative": (MODEL_COLOURS[0], "diamond", "solid"),
    "absolute": (MODEL_COLOURS[1], "square", "solid"),
    "random": (MODEL_COLOURS[2], "triangle-up", "dot"),
    "random-update": (MODEL_COLOURS[3], "triangle-down", "dot"),
}
_DOMAIN_LOOKS = {"in": (MODEL_COLOURS[0], "circle"), "out": (MODEL_COLOURS[3], "square")}
_APART = 0.13  # of the room of one share: the ways side by side, so that their bars do not cover each other
_SPREAD = 0.6  # the same at a level
_DEEPEST = -0.16  # a loss below is an arrow at the lower edge: the few points of the small shares would be flat beside it
_OWN_SHARES = (MODEL_COLOURS[0], MODEL_COLOURS[1], "#3f76bf")  # of the shares put back, from none on
_NO_LEVEL = "level not known"
_OWN_SIGNS = ("circle", "diamond", "square")


def shares_figure(
    curve: pd.DataFrame,
    domain: str,
    level: str,
    names: Mapping[str, str],
    chosen: Mapping[str, float],
    reference: pd.DataFrame | None = None,
    height: int = 420,
) -> go.Figure:
    """Change of accuracy against the tuned model, in points, by the share put back, a line for each way: `curve` as
    restoration_tables.curve makes it, `names` of the ways, `chosen` by way the share that dev facts choose, which has a larger sign.

    Bars are 95% intervals of the paired difference, all of them inside the chart; a loss of more than 16 points is an arrow at the lower
    edge instead, without a bar. `reference` (train, share, accuracy): published lines, each against its own share 0, cut there, too.
    """
    rows = style.rows_with(curve, "difference", domain=domain, level=level)
    shares = sorted({row["share"] for row in rows} | {0.0})
    figure = style.canvas(height, x_title="share of the parameters put back", y_title="points", below=48)
    beside = _published(reference, shares)
    floor = _floor(rows, [value for line in beside.values() for value in line.values()])
    for train, line in beside.items():
        named = {"name": f"five training levels{style.PUBLISHED}", "legendgroup": "published"}
        figure.add_scatter(
            x=[shares.index(share) for share in line], y=[100 * max(value, floor) for value in line.values()], mode="lines", **named,
            line={"color": style.GREY, "width": 1, "dash": "dash"}, showlegend=train == 0, legendrank=1000,
            text=[f"<b>trained on L{train}{style.PUBLISHED}</b><br>{share:.0%}: {points(value)} points" for share, value in line.items()],
            **style.POINTED,
        )  # fmt: skip
    for at, (way, name) in enumerate(names.items()):
        own = [row for row in rows if row["way"] == way]
        if not own:
            continue
        colour, sign, dash = _LOOKS[way]
        deep = [row["difference"] < _DEEPEST for row in own]
        ys, lows, highs = (
            [100 * (floor if down else row[end]) for row, down in zip(own, deep, strict=True)] for end in ("difference", "low", "high")
        )
        signs = ["arrow-down" if down else each for down, each in zip(deep, style.signs(sign, (row["least"] for row in own)), strict=True)]
        figure.add_scatter(
            name=style.plain(name), x=[shares.index(row["share"]) + (at - 1.5) * _APART for row in own], y=ys, mode="lines+markers",
            line={"color": colour, "width": 1.6, "dash": dash}, error_y=style.error_bars(ys, lows, highs, colour, 1.2, 3),
            marker={"color": colour, "symbol": signs, "size": [13 if row["share"] == chosen.get(way) else 7 for row in own]},
            text=[_words(row, name, row["share"] == chosen.get(way)) for row in own], showlegend=True, **style.POINTED,
        )  # fmt: skip
    figure.add_hline(y=0, line={"width": 1, "color": style.GREY})
    figure.update_xaxes(tickvals=list(range(len(shares))), ticktext=[f"{share:.0%}" for share in shares], range=[-0.5, len(shares) - 0.5])
    highest = max([*(row["high"] for row in rows), *(value for line in beside.values() for value in line.values())], default=0)
    figure.update_yaxes(range=[100 * min(-0.03, 1.06 * floor), 100 * max(0.03, 1.06 * highest)])  # 3 points each way at least
    return figure


def _floor(rows: Sequence[Mapping[Any, Any]], beside: Sequence[float]) -> float:
    """The lowest value that the chart of the shares shows: the ends of all intervals of what is not too deep, and where arrows stand."""
    shallow = [row["low"] for row in rows if row["difference"] >= _DEEPEST]
    edge = [_DEEPEST] if len(shallow) < len(rows) else []
    return min([0.0, *shallow, *edge, *(max(value, _DEEPEST) for value in beside)])


def levels_figure(
    curve: pd.DataFrame, domain: str, share: float, labels: Sequence[str], names: Mapping[str, str], height: int = 340
) -> go.Figure:
    """The same at one share, at each memory level and in the mean, the ways side by side."""
    rows = [row for row in style.rows_with(curve, "difference", domain=domain) if row["share"] == share]
    places = [*(label for label in labels if any(row["level"] == label for row in rows))]
    places += [place for place in dict.fromkeys(row["level"] for row in rows) if place not in places]
    figure = style.canvas(height, y_title="points")
    for at, (way, name) in enumerate(names.items()):
        own = [row for row in rows if row["way"] == way]
        if not own:
            continue
        colour, sign, _ = _LOOKS[way]
        shift = _SPREAD * ((at + 0.5) / len(names) - 0.5)
        ys, lows, highs = ([100 * row[end] for row in own] for end in ("difference", "low", "high"))
        figure.add_scatter(
            name=style.plain(name), x=[places.index(row["level"]) + shift for row in own], y=ys, mode="markers", showlegend=True,
            marker={"color": colour, "size": 8, "symbol": style.signs(sign, (row["least"] for row in own))},
            error_y=style.error_bars(ys, lows, highs, colour, width=3), text=[_words(row, name, False) for row in own], **style.POINTED,
        )  # fmt: skip
    figure.add_hline(y=0, line={"width": 1, "color": style.GREY})
    ticks = [f"<b>{style.plain(place) if place in labels else 'mean' if place.startswith('mean') else 'all'}</b>" for place in places]
    figure.update_xaxes(tickvals=list(range(len(places))), ticktext=ticks, range=[-0.5, max(1, len(places)) - 0.5], showgrid=False)
    return figure


def blocks_figure(blocks: pd.DataFrame, names: Mapping[str, str], height: int = 320) -> go.Figure:
    """Change of accuracy with a block of layers put back wholly, both domains side by side: `blocks` as restoration_tables.blocks makes it,
    `names` of the blocks in their order. Bars are 95% intervals."""
    rows = style.rows_with(blocks, "difference")
    shown = [block for block in names if any(row["block"] == block for row in rows)]
    ticks = [style.wrapped(names[block]) for block in shown]
    figure = style.canvas(height, y_title="points", below=style.below(ticks))
    for at, (domain, (colour, sign)) in enumerate(_DOMAIN_LOOKS.items()):
        own = [row for row in rows if row["domain"] == domain and row["block"] in shown]
        xs = [shown.index(row["block"]) + 0.2 * (at - 0.5) for row in own]
        ys, lows, highs = ([100 * row[end] for row in own] for end in ("difference", "low", "high"))
        figure.add_scatter(
            name=DOMAIN_NAMES[domain], x=xs, y=ys, mode="markers", showlegend=True,
            marker={"color": colour, "size": 9, "symbol": style.signs(sign, (row["least"] for row in own))},
            error_y=style.error_bars(ys, lows, highs, colour),
            text=[_block_words(row, names[row["block"]]) for row in own], **style.POINTED,
        )  # fmt: skip
    figure.add_hline(y=0, line={"width": 1, "color": style.GREY})
    figure.update_xaxes(
        tickvals=list(range(len(shown))), ticktext=ticks, range=[-0.5, max(1, len(shown)) - 0.5], showgrid=False, tickangle=0
    )
    return figure


def own_figure(own: pd.DataFrame, labels: Sequence[str], published: pd.DataFrame | None = None, height: int = 340) -> go.Figure:
    """How many of a run's own training examples are answered rightly, by their memory level before tuning and the share put back: `own` as
    restoration_tables.own makes it, with 95% intervals; `published` (train, share, accuracy) of runs on one level each, as crosses."""
    rows = [{**row, "level": row["level"] if isinstance(row["level"], str) else _NO_LEVEL} for row in own.to_dict("records")]
    places = [name for name in (*labels, _NO_LEVEL) if any(row["level"] == name for row in rows)]
    shares = sorted({row["share"] for row in rows})
    ticks = [f"<b>{style.plain(name)}</b>" if name in labels else style.wrapped(name) for name in places]
    figure = style.canvas(height, x_title="memory level before tuning", y_title="answered rightly", percent="y", below=62)
    shifts = {share: 0.22 * (at - (len(shares) - 1) / 2) for at, share in enumerate(shares)}
    for at, share in enumerate(shares):
        some = [row for row in rows if row["share"] == share]
        values, lows, highs = ([row[end] for row in some] for end in ("accuracy", "low", "high"))
        colour = _OWN_SHARES[at % len(_OWN_SHARES)]
        figure.add_scatter(
            name=f"{share:.0%} put back" if share else "nothing put back", mode="markers", showlegend=True,
            x=[places.index(row["level"]) + shifts[share] for row in some], y=values,
            error_y=style.error_bars(values, lows, highs, colour), text=[_own_words(row) for row in some], **style.POINTED,
            marker={"color": colour, "size": 9, "symbol": style.signs(_OWN_SIGNS[at % len(_OWN_SIGNS)], (row["facts"] for row in some))},
        )  # fmt: skip
    beside = published.to_dict("records") if published is not None else []
    if beside := [row for row in beside if row["share"] in shifts and row["train"] in places]:
        figure.add_scatter(
            name=f"LLaMA-3-8B{style.PUBLISHED}", x=[places.index(row["train"]) + shifts[row["share"]] for row in beside],
            y=[row["accuracy"] for row in beside], mode="markers", showlegend=True,
            marker={"color": style.GREY, "size": 8, "symbol": "x-thin", "line": {"color": style.GREY, "width": 1.5}},
            text=[
                f"<b>trained on {row['train']}, {row['share']:.0%} put back{style.PUBLISHED}</b><br>{row['accuracy']:.1%}" for row in beside
            ], **style.POINTED,
        )  # fmt: skip
    figure.update_xaxes(tickvals=list(range(len(places))), ticktext=ticks, range=[-0.5, max(1, len(places)) - 0.5], showgrid=False)
    figure.update_yaxes(range=[-0.03, 1.03], tickvals=[0, 0.25, 0.5, 0.75, 1])
    return figure


def _own_words(row: Mapping[Any, Any]) -> str:
    head = f"<b>{style.plain(row['level'])}, {row['share']:.0%} put back</b>"
    answered = style.interval_words(row["accuracy"], row["low"], row["high"])
    return f"{head}<br>{answered}<br>{style.counted(row['facts'], 'example')}{style.too_few(row['facts'])}"


def _published(reference: pd.DataFrame | None, shares: Sequence[float]) -> dict[int, dict[float, float]]:
    """By training level, a number: share -> what it changes against share 0."""
    if reference is None or not len(reference):
        return {}
    lines: dict[int, dict[float, float]] = {}
    for at, (_, own) in enumerate(reference.groupby("train")):
        line = dict(zip(own["share"], own["accuracy"], strict=True))
        lines[at] = {share: line[share] - line[0.0] for share in shares if share in line}
    return lines


def _words(row: dict[Any, Any], name: str, chosen: bool) -> str:
    if not row["share"]:
        return f"<b>nothing put back</b><br>{row['accuracy']:.1%}<br>{row['facts']:,} facts, {style.counted(row['seeds'], 'seed')}"
    text = f"<b>{row['share']:.0%} {style.plain(name)}, {style.plain(row['level'])}</b><br>{row['accuracy']:.1%}: {_difference(row)}"
    text += f"<br>{row['facts']:,} facts, {style.counted(row['seeds'], 'seed')}"
    if row["draws"] > 1:
        text += f", {row['draws']} draws ({row['draw_low']:.1%} to {row['draw_high']:.1%})"
    text += f"<br>{row['undone']:.1%} of the squared update put back"
    return text + ("<br>the share that dev facts choose" if chosen else "") + style.too_few(row["least"])


def _block_words(row: dict[Any, Any], name: str) -> str:
    text = f"<b>{style.plain(name)}, {DOMAIN_NAMES[row['domain']]}</b><br>{row['accuracy']:.1%}: {_difference(row)}"
    text += f"<br>{row['facts']:,} facts, {style.counted(row['seeds'], 'seed')}<br>{row['undone']:.1%} of the squared update put back"
    return text + style.too_few(row["least"])


def _difference(row: dict[Any, Any]) -> str:
    return f"{points(row['difference'])} points ({points(row['low'])} to {points(row['high'])})"
