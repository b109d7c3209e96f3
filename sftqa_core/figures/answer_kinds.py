"""How consistent answers are: kinds of facts by level, a map of single facts, and how often a leading answer is correct."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from sftqa_core.figures import style
from sftqa_core.records import ANSWER_KINDS

if TYPE_CHECKING:
    import pandas as pd

# Kind -> colour and sign. No level's colours but the teal of the middle, each told apart by its sign or its place as well.
LOOKS = {
    "settled": ("#1d9a9c", "circle"),
    "torn": ("#c4901f", "diamond"),
    "rival": ("#d1495b", "x"),
    "vague": (style.GREY, "circle-open"),
}
MOST_SIGNS = 1_000  # facts with a sign of their own on the map
_MIXES = (1, 2, 3, 5, 10, 20, 50, 100, 200)  # equally common answers whose entropy is named on the axis


def kinds_figure(levels: pd.DataFrame, row_height: int = 40) -> go.Figure:
    """One bar a level, cut into the shares of each kind: `levels` as memory.consistency_tables.by_level makes it, rows as they come."""
    rows = levels.to_dict("records")
    names = [f"{style.plain(row['level'])}  <span style='opacity:.65'>n = {row['facts']:,}</span>" for row in rows]
    figure = style.canvas(row_height * max(len(rows), 1) + 78, percent="x", left=style.beside(names), below=30)
    figure.update_layout(margin={"r": 24})
    places = list(range(len(rows)))
    bars = [[row[kind] / row["facts"] if row["facts"] else 0.0 for kind in ANSWER_KINDS] for row in rows]
    for at, kind in enumerate(ANSWER_KINDS):
        texts = [
            f"<b>{style.plain(row['level'])}, {kind}</b>: {ANSWER_KINDS[kind]}<br>{row[kind]:,} of {row['facts']:,} facts, "
            f"{share[at]:.1%}{style.too_few(row['facts'])}"
            for row, share in zip(rows, bars, strict=True)
        ]
        figure.add_bar(
            name=kind, orientation="h", y=places, x=[share[at] for share in bars], hovertext=texts, hoverinfo="text",
            marker={"color": LOOKS[kind][0], "line": {"width": 0}},
        )  # fmt: skip
    style.label_shares(figure, places, bars, [style.ink_on(colour) for colour, _ in LOOKS.values()])
    figure.update_layout(barmode="stack", bargap=0.28, legend={"traceorder": "normal"})
    figure.update_xaxes(range=[0, 1], tickvals=[0, 0.25, 0.5, 0.75, 1], showgrid=False)
    figure.update_yaxes(tickvals=places, ticktext=names, range=[len(rows) - 0.5, -0.5], showgrid=False)
    return figure


def mapped_facts(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The facts that `answers_map` draws, by kind, a trace each in this order: at most MOST_SIGNS, drawn at random, always the same."""
    known = table[table["kind"] != ""]
    shown = known.sample(MOST_SIGNS, random_state=0).sort_index() if len(known) > MOST_SIGNS else known
    return {kind: part for kind in reversed(ANSWER_KINDS) if len(part := shown[shown["kind"] == kind])}


def answers_map(facts: Mapping[str, pd.DataFrame], height: int = 380) -> go.Figure:
    """A sign a fact: memory score R across, how mixed its answers are up. `facts` as `mapped_facts` gives them: CONSISTENCY with subject
    and score.

    The axis is entropy, its numbers those of equally common answers that have it.
    """
    figure = style.canvas(height, x_title="memory score R", y_title="as mixed as … equal answers", left=72)
    for kind, part in facts.items():
        colour, sign = LOOKS[kind]
        figure.add_scatter(
            name=kind, x=part["score"].astype(float).tolist(), y=part["entropy"].astype(float).tolist(), mode="markers",
            marker={"size": 7, "color": colour, "symbol": sign, "opacity": 0.65}, legendrank=list(ANSWER_KINDS).index(kind),
            text=[_fact_words(row) for row in part.to_dict("records")], **style.POINTED,
        )  # fmt: skip
    highest = max((float(part["entropy"].max()) for part in facts.values()), default=0.0)
    mixes = [mix for at, mix in enumerate(_MIXES) if not at or math.log(_MIXES[at - 1]) < max(highest, 1)]
    figure.update_yaxes(tickvals=[math.log(mix) for mix in mixes], ticktext=list(map(str, mixes)), range=[-0.15, math.log(mixes[-1]) + 0.1])
    figure.update_xaxes(range=[-0.03, 1.03], tickvals=[0, 0.25, 0.5, 0.75, 1])
    return figure


