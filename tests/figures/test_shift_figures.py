"""What moves, tested on traces."""

import pandas as pd
import pytest

from sftqa_core.figures.level_shift import flows_figure, moves_figure
from sftqa_core.figures.style import GRID, level_colours
from sftqa_core.studies.shift import UNTOUCHED

FOUR = ("never", "seldom", "often", "always")


def transitions(labels, *counts, after="n = 60"):
    """counts[before][now], all pairs listed."""
    rows = [("m", "in", after, one, other, float(counts[i][j])) for i, one in enumerate(labels) for j, other in enumerate(labels)]
    return pd.DataFrame(rows, columns=["model", "domain", "after", "before", "now", "facts"])


def moves(*rows):
    """(after, move, share, facts, excess)."""
    made = [
        ("m", "in", after, move, facts, 3, share, share - 0.02, share + 0.01, *([None] * 3 if e is None else (e, e - 0.01, e + 0.02)))
        for after, move, share, facts, e in rows
    ]
    columns = ["model", "domain", "after", "move", "facts", "seeds", "share", "low", "high", "excess", "excess_low", "excess_high"]
    return pd.DataFrame(made, columns=columns)


def flows(figure):
    """Each flow's own words, colour and the heights at which it leaves and arrives, from the top."""
    words = list(dict.fromkeys(figure.data[-1].text))  # each flow has several points
    ribbons = [shape for shape in figure.layout.shapes if "C" in shape.path]
    paths = [shape.path.split("V")[0] for shape in ribbons]
    places = [(float(path.split("C")[0].split(",")[1]), float(path.rsplit(",", 1)[1])) for path in paths]
    return [(text, shape.fillcolor, *at) for text, shape, at in zip(words, ribbons, places, strict=True)]


def nodes(figure):
    """Colour and top of each level's bar, those before tuning first."""
    return [(shape.fillcolor, float(shape.path.split(",")[1].split("H")[0])) for shape in figure.layout.shapes if "C" not in shape.path]


def counts(figure):
    return {text.split("</b>")[0].removeprefix("<b>"): float(text.split("<br>")[1].split(" of ")[0]) for text, *_ in flows(figure)}


TWO = transitions(("L0", "L1"), (80, 20), (1.5, 100))


def test_facts_flow_from_their_level_before_to_the_one_after():
    """Levels before are at the left, those after at the right, each with its facts; flows have their counts."""
    figure = flows_figure(TWO, "m", "in", "n = 60", ("L0", "L1"))
    before, after, points = figure.data
    assert (before.text, after.text) == (("L0  100", "L1  102"), ("L0  82", "L1  120"))
    assert max(before.x) < min(after.x)
    assert (before.y[0] < before.y[1], after.y[0] < after.y[1]) == (True, True)
    assert counts(figure) == {"L0 to L0": 80, "L0 to L1": 20, "L1 to L0": 1.5, "L1 to L1": 100}
    assert [text for text, *_ in flows(figure)][:3] == [
        "<b>L0 to L0</b><br>80 of 100 facts, 80.0%",
        "<b>L0 to L1</b><br>20 of 100 facts, 20.0%",
        "<b>L1 to L0</b><br>1.5 of 101.5 facts, 1.5%",
    ]
    assert all(0 < x < 1 for x in points.x)


def test_flows_fill_their_levels_from_the_top():
    """What leaves a level stands in the order of where it goes, what arrives in the order of where it came from, without gaps."""
    (_, _, left, right), (_, _, second, far), (_, _, low, up), (_, _, last, down) = flows(
        flows_figure(TWO, "m", "in", "n = 60", ("L0", "L1"))
    )
    unit = 0.85 / 201.5
    assert (left, right) == (0, 0)
    assert (second, up) == (pytest.approx(80 * unit), pytest.approx(80 * unit))
    assert last - low == pytest.approx(1.5 * unit)
    assert down - far == pytest.approx(20 * unit)
    assert last + 100 * unit == pytest.approx(1)


def test_flows_have_the_colour_of_where_they_come_from():
    """Levels have their own colours; flows let the page through, and what moved is stronger than what stayed."""
    figure = flows_figure(TWO, "m", "in", "n = 60", ("L0", "L1"))
    assert [colour for colour, _ in nodes(figure)] == [*level_colours(2), *level_colours(2)]
    assert [colour for _, colour, *_ in flows(figure)] == [
        "rgba(116, 83, 166, 0.28)",
        "rgba(116, 83, 166, 0.55)",
        "rgba(196, 168, 33, 0.55)",
        "rgba(196, 168, 33, 0.28)",
    ]


def test_only_what_was_asked_for_flows():
    """Rows of another model, domain or treatment are left out."""
    other = transitions(("L0", "L1"), (1, 2), (3, 4), after=UNTOUCHED)
    table = pd.concat([TWO, other, TWO.assign(model="x"), TWO.assign(domain="out")])
    drawn = counts(flows_figure(table, "m", "in", UNTOUCHED, ("L0", "L1")))
    assert drawn == {"L0 to L0": 1, "L0 to L1": 2, "L1 to L0": 3, "L1 to L1": 4}


