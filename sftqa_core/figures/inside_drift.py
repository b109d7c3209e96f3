"""Drift: how far distributions moved at each level, of facts lost and kept, with the number of examples; which weights moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from sftqa_core.figures import style
from sftqa_core.figures.curves import MODEL_COLOURS, MODEL_SIGNS
from sftqa_core.records import DOMAIN_NAMES
from sftqa_core.records.amounts import signed

if TYPE_CHECKING:
    import pandas as pd

_DOMAINS = {"in": ("#3f76bf", "circle"), "out": ("#de702c", "square")}
_OUTCOMES = {"kept": ("stayed right", "#2e866e", "circle"), "lost": ("lost", "#d1495b", "triangle-down")}
_RANKINGS = {  # a measure -> what the chart calls it, colour, sign
    "relative": ("relative change", MODEL_COLOURS[0], "circle"),
    "shuffled": ("the same, dealt out by chance", MODEL_COLOURS[1], "diamond"),
    "absolute": ("size of the change", MODEL_COLOURS[2], "square"),
}
SETTINGS_NAMED = 8  # in a legend
_APART = 0.12  # between what stands side by side at a level


def levels_figure(by_level: pd.DataFrame, kind: str, labels: Sequence[str], height: int = 320) -> go.Figure:
    """KL at each level and of all facts, of both domains: `by_level` as drift_tables.Drift has it. Signs are means with 95% intervals;
    short lines are medians. Fewer than 30 facts give hollow markers."""
    figure = style.canvas(height, y_title="KL, nats")
    places = {name: at for at, name in enumerate((*labels, "all"))}
    shown = [domain for domain in _DOMAINS if style.rows_with(by_level, kind=kind, domain=domain)]
    for at, domain in enumerate(shown):
        rows, (colour, sign) = style.rows_with(by_level, kind=kind, domain=domain), _DOMAINS[domain]
        xs = [places[row["level"]] + _APART * (2 * at - len(shown) + 1) for row in rows]
        values, lows, highs = ([row[name] for row in rows] for name in ("kl", "low", "high"))
        figure.add_scatter(
            name=DOMAIN_NAMES[domain], x=xs, y=values, mode="markers", text=[_level_words(row) for row in rows], showlegend=True,
            marker={"size": 9, "color": colour, "symbol": style.signs(sign, (row["facts"] for row in rows))},
            error_y=style.error_bars(values, lows, highs, colour), **style.POINTED,
        )  # fmt: skip
        figure.add_scatter(
            x=xs, y=[row["median"] for row in rows], mode="markers", hoverinfo="skip", showlegend=False,
            marker={"size": 15, "symbol": "line-ew", "line": {"color": colour, "width": 2}},
        )  # fmt: skip
    _level_axis(figure, {name: f"<b>{style.plain(name)}</b>" for name in places})
    return figure


def _level_words(row: Mapping[Any, Any]) -> str:
    words = f"<b>{style.plain(row['level'])}, {DOMAIN_NAMES[row['domain']]}</b><br>mean {_nats(row['kl'], row['low'], row['high'])}"
    words += f"<br>median {_nats(row['median'], row['median_low'], row['median_high'])}<br>{row['facts']:,} facts, "
    return words + style.counted(row["seeds"], "seed") + style.too_few(row["facts"])


def _nats(value: float, low: float, high: float) -> str:
    return f"{value:.3f} (95%: {low:.3f} to {high:.3f})"


def _level_axis(figure: go.Figure, ticks: Mapping[str, str]) -> None:
    """Levels from the left to the right, each with its tick."""
    figure.update_xaxes(tickvals=list(range(len(ticks))), ticktext=list(ticks.values()), range=[-0.5, len(ticks) - 0.5], showgrid=False)
    figure.update_yaxes(rangemode="tozero")


def lost_figure(lost_and_kept: pd.DataFrame, kind: str, labels: Sequence[str], height: int = 340) -> go.Figure:
    """Mean KL of facts that were right before: those that stayed right and those that were lost, by level, with 95% intervals; their
    numbers stand below each level, lost first. Hollow and without an interval with fewer than 30."""
    figure = style.canvas(height, y_title="KL, nats", below=58)
    rows = style.rows_with(lost_and_kept, kind=kind)
    places = {name: at for at, name in enumerate((*labels, "all"))}
    for at, (outcome, (name, colour, sign)) in enumerate(_OUTCOMES.items()):
        known = [row for row in rows if row[outcome] > 0]
        values, lows, highs = ([row[f"kl_{outcome}{end}"] for row in known] for end in ("", "_low", "_high"))
        figure.add_scatter(
            name=name, x=[places[row["level"]] + _APART * (2 * at - 1) for row in known], y=values,
            mode="markers", showlegend=True, text=[_lost_words(row, outcome, name) for row in known],
            marker={"size": 9, "color": colour, "symbol": style.signs(sign, (row[outcome] for row in known))},
            error_y=style.error_bars(values, lows, highs, colour), **style.POINTED,
        )  # fmt: skip
    counts = {row["level"]: f"<br>{row['lost']:,.0f} | {row['kept']:,.0f}" for row in rows}
    _level_axis(figure, {name: f"<b>{style.plain(name)}</b>{counts.get(name, '')}" for name in places})
    return figure


def _lost_words(row: Mapping[Any, Any], outcome: str, name: str) -> str:
    mean, low, high = (row[f"kl_{outcome}{end}"] for end in ("", "_low", "_high"))
    told = f"{mean:.3f}" if low != low else _nats(mean, low, high)
    words = f"<b>{style.plain(row['level'])}, {name}</b><br>{told} nats, {row[outcome]:,.0f} facts"
    if row["difference"] == row["difference"]:
        words += f"<br>lost less kept: {signed(row['difference'], 3)} (95%: {signed(row['low'], 3)} to {signed(row['high'], 3)})"
    return words + style.too_few(row[outcome])


def amounts_figure(by_setting: pd.DataFrame, kind: str, labels: Sequence[str], height: int = 320) -> go.Figure:
    """KL at facts of the highest level against n, a line a training level, with 95% intervals."""
    figure = style.canvas(height, x_title="examples trained on", y_title="KL, nats")
    rows = style.rows_with(by_setting, kind=kind)
    axis = style.LogAxis(row["n"] for row in rows)
    names = list(dict.fromkeys(row["trained"] for row in rows))
    own = dict(zip(labels, style.level_colours(len(labels)), strict=True))
    for at, name in enumerate(names):
        line = [row for row in rows if row["trained"] == name]
        values, lows, highs = ([row[column] for row in line] for column in ("kl", "low", "high"))
        colour = own.get(name, style.GREY)
        figure.add_scatter(
            name=style.plain(name), x=[axis.place(row["n"]) for row in line], y=values, mode="lines+markers", showlegend=True,
            line={"color": colour, "width": 2}, text=[_amount_words(row) for row in line],
            marker={"size": 8, "symbol": style.signs(MODEL_SIGNS[at % len(MODEL_SIGNS)], (row["facts"] for row in line))},
            error_y=style.error_bars(values, lows, highs, colour), **style.POINTED,
        )  # fmt: skip
    axis.draw(figure, (row["n"] for row in rows))
    figure.update_yaxes(rangemode="tozero")
    return figure


def _amount_words(row: Mapping[Any, Any]) -> str:
    about = f"<b>n = {row['n']:,}, trained on {style.plain(row['trained'])}</b><br>{_nats(row['kl'], row['low'], row['high'])}"
    return f"{about}<br>{row['facts']:,} facts, {style.counted(row['seeds'], 'seed')}" + style.too_few(row["facts"])


def runs_figure(runs: pd.DataFrame, level: str, labels: Sequence[str], height: int = 340) -> go.Figure:
    """A point a run: its published KL at statements and its accuracy, both at facts of the highest level. Colours are training levels,
    signs numbers of examples; the legend names both, of more than SETTINGS_NAMED settings the training levels alone."""
    figure = style.canvas(height, x_title="KL at statements, nats", y_title=f"accuracy on {style.plain(level)}", percent="y")
    rows = runs.sort_values(["trained", "n"], kind="stable").to_dict("records")
    own = dict(zip(labels, style.level_colours(len(labels)), strict=True))
    trained, sizes = (list(dict.fromkeys(row[name] for row in sorted(rows, key=lambda row: row["n"]))) for name in ("trained", "n"))
    others = {name: MODEL_COLOURS[at % len(MODEL_COLOURS)] for at, name in enumerate(name for name in trained if name not in own)}
    settings = list(dict.fromkeys((row["trained"], row["n"]) for row in rows))
    named: set[str] = set()
    for name, n in settings:
        some, colour = [row for row in rows if (row["trained"], row["n"]) == (name, n)], (own | others)[name]
        every = len(settings) <= SETTINGS_NAMED
        figure.add_scatter(
            name=style.plain(f"{name}, n = {n:,}" if every else name), legendgroup=f"{name}, {n}" if every else name, mode="markers",
            x=[row["kl10"] for row in some], y=[row["accuracy"] for row in some], showlegend=every or name not in named,
            text=[_run_words(row) for row in some], **style.POINTED,
            marker={
                "size": 9, "color": colour,
                "symbol": style.signs(MODEL_SIGNS[sizes.index(n) % len(MODEL_SIGNS)], (row["facts"] for row in some)),
            },
        )  # fmt: skip
        named.add(name)
    return figure


def _run_words(row: Mapping[Any, Any]) -> str:
    head = f"<b>n = {row['n']:,}, trained on {style.plain(row['trained'])}, seed {row['seed']}</b><br>{style.plain(row['name'])}"
    accuracy = style.interval_words(row["accuracy"], row["accuracy_low"], row["accuracy_high"])
    kl = f"KL {_nats(row['kl10'], row['kl10_low'], row['kl10_high'])}, {row['facts']:,} facts{style.too_few(row['facts'])}"
    return f"{head}<br>{kl}<br>accuracy {accuracy}, {row['asked']:,} facts"


def update_figure(modules: pd.DataFrame) -> go.Figure:
    """Layers down, the modules of layers across: each one's share of the squared update (Drift.modules).

    Shade is that share over its share of the parameters: darker than its neighbours moved more for its size. With more than 12 layers
    the pointer alone tells the numbers.
    """
    inside = [row for row in modules[modules["layer"].notna()].to_dict("records") if row["parameters"] > _NO_SCALE]
    columns = list(dict.fromkeys(row["module"] for row in inside))
    layers = sorted({int(row["layer"]) for row in inside})
    cells = {(columns.index(row["module"]), layers.index(int(row["layer"]))): row for row in inside}
    heads = [style.wrapped(name.removesuffix("_proj")) for name in columns]
    few = len(layers) <= 12
    below = style.below(heads, more=20)
    figure = style.canvas((30 if few else 14) * len(layers) + below + 16, y_title="layer", left=52, below=below, legend=False)
    grid = [[cells.get((x, y)) for x in range(len(columns))] for y in range(len(layers))]
    shades = [[row["squared_share"] / row["parameters"] if row else None for row in line] for line in grid]
    hovers = [[_cell_words(row) if row else "" for row in line] for line in grid]
    texts = {place: f"{row['squared_share']:.1%}" for place, row in cells.items()} if few else {}
    most = max((value for line in shades for value in line if value is not None), default=0)
    style.draw_cells(figure, heads, [str(layer) for layer in layers], shades, texts, hovers, zmax=max(most, 2))
    figure.update_xaxes(tickangle=0)
    return figure


_NO_SCALE = 1e-3  # of the parameters: what has fewer is the scale of a norm, or a bias


def _cell_words(row: Mapping[Any, Any]) -> str:
    return (
        f"<b>{style.plain(row['module'])}, layer {int(row['layer'])}</b><br>{row['squared_share']:.2%} of the squared update"
        f"<br>{row['relative_share']:.2%} of the relative change<br>{row['parameters']:.2%} of the parameters"
    )


def modules_figure(by_module: pd.DataFrame) -> go.Figure:
    """Shares of the modules of layers, all layers together (Drift.by_module): of the parameters that changed most, of the squared update,
    and of all parameters, which a change without any pattern would follow; published ones beside."""
    rows = [row for row in by_module.to_dict("records") if row["parameters"] > _NO_SCALE]
    names = [style.plain(row["module"]) for row in rows]
    room = style.beside(names)
    figure = style.canvas(30 * len(rows) + 110, x_title="share", percent="x", left=room, below=44)
    figure.update_layout(margin_t=66)
    marks = [
        ("top", "top 20% of changes", {"size": 9, "color": MODEL_COLOURS[0], "symbol": "circle"}),
        ("squared_share", "squared update", {"size": 9, "color": MODEL_COLOURS[1], "symbol": "diamond"}),
        ("parameters", "all parameters", {"size": 14, "symbol": "line-ns", "line": {"color": style.GREY, "width": 2}}),
        ("published", "LLaMA-3-8B" + style.PUBLISHED, {"size": 8, "symbol": "cross-thin", "line": {"color": style.GREY, "width": 2}}),
    ]
    for column, name, marker in marks:
        known = [(row[column], at, row) for at, row in enumerate(rows) if row[column] == row[column]]
        if known:
            xs, ys, _ = zip(*known, strict=True)
            words = [_module_words(row, column, name) for *_, row in known]
            figure.add_scatter(name=name, x=xs, y=ys, mode="markers", marker=marker, text=words, showlegend=True, **style.POINTED)
    figure.update_yaxes(tickvals=list(range(len(rows))), ticktext=names, range=[len(rows) - 0.5, -0.5], showgrid=False)
    figure.update_xaxes(rangemode="tozero")
    return figure


def _module_words(row: Mapping[Any, Any], column: str, name: str) -> str:
    words = f"<b>{style.plain(row['module'])}</b><br>{name}: {row[column]:.1%}"
    return words + (f"<br>its parameters: {row['published_parameters']:.1%}" if column == "published" else "")


def top_figure(top: pd.DataFrame, published: Sequence[float], height: int = 320) -> go.Figure:
    """What the top of each ranking holds of the sum of all changes (Drift.top), and the published one beside."""
    shares = sorted(set(top["share"]))
    figure = style.canvas(height, x_title="parameters that changed most", y_title="share of all change", percent="y")
    figure.update_layout(margin_t=66)
    for measure, (name, colour, sign) in _RANKINGS.items():
        rows = style.rows_with(top, measure=measure)
        figure.add_scatter(
            name=name, x=[shares.index(row["share"]) for row in rows], y=[row["held"] for row in rows], mode="lines+markers",
            showlegend=True, line={"color": colour, "width": 2}, marker={"size": 8, "symbol": sign},
            text=[f"<b>top {row['share']:.0%} by {name}</b><br>{row['held']:.1%}" for row in rows], **style.POINTED,
        )  # fmt: skip
    if shares and len(published) == len(shares):
        figure.add_scatter(
            name="LLaMA-3-8B" + style.PUBLISHED, x=list(range(len(shares))), y=list(published), mode="lines+markers", showlegend=True,
            line={"color": style.GREY, "width": 1.2, "dash": "dash"},
            marker={"size": 6, "color": style.GREY, "symbol": "cross-thin", "line": {"color": style.GREY, "width": 1.5}},
            text=[f"<b>top {share:.0%}</b><br>{held:.2%}, n = 240, trained on L0" for share, held in zip(shares, published, strict=True)],
            **style.POINTED,
        )  # fmt: skip
    ticks = [f"{share:.0%}" for share in shares]
    figure.update_xaxes(tickvals=list(range(len(shares))), ticktext=ticks, range=[-0.3, max(len(shares), 1) - 0.7], showgrid=False)
    figure.update_yaxes(range=[0, 1.02])
    return figure
