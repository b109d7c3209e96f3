"""Several models in one chart: places, colours, signs and intervals of its traces."""

from sftqa_core.figures import style
from sftqa_core.figures.overlaid import COLOURS, Line, overlaid_figure
from sftqa_core.records import DomainMeans, MeanAccuracy


def means(values, facts=(100, 100), per_seed=()):
    def mean(name, value, n):
        return MeanAccuracy(name, n, value, None if value is None else value - 0.1, None if value is None else value + 0.1, per_seed)

    levels = tuple(mean(f"L{at}", value, n) for at, (value, n) in enumerate(zip(values, facts, strict=True)))
    known = [value for value in values if value is not None]
    macro = sum(known) / len(known) if len(known) == len(values) else None
    return DomainMeans(levels, mean("mean over levels", macro, sum(facts)), mean("micro average", 0.5, sum(facts)))


def points(figure):
    """The traces with values and intervals: name -> trace."""
    return {trace.name: trace for trace in figure.data if trace.error_y.array is not None}


def test_every_model_has_its_own_place_and_colour_at_each_level():
    """Base left in grey, runs right of it in their order; both means at the far right; intervals as given."""
    figure = overlaid_figure([Line("base", means([0.1, 0.2]), base=True), Line("A", means([0.3, 0.4])), Line("B", means([0.5, 0.6]))])
    base, first, second = (points(figure)[name] for name in ("base", "A", "B"))
    assert list(first.y) == [0.3, 0.4, 0.35, 0.5]
    assert base.x[0] < first.x[0] < second.x[0] < 0.5 < base.x[1]
    assert first.x[2] > 1.5
    assert [round(end, 3) for end in first.error_y.array] == [0.1] * 4
    assert (base.marker.color, first.marker.color, second.marker.color) == (style.GREY, COLOURS[0], COLOURS[1])
    assert base.marker.symbol[0] == "square"
    assert list(figure.layout.xaxis.ticktext) == ["<b>L0</b><br>100", "<b>L1</b><br>100", "<b>mean</b><br>", "<b>micro</b><br>"]


def test_few_facts_are_hollow_and_missing_ones_have_no_marker():
    """29 facts are hollow and say so; a level without facts takes the mean over levels away with it."""
    trace = points(overlaid_figure([Line("A", means([0.3, None, 0.4], (29, 0, 30)))]))["A"]
    assert list(trace.marker.symbol) == ["circle-open", "circle", "circle"]
    assert list(trace.y) == [0.3, 0.4, 0.5]
    assert "too few facts to tell" in trace.text[0]


def test_the_pointer_tells_the_seeds():
    """Pooled seeds are named one by one beside the interval of their mean."""
    trace = points(overlaid_figure([Line("A", means([0.3, 0.4], per_seed=(0.25, 0.35)))]))["A"]
    assert "30.0% (95%: 20.0% to 40.0%)<br>100 facts<br>seeds: 25.0%, 35.0%" in trace.text[0]


def test_the_ninth_model_begins_the_colours_again_with_another_sign():
    """So that no two of 26 look the same; labels of models are never taken for markup."""
    lines = [Line(f"<b>{at}</b>", means([0.3, 0.4])) for at in range(26)]
    traces = list(points(overlaid_figure(lines)).values())
    assert len({(trace.marker.color, trace.marker.symbol[0]) for trace in traces}) == 26
    assert "&lt;b&gt;0" in traces[0].text[0]


def test_several_base_models_have_signs_of_their_own():
    """All are grey."""
    figure = overlaid_figure([Line("base 1", means([0.1, 0.2]), base=True), Line("base 2", means([0.1, 0.2]), base=True)])
    first, second = (points(figure)[name] for name in ("base 1", "base 2"))
    assert (first.marker.color, second.marker.color) == (style.GREY, style.GREY)
    assert (first.marker.symbol[0], second.marker.symbol[0]) == ("square", "cross")


def test_means_are_those_that_are_asked_for_by_the_names_that_they_are_given():
    """The micro average alone, as "all": one place behind the levels."""
    figure = overlaid_figure([Line("A", means([0.3, 0.4]))], means={"micro": "all"})
    assert list(points(figure)["A"].y) == [0.3, 0.4, 0.5]
    assert list(figure.layout.xaxis.ticktext)[2:] == ["<b>all</b><br>"]
    assert 1 < figure.layout.shapes[0].x0 < points(figure)["A"].x[2]