def test_what_leaves_a_level_of_few_facts_is_a_grey_shadow():
    """Under 30 facts no level's colour is shown and no share told; 30 are enough."""
    first, _, last = flows(flows_figure(transitions(("L0", "L1"), (20, 9), (0, 30)), "m", "in", "n = 60", ("L0", "L1")))
    assert (first[1], last[1]) == (GRID, "rgba(196, 168, 33, 0.28)")
    assert first[0] == "<b>L0 to L0</b><br>20 of 29 facts<br>too few facts to tell"
    assert "too few" not in last[0]


def test_a_scheme_of_four_with_an_empty_level_keeps_its_order():
    """A level without facts on one side is not drawn there, and the others keep their colours and places."""
    table = transitions(FOUR, (50, 0, 10, 0), (0, 0, 0, 0), (5, 30, 40, 0), (0, 0, 0, 60))
    figure = flows_figure(table, "m", "in", "n = 60", FOUR)
    never, seldom, often, always = level_colours(4)
    assert figure.data[0].text == ("never  60", "often  75", "always  60")
    assert figure.data[1].text == ("never  55", "seldom  30", "often  50", "always  60")
    assert [colour for colour, _ in nodes(figure)] == [never, often, always, never, seldom, often, always]
    assert counts(figure)["often to seldom"] == 30
    tops = [top for _, top in nodes(figure)]
    assert (tops[:3], tops[3:]) == (sorted(tops[:3]), sorted(tops[3:]))


ROWS = (
    (UNTOUCHED, "kept", 0.9, 400, None), (UNTOUCHED, "lost", 0.06, 400, None), (UNTOUCHED, "gained", 0.04, 400, None),
    ("n = 60", "kept", 0.7, 29, -0.2), ("n = 60", "lost", 0.1, 29, 0.04), ("n = 60", "gained", 0.2, 29, 0.16),
)  # fmt: skip


def test_moves_stand_side_by_side_for_the_untouched_and_the_tuned_model():
    """Kept, gained and lost are points with intervals; the untouched model probed again comes first."""
    figure = moves_figure(moves(*ROWS), "m", "in")
    kept, gained, lost = figure.data
    assert [trace.name for trace in figure.data] == ["same level", "higher level", "lower level"]
    assert [list(trace.y) for trace in figure.data] == [[0.9, 0.7], [0.04, 0.2], [0.06, 0.1]]
    assert all(left < middle < right for left, middle, right in zip(gained.x, kept.x, lost.x, strict=True))
    assert list(gained.error_y.array) == pytest.approx([0.01, 0.01])
    assert list(gained.error_y.arrayminus) == pytest.approx([0.02, 0.02])
    assert figure.layout.xaxis.ticktext == ("base model,<br>probed again", "n = 60")


def test_what_stayed_has_an_axis_of_its_own():
    """Most facts stay, so they stand above, on a scale around their intervals, and what moved starts at zero."""
    figure = moves_figure(moves(*ROWS), "m", "in")
    assert [trace.yaxis for trace in figure.data] == ["y2", "y", "y"]
    upper, lower = figure.layout.yaxis2, figure.layout.yaxis
    assert upper.domain[0] > lower.domain[1]
    assert upper.range[0] < 0.68 < 0.91 < upper.range[1] <= 1
    assert lower.range == (0, pytest.approx(0.21 * 1.08))
    assert (upper.gridcolor, upper.tickformat) == (lower.gridcolor, ".0%")


def test_moves_of_few_facts_are_hollow_and_tell_what_chance_does():
    """Signs point up and down and are open under 30 facts; the pointer has the share beyond the untouched model's."""
    kept, gained, lost = moves_figure(moves(*ROWS), "m", "in").data
    assert [trace.marker.symbol for trace in (kept, gained, lost)] == [
        ("circle", "circle-open"),
        ("triangle-up", "triangle-up-open"),
        ("triangle-down", "triangle-down-open"),
    ]
    assert gained.text == (
        "<b>base model, probed again: higher level</b><br>4.0% (95%: 2.0% to 5.0%)<br>400 facts, 3 seeds",
        "<b>n = 60: higher level</b><br>20.0% (95%: 18.0% to 21.0%)<br>29 facts, 3 seeds"
        "<br>+16.0 points against the base model (+15.0 to +18.0)<br>too few facts to tell",
    )


@pytest.mark.parametrize("columns", [None, ["model", "domain", "after", "move", "facts", "share"]])
def test_without_moves_the_charts_are_empty(columns):
    """An empty table, even one without columns, draws nothing on axes that still read as per cent."""
    table = pd.DataFrame([], columns=columns)
    figure = moves_figure(table, "m", "in")
    assert (len(figure.data), figure.layout.xaxis.ticktext, figure.layout.yaxis2.range) == (0, (), (0, 1))
    assert figure.layout.yaxis.range[1] > 0.5
    assert len(flows_figure(table, "m", "in", "n = 60", FOUR).layout.shapes) == 0
