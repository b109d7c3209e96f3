"""Accuracy per memory level before and after fine-tuning with its baselines, and what each fact gained or lost (after Ren 2024)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from sftqa_core.figures.levels import level_names
from sftqa_core.figures.style import GREY, POINTED, canvas, error_bars, level_colours, signs, too_few
from sftqa_core.records import DomainAccuracy, LevelAccuracy

if TYPE_CHECKING:
    import pandas as pd

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
    figure = canvas(height, y_title="accuracy", percent="y")
    colours = level_colours(len(levels))
    for at, (old, new) in enumerate(zip(before.per_level, levels, strict=True)):
        if old.accuracy is not None and new.accuracy is not None:
            line = {"color": colours[at], "width": 2}
            figure.add_scatter(
                x=[at - 0.14, at + 0.14], y=[old.accuracy, new.accuracy], mode="lines", line=line, opacity=0.45, hoverinfo="skip",
                showlegend=False,
            )  # fmt: skip
    if majority is not None:
        figure.add_trace(_baseline("majority object", majority.per_level, "line-ew", 4))
    if few_shot is not None:
        figure.add_trace(_baseline(_shown(shots), few_shot.per_level, "triangle-up", 3))
    for at, (count, baseline) in enumerate(sorted((more or {}).items())):
        line = {"color": GREY, "width": 1.2, "dash": _DASHES[at % len(_DASHES)]}
        trace = _baseline(_shown(count), baseline.per_level, "circle", 5 + at)
        figure.add_trace(trace.update(mode="lines+markers", line=line, marker_size=3))
    figure.add_trace(_measured("before", before.per_level, -0.14, "square", 10, [GREY] * len(levels)))
    figure.add_trace(_measured("after", levels, 0.14, "circle", 13, colours))
    for rank, name, symbol in ((1, "before", "square"), (2, "after", "circle")):
        marker = {"size": 11, "symbol": symbol, "color": GREY}  # drawn apart: a level's own marker has its colour, or is hollow
        figure.add_scatter(name=name, x=[None], y=[None], mode="markers", marker=marker, legendrank=rank, hoverinfo="skip")
    ticks = [f"<b>{level.level}</b><br>n = {level.n:,}" for level in levels]
    figure.update_xaxes(tickvals=list(range(len(levels))), ticktext=ticks, range=[-0.5, len(levels) - 0.5], showgrid=False)
    figure.update_yaxes(range=[-0.02, 1.02], tickvals=[0, 0.25, 0.5, 0.75, 1])
    return figure


def _shown(shots: int) -> str:
    return f"base model, {shots}-shot"


def _measured(name: str, levels: Sequence[LevelAccuracy], shift: float, symbol: str, size: int, colours: Sequence[str]) -> go.Scatter:
    inks = [colour for colour, level in zip(colours, levels, strict=True) if level.accuracy is not None]
    here = [level for level in levels if level.accuracy is not None]
    marker = {"size": size, "symbol": signs(symbol, [level.n for level in here]), "color": inks, "line": {"color": inks, "width": 2}}
    bars = error_bars([level.accuracy or 0 for level in here], [level.low or 0 for level in here], [level.high or 0 for level in here])
    return _points(name, levels, shift).update(marker=marker, error_y=bars, showlegend=False)


def _baseline(name: str, levels: Sequence[LevelAccuracy], symbol: str, rank: int) -> go.Scatter:
    marker = {"size": 9, "symbol": symbol, "color": GREY, "line": {"color": GREY, "width": 2}}
    return _points(name, levels, 0).update(marker=marker, legendrank=rank)


def _points(name: str, levels: Sequence[LevelAccuracy], shift: float) -> go.Scatter:
    here = [(at + shift, level) for at, level in enumerate(levels) if level.accuracy is not None]
    texts = [hover_text(name, level) for _, level in here]
    return go.Scatter(
        name=name, x=[x for x, _ in here], y=[level.accuracy for _, level in here], mode="markers", text=texts, **POINTED
    )  # fmt: skip


def hover_text(name: str, level: LevelAccuracy) -> str:
    """What the pointer shows: the numbers, or that there are too few of them."""
    numbers = f"<b>{level.level}, {name}</b><br>{level.correct:,} of {level.n:,} right"
    if level.accuracy is None or level.low is None or level.high is None:
        return numbers
    numbers += f"<br>{level.accuracy:.1%} (Wilson 95%: {level.low:.1%} to {level.high:.1%})"
    return numbers + too_few(level.n)


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
