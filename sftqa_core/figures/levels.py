"""How facts spread over the memory levels and the score behind them, and which templates of one fact are completed rightly."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from sftqa_core.figures.style import GREY, canvas, ink_on, level_colours, plain, shortened


def level_shares_figure(groups: Mapping[str, Sequence[int]], labels: Sequence[str], row_height: int = 40) -> go.Figure:
    """One bar a group, cut into the shares of its levels; `groups` maps a name to facts per level, first on top.

    A group without facts keeps its row and says so.
    """
    colours = level_colours(len(labels))
    names = [f"{plain(name)}  <span style='opacity:.65'>n = {sum(counts):,}</span>" for name, counts in groups.items()]
    figure = canvas(row_height * max(len(groups), 1) + 62, percent="x")
    for level, label in enumerate(labels):
        shares = [counts[level] / sum(counts) if sum(counts) else 0.0 for counts in groups.values()]
        figure.add_bar(
            name=label, orientation="h", y=names, x=shares, marker={"color": colours[level], "line": {"width": 0}},
            text=[f"{share:.0%}" if share >= 0.06 else "" for share in shares], textposition="inside", insidetextanchor="middle",
            textangle=0, textfont={"color": ink_on(colours[level])}, customdata=[counts[level] for counts in groups.values()],
            hovertemplate=f"<b>{plain(label)}</b>: %{{customdata:,}} facts, %{{x:.1%}}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(barmode="stack", bargap=0.28, legend={"traceorder": "normal"}, margin={"r": 24})
    figure.update_xaxes(range=[0, 1], tickvals=[0, 0.25, 0.5, 0.75, 1], showgrid=False)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def score_histogram(
    scores: Sequence[Sequence[int]], labels: Sequence[str], cutoffs: Sequence[float], height: int = 260, estimated: bool = False
) -> go.Figure:
    """Facts by memory score R in twentieths, each bar in its level's colour; R = 0 stands alone at the left.

    `scores`: 21 counts for each level, of R = 0, (0, 0.05] ... (0.95, 1]. Of an estimate, whose levels do not follow from the score
    alone, bars are cut by the facts' own levels.
    """
    colours = level_colours(len(labels))
    middles = [-0.025] + [(step + 0.5) / 20 for step in range(20)]
    names = ["R = 0"] + [f"{step / 20:.2f} < R ≤ {(step + 1) / 20:.2f}" for step in range(20)]
    owners = [sum(middle > cut for cut in cutoffs) for middle in middles]
    figure = canvas(height, x_title="memory score R", y_title="facts")
    bars = [([sum(counts) for counts in zip(*scores, strict=True)], owners)]
    if estimated:
        bars = [(list(own), [at] * len(middles)) for at, own in enumerate(scores)]
    for values, of_level in bars:
        hovers = [f"{name} ({labels[owner]})" for name, owner in zip(names, of_level, strict=True)]
        marker = {"color": [colours[owner] for owner in of_level], "line": {"width": 0}}
        hover = "%{customdata}: %{y:,} facts<extra></extra>"
        figure.add_bar(x=middles, y=values, width=0.046, marker=marker, customdata=hovers, hovertemplate=hover, showlegend=False)
    figure.update_layout(barmode="stack")
    for cut in cutoffs[1:]:
        figure.add_vline(x=cut, line={"width": 1, "dash": "dot", "color": "rgba(128,132,140,.6)"})
    figure.update_xaxes(tickvals=[-0.025, 0.25, 0.5, 0.75, 1], ticktext=["0", "0.25", "0.5", "0.75", "1"], showgrid=False)
    return figure


def level_names(levels: Iterable[Any], labels: Sequence[str], missing: str) -> list[str]:
    """The label of each level; `missing` where there is none."""
    return [missing if str(at) in ("None", "nan", "<NA>") else labels[int(at)] for at in levels]


def right_answers_figure(counts: Sequence[Sequence[int]], labels: Sequence[str], height: int = 150) -> go.Figure:
    """Facts by how many of their answers are right, bars cut by level: `counts` [levels][0 right, 1 right, ...]."""
    figure = canvas(height, y_title="facts")
    for colour, label, own in zip(level_colours(len(labels)), labels, counts, strict=True):
        hover = f"{plain(label)}, %{{x}} right: %{{y:,}} facts<extra></extra>"
        marker = {"color": colour, "line": {"width": 0}}
        figure.add_bar(x=list(range(len(own))), y=list(own), marker=marker, hovertemplate=hover, showlegend=False)
    figure.update_layout(barmode="stack", bargap=0.12)
    figure.update_xaxes(dtick=1, showgrid=False)
    return figure


def template_hits_figure(
    hits: Sequence[int],
    samples: int,
    templates: Sequence[str],
    colour: str,
    seen: Sequence[bool | None] = (),
    told: str = "hits",
    each: str = "template",
) -> go.Figure:
    """A bar a template: completions that hold the answer, out of `samples`; `told` is what they are called, `each` what a bar is.

    `templates` are the filled prompts (shown on hover); `seen` marks templates that the model's pre-training text used
    (solid) and those it never saw (outlined), when that is known.
    """
    known = list(seen) or [None] * len(hits)
    figure = canvas(220, x_title=each, y_title=f"{told} of {samples}")
    for name, wanted, solid in (("in pre-training text", True, True), ("never seen", False, False), ("hits", None, True)):
        at = [index for index, value in enumerate(known) if value is wanted]
        if not at:
            continue
        figure.add_bar(
            name=name, x=[index + 1 for index in at], y=[hits[index] for index in at], showlegend=wanted is not None,
            marker={"color": colour if solid else "rgba(0,0,0,0)", "line": {"color": colour, "width": 2}},
            customdata=[plain(shortened(templates[index], 90)) if index < len(templates) else "" for index in at],
            hovertemplate=f"{each} %{{x}}: %{{y}} of {samples}<br>%{{customdata}}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(dtick=1 if len(hits) <= 12 else 5, tick0=1 if len(hits) <= 12 else 0, range=[0.3, len(hits) + 0.7], showgrid=False)
    figure.update_yaxes(range=[0, samples * 1.04], dtick=max(samples // 2, 1), zeroline=True, zerolinecolor=GREY)
    return figure
