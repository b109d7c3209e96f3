"""Lines: accuracy against the number of examples, and what happened while a model was trained: its loss, dev facts answered rightly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from sftqa_core.figures import style
from sftqa_core.records import DOMAIN_NAMES

if TYPE_CHECKING:
    import pandas as pd

# Crimson, orange, magenta and brown: no level's colours, and each reads on white and on dark. There is one sign more than
# there are colours, so that the pair repeats only after 20 models.
MODEL_COLOURS = ("#c42e4f", "#de702c", "#c565b4", "#8f6242")
MODEL_SIGNS = ("circle", "square", "diamond", "triangle-up", "star")
_DASHES = {1: "dot", 4: "dash", 16: "longdash"}  # examples shown -> the line's dash
_APART = 0.01  # of the axis, between lines at one n, so that their bars do not cover each other


def amount_figure(
    curve: pd.DataFrame,
    domain: str,
    level: str,
    reference: pd.DataFrame | None = None,
    height: int = 380,
    in_context: pd.DataFrame | None = None,
) -> go.Figure:
    """One line a model: `curve` as studies.amount.curve makes it, its rows of one domain and one level (or mean).

    Bars are 95% intervals, small points the seeds; fewer than 30 facts give hollow markers. `reference` (model, n, accuracy;
    where they exist, its columns domain, level and train tell rows and lines apart) is drawn in grey dashes, as published.
    `in_context` (as studies.amount.in_context makes it) gives a dashed line across in the model's colour for each number of examples
    that the base model was shown.
    """
    rows = _known(curve, domain=domain, level=level)
    names = list(dict.fromkeys(curve["model"])) if len(curve) else []  # all of them: a model keeps its colour from level to level
    lines = [(name, *_colour_and_sign(at), rows[rows["model"] == name]) for at, name in enumerate(names)]
    figure = _lines(lines, height, _known(reference, domain=domain, level=level) if reference is not None else None)
    for row in _known(in_context, domain=domain, level=level).to_dict("records") if in_context is not None and len(in_context) else ():
        _across(figure, row, _colour_and_sign(names.index(row["model"]))[0] if row["model"] in names else style.GREY)
    others = [table for table in (reference, in_context) if table is not None and len(table)]
    beside = [value for table in others for value in _known(table, level=level)["accuracy"]]
    return _one_scale(figure, _known(curve, level=level), *beside)


def _across(figure: go.Figure, row: dict[Any, Any], colour: str) -> None:
    """What the base model answers with examples in front, at every size that is drawn."""
    places = sorted({x for trace in figure.data for x in trace.x or () if x is not None} or {0.0})
    name = f"{style.plain(row['model'])}, {row['shots']}-shot"
    fewer = f"<br>{row['shown']:.1f} fitted on average" if row["shown"] < row["shots"] else ""
    text = f"<b>{name}, base model</b><br>{_numbers(row)}{fewer}"
    figure.add_scatter(
        name=name, x=places, y=[row["accuracy"]] * len(places), mode="lines", text=[text] * len(places), legendrank=1000,
        line={"color": colour, "width": 1.2, "dash": _DASHES.get(row["shots"], "dashdot")}, hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip


def levels_by_amount_figure(curve: pd.DataFrame, model: str, domain: str, labels: Sequence[str], height: int = 380) -> go.Figure:
    """One line a level, for one model and domain, in the level colours."""
    rows = _known(curve, model=model, domain=domain)
    colours = style.level_colours(len(labels)) if len(rows) else []
    lines = [(label, colour, "circle", rows[rows["level"] == label]) for label, colour in zip(labels, colours, strict=False)]
    return _one_scale(_lines(lines, height), _known(curve, model=model))


def _one_scale(figure: go.Figure, rows: pd.DataFrame, *more: float) -> go.Figure:
    """The same scale for both domains, whose charts stand side by side: equal accuracies at equal heights."""
    seeds = [value for each in rows["per_seed"] for value in each] if len(rows) else []
    tops = [*rows["accuracy"], *rows["high"].dropna(), *seeds, *more] if len(rows) else []
    if tops and max(tops) > 0:
        figure.update_yaxes(range=[0, min(1.02, 1.06 * max(tops))])
    return figure


def _known(table: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    """Rows with an accuracy and these values, where the table has such columns; an empty table may have none."""
    for column, value in wanted.items():
        if column in table:
            table = table[table[column] == value]
    return table[table["accuracy"].notna()] if len(table) else table


def _colour_and_sign(at: int) -> tuple[str, str]:
    return MODEL_COLOURS[at % len(MODEL_COLOURS)], MODEL_SIGNS[at % len(MODEL_SIGNS)]


def _lines(lines: list[tuple[str, str, str, pd.DataFrame]], height: int, reference: pd.DataFrame | None = None) -> go.Figure:
    figure = style.canvas(height, x_title="examples trained on", y_title="accuracy", percent="y")
    drawn = [line for line in lines if len(line[3])]
    others = reference["n"].tolist() if reference is not None and len(reference) else []
    axis = style.LogAxis([*(n for *_, rows in drawn for n in rows["n"]), *others])
    if reference is not None and others:
        _published(figure, reference, axis)
    for at, (name, colour, sign, rows) in enumerate(drawn):
        shift = _APART * axis.length * (at - (len(drawn) - 1) / 2)
        ordered = rows.sort_values("n")
        x = [axis.place(n) + shift for n in ordered["n"]]
        each = ordered.to_dict("records")
        seeds = [(at, value) for at, row in zip(x, each, strict=True) if row["seeds"] > 1 for value in row["per_seed"]]
        if seeds:  # one seed alone is the mean itself
            figure.add_scatter(
                x=[at for at, _ in seeds], y=[value for _, value in seeds], mode="markers", hoverinfo="skip", cliponaxis=False,
                marker={"size": 5, "color": colour, "opacity": 0.5}, showlegend=False,
            )  # fmt: skip
        values, lows, highs = (ordered[column].astype(float) for column in ("accuracy", "low", "high"))
        figure.add_scatter(
            name=style.plain(name), x=x, y=ordered["accuracy"].tolist(), mode="lines+markers", line={"color": colour, "width": 2},
            marker={"size": 9, "color": colour, "symbol": style.signs(sign, ordered["facts"])}, showlegend=True,
            error_y=style.error_bars(values, lows, highs, colour, 1, 3),
            text=[f"<b>{style.plain(name)}, n = {row['n']:,}</b><br>{_numbers(row)}" for row in each], **style.POINTED,
        )  # fmt: skip
    axis.draw(figure, axis.numbers)
    figure.update_xaxes(tickangle=0)
    figure.update_yaxes(rangemode="tozero", range=None if axis.numbers else [0, 1])
    return figure


def _published(figure: go.Figure, reference: pd.DataFrame, axis: style.LogAxis) -> None:
    """A model's lines, one a training level, are one trace with gaps between them: fifty traces would take a second to draw."""
    for model, rows in reference.groupby("model", sort=False):
        name = style.plain(model) + style.PUBLISHED
        x, y, texts = list[float | None](), list[float | None](), list[str]()
        for train, line in rows.groupby("train", sort=False) if "train" in rows else [("", rows)]:
            words = name + (f", trained on {style.plain(train)}" if train else "")
            for row in line.sort_values("n").to_dict("records"):
                x.append(axis.place(row["n"]))
                y.append(row["accuracy"])
                texts.append(f"<b>{words}, n = {row['n']:,}</b><br>{row['accuracy']:.1%}")
            x.append(None)
            y.append(None)
            texts.append("")
        figure.add_scatter(
            name=name, x=x[:-1], y=y[:-1], text=texts[:-1], mode="lines+markers", showlegend=True, legendrank=1001,  # below one's own
            line={"color": style.GREY, "width": 1.2, "dash": "dash"},
            marker={"size": 6, "color": style.GREY, "symbol": "cross-thin", "line": {"color": style.GREY, "width": 1.5}}, **style.POINTED,
        )  # fmt: skip


