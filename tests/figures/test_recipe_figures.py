"""What a recipe does, tested on traces."""

import pandas as pd
import pytest

from sftqa_core.figures.curves import MODEL_COLOURS
from sftqa_core.figures.recipe_effects import claims_figure, effects_figure, knob_figure, own_figure
from sftqa_core.figures.style import GREY, level_colours
from sftqa_core.studies.recipe_tables import BY_LEVEL, CLAIMS, EFFECT, KNOB

LABELS = ("L0", "L1")
SETTINGS = ("base model", "plain tuning", "plain tuning, other seeds", "<b>", "control: twice", "control: only known")


def effects(facts=200):
    rows = [
        ("m", domain, level, setting, 60, facts, 2, 0.1 * at, 0.1 * at - 0.05, 0.1 * at + 0.1, [0.1 * at - 0.01, 0.1 * at + 0.01])
        for domain in ("in", "out")
        for level in ("L0", "L1", "as facts come", "mean over levels")
        for at, setting in enumerate(SETTINGS, 1)
    ]
    return pd.DataFrame(rows, columns=list(EFFECT))


def claims(**changes):
    base = {
        "model": "m", "domain": "in", "level": "L1", "measure": "accuracy", "setting": "<b>", "against": "plain tuning", "facts": 200,
        "least": 200, "seeds": 2, "missing": 0, "difference": 0.05, "low": 0.02, "high": 0.08, "p": 0.001, "p_holm": 0.01,
        "per_seed": [0.04, 0.06], "verdict": "yes",
    }  # fmt: skip
    return {**base, **changes}


def test_everything_compared_stands_side_by_side_at_each_level():
    """A trace a setting, at its places in order, with its interval; no two at one place; names are shown as they stand."""
    figure = effects_figure(effects(), "in", LABELS)
    assert [trace.name for trace in figure.data] == [*SETTINGS[:3], "&lt;b&gt;", *SETTINGS[4:]]
    assert list(figure.data[2].y) == pytest.approx([0.3] * 4)
    assert list(figure.data[2].error_y.array) == pytest.approx([0.1] * 4)
    assert list(figure.data[2].error_y.arrayminus) == pytest.approx([0.05] * 4)
    places = [x for trace in figure.data for x in trace.x]
    assert len(set(places)) == len(places) == 24
    assert all([round(x) for x in trace.x] == [0, 1, 3, 2] for trace in figure.data)  # the table has the micro average first
    assert figure.layout.xaxis.ticktext == ("<b>L0</b>", "<b>L1</b>", "<b>mean</b>", "<b>micro</b>")
    assert figure.data[3].text[0] == "<b>&lt;b&gt;, L0</b><br>40.0% (95%: 35.0% to 50.0%)<br>200 facts, 2 seeds: 39.0%, 41.0%"


def test_each_setting_has_a_look_of_its_own():
    """The base model is grey, plain tuning with other seeds differs by its sign, each control by its colour."""
    traces = effects_figure(effects(), "in", LABELS).data
    colours = [trace.marker.color for trace in traces]
    assert colours[:4] == [GREY, MODEL_COLOURS[1], MODEL_COLOURS[1], MODEL_COLOURS[0]]
    assert len({*colours[3:]}) == 3
    assert len({(trace.marker.color, trace.marker.symbol) for trace in traces}) == 6


def test_few_facts_are_hollow():
    """Under 30 nothing is told in words, and the pointer says so."""
    trace = effects_figure(effects(facts=29), "in", LABELS).data[3]
    assert set(trace.marker.symbol) == {"diamond-open"}
    assert trace.text[0].endswith("too few facts to tell")


def test_differences_are_in_points_and_claims_are_large():
    """The recipe's own colour against plain tuning, the control's against a control; forgetting is no part of it."""
    table = pd.DataFrame(
        [
            claims(),
            claims(level="L0", verdict="cannot tell", difference=-0.01, low=-0.03, high=0.01),
            claims(against="control: twice", verdict="no", difference=-0.05, low=-0.08, high=-0.02),
            claims(setting="plain tuning, other seeds", verdict="cannot tell"),
            claims(measure="forgotten"),
            claims(domain="out"),
        ]
    )[list(CLAIMS)]
    figure = claims_figure(table, "in", LABELS)
    assert [trace.name for trace in figure.data] == [
        "&lt;b&gt; against plain tuning", "&lt;b&gt; against twice", "plain tuning, other seeds against plain tuning",
    ]  # fmt: skip
    own = figure.data[0]
    assert (own.marker.color, list(own.y), list(own.marker.size)) == (MODEL_COLOURS[0], [5.0, -1.0], [12, 7])
    assert [round(x) for x in own.x] == [1, 0]
    assert own.text[0] == (
        "<b>&lt;b&gt; against plain tuning, L1</b><br>+5.0 points (+2.0 to +8.0; Holm p 0.010)<br>by seed: +4.0, +6.0<br>yes"
    )
    assert figure.data[1].marker.color not in (MODEL_COLOURS[0], MODEL_COLOURS[1])
    assert len(figure.layout.shapes) == 1


