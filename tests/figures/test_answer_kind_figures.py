"""Charts of how consistent answers are: what each trace holds and says."""

import math

import pandas as pd
import pytest

from sftqa_core.figures import answer_kinds
from sftqa_core.records import ANSWER_KINDS


def facts(count: int, kind: str = "rival") -> pd.DataFrame:
    row = {"subject": "Ada <b>", "modal": "Lima & co", "modal_share": 0.6, "second": "Paris", "second_share": 0.2, "right": False}
    table = pd.DataFrame([{**row, "score": at / count, "entropy": math.log(1 + at % 40)} for at in range(count)])
    return table.assign(kind=kind, different=7, answered=210, fact_id=[f"{at:016x}" for at in range(count)])


def test_a_bar_is_cut_into_kinds_and_an_empty_level_has_none():
    """Shares add up to one; the pointer tells facts, and that there are too few."""
    levels = pd.DataFrame(
        [
            {"level": "L0", "facts": 0, "settled": 0, "torn": 0, "rival": 0, "vague": 0},
            {"level": "L1", "facts": 20, "settled": 5, "torn": 0, "rival": 10, "vague": 5},
        ]
    )
    figure = answer_kinds.kinds_figure(levels)
    bars = [trace for trace in figure.data if trace.type == "bar"]
    assert [bar.name for bar in bars] == list(ANSWER_KINDS)
    assert [list(bar.x) for bar in bars] == [[0, 0.25], [0, 0], [0, 0.5], [0, 0.25]]
    assert "10 of 20 facts, 50.0%<br>too few facts to tell" in bars[2].hovertext[1]
    assert "n = 20" in figure.layout.yaxis.ticktext[1]


def test_the_map_has_a_sign_a_fact_and_names_mixes_on_its_axis():
    """Traces in the order of `mapped_facts`, so that a click finds its fact; the entropy of 5 equal answers is called 5."""
    shown = answer_kinds.mapped_facts(pd.concat([facts(40), facts(3, "settled"), facts(2, "")]))
    figure = answer_kinds.answers_map(shown)
    assert list(shown) == [trace.name for trace in figure.data] == ["rival", "settled"]
    assert [len(trace.x) for trace in figure.data] == [40, 3]
    assert "Ada &lt;b&gt;" in figure.data[0].text[0]
    assert "Lima &amp; co 60%, wrong<br>then Paris 20%" in figure.data[0].text[0]
    ticks = dict(zip(figure.layout.yaxis.ticktext, figure.layout.yaxis.tickvals, strict=True))
    assert ticks["5"] == pytest.approx(math.log(5))
    assert "200" not in ticks


def test_of_very_many_facts_some_are_drawn_always_the_same():
    """At most MOST_SIGNS; twice the same ones."""
    table = facts(5_000)
    first, second = (answer_kinds.mapped_facts(table)["rival"]["fact_id"].tolist() for _ in range(2))
    assert len(first) == answer_kinds.MOST_SIGNS
    assert first == second


def test_reliability_has_hollow_markers_where_facts_are_few():
    """A tenth with 12 facts is hollow and says so; intervals are drawn."""
    rows = [(0.1, 0.2, 0.15, 12, 3, 0.25, 0.1, 0.5), (0.2, 0.3, 0.25, 100, 40, 0.4, 0.3, 0.5)]
    columns = ["from_share", "to_share", "mean_share", "facts", "right", "right_share", "right_low", "right_high"]
    line = answer_kinds.reliability_figure(pd.DataFrame(rows, columns=columns)).data[1]
    assert list(line.marker.symbol) == ["circle-open", "circle"]
    assert list(line.error_y.array) == pytest.approx([0.25, 0.1])
    assert "3 of 12 facts" in line.text[0]
    assert "too few facts to tell" in line.text[0]
    assert "too few" not in line.text[1]


def test_figures_without_facts_are_empty_and_no_error():
    """Nothing to draw."""
    assert len(answer_kinds.answers_map({}).data) == 0
    assert len(answer_kinds.kinds_figure(pd.DataFrame()).layout.yaxis.ticktext) == 0
    assert list(answer_kinds.fact_answers_figure([]).data[0].x) == []


def test_a_facts_answers_tell_the_correct_one_and_the_rival_by_colour():
    """Nine answers: eight bars and one for the last; teal is correct, red the planted rival."""
    answers = [{"answer": f"word {at}", "count": 20 - at, "share": (20 - at) / 144, "templates": 2, "right": at == 1} for at in range(9)]
    bar = answer_kinds.fact_answers_figure(answers, rival="word 0").data[0]
    teal, red = answer_kinds.LOOKS["settled"][0], answer_kinds.LOOKS["rival"][0]
    assert (bar.marker.color[0], bar.marker.color[1], len(bar.x)) == (red, teal, 9)
    assert bar.hovertext[8].startswith("<b>1 other answer</b><br>12 completions")
