"""Levels against levels: two ways of measuring them, agreement against what a probe costs, and training levels against test levels."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import n_colors

from sftqa_core.figures import style
from sftqa_core.records import Agreement
from sftqa_core.records.amounts import points

_PALE, _STRONG = "rgb(222, 150, 84)", "rgb(168, 36, 72)"  # no level's colour; a contrast of 2.3 or more on white and on dark
_TICKS = tuple(digit * 10**power for power in range(6) for digit in (1, 2, 5))

MIX, MEAN = "natural mix", "mean over levels"
_SIDES = [[0, "rgba(209, 73, 91, 0.5)"], [0.5, "rgba(138, 143, 152, 0.03)"], [1, "rgba(46, 134, 110, 0.5)"]]
_SIGNIFICANT = 0.05

MatrixCells = dict[tuple[str, str], dict[Any, Any]]  # by training and test level


def confusion_figure(agreement: Agreement, reference_name: str, other_name: str) -> go.Figure:
    """Facts by level: the reference's down, the other's across; the first level is at the top left.

    Shade is the share of the row, text the facts, and the cells where both agree are outlined. A row with fewer than 30
    facts has no shade; an empty one has no text either.
    """
    labels = [style.plain(label) for label in agreement.labels]
    names = style.plain(reference_name), style.plain(other_name)
    totals = [sum(row) for row in agreement.confusion]
    counts = {(column, row): count for row, row_counts in enumerate(agreement.confusion) for column, count in enumerate(row_counts)}
    heads = [f"<b>{label}</b>  n = {total:,}" for label, total in zip(labels, totals, strict=True)]
    columns = [f"<b>{style.wrapped(label)}</b>" for label in agreement.labels]
    room, below = style.beside(heads, title=True), style.below(columns, more=36)
    figure = style.canvas(
        42 * len(labels) + 20 + below, x_title=f"level by {names[1]}", y_title=f"level by {names[0]}", left=room, below=below, legend=False
    )
    rows = zip(agreement.confusion, totals, strict=True)
    shades = [[count / total if total >= style.FEW else None for count in row] for row, total in rows]
    texts = {place: f"{count:,}" for place, count in counts.items() if totals[place[1]]}
    hovers = [
        [_agreed(label, other, names, counts[column, row], totals[row]) for column, other in enumerate(labels)]
        for row, label in enumerate(labels)
    ]
    style.draw_cells(figure, columns, heads, shades, texts, hovers)
    for at in range(len(labels)):
        style.outline(figure, at, at, 1.5)
    figure.update_xaxes(tickangle=0, title_standoff=14)
    figure.update_yaxes(title_standoff=20)
    return figure


def _agreed(label: str, other: str, names: tuple[str, str], count: int, total: int) -> str:
    words = f"<b>{label}</b> by {names[0]}, <b>{other}</b> by {names[1]}<br>{count:,} of {total:,} facts"
    return words + (style.too_few(total) or f", {count / total:.1%}")


def budget_figure(curve: pd.DataFrame, floor: float | None, floor_name: str, reference_name: str = "the full probe") -> go.Figure:
    """Kappa against completions per fact, one line a number of templates: `curve` as memory.agreement.budget_curve makes it.

    `reference_name` is whose levels the budgets' are compared with. Budgets without a kappa are left out. `floor`, the
    agreement of two probes of one model, is a dotted line that bears `floor_name`; None or NaN draws none.
    """
    figure = style.canvas(380, x_title="completions per fact", y_title=f"kappa with {style.plain(reference_name)}")
    known = curve[curve["kappa"].notna()]
    counts = sorted(set(known["templates"].astype(int)))
    colours = n_colors(_PALE, _STRONG, len(counts), "rgb") if len(counts) > 1 else [_STRONG] * len(counts)
    for templates, colour in zip(counts, colours, strict=True):
        line = known[known["templates"] == templates].sort_values("completions")
        rows = line[["templates", "samples", "completions", "kappa", "low", "high"]].itertuples(index=False)
        figure.add_scatter(
            name=str(templates), x=line["completions"].tolist(), y=line["kappa"].tolist(), mode="lines+markers", showlegend=True,
            line={"color": colour, "width": 2}, marker={"size": 7, "color": colour}, text=[_budget(*row) for row in rows], **style.POINTED,
        )  # fmt: skip
    lowest = [float(known["kappa"].min())] if counts else []
    if floor is not None and math.isfinite(floor):
        lowest.append(floor)
        dotted = {"width": 1.5, "dash": "dot", "color": style.GREY}
        figure.add_hline(y=floor, line=dotted, annotation_text=style.plain(floor_name), annotation_position="top left")
    most = max(known["completions"], default=1)
    figure.update_layout(legend_title_text="templates")
    ticks = [tick for tick in _TICKS if tick <= most]
    figure.update_xaxes(type="log", tickvals=ticks, range=[-0.08, math.log10(most) + 0.08], showgrid=False)
    figure.update_yaxes(range=[math.floor(min(lowest, default=0) * 10) / 10, 1.02])
    return figure


def _budget(templates: float, samples: float, completions: float, kappa: float, low: float, high: float) -> str:
    size = f"<b>{style.counted(templates, 'template')} × {style.counted(samples, 'sample')}</b>, {style.counted(completions, 'completion')}"
    return f"{size}<br>kappa {kappa:z.3f} (95%: {low:z.3f} to {high:z.3f})"


def matrix_figure(
    matrix: pd.DataFrame, model: str, domain: str, labels: Sequence[str], value: str = "accuracy", apart: Mapping[str, str] | None = None
) -> go.Figure:
    """Rows: training level (the natural mix last), columns: test level and their mean; the first level is at the top left.

    `matrix` as studies.level.matrix or studies.published.matrix make it; `value` is "accuracy" or "difference" (from the natural
    mix, in points). `apart` names the columns in which one row was told apart from all others (studies.level.told_apart), and that row:
    it is outlined. Cells of fewer than 30 facts, and differences that can't be told from chance, have no shade.
    """
    cells = _cells(matrix, model, domain, labels)
    trains, tests = _axes(cells, labels, value)
    room = style.beside(map(_tick, trains), title=True)
    figure = style.canvas(
        44 * len(trains) + 74, x_title="tested on facts at", y_title="trained on facts at", left=room, below=62, legend=False
    )
    hovers = [[_hover(cells.get((train, test)), train, test) for test in tests] for train in trains]
    heat: dict[str, Any] = {}
    if value == "difference":  # the largest one that is shaded ends the scale
        most = max((abs(row[value]) for row in cells.values() if _shade(row, value) is not None), default=0) or 0.1
        heat = {"zmin": -most, "zmax": most, "colorscale": _SIDES}
    shades = [[_shade(cells.get((train, test)), value) for test in tests] for train in trains]
    places = {(x, y): cells.get((train, test)) for y, train in enumerate(trains) for x, test in enumerate(tests)}
    form = points if value == "difference" else "{:.1%}".format
    texts = {place: form(row[value]) for place, row in places.items() if row is not None and _known(row, value)}
    style.draw_cells(figure, [_tick(test) for test in tests], [_tick(train) for train in trains], shades, texts, hovers, **heat)
    for at, test in enumerate(tests):
        if (best := (apart or {}).get(test)) in trains:
            style.outline(figure, at, trains.index(best), 2)
    figure.update_xaxes(ticklabelstandoff=4, tickangle=0)
    figure.update_yaxes(ticklabelstandoff=4, tickangle=0, title_standoff=14)
    return figure


def matrix_axes(matrix: pd.DataFrame, model: str, domain: str, labels: Sequence[str], value: str) -> tuple[list[str], list[str]]:
    """The training levels down and the test levels across, as `matrix_figure` draws them: its cell (x, y) is tests[x] after trains[y]."""
    return _axes(_cells(matrix, model, domain, labels), labels, value)


def _axes(cells: MatrixCells, labels: Sequence[str], value: str) -> tuple[list[str], list[str]]:
    trains = [name for name in (*labels, MIX) if any(_known(row, value) for (train, _), row in cells.items() if train == name)]
    return trains, [name for name in (*labels, MEAN) if trains and any(test == name for _, test in cells)]


def _cells(matrix: pd.DataFrame, model: str, domain: str, labels: Sequence[str]) -> MatrixCells:
    """Every cell; means are added where the table has none (the published one) and all levels are known (METHOD 8.11)."""
    rows = style.rows_with(matrix, model=model, domain=domain)
    cells = {(row["train"], row["test"]): row for row in rows}
    for train in dict.fromkeys(row["train"] for row in rows):
        row_cells = [cells.get((train, label)) for label in labels]
        if (train, MEAN) not in cells and all(_known(cell, "accuracy") for cell in row_cells):
            cells[train, MEAN] = {"accuracy": sum(cell["accuracy"] for cell in row_cells if cell) / len(row_cells)}
    return cells


def _known(row: dict[Any, Any] | None, value: str) -> bool:
    return row is not None and row.get(value) is not None and row[value] == row[value]


def _few(row: dict[Any, Any]) -> bool:
    return bool(style.too_few(row.get("facts", style.FEW)))  # published tables do not say how many; they have thousands


def _shade(row: dict[Any, Any] | None, value: str) -> float | None:
    if row is None or not _known(row, value) or _few(row):
        return None
    if value == "difference" and not row["p_holm"] < _SIGNIFICANT:
        return None
    return row[value]


def _hover(row: dict[Any, Any] | None, train: str, test: str) -> str:
    words = f"<b>trained on {style.plain(train)}, tested on {style.plain(test)}</b>"
    if row is None or not _known(row, "accuracy"):
        return f"{words}<br>unknown"
    words += f"<br>{row['accuracy']:.1%}"
    if _known(row, "low"):
        words += f" (95%: {row['low']:.1%} to {row['high']:.1%})"
        words += f"<br>{row['facts']:,} facts, n = {row['n']:,}, {style.counted(row['seeds'], 'seed')}"
    if _known(row, "difference"):
        ends = f"{points(row['diff_low'])} to {points(row['diff_high'])}"
        words += f"<br>{points(row['difference'])} points against the natural mix (95%: {ends})"
        words += f"<br>Holm p {row['p_holm']:.3f}" + ("" if row["p_holm"] < _SIGNIFICANT else ": cannot tell")
    return words + style.too_few(row.get("facts", style.FEW))


def _tick(name: str) -> str:
    return {MEAN: "<b>mean</b>", MIX: "<b>natural<br>mix</b>"}.get(name, f"<b>{style.plain(name)}</b>")
