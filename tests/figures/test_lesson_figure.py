"""The lesson's chart: a place for each number of examples, results as they come, the guess beside them."""

from __future__ import annotations

from sftqa_core.figures.lesson import sizes_figure
from sftqa_core.records import MeanAccuracy

TRIED = (0, 10, 60, 240)


def mean(value: float, n: int = 1520) -> MeanAccuracy:
    return MeanAccuracy("micro average", n, value, value - 0.02, value + 0.03)


def test_a_number_without_a_result_has_a_place_and_no_point():
    """0 and 60 are known: points at their places with their intervals; 10 and 240 are on the axis."""
    figure = sizes_figure({0: mean(0.1), 60: mean(0.4)}, TRIED, None)
    (trace,) = figure.data
    assert (list(trace.x), list(trace.y)) == ([0, 2], [0.1, 0.4])
    assert [round(up, 3) for up in trace.error_y.array] == [0.03, 0.03]
    assert [round(down, 3) for down in trace.error_y.arrayminus] == [0.02, 0.02]
    assert list(figure.layout.xaxis.ticktext) == ["0", "10", "60", "240"]
    assert trace.text[1] == "<b>60 examples</b><br>40.0% (95%: 38.0% to 43.0%)<br>1,520 test facts"
    assert not figure.layout.shapes


def test_the_guess_is_shaded_where_it_stands():
    """240 is the last of four places; the words stand over it."""
    figure = sizes_figure({0: mean(0.1)}, TRIED, 240)
    (shade,), (words,) = figure.layout.shapes, figure.layout.annotations
    assert (shade.x0, shade.x1) == (2.6, 3.4)
    assert (words.x, words.text) == (3, "your guess")


def test_few_facts_are_hollow_and_no_facts_are_no_point():
    """12 facts, and none."""
    figure = sizes_figure({0: MeanAccuracy("micro average", 0, None, None, None), 10: mean(0.5, 12)}, TRIED, 10)
    assert list(figure.data[0].marker.symbol) == ["circle-open"]
    assert "too few facts to tell" in figure.data[0].text[0]


def test_nothing_known_is_an_empty_chart():
    """All places, no point."""
    figure = sizes_figure({}, TRIED, 60)
    assert len(figure.data[0].x) == 0
    assert len(figure.layout.xaxis.tickvals) == 4