def _numbers(row: dict[Any, Any]) -> str:
    known = row["low"] == row["low"] and row["low"] is not None
    words = style.interval_words(row["accuracy"], row["low"], row["high"]) if known else f"{row['accuracy']:.1%}"
    words += f"<br>{row['facts']:,} facts, {style.counted(row['seeds'], 'seed')}"
    if row["seeds"] > 1:
        words += ": " + ", ".join(f"{value:.1%}" for value in row["per_seed"])
    return words + style.too_few(row["facts"])


_DOMAIN_STYLES = {"in": ("#3f76bf", "circle"), "out": ("#de702c", "square")}


def loss_figure(steps: Sequence[int], losses: Sequence[float], total_steps: int | None = None, height: int = 220) -> go.Figure:
    """Loss against step; with `total_steps` the axis keeps its length while the run goes on, so nothing jumps."""
    figure = style.canvas(height, x_title="step", y_title="loss", legend=False)
    figure.add_scatter(
        x=list(steps), y=list(losses), mode="lines+markers" if len(steps) <= 60 else "lines", marker={"size": 5}, showlegend=False,
        line={"color": style.level_colours(5)[1], "width": 2}, hovertemplate="step %{x}: loss %{y:.3f}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(range=[0, max(total_steps or 0, steps[-1] if len(steps) else 0, 1) * 1.03], showgrid=False)
    figure.update_yaxes(rangemode="tozero", zeroline=True, zerolinecolor=style.GREY)
    return figure


def looks_figure(looks: pd.DataFrame, kept_step: int | None = None, height: int = 220) -> go.Figure:
    """Share of dev facts answered rightly against step: `looks` as workflows.run_looks gives it, a line a domain.

    Bars are Wilson 95% intervals; fewer than 30 facts give hollow markers. `kept_step` is marked as the step whose weights the run kept.
    """
    figure = style.canvas(height, x_title="step", y_title="dev accuracy", percent="y")
    for domain, rows in looks.groupby("domain", sort=False):
        name, (colour, sign) = DOMAIN_NAMES.get(str(domain), str(domain)), _DOMAIN_STYLES.get(str(domain), (style.GREY, "diamond"))
        text = [f"{row.correct:,} of {row.n:,}, 95% {row.low:.1%} to {row.high:.1%}" for row in rows.itertuples()]
        figure.add_scatter(
            name=name, x=rows["step"].tolist(), y=rows["accuracy"].tolist(), mode="lines+markers", line={"color": colour, "width": 2},
            marker={"size": 7, "symbol": style.signs(sign, rows["n"])}, text=text, showlegend=True,
            error_y=style.error_bars(rows["accuracy"], rows["low"], rows["high"], colour, 1, 3),
            hovertemplate="step %{x}: %{y:.1%}<br>%{text}<extra>" + name + "</extra>",
        )  # fmt: skip
    if kept_step is not None:
        figure.add_vline(x=kept_step, line={"color": style.GREY, "width": 1.2, "dash": "dash"}, annotation_text="weights kept")
        figure.update_annotations(yanchor="bottom", y=0, xanchor="left", x=kept_step, yref="y")
    figure.update_xaxes(range=[0, max(looks["step"].max() if len(looks) else 0, 1) * 1.03], showgrid=False)
    figure.update_yaxes(rangemode="tozero", zeroline=True, zerolinecolor=style.GREY)
    return figure