def _fact_words(row: dict[Any, Any]) -> str:
    first = f"<b>{style.plain(style.shortened(str(row['subject']), 60))}</b>, R {row['score']:.2f}, {row['kind']}"
    said = f"{style.plain(style.shortened(str(row['modal']), 50))} {row['modal_share']:.0%}, {'correct' if row['right'] else 'wrong'}"
    second = f"<br>then {style.plain(style.shortened(str(row['second']), 50))} {row['second_share']:.0%}" if row["second"] else ""
    return f"{first}<br>{said}{second}<br>{style.counted(row['different'], 'different answer')} in {row['answered']:,} completions"


def reliability_figure(table: pd.DataFrame, height: int = 320) -> go.Figure:
    """How often the commonest answer is correct, against its share: `table` as memory.consistency_tables.reliability makes it.

    Bars are Wilson's 95% intervals, markers of fewer than 30 facts hollow. On the dotted line a share would mean what it says.
    """
    rows = table.to_dict("records")
    figure = style.canvas(height, x_title="share of the commonest answer", y_title="it is correct", percent="xy", legend=False)
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": style.GREY, "dash": "dot", "width": 1.5}, hoverinfo="skip")
    values, lows, highs = ([row[name] for row in rows] for name in ("right_share", "right_low", "right_high"))
    texts = [
        f"<b>share {row['from_share']:.0%} to {row['to_share']:.0%}</b><br>correct {row['right']:,} of {row['facts']:,} facts<br>"
        f"{style.interval_words(row['right_share'], row['right_low'], row['right_high'])}{style.too_few(row['facts'])}"
        for row in rows
    ]
    line: dict[str, Any] = {"color": LOOKS["settled"][0], "width": 2}
    figure.add_scatter(
        x=[row["mean_share"] for row in rows], y=values, mode="lines+markers", line=line, text=texts, **style.POINTED,
        marker={"size": 10, "color": line["color"], "symbol": style.signs("circle", (row["facts"] for row in rows)), "line": line},
        error_y=style.error_bars(values, lows, highs, line["color"]),
    )  # fmt: skip
    figure.update_layout(showlegend=False)
    figure.update_xaxes(range=[0, 1.03], tickvals=[0, 0.25, 0.5, 0.75, 1])
    figure.update_yaxes(range=[-0.03, 1.03], tickvals=[0, 0.25, 0.5, 0.75, 1])
    return figure


def fact_answers_figure(answers: Sequence[Mapping[str, Any]], rival: str = "", most: int = 8) -> go.Figure:
    """One fact's commonest answers, the first on top: share of its completions; `answers` has answer, count, share, templates, right.

    The correct one is teal, the planted rival, where it is known, red; all others together are the last bar.
    """
    shown, others = list(answers[:most]), list(answers[most:])
    names = [style.plain(style.shortened(str(row["answer"]), 34)) for row in shown]
    colours = [LOOKS["settled"][0] if row["right"] else LOOKS["rival"][0] if row["answer"] == rival else style.GREY for row in shown]
    bars = [(float(row["share"]), int(row["count"]), int(row["templates"])) for row in shown]
    if others:
        names.append(f"{style.counted(len(others), 'other answer')}")
        bars.append((sum(row["share"] for row in others), sum(row["count"] for row in others), sum(row["templates"] for row in others)))
        colours.append(style.rgba(style.GREY, 0.4))
    figure = style.canvas(24 * max(len(names), 1) + 44, percent="x", left=style.beside(names), below=30, legend=False)
    texts = [
        f"<b>{name}</b><br>{style.counted(count, 'completion')}, {share:.1%}<br>commonest in {style.counted(templates, 'template')}"
        for name, (share, count, templates) in zip(names, bars, strict=True)
    ]
    figure.add_bar(
        orientation="h", y=list(range(len(names))), x=[share for share, *_ in bars], hovertext=texts, hoverinfo="text", showlegend=False,
        marker={"color": colours, "line": {"width": 0}},
    )  # fmt: skip
    figure.update_layout(bargap=0.3)
    figure.update_xaxes(range=[0, max(1.0 if not bars else min(1.0, 1.15 * max(share for share, *_ in bars)), 0.25)], showgrid=False)
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=names, range=[len(names) - 0.5, -0.5], showgrid=False, ticklabelstandoff=4
    )
    return figure
