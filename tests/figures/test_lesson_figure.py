"""The lesson's charts: samples with their texts, a place for each number of examples beside the guess, models before and after."""

from __future__ import annotations

from sftqa_core.figures import style
from sftqa_core.figures.lesson import models_figure, samples_figure, sizes_figure
from sftqa_core.records import MeanAccuracy, Sampled

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


def test_samples_are_bars_with_their_texts():
    """As they come; a right one has its own colour and a tick; markup of a model is text; a long text is cut, an empty one is named."""
    figure = samples_figure([Sampled("Lora <b>", 5, True), Sampled("x" * 80, 2, False), Sampled(" ", 1, None)])
    (bars,) = figure.data
    assert list(bars.x) == [5, 2, 1]
    assert list(bars.text) == ["Lora &lt;b&gt; ✓", "x" * 59 + "…", "(nothing)"]
    assert list(bars.marker.color) == ["#1d9a9c", style.GREY, style.GREY]
    assert list(figure.layout.yaxis.ticktext) == ["5", "2", "1"]


def test_no_samples_are_an_empty_chart():
    """No bar."""
    assert len(samples_figure([]).data[0].x) == 0


def test_models_stand_below_each_other_before_and_after():
    """The values beside their points, with their intervals; a stage that a model lacks has no point; few facts are hollow."""
    figure = models_figure({"A": {"before": mean(0.1), "after": mean(0.4)}, "B": {"after": mean(0.3, 12)}})
    before, after = figure.data
    assert (list(before.x), list(before.y), list(before.text)) == ([0.1], [0], ["<b>10.0%</b>"])
    assert (list(after.x), list(after.y), list(after.text)) == ([0.4, 0.3], [0, 1], ["<b>40.0%</b>", "<b>30.0%</b>"])
    assert [round(up, 3) for up in after.error_x.array] == [0.03, 0.03]
    assert list(after.marker.symbol) == ["circle", "circle-open"]
    assert "1,520 test facts" in before.hovertext[0]
    assert list(figure.layout.yaxis.ticktext) == ["A", "B"]
    assert figure.layout.xaxis.range[1] == 1.3 * 0.43
