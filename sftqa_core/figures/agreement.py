"""How far two ways of measuring levels agree: level against level, and agreement against what a probe costs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.colors import n_colors

from sftqa_core.figures.style import FEW, GREY, SHADES, canvas, plain
from sftqa_core.records import Agreement

if TYPE_CHECKING:
    import pandas as pd

_PALE, _STRONG = "rgb(222, 150, 84)", "rgb(168, 36, 72)"  # no level's colour; a contrast of 2.3 or more on white and on dark
_TICKS = tuple(digit * 10**power for power in range(6) for digit in (1, 2, 5))


def confusion_figure(agreement: Agreement, reference_name: str, other_name: str) -> go.Figure:
    """Facts by level: the reference's down, the other's across; the first level is at the top left.

    Shade is the share of the row, text the facts, and the cells where both agree are outlined. A row with fewer than 30
    facts has no shade; an empty one has no text either.
    """
    labels = [plain(label) for label in agreement.labels]
    names = plain(reference_name), plain(other_name)
    totals = [sum(row) for row in agreement.confusion]
    places = list(range(len(labels)))
    figure = canvas(42 * len(labels) + 64, x_title=f"level by {names[1]}", y_title=f"level by {names[0]}")
    figure.add_heatmap(
        x=places,
        y=places,
        z=[[count / total if total >= FEW else None for count in row] for row, total in zip(agreement.confusion, totals, strict=True)],
        zmin=0,
        zmax=1,
        colorscale=SHADES,
        showscale=False,
        xgap=3,
        ygap=3,
        hoverongaps=True,
        text=[[_cell(agreement, labels, names, row, column) for column in places] for row in places],
        hovertemplate="%{text}<extra></extra>",
    )
    filled = [(row, column) for row in places for column in places if totals[row]]
    figure.add_scatter(
        x=[column for _, column in filled],
        y=[row for row, _ in filled],
        text=[f"{agreement.confusion[row][column]:,}" for row, column in filled],
        mode="text",
        hoverinfo="skip",
        showlegend=False,
    )
    for at in places:
        figure.add_shape(type="rect", x0=at - 0.485, x1=at + 0.485, y0=at - 0.465, y1=at + 0.465, line={"color": GREY, "width": 1.5})
    edges = (-0.5, len(labels) - 0.5)
    figure.update_xaxes(tickvals=places, ticktext=[f"<b>{label}</b>" for label in labels], range=edges, showgrid=False)
    rows = [f"<b>{label}</b>  n = {total:,}" for label, total in zip(labels, totals, strict=True)]
    figure.update_yaxes(tickvals=places, ticktext=rows, range=edges[::-1], showgrid=False, title_standoff=20)
    return figure


def budget_figure(curve: pd.DataFrame, floor: float | None, floor_name: str, reference_name: str = "the full probe") -> go.Figure:
    """Kappa against completions per fact, one line a number of templates: `curve` as memory.budget.budget_curve makes it.

    `reference_name` is whose levels the budgets' are compared with. Budgets without a kappa are left out. `floor`, the
    agreement of two probes of one model, is a dotted line that bears `floor_name`; None or NaN draws none.
    """
    figure = canvas(380, x_title="completions per fact", y_title=f"kappa with {plain(reference_name)}")
    known = curve[curve["kappa"].notna()]
    counts = sorted(set(known["templates"].astype(int)))
    colours = n_colors(_PALE, _STRONG, len(counts), "rgb") if len(counts) > 1 else [_STRONG] * len(counts)
    for templates, colour in zip(counts, colours, strict=True):
        line = known[known["templates"] == templates].sort_values("completions")
        figure.add_scatter(
            name=str(templates),
            x=line["completions"].tolist(),
            y=line["kappa"].tolist(),
            mode="lines+markers",
            line={"color": colour, "width": 2},
            marker={"size": 7, "color": colour},
            text=[_budget(*row) for row in line[["templates", "samples", "completions", "kappa", "low", "high"]].itertuples(index=False)],
            hovertemplate="%{text}<extra></extra>",
            cliponaxis=False,
            showlegend=True,
        )
    lowest = [float(known["kappa"].min())] if counts else []
    if floor is not None and math.isfinite(floor):
        lowest.append(floor)
        figure.add_hline(
            y=floor, line={"width": 1.5, "dash": "dot", "color": GREY}, annotation_text=plain(floor_name), annotation_position="top left"
        )
    most = max(known["completions"], default=1)
    figure.update_layout(legend_title_text="templates")
    figure.update_xaxes(
        type="log", tickvals=[tick for tick in _TICKS if tick <= most], range=[-0.08, math.log10(most) + 0.08], showgrid=False
    )
    figure.update_yaxes(range=[math.floor(min(lowest, default=0) * 10) / 10, 1.02])
    return figure


def _cell(agreement: Agreement, labels: list[str], names: tuple[str, str], row: int, column: int) -> str:
    count, total = agreement.confusion[row][column], sum(agreement.confusion[row])
    told = f"<b>{labels[row]}</b> by {names[0]}, <b>{labels[column]}</b> by {names[1]}<br>{count:,} of {total:,} facts"
    return told + (f", {count / total:.1%}" if total >= FEW else "<br>too few facts to tell")


def _budget(templates: float, samples: float, completions: float, kappa: float, low: float, high: float) -> str:
    size = f"<b>{_counted(templates, 'template')} × {_counted(samples, 'sample')}</b>, {_counted(completions, 'completion')}"
    return f"{size}<br>kappa {kappa:.3f} (95%: {low:.3f} to {high:.3f})"


def _counted(number: float, thing: str) -> str:
    return f"{number:,.0f} {thing}{'' if number == 1 else 's'}"
