"""Models side by side, tested on traces."""

from itertools import pairwise

import pandas as pd
import pytest

from sftqa_core.figures.model_comparison import ranks_figure, shares_figure
from sftqa_core.figures.style import ink_on, level_colours
from sftqa_core.studies import published

LABELS = ("L0", "L1", "L2", "L3", "L4")


def shares(models, labels=LABELS, domain="in"):
    rows = [
        (name, domain, label, count, count / sum(counts), 0.1, 0.2)
        for name, counts in models.items()
        for label, count in zip(labels, counts, strict=True)
    ]
    return pd.DataFrame(rows, columns=["model", "domain", "level", "facts", "share", "low", "high"])


def ranks(*rows):
    return pd.DataFrame(rows, columns=["model", "other", "facts", "spearman", "same_level"])


TWO = shares({"a": (100, 50, 30, 14, 6), "<b>": (40, 40, 40, 40, 40)})


def test_a_bar_is_a_model_cut_into_levels():
    """Segments have the level's colour and add up to 1; the share stands where it fits, the first model on top."""
    figure = shares_figure(TWO, "in", LABELS)
    bars, numbers = figure.data[:5], figure.data[5:]
    assert [trace.name for trace in bars] == list(LABELS)
    assert [sum(parts) for parts in zip(*(trace.x for trace in bars), strict=True)] == pytest.approx([1, 1])
    assert [trace.marker.color for trace in bars] == [(colour, colour) for colour in level_colours(5)]
    first = {text: round(x, 4) for trace in numbers for text, x, y in zip(trace.text, trace.x, trace.y, strict=True) if y == 0}
    assert first == {"50%": 0.25, "25%": 0.625, "15%": 0.825, "7%": 0.935}
    assert {trace.textfont.color for trace in numbers} == {ink_on(colour) for colour in level_colours(5)}
    assert figure.layout.yaxis.ticktext == ("a", "&lt;b&gt;")
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]
    assert figure.data[0].hovertext[0] == "<b>a, L0</b><br>50.0% (95%: 10.0% to 20.0%)<br>100 of 200 facts"


def test_published_models_stand_below_and_apart():
    """They follow after a gap and a line, paler, with their suffix, and numbers on them in the page's ink."""
    figure = shares_figure(TWO, "in", LABELS, published.shares())
    ticks, places = figure.layout.yaxis.ticktext, figure.layout.yaxis.tickvals
    assert ticks[2:] == tuple(f"LLaMA-{name} (published)" for name in ("2-7B", "2-13B", "2-70B", "3-8B", "3-70B"))
    assert [round(b - a, 6) for a, b in pairwise(places)] == [1, 1.6, 1, 1, 1, 1]
    assert places[1] + 0.5 < figure.layout.shapes[0].y0 < places[2] - 0.5
    first = figure.data[0]
    assert first.marker.color[1:3] == (level_colours(5)[0], "rgba(116, 83, 166, 0.3)")
    assert first.x[2] == pytest.approx(0.299)
    assert first.hovertext[2] == "<b>LLaMA-2-7B (published), L0</b><br>29.9%"
    numbers = figure.data[-1]
    assert (numbers.mode, numbers.textfont.color, numbers.text[0], numbers.x[0]) == ("text", None, "30%", pytest.approx(0.1495))


def test_published_levels_of_another_scheme_are_not_forced_into_ones_own():
    """A scheme of four has its four segments, and bars cut into five are left out."""
    labels = LABELS[:4]
    figure = shares_figure(shares({"a": (10, 20, 30, 40)}, labels), "in", labels, published.shares())
    assert [trace.marker.color[0] for trace in figure.data if trace.type == "bar"] == level_colours(4)
    assert figure.layout.yaxis.ticktext == ("a",)
    assert len(figure.layout.shapes) == 0


def test_a_model_with_few_facts_is_outlined_only():
    """Under 30 facts nothing is filled, the outline keeps the level's colour, and the pointer says why."""
    figure = shares_figure(shares({"few": (9, 5, 5, 5, 5), "enough": (10, 5, 5, 5, 5)}), "in", LABELS)
    first = figure.data[0]
    assert first.marker.color == ("rgba(116, 83, 166, 0.0)", "#7453a6")
    assert (first.marker.line.color, first.marker.line.width) == ("#7453a6", (1, 0))
    assert [told.endswith("too few facts to tell") for told in first.hovertext] == [True, False]
    assert figure.data[-1].text[0] == "31%"


def test_ranks_are_symmetric_with_an_empty_diagonal():
    """Each pair has its number in both halves, shade only from 30 facts on, and the pointer tells how many there are."""
    figure = ranks_figure(ranks(("a", "b", 30, 0.8, 0.5), ("a", "<c>", 29, 0.6, 0.5), ("b", "<c>", 1200, 0.4, 0.25)))
    heat, text = figure.data
    assert [list(row) for row in heat.z] == [[None, 0.8, None], [0.8, None, 0.4], [None, 0.4, None]]
    assert {(x, y): told for x, y, told in zip(text.x, text.y, text.text, strict=True)} == {
        (1, 0): "0.80", (0, 1): "0.80", (2, 0): "0.60", (0, 2): "0.60", (2, 1): "0.40", (1, 2): "0.40",
    }  # fmt: skip
    told = dict(zip(zip(text.x, text.y, strict=True), text.hovertext, strict=True))
    assert told[2, 1] == "<b>b and &lt;c&gt;</b><br>rank correlation 0.40 on 1,200 facts<br>25% on the same level"
    assert told[2, 0] == "<b>a and &lt;c&gt;</b><br>rank correlation 0.60 on 29 facts<br>too few facts to tell"
    assert text.textfont.color is None
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]


def test_long_names_are_wrapped_below_narrow_columns():
    """Names break at their joints and are not turned; beside the rows they stay on one line."""
    layout = ranks_figure(ranks(("atlas-llama-moreqa", "atlas-neox", 100, 0.8, 0.5))).layout
    assert layout.xaxis.ticktext == ("atlas-llama-<br>moreqa", "atlas-neox")
    assert (layout.xaxis.tickangle, layout.yaxis.ticktext) == (0, ("atlas-llama-moreqa", "atlas-neox"))


def test_pairs_without_a_correlation_are_left_out():
    """Where all scores are the same there is none; such a pair leaves its cells empty."""
    heat, text = ranks_figure(ranks(("a", "b", 100, None, 1.0), ("a", "c", 100, 0.5, 0.5))).data
    assert [list(row) for row in heat.z] == [[None, 0.5], [0.5, None]]
    assert list(text.text) == ["0.50", "0.50"]


@pytest.mark.parametrize("empty", [pd.DataFrame([]), TWO.iloc[:0]])
def test_without_models_the_comparison_is_empty(empty):
    """An empty table, even one without columns, gives no bar, and the published models stand alone without a gap."""
    assert shares_figure(empty, "in", LABELS).layout.yaxis.ticktext == ()
    alone = shares_figure(empty, "in", LABELS, published.shares()).layout
    assert (alone.yaxis.tickvals, alone.shapes) == ((0, 1, 2, 3, 4), ())


@pytest.mark.parametrize("empty", [pd.DataFrame([]), ranks()])
def test_without_pairs_there_are_no_ranks(empty):
    """One model alone has nothing to be compared with."""
    figure = ranks_figure(empty)
    assert (figure.layout.xaxis.ticktext, len(figure.data[1].text)) == ((), 0)
