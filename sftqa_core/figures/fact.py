"""One fact under the lens: which of its templates the model completes with the answer."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from sftqa_core.figures.style import GREY, canvas, plain, shortened


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
            name=name,
            x=[index + 1 for index in at],
            y=[hits[index] for index in at],
            marker={"color": colour if solid else "rgba(0,0,0,0)", "line": {"color": colour, "width": 2}},
            customdata=[plain(shortened(templates[index], 90)) if index < len(templates) else "" for index in at],
            hovertemplate=f"{each} %{{x}}: %{{y}} of {samples}<br>%{{customdata}}<extra></extra>",
            showlegend=wanted is not None,
        )
    figure.update_xaxes(dtick=1 if len(hits) <= 12 else 5, tick0=1 if len(hits) <= 12 else 0, range=[0.3, len(hits) + 0.7], showgrid=False)
    figure.update_yaxes(range=[0, samples * 1.04], dtick=max(samples // 2, 1), zeroline=True, zerolinecolor=GREY)
    return figure
