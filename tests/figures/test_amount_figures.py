"""Accuracy against the number of examples, tested on traces."""

import math
from itertools import pairwise

import pandas as pd
import pytest

from sftqa_core.figures.curves import MODEL_COLOURS, amount_figure, levels_by_amount_figure
from sftqa_core.figures.style import GREY, level_colours

COLUMNS = ["model", "domain", "level", "asked", "n", "facts", "seeds", "accuracy", "low", "high", "per_seed"]
MACRO = "mean over levels"


def row(model, n, accuracy, level=MACRO, facts=200, seeds=(), domain="in"):
    low, high = (None, None) if accuracy is None else (accuracy - 0.1, accuracy + 0.05)
    return (model, domain, level, n, n, facts, max(1, len(seeds)), accuracy, low, high, list(seeds))


def curve(*rows):
    return pd.DataFrame(rows, columns=COLUMNS)


def lines(figure):
    return {trace.name: trace for trace in figure.data if trace.name}


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_line_is_a_model_with_its_own_colour_and_sign():
    """Rows of the domain and level asked for make one line a model, by size, with asymmetric interval ends."""
    table = curve(row("a", 60, 0.6), row("a", 0, 0.2), row("<b>", 60, 0.7), row("a", 60, 0.9, domain="out"), row("a", 60, 0.9, "L0"))
    found = lines(amount_figure(table, "in", MACRO))
    assert list(found) == ["a", "&lt;b&gt;"]
    assert list(found["a"].y) == [0.2, 0.6]
    assert list(found["a"].error_y.array) == pytest.approx([0.05, 0.05])
    assert list(found["a"].error_y.arrayminus) == pytest.approx([0.1, 0.1])
    assert [line.line.color for line in found.values()] == list(MODEL_COLOURS[:2])
    assert [line.marker.symbol for line in found.values()] == [("circle", "circle"), ("square",)]


def test_models_keep_their_colour_where_others_have_no_numbers():
    """A model's colour follows from all models of the table, so that it is the same at every level."""
    table = curve(row("a", 60, 0.6), row("b", 60, 0.7), row("a", 60, None, "L0"), row("b", 60, 0.4, "L0"))
    found = lines(amount_figure(table, "in", "L0"))
    assert list(found) == ["b"]
    assert (found["b"].line.color, found["b"].marker.symbol) == (MODEL_COLOURS[1], ("square",))


def test_shown_examples_are_dashed_lines_across_in_the_models_colour():
    """At every size that is drawn, one a number of examples; how many fitted is told where not all did, and nothing that was not asked."""
    table = curve(row("a", 0, 0.2), row("b", 0, 0.3), row("b", 60, 0.7))
    shown = curve(row("b", 0, 0.5), row("b", 0, 0.6), row("b", 0, None, "L0")).assign(shots=[4, 16, 16], shown=[4.0, 9.5, 16.0])
    figure = amount_figure(table, "in", MACRO, in_context=shown)
    found = lines(figure)
    assert list(found) == ["a", "b", "b, 4-shot", "b, 16-shot"]
    assert list(found["b, 16-shot"].y) == [0.6] * len(found["b, 16-shot"].x)
    assert found["b, 16-shot"].line.color == MODEL_COLOURS[1]
    assert found["b, 4-shot"].line.dash != found["b, 16-shot"].line.dash
    told = found["b, 16-shot"].text[0]
    assert told.startswith("<b>b, 16-shot, base model</b><br>60.0% (95%: 50.0% to 65.0%)<br>200 facts, 1 seed")
    assert told.endswith("9.5 fitted on average")
    assert "fitted" not in found["b, 4-shot"].text[0]
    assert list(lines(amount_figure(table, "in", "L0", in_context=shown))) == []


@pytest.mark.parametrize("count", [4, 5])
def test_model_colours_are_no_levels_and_read_on_both_backgrounds(count):
    """None is near a level's colour, each keeps a contrast of 2.2 on white and near-black, and any two differ clearly."""

    def apart(one, other):
        return math.dist(*([int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in (one, other)))

    assert all(apart(colour, level) > 55 for colour in MODEL_COLOURS for level in level_colours(count))
    assert all(apart(one, other) > 55 for one in MODEL_COLOURS for other in MODEL_COLOURS if one != other)
    steps = [luminance(colour) for colour in MODEL_COLOURS]
    assert all(1.05 / (step + 0.05) > 2.2 and (step + 0.05) / (luminance("#0e1117") + 0.05) > 2.2 for step in steps)


def test_no_examples_have_a_place_of_their_own_at_the_left():
    """Sizes are on a log scale; 0 stands left of the smallest and is labelled 0."""
    figure = amount_figure(curve(row("a", 0, 0.2), row("a", 60, 0.6), row("a", 600, 0.7)), "in", MACRO)
    none, first, second = figure.data[0].x
    assert (none < first, second - first) == (True, pytest.approx(1))
    assert dict(zip(figure.layout.xaxis.ticktext, figure.layout.xaxis.tickvals, strict=True)) == pytest.approx(
        {"0": none, "60": first, "600": second}
    )
    assert figure.layout.xaxis.range[0] < none


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ((0, 60, 120, 240, 480, 960, 1920), ("0", "60", "120", "240", "480", "960", "1,920")),
        ((0, 10, 30, 60, 120, 240, 480, 960, 1920, 3310), ("0", "10", "30", "60", "120", "240", "480", "960", "<br>1,920", "3,310")),
        ((0, 1, 100, 1900, 1920, 1930, 100_000), ("0", "1", "100", "1,900", "<br>1,920", "<br><br>1,930", "100,000")),
    ],
)
def test_every_size_has_a_label_and_none_covers_another(sizes, told):
    """A label that has no room beside its neighbour on a narrow page stands a line lower."""
    axis = amount_figure(curve(*(row("a", n, 0.5) for n in sizes)), "in", MACRO).layout.xaxis
    assert axis.ticktext == told
    letter = 7 / 330 * (axis.range[1] - axis.range[0])  # of 7 px, on the axis of a page of 420 px
    for line in range(3):
        on_it = [(at, text) for at, text in zip(axis.tickvals, told, strict=True) if text.count("<br>") == line]
        for (one, text), (other, next_text) in pairwise(on_it):
            assert other - one >= letter * (len(text.strip("<br>")) + len(next_text.strip("<br>"))) / 2


