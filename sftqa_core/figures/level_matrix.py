"""Train level against test level (the study of which data), one's own and the published one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from sftqa_core.figures.style import FEW, GREY, SHADES, canvas, plain

if TYPE_CHECKING:
    import pandas as pd

MIX, MEAN = "natural mix", "mean over levels"
_SIDES = [[0, "rgba(209, 73, 91, 0.5)"], [0.5, "rgba(138, 143, 152, 0.03)"], [1, "rgba(46, 134, 110, 0.5)"]]
_SIGNIFICANT = 0.05

Cells = dict[tuple[str, str], dict[Any, Any]]  # by training and test level


def matrix_figure(matrix: pd.DataFrame, model: str, domain: str, labels: Sequence[str], value: str = "accuracy") -> go.Figure:
    """Rows: training level (the natural mix last), columns: test level and their mean; the first level is at the top left.

    `matrix` as studies.level.matrix or studies.published.matrix make it; `value` is "accuracy" or "difference" (from the natural
    mix, in points). The best training level of each column is outlined, none where several are equal. Cells of fewer
    than 30 facts, and differences that can't be told from chance, have no shade.
    """
    cells = _cells(matrix, model, domain, labels)
    trains = [name for name in (*labels, MIX) if any(_known(row, value) for (train, _), row in cells.items() if train == name)]
    tests = [name for name in (*labels, MEAN) if trains and any(test == name for _, test in cells)]
    figure = canvas(44 * len(trains) + 74, x_title="asked about facts at", y_title="trained on facts at")
    most = _most(cells) if value == "difference" else 1
    figure.add_heatmap(
        x=list(range(len(tests))),
        y=list(range(len(trains))),
        z=[[_shade(cells.get((train, test)), value) for test in tests] for train in trains],
        zmin=-most if value == "difference" else 0,
        zmax=most,
        colorscale=_SIDES if value == "difference" else SHADES,
        showscale=False,
        xgap=3,
        ygap=3,
        text=[[_hover(cells.get((train, test)), train, test) for test in tests] for train in trains],
        hovertemplate="%{text}<extra></extra>",
        hoverongaps=True,
    )
    _texts(figure, cells, trains, tests, value)
    for at, test in enumerate(tests):
        if (best := _best(cells, labels, test)) in trains:
            _outline(figure, at, trains.index(best))
    columns, rows = [_tick(test) for test in tests], [_tick(train) for train in trains]
    figure.update_xaxes(tickvals=list(range(len(tests))), ticktext=columns, range=[-0.5, len(tests) - 0.5])
    figure.update_yaxes(tickvals=list(range(len(trains))), ticktext=rows, range=[len(trains) - 0.5, -0.5], title_standoff=14)
    for turn in (figure.update_xaxes, figure.update_yaxes):
        turn(showgrid=False, ticklabelstandoff=4, tickangle=0)
    return figure


def _cells(matrix: pd.DataFrame, model: str, domain: str, labels: Sequence[str]) -> Cells:
    """Every cell; means are added where the table has none (the published one) and all levels are known (METHOD 8.11)."""
    if not len(matrix):
        return {}
    rows = matrix[(matrix["model"] == model) & (matrix["domain"] == domain)].to_dict("records")
    cells = {(row["train"], row["test"]): row for row in rows}
    for train in dict.fromkeys(row["train"] for row in rows):
        own = [cells.get((train, label)) for label in labels]
        if (train, MEAN) not in cells and all(_known(cell, "accuracy") for cell in own):
            cells[train, MEAN] = {"accuracy": sum(cell["accuracy"] for cell in own if cell) / len(own)}
    return cells


def _texts(figure: go.Figure, cells: Cells, trains: list[str], tests: list[str], value: str) -> None:
    filled = [
        (x, y, cells[train, test][value])
        for y, train in enumerate(trains)
        for x, test in enumerate(tests)
        if _known(cells.get((train, test)), value)
    ]
    figure.add_scatter(
        x=[x for x, _, _ in filled],
        y=[y for _, y, _ in filled],
        text=[f"{number * 100:+.1f}" if value == "difference" else f"{number:.1%}" for *_, number in filled],
        mode="text",
        hoverinfo="skip",
        showlegend=False,
    )


def _outline(figure: go.Figure, x: int, y: int) -> None:
    figure.add_shape(type="rect", x0=x - 0.485, x1=x + 0.485, y0=y - 0.465, y1=y + 0.465, line={"color": GREY, "width": 2})


def _best(cells: Cells, labels: Sequence[str], test: str) -> str | None:
    """The training level with the highest accuracy for these test facts, if they are enough to tell and it is alone; the natural
    mix does not take part."""
    known = {
        train: cells[train, test]["accuracy"]
        for train in labels
        if _known(cells.get((train, test)), "accuracy") and not _few(cells[train, test])
    }
    best = [train for train, accuracy in known.items() if accuracy == max(known.values())]
    return best[0] if len(best) == 1 else None


def _most(cells: Cells) -> float:
    """The largest difference that is shaded: the end of the scale."""
    return max((abs(row["difference"]) for row in cells.values() if _shade(row, "difference") is not None), default=0) or 0.1


def _known(row: dict[Any, Any] | None, value: str) -> bool:
    return row is not None and row.get(value) is not None and row[value] == row[value]


def _few(row: dict[Any, Any]) -> bool:
    return row.get("facts", FEW) < FEW  # published tables do not say how many; they have thousands


def _shade(row: dict[Any, Any] | None, value: str) -> float | None:
    if row is None or not _known(row, value) or _few(row):
        return None
    if value == "difference" and not row["p_holm"] < _SIGNIFICANT:
        return None
    return row[value]


def _hover(row: dict[Any, Any] | None, train: str, test: str) -> str:
    told = f"<b>trained on {plain(train)}, asked about {plain(test)}</b>"
    if row is None or not _known(row, "accuracy"):
        return f"{told}<br>not known"
    told += f"<br>{row['accuracy']:.1%}"
    if _known(row, "low"):
        seeds = f"{row['seeds']} seed{'' if row['seeds'] == 1 else 's'}"
        told += f" (95%: {row['low']:.1%} to {row['high']:.1%})<br>{row['facts']:,} facts, n = {row['n']:,}, {seeds}"
    if _known(row, "difference"):
        ends = f"{row['diff_low'] * 100:+.1f} to {row['diff_high'] * 100:+.1f}"
        told += f"<br>{row['difference'] * 100:+.1f} points against the natural mix (95%: {ends})"
        told += f"<br>Holm p {row['p_holm']:.3f}" + ("" if row["p_holm"] < _SIGNIFICANT else ": cannot tell")
    return told + ("<br>too few facts to tell" if _few(row) else "")


def _tick(name: str) -> str:
    return {MEAN: "<b>mean</b>", MIX: "<b>natural<br>mix</b>"}.get(name, f"<b>{plain(name)}</b>")
