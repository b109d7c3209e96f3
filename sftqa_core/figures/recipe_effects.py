"""What a recipe does: accuracy by level beside plain tuning and controls, the claims, its main setting on dev facts, its own tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from sftqa_core.figures import style
from sftqa_core.figures.curves import MODEL_COLOURS
from sftqa_core.records.amounts import points
from sftqa_core.records.studying import BASE, CONTROL, OTHER_SEEDS, PLAIN_TUNING

if TYPE_CHECKING:
    import pandas as pd

OPEN = "cannot tell"
MEANS = {"mean over levels": "<b>mean</b>", "as facts come": "<b>micro</b>"}  # as short as a level: there is no more room on a telephone
_RECIPE, _PLAIN, *_OTHERS = MODEL_COLOURS
_CONTROLS = tuple(reversed(_OTHERS))  # the first one is farthest from the recipe's own
_LOOKS = {  # what stands beside a recipe -> colour, sign
    BASE: (style.GREY, "circle"),
    PLAIN_TUNING: (_PLAIN, "square"),
    OTHER_SEEDS: (_PLAIN, "cross"),
}
_OWN = (_RECIPE, "diamond")  # of the recipe itself
_ANYTHING = 100  # points: an interval that ends there says nothing, and must not flatten the others
_SPREAD = 0.6  # of the room between two places: what stands at one place is side by side in it


@dataclass(frozen=True)
class _Line:
    """What is drawn at several places: a trace."""

    name: str
    colour: str
    sign: str
    points: list[tuple[str, float, float, float, float, str, bool]]  # place, value, its interval, facts, words, whether it is a claim


def effects_figure(effect: pd.DataFrame, domain: str, labels: Sequence[str], height: int = 400) -> go.Figure:
    """Accuracy at each level, and both means, of all that is compared, side by side: `effect` as studies.recipe_tables.effect makes it,
    its rows of one model. Bars are 95% intervals; fewer than 30 facts give hollow markers."""
    rows = style.rows_with(effect, "accuracy", domain=domain)
    figure = style.canvas(height, y_title="accuracy", percent="y")
    looks, lines = _looks(row["setting"] for row in rows), []
    for name, look in looks.items():
        own = [row for row in rows if row["setting"] == name]
        ends = [(row["level"], row["accuracy"], row["low"], row["high"], row["facts"], _effect_words(row), False) for row in own]
        lines.append(_Line(name, *look, ends))
    _draw(figure, lines, labels)
    figure.update_yaxes(range=[0, min(1.02, 1.1 * max((row["high"] for row in rows), default=1))])
    return figure


def claims_figure(claims: pd.DataFrame, domain: str, labels: Sequence[str], height: int = 340) -> go.Figure:
    """Differences of accuracy, in points, with the intervals that decide: `claims` as studies.recipe_tables.claims makes it, its rows of
    one model. A difference that is a claim (yes or no) has a larger sign. Each pair looks like what the recipe is set against; the recipe
    against plain tuning, like the recipe."""
    rows = style.rows_with(claims, "difference", domain=domain, measure="accuracy")
    figure = style.canvas(height, y_title="difference, points")
    looks, lines = _looks(row["against"] for row in rows), []
    for setting, against in dict.fromkeys((row["setting"], row["against"]) for row in rows):
        own = [row for row in rows if (row["setting"], row["against"]) == (setting, against)]
        ends = [
            (
                row["level"],
                *(100 * row[end] for end in ("difference", "low", "high")),
                row["least"],
                _claim_words(row),
                row["verdict"] != OPEN,
            )
            for row in own
        ]
        look = _LOOKS[OTHER_SEEDS] if setting == OTHER_SEEDS else _OWN if against == PLAIN_TUNING else looks[against]
        lines.append(_Line(_pair(own[0]), *look, ends))
    _draw(figure, lines, labels)
    reach = max((abs(end) for line in lines for point in line.points for end in point[2:4] if abs(end) < _ANYTHING), default=1)
    figure.update_yaxes(range=[-1.05 * reach, 1.05 * reach])
    figure.add_hline(y=0, line={"width": 1, "color": style.GREY})
    return figure


def knob_figure(knob: pd.DataFrame, name: str, height: int = 300) -> go.Figure:
    """Dev accuracy at each value of the recipe's main setting, which is called `name`: `knob` as studies.recipe_tables.knob makes it, its
    rows of one model. The chosen value has the recipe's colour and a bold name; small points are seeds."""
    rows = knob.to_dict("records") if len(knob) else []
    figure = style.canvas(height, x_title=style.plain(name), y_title="accuracy on dev facts", percent="y", below=62, legend=False)
    seeds = [(at, value) for at, row in enumerate(rows) if row["seeds"] > 1 for value in row["per_seed"]]
    if seeds:
        xs, ys = zip(*seeds, strict=True)
        figure.add_scatter(x=[x + 0.12 for x in xs], y=ys, mode="markers", marker={"size": 4, "color": style.GREY}, hoverinfo="skip")
    colours = [_RECIPE if row["chosen"] else style.GREY for row in rows]
    values, lows, highs = ([row[column] for row in rows] for column in ("accuracy", "low", "high"))
    figure.add_scatter(
        x=list(range(len(rows))), y=values, mode="markers", error_y=style.error_bars(values, lows, highs),
        marker={"size": 11, "color": colours, "symbol": style.signs("diamond", (row["facts"] for row in rows))},
        text=[_knob_words(name, row) for row in rows], **style.POINTED,
    )  # fmt: skip
    ticks = [f"<b>{style.plain(row['value'])}<br>chosen</b>" if row["chosen"] else style.plain(row["value"]) for row in rows]
    figure.update_layout(showlegend=False)
    figure.update_xaxes(tickvals=list(range(len(rows))), ticktext=ticks, range=[-0.5, max(1, len(rows)) - 0.5], showgrid=False, tickangle=0)
    return figure


