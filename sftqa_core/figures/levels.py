"""Facts per memory level and the scores behind them, accuracy per level before and after fine-tuning, and what each fact gained or lost.

The last is drawn after Ren 2024.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from sftqa_core.figures import style
from sftqa_core.records import DomainAccuracy, LevelAccuracy

if TYPE_CHECKING:
    import pandas as pd


_NAME = 28  # letters of a name beside its bar


def level_shares_figure(groups: Mapping[str, Sequence[int]], labels: Sequence[str], row_height: int = 40) -> go.Figure:
    """One bar a group, cut into the shares of its levels; `groups` maps a name to facts per level, first on top.

    A group without facts keeps its row and says so.
    """
    colours, full = style.level_colours(len(labels)), [style.plain(name) for name in groups]
    short = [style.plain(style.shortened(name, _NAME)) for name in groups]
    sizes = [sum(counts) for counts in groups.values()]
    names = [f"{name}  <span style='opacity:.65'>n = {size:,}</span>" for name, size in zip(short, sizes, strict=True)]
    figure = style.canvas(row_height * max(len(groups), 1) + 78, percent="x", left=style.beside(names), below=30)
    figure.update_layout(margin={"r": 24})
    places = list(range(len(groups)))
    bars = [[count / size if size else 0.0 for count in counts] for counts, size in zip(groups.values(), sizes, strict=True)]
    for level, label in enumerate(labels):
        figure.add_bar(
            name=label, orientation="h", y=places, x=[shares[level] for shares in bars], hovertext=full,
            marker={"color": colours[level], "line": {"width": 0}}, customdata=[counts[level] for counts in groups.values()],
            hovertemplate=f"%{{hovertext}}<br><b>{style.plain(label)}</b>: %{{customdata:,}} facts, %{{x:.1%}}<extra></extra>",
        )  # fmt: skip
    style.label_shares(figure, places, bars, [style.ink_on(colour) for colour in colours])
    figure.update_layout(barmode="stack", bargap=0.28, legend={"traceorder": "normal"})
    figure.update_xaxes(range=[0, 1], tickvals=[0, 0.25, 0.5, 0.75, 1], showgrid=False)
    figure.update_yaxes(tickvals=places, ticktext=names, range=[len(groups) - 0.5, -0.5], showgrid=False)
    return figure


def score_histogram(
    scores: Sequence[Sequence[int]], labels: Sequence[str], cutoffs: Sequence[float], height: int = 260, estimated: bool = False
) -> go.Figure:
    """Facts by memory score R in twentieths, each bar in its level's colour; R = 0 stands alone at the left.

    `scores`: 21 counts for each level, of R = 0, (0, 0.05] ... (0.95, 1]. Of an estimate, whose levels do not follow from the score
    alone, bars are cut by the facts' own levels.
    """
    colours = style.level_colours(len(labels))
    middles, owners = _MIDDLES, bins_of_levels(cutoffs)
    names = ["R = 0"] + [f"{step / 20:.2f} < R ≤ {(step + 1) / 20:.2f}" for step in range(20)]
    figure = style.canvas(height, x_title="memory score R", y_title="facts", legend=False)
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


_MIDDLES = [-0.025] + [(step + 0.5) / 20 for step in range(20)]


def bins_of_levels(cutoffs: Sequence[float]) -> list[int]:
    """The level of each of the 21 bars of `score_histogram`, by the middle of the bar."""
    return [sum(middle > cut for cut in cutoffs) for middle in _MIDDLES]


def level_names(levels: Iterable[Any], labels: Sequence[str], missing: str) -> list[str]:
    """The label of each level; `missing` where there is none."""
    return [missing if str(at) in ("None", "nan", "<NA>") else labels[int(at)] for at in levels]


def right_answers_figure(counts: Sequence[Sequence[int]], labels: Sequence[str], height: int = 150) -> go.Figure:
    """Facts by how many of their answers are right, bars cut by level: `counts` [levels][0 right, 1 right, ...]."""
    figure = style.canvas(height, y_title="facts", below=30, legend=False)
    for colour, label, facts in zip(style.level_colours(len(labels)), labels, counts, strict=True):
        hover = f"{style.plain(label)}, %{{x}} right: %{{y:,}} facts<extra></extra>"
        marker = {"color": colour, "line": {"width": 0}}
        figure.add_bar(x=list(range(len(facts))), y=list(facts), marker=marker, hovertemplate=hover, showlegend=False)
    figure.update_layout(barmode="stack", bargap=0.12)
    figure.update_xaxes(dtick=1, showgrid=False)
    return figure


def template_hits_figure(
    hits: Sequence[int],
    samples: int,
    templates: Sequence[str],
    colour: str,
    seen: Sequence[bool | None] = (),
    unit: str = "hits",
    each: str = "template",
) -> go.Figure:
    """A bar a template: completions that hold the answer, out of `samples`; `unit` is what they are called, `each` what a bar is.

    `templates` are the filled prompts (shown on hover); `seen` marks templates that the model's pre-training text used
    (solid) and those it never saw (outlined), when that is known.
    """
    known = list(seen) or [None] * len(hits)
    figure = style.canvas(220, x_title=each, y_title=f"{unit} of {samples}", left=48, legend=bool(seen))
    for name, wanted, solid in (("in pre-training text", True, True), ("never seen", False, False), ("hits", None, True)):
        at = [index for index, value in enumerate(known) if value is wanted]
        if not at:
            continue
        figure.add_bar(
            name=name, x=[index + 1 for index in at], y=[hits[index] for index in at], showlegend=wanted is not None,
            marker={"color": colour if solid else "rgba(0,0,0,0)", "line": {"color": colour, "width": 2}},
            customdata=[style.plain(style.shortened(templates[index], 90)) if index < len(templates) else "" for index in at],
            hovertemplate=f"{each} %{{x}}: %{{y}} of {samples}<br>%{{customdata}}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(dtick=1 if len(hits) <= 12 else 5, tick0=1 if len(hits) <= 12 else 0, range=[0.3, len(hits) + 0.7], showgrid=False)
    figure.update_yaxes(range=[0, samples * 1.04], dtick=max(samples // 2, 1), zeroline=True, zerolinecolor=style.GREY)
    return figure


_DASHES = ("dot", "dash", "dashdot", "longdash")


def accuracy_figure(
    before: DomainAccuracy,
    after: DomainAccuracy,
    few_shot: DomainAccuracy | None = None,
    majority: DomainAccuracy | None = None,
    height: int = 380,
    shots: int = 4,
    more: Mapping[int, DomainAccuracy] | None = None,
) -> go.Figure:
    """One domain. Markers with Wilson 95% intervals, base model left of the tuned one at each level.

    Baselines are small grey signs without intervals; `shots` examples stood in front of the base model's question, and `more` has the
    same with other numbers of examples: thin lines, each dashed in its own way. A level with fewer than 30 facts has hollow markers;
    an empty level has none. Colours repeat the level; before and after differ by place and shape.
    """
    levels = after.per_level
    figure = style.canvas(height, y_title="accuracy", percent="y", below=46)
    colours, shapes = style.level_colours(len(levels)), list[dict[str, Any]]()
    for at, (old, new) in enumerate(zip(before.per_level, levels, strict=True)):
        if old.accuracy is not None and new.accuracy is not None:
            ends = {"x0": at - 0.14, "x1": at + 0.14, "y0": old.accuracy, "y1": new.accuracy}
            shapes.append({"type": "line", "layer": "below", "opacity": 0.45, "line": {"color": colours[at], "width": 2}, **ends})
    if majority is not None:
        figure.add_trace(_baseline("majority object", majority.per_level, "line-ew", 4))
    if few_shot is not None:
        figure.add_trace(_baseline(_shown(shots), few_shot.per_level, "triangle-up", 3))
    for at, (count, baseline) in enumerate(sorted((more or {}).items())):
        line = {"color": style.GREY, "width": 1.2, "dash": _DASHES[at % len(_DASHES)]}
        trace = _baseline(_shown(count), baseline.per_level, "circle", 5 + at)
        figure.add_trace(trace.update(mode="lines+markers", line=line, marker_size=3))
    figure.add_trace(_measured("before", before.per_level, -0.14, "square", 10, [style.GREY] * len(levels)))
    figure.add_trace(_measured("after", levels, 0.14, "circle", 13, colours))
    for rank, name, symbol in ((1, "before", "square"), (2, "after", "circle")):
        marker = {"size": 11, "symbol": symbol, "color": style.GREY}  # drawn apart: a level's own marker has its colour, or is hollow
        figure.add_scatter(name=name, x=[None], y=[None], mode="markers", marker=marker, legendrank=rank, hoverinfo="skip")
    figure.update_layout(shapes=shapes)
    ticks = [f"<b>{level.level}</b><br>n = {level.n:,}" for level in levels]
    figure.update_xaxes(tickvals=list(range(len(levels))), ticktext=ticks, range=[-0.5, len(levels) - 0.5], showgrid=False)
    figure.update_yaxes(range=[-0.02, 1.02], tickvals=[0, 0.25, 0.5, 0.75, 1])
    return figure


def _shown(shots: int) -> str:
    return f"base model, {shots}-shot"


def _measured(name: str, levels: Sequence[LevelAccuracy], shift: float, symbol: str, size: int, colours: Sequence[str]) -> go.Scatter:
    inks = [colour for colour, level in zip(colours, levels, strict=True) if level.accuracy is not None]
    here = [level for level in levels if level.accuracy is not None]
    marker = {"size": size, "symbol": style.signs(symbol, [level.n for level in here]), "color": inks, "line": {"color": inks, "width": 2}}
    values, lows, highs = ([getattr(level, name) or 0 for level in here] for name in ("accuracy", "low", "high"))
    return _points(name, levels, shift).update(marker=marker, error_y=style.error_bars(values, lows, highs), showlegend=False)


def _baseline(name: str, levels: Sequence[LevelAccuracy], symbol: str, rank: int) -> go.Scatter:
    marker = {"size": 9, "symbol": symbol, "color": style.GREY, "line": {"color": style.GREY, "width": 2}}
    return _points(name, levels, 0).update(marker=marker, legendrank=rank)


def _points(name: str, levels: Sequence[LevelAccuracy], shift: float) -> go.Scatter:
    here = [(at + shift, level) for at, level in enumerate(levels) if level.accuracy is not None]
    texts = [hover_text(name, level) for _, level in here]
    return go.Scatter(
        name=name, x=[x for x, _ in here], y=[level.accuracy for _, level in here], mode="markers", text=texts, **style.POINTED
    )  # fmt: skip


def hover_text(name: str, level: LevelAccuracy) -> str:
    """What the pointer shows: the numbers, or that there are too few of them."""
    numbers = f"<b>{level.level}, {name}</b><br>{level.correct:,} of {level.n:,} right"
    if level.accuracy is None or level.low is None or level.high is None:
        return numbers
    numbers += f"<br>{level.accuracy:.1%} (Wilson 95%: {level.low:.1%} to {level.high:.1%})"
    return numbers + style.too_few(level.n)


CHANGES = ("gained", "lost", "kept", "still wrong")


def change_table(predictions: pd.DataFrame, facts: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """One row a test fact: change, level, domain, relation, subject, answers (str), before, after, echo, fact_id.

    `predictions` is a run's predictions table (stages "before" and "after" are used), `facts` its levels table with the
    fact columns joined; level is "unknown" where a fact was not probed. Greedy decoding has no chance in it, so an
    untouched model would change nothing.
    """
    import pandas as pd  # the first chart of the Overview needs none

    stages = {name: part.set_index("fact_id") for name, part in predictions.groupby("stage")}
    before, after = (stages[stage][["text", "correct"]].add_suffix(f"_{stage}") for stage in ("before", "after"))
    both = before.join(after, how="inner")
    table = facts.set_index("fact_id").join(both, how="inner").reset_index()
    was, now = table["correct_before"].astype(bool), table["correct_after"].astype(bool)
    change = pd.Series("still wrong", index=table.index).mask(was & now, "kept").mask(was & ~now, "lost").mask(~was & now, "gained")
    texts = {"before": table["text_before"].astype(str).str.strip(), "after": table["text_after"].astype(str).str.strip()}
    level, echo = level_names(table["level"], labels, "unknown"), table["echo"].astype(bool) if "echo" in table else False
    answers = table["answers"].map(lambda answers: " | ".join(map(str, answers)))
    known = table.assign(change=change, level=level, answers=answers, echo=echo, **texts)
    return known[["change", "level", "domain", "relation", "subject", "answers", "before", "after", "echo", "fact_id"]]


def change_counts(table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Rows: levels that occur; columns: gained, lost, kept, still wrong (facts)."""
    import pandas as pd

    counts = pd.crosstab(table["level"], table["change"])
    order = [label for label in (*labels, "unknown") if label in counts.index]
    return counts.reindex(index=order, columns=list(CHANGES), fill_value=0)
