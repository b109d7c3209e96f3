"""Memory score against mentions, tested on traces."""

import re

import pandas as pd
import pytest

from sftqa_core.figures.model_comparison import MOST_SIGNS, planted_figure
from sftqa_core.figures.style import GREY, level_colours


def facts(*rows):
    """(exposures, contested, score) of each fact."""
    table = pd.DataFrame(rows, columns=["exposures", "contested", "score"])
    return table.assign(seen_score=table["score"] / 2, unseen_score=0.0, subject="<Aro>", relation="capital", level=1)


def parts(figure):
    """Fact signs and lines of means by name."""
    lines = {trace.name: trace for trace in figure.data if trace.name}
    signs = [trace for trace in figure.data if not trace.name]
    return signs, lines


def test_each_fact_is_a_faint_sign():
    """A fact stands at its mentions and score; markup in names is spelled out."""
    signs, _ = parts(planted_figure(facts((0, False, 0.1), (10, False, 0.5), (100, False, 0.9))))
    assert list(signs[0].y) == [0.1, 0.5, 0.9]
    assert signs[0].x[2] - signs[0].x[1] == pytest.approx(1)
    assert signs[0].marker.opacity < 0.5
    assert signs[0].text[1] == "<b>&lt;Aro&gt;</b> (capital)<br>10 mentions, uncontested<br>R 0.50"


def test_facts_never_mentioned_stand_apart_at_the_left():
    """Zero has its own place and label on the log axis, and its own mean."""
    figure = planted_figure(facts(*[(0, False, 0.2)] * 30, (1, False, 0.4), (100, False, 0.8)))
    line = parts(figure)[1]["uncontested"]
    assert line.x[0] < 0
    assert dict(zip(figure.layout.xaxis.ticktext, figure.layout.xaxis.tickvals, strict=True))["0"] == line.x[0]
    assert figure.layout.xaxis.ticktext == ("0", "1", "3", "10", "30", "100")
    assert line.text[0] == "<b>uncontested, never mentioned</b><br>mean R 0.20 of 30 facts (95% over facts: 0.20 to 0.20)"


def test_contested_facts_differ_by_colour_and_sign():
    """Both kinds have facts and a line; neither has a level's colour."""
    signs, lines = parts(planted_figure(facts((5, False, 0.4), (5, True, 0.2), (9, None, 0.6))))
    assert [list(trace.y) for trace in signs] == [[0.4, 0.6], [0.2]]
    assert [(name, line.line.color, line.marker.symbol[0]) for name, line in lines.items()] == [
        ("uncontested", GREY, "circle-open"),
        ("contested", "#d1495b", "diamond-open"),
    ]
    assert not {line.line.color for line in lines.values()} & set(level_colours(5))


def test_means_are_of_facts_with_about_as_many_mentions():
    """Bins are equal steps of the logarithm; each mean stands at its facts' middle and tells its interval over facts."""
    rows = [(1, False, 0.0)] * 15 + [(1, False, 0.2)] * 15 + [(1000, False, 1.0)] * 29
    line = parts(planted_figure(facts(*rows)))[1]["uncontested"]
    assert list(line.x) == pytest.approx([0, 3])
    assert list(line.y) == pytest.approx([0.1, 1.0])
    assert line.text[0] == "<b>uncontested, about 1 mentions</b><br>mean R 0.10 of 30 facts (95% over facts: 0.06 to 0.14)"


def test_means_of_few_facts_are_hollow():
    """Under 30 facts the marker is open and the pointer says so instead of telling an interval."""
    line = parts(planted_figure(facts(*[(1, False, 0.1)] * 30, *[(1000, False, 1.0)] * 29)))[1]["uncontested"]
    assert line.marker.symbol == ("circle", "circle-open")
    assert line.text[1] == "<b>uncontested, about 1,000 mentions</b><br>mean R 1.00 of 29 facts<br>too few facts to tell"


@pytest.mark.parametrize(("templates", "score"), [("all", 0.8), ("seen", 0.4), ("unseen", 0.0)])
def test_wordings_choose_the_score(templates, score):
    """All, seen and unseen templates have a memory score each."""
    signs, lines = parts(planted_figure(facts((10, False, 0.8)), templates))
    assert (list(signs[0].y), list(lines["uncontested"].y)) == ([score], [score])


def test_facts_without_mentions_or_score_are_left_out():
    """What is not known of a fact is not drawn as zero."""
    signs, _ = parts(planted_figure(facts((None, False, 0.8), (10, False, None), (10, False, 0.3))))
    assert list(signs[0].y) == [0.3]


@pytest.mark.parametrize("table", [facts(), pd.DataFrame([]), facts((3, True, 0.1)).drop(columns="seen_score")])
def test_without_facts_the_chart_is_empty(table):
    """An empty table, and one that does not know such wordings, draw nothing and keep the scale of R."""
    figure = planted_figure(table, "seen")
    assert (len(figure.data), figure.layout.yaxis.range) == (0, (-0.03, 1.03))


def test_facts_are_uncontested_where_nothing_is_said():
    """A source without contested facts has one kind only."""
    _, lines = parts(planted_figure(facts((3, True, 0.1)).drop(columns="contested")))
    assert list(lines) == ["uncontested"]


def test_of_very_many_facts_some_have_a_sign_and_all_count():
    """A browser is not held up by thousands of signs; the means are the same, and so is the choice each time."""
    table = facts(*[(at % 50, at % 3 == 0, at % 7 / 7) for at in range(5 * MOST_SIGNS)])
    signs, lines = parts(planted_figure(table))
    assert sum(len(trace.x) for trace in signs) == MOST_SIGNS
    assert len(signs) == 2
    told = [text for line in lines.values() for text in line.text]
    counted = [int(re.findall(r"of ([\d,]+) facts", text)[0].replace(",", "")) for text in told]
    assert sum(counted) == len(table)
    again, _ = parts(planted_figure(table))
    assert [trace.text for trace in again] == [trace.text for trace in signs]