def test_an_interval_that_says_nothing_does_not_flatten_the_others():
    """One that reaches over all that there is runs out of the chart."""
    table = pd.DataFrame([claims(), claims(level="L0", verdict="cannot tell", difference=0.01, low=-1.0, high=1.0)])
    assert claims_figure(table, "in", LABELS).layout.yaxis.range == pytest.approx((-8.4, 8.4))


def test_the_chosen_value_stands_out():
    """In the recipe's colour, with a bold name; seeds are small points; what is within noise says so."""
    rows = [
        ("m", "0.2", False, "in", "mean over levels", 96, 2, 0.30, 0.25, 0.35, True, [0.29, 0.31]),
        ("m", "1", True, "in", "mean over levels", 96, 2, 0.34, 0.28, 0.40, True, [0.33, 0.35]),
        ("m", "<4>", False, "in", "mean over levels", 96, 1, 0.20, 0.15, 0.25, False, [0.20]),
    ]
    seeds, values = knob_figure(pd.DataFrame(rows, columns=list(KNOB)), "mu").data
    assert list(seeds.y) == [0.29, 0.31, 0.33, 0.35]
    assert list(values.marker.color) == [GREY, MODEL_COLOURS[0], GREY]
    assert values.text[0] == (
        "<b>mu 0.2</b><br>30.0% (95%: 25.0% to 35.0%)<br>mean over levels, 96 dev facts, 2 seeds<br>within noise of the chosen value"
    )
    assert "noise" not in values.text[1] + values.text[2]
    figure = knob_figure(pd.DataFrame(rows, columns=list(KNOB)), "mu")
    assert figure.layout.xaxis.ticktext == ("0.2", "<b>1<br>chosen</b>", "&lt;4&gt;")


def test_an_own_table_is_drawn_in_the_colours_of_levels():
    """A share in per cent, a number as it is; a level that is not known is grey and last."""
    rows = [
        ("m", "recall", "correct", True, "L1", 40, 2, 0.75, [0.7, 0.8]),
        ("m", "recall", "correct", True, "L0", 40, 2, 0.25, [0.2, 0.3]),
        ("m", "recall", "correct", True, "not known", 4, 1, 0.5, [0.5]),
        ("m", "confidence", "confidence", False, "L0", 40, 1, -3.14159, [-3.14159]),
    ]
    table = pd.DataFrame(rows, columns=list(BY_LEVEL))
    figure = own_figure(table, "recall", "correct", LABELS)
    bars, seeds = figure.data
    assert (list(bars.y), list(bars.marker.color)) == ([0.25, 0.75, 0.5], [*level_colours(2), GREY])
    assert list(seeds.y) == [0.2, 0.3, 0.7, 0.8]
    assert figure.layout.yaxis.tickformat == ".0%"
    (alone,) = own_figure(table, "confidence", "confidence", LABELS).data
    assert alone.text[0] == "<b>L0</b><br>-3.142<br>40 rows, 1 seed"
    assert own_figure(table, "confidence", "confidence", LABELS).layout.yaxis.tickformat is None


@pytest.mark.parametrize("make", [effects_figure, claims_figure])
@pytest.mark.parametrize("columns", [(), EFFECT + CLAIMS])
def test_without_numbers_the_chart_is_empty(make, columns):
    """An empty table, even one without columns."""
    assert len(make(pd.DataFrame(columns=list(dict.fromkeys(columns))), "in", LABELS).data) == 0


def test_without_dev_runs_there_is_no_value():
    """Its points are none."""
    (values,) = knob_figure(pd.DataFrame([], columns=list(KNOB)), "mu").data
    assert list(values.x) == []