def test_seeds_are_points_and_not_intervals():
    """Each of several seeds is a small point at its size; a single seed is the mean itself and gets none."""
    figure = amount_figure(curve(row("a", 0, 0.2, seeds=(0.2,)), row("a", 60, 0.6, seeds=(0.5, 0.7))), "in", MACRO)
    points, line = figure.data
    assert (points.mode, list(points.y), set(points.x)) == ("markers", [0.5, 0.7], {line.x[1]})
    assert points.error_y.array is None
    assert line.text == (
        "<b>a, n = 0</b><br>20.0% (95%: 10.0% to 25.0%)<br>200 facts, 1 seed",
        "<b>a, n = 60</b><br>60.0% (95%: 50.0% to 65.0%)<br>200 facts, 2 seeds: 50.0%, 70.0%",
    )


def test_lines_at_one_size_stand_beside_each_other():
    """Bars of several models do not cover each other, however long the axis is."""
    for most in (60, 10_000):
        figure = amount_figure(curve(*(row(model, n, 0.5) for model in "ab" for n in (0, most))), "in", MACRO)
        low, high = figure.layout.xaxis.range
        one, other = (trace.x[0] for trace in figure.data)
        assert (other - one) / (high - low) == pytest.approx(0.01)


def test_sizes_measured_on_few_facts_are_hollow():
    """Under 30 facts the marker is open and the pointer says so; 30 are enough."""
    line = amount_figure(curve(row("a", 0, 0.2, facts=29), row("a", 60, 0.6, facts=30)), "in", MACRO).data[0]
    assert line.marker.symbol == ("circle-open", "circle")
    assert [text.endswith("too few facts to tell") for text in line.text] == [True, False]


def test_published_lines_are_grey_and_say_so():
    """A reference is dashed and grey, has one entry in the legend, tells what it was trained on, and widens the axis."""
    reference = pd.DataFrame(
        [("X", "in", 1920, "L0", 0.4), ("X", "in", 240, "L0", 0.5), ("X", "in", 240, "L1", 0.6), ("X", "out", 240, "L1", 0.9)],
        columns=["model", "domain", "n", "train", "accuracy"],
    )
    figure = amount_figure(curve(row("a", 60, 0.5)), "in", MACRO, reference)
    published, own = figure.data
    assert (list(published.y), list(own.y)) == ([0.5, 0.4, None, 0.6], [0.5])
    assert (published.name, published.line.color, published.line.dash) == ("X (published)", GREY, "dash")
    assert published.text[3] == "<b>X (published), trained on L1, n = 240</b><br>60.0%"
    assert figure.layout.xaxis.ticktext == ("60", "240", "1,920")


@pytest.mark.parametrize("labels", [("L0", "L1", "L2", "L3", "L4"), ("never", "seldom", "often", "always")])
def test_a_line_is_a_level_in_its_colour(labels):
    """For one model every level of the scheme has its line; means are left out."""
    table = curve(*(row("a", 60, at / 10, label) for at, label in enumerate(labels)), row("a", 60, 0.5), row("b", 60, 0.9, labels[0]))
    figure = levels_by_amount_figure(table, "a", "in", labels)
    assert [(trace.name, trace.line.color, trace.y) for trace in figure.data] == [
        (label, colour, (at / 10,)) for at, (label, colour) in enumerate(zip(labels, level_colours(len(labels)), strict=True))
    ]


@pytest.mark.parametrize("table", [curve(), pd.DataFrame([]), curve(row("a", 60, None))])
def test_without_numbers_the_chart_is_empty(table):
    """An empty table, even one without columns, and one without accuracies draw nothing on an axis from 0 to 100%."""
    for figure in (amount_figure(table, "in", MACRO), levels_by_amount_figure(table, "a", "in", ["L0"])):
        assert (len(figure.data), figure.layout.yaxis.range, figure.layout.xaxis.ticktext) == (0, (0, 1), ())