def own_figure(by_level: pd.DataFrame, table: str, column: str, labels: Sequence[str], height: int = 300) -> go.Figure:
    """A column of a recipe's own table by memory level, each bar in its level's colour: `by_level` as studies.recipe_tables.by_level makes
    it, its rows of one model. Small points are seeds."""
    found = style.rows_with(by_level, "mean", column=column)
    rows = {row["level"]: row for row in found if row["table"] == table}
    share = all(row["share"] for row in rows.values())
    figure = style.canvas(height, x_title="memory level", y_title=style.plain(column), percent="y" if share else "", legend=False)
    colours = dict(zip(labels, style.level_colours(len(labels)), strict=True))
    shown = [name for name in (*labels, *(name for name in rows if name not in labels)) if name in rows]
    figure.add_bar(
        x=list(range(len(shown))), y=[rows[name]["mean"] for name in shown], width=0.6,
        marker={"color": [colours.get(name, style.GREY) for name in shown]},
        text=[_own_words(rows[name], share) for name in shown], textposition="none", **style.POINTED,
    )  # fmt: skip
    seeds = [(at, value) for at, name in enumerate(shown) if rows[name]["seeds"] > 1 for value in rows[name]["per_seed"]]
    if seeds:
        xs, ys = zip(*seeds, strict=True)
        figure.add_scatter(x=xs, y=ys, mode="markers", marker={"size": 5, "color": style.GREY}, hoverinfo="skip")
    figure.update_layout(showlegend=False)
    figure.update_xaxes(tickvals=list(range(len(shown))), ticktext=[f"<b>{style.plain(name)}</b>" for name in shown], showgrid=False)
    return figure


def _looks(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Colour and sign of each setting; controls in their order."""
    names = dict.fromkeys(names)
    controls = [name for name in names if name.startswith(CONTROL)]
    own = {name: (_CONTROLS[at % len(_CONTROLS)], "triangle-up") for at, name in enumerate(controls)}
    return {name: own.get(name) or _LOOKS.get(name, _OWN) for name in names}


def _draw(figure: go.Figure, lines: Sequence[_Line], labels: Sequence[str]) -> None:
    """The lines side by side at each level and mean that any of them has."""
    shown = [place for place in (*labels, *MEANS) if any(place == point[0] for line in lines for point in line.points)]
    for at, line in enumerate(lines):
        places, values, lows, highs, facts, words, claimed = zip(*line.points, strict=True)
        shift = _SPREAD * ((at + 0.5) / len(lines) - 0.5)
        figure.add_scatter(
            name=style.plain(line.name), x=[shown.index(place) + shift for place in places], y=values, mode="markers", showlegend=True,
            marker={"color": line.colour, "size": [12 if one else 7 for one in claimed], "symbol": style.signs(line.sign, facts)},
            error_y=style.error_bars(values, lows, highs, line.colour, width=3), text=words, **style.POINTED,
        )  # fmt: skip
    ticks = [MEANS.get(place, f"<b>{style.plain(place)}</b>") for place in shown]
    figure.update_xaxes(
        tickvals=list(range(len(shown))), ticktext=ticks, range=[-0.5, max(1, len(shown)) - 0.5], showgrid=False, tickangle=0
    )


def _pair(row: dict[Any, Any]) -> str:
    return f"{row['setting']} against {row['against'].removeprefix(CONTROL)}"


def _effect_words(row: dict[Any, Any]) -> str:
    text = f"<b>{style.plain(row['setting'])}, {row['level']}</b><br>{style.interval_words(row['accuracy'], row['low'], row['high'])}"
    seeds = f": {', '.join(f'{value:.1%}' for value in row['per_seed'])}" if row["seeds"] > 1 else ""
    return f"{text}<br>{row['facts']:,} facts, {style.counted(row['seeds'], 'seed')}{seeds}{style.too_few(row['facts'])}"


def _claim_words(row: dict[Any, Any]) -> str:
    ends = f"{points(row['low'])} to {points(row['high'])}; Holm p {row['p_holm']:.3f}"
    text = f"<b>{style.plain(_pair(row))}, {row['level']}</b><br>{points(row['difference'])} points ({ends})"
    seeds = ", ".join(points(value) for value in row["per_seed"])
    return f"{text}<br>by seed: {seeds}<br>{row['verdict']}{style.too_few(row['least'])}"


def _knob_words(name: str, row: dict[Any, Any]) -> str:
    noise = "<br>within noise of the chosen value" if row["within_noise"] is True and not row["chosen"] else ""
    text = f"<b>{style.plain(name)} {style.plain(row['value'])}</b><br>{style.interval_words(row['accuracy'], row['low'], row['high'])}"
    return f"{text}<br>{row['rule']}, {row['facts']:,} dev facts, {style.counted(row['seeds'], 'seed')}{noise}"


def _own_words(row: dict[Any, Any], share: bool) -> str:
    value = f"{row['mean']:.1%}" if share else f"{row['mean']:.4g}"
    return f"<b>{style.plain(row['level'])}</b><br>{value}<br>{style.counted(row['rows'], 'row')}, {style.counted(row['seeds'], 'seed')}"
