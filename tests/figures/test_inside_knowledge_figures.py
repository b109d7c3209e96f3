"""Charts of what a model knows and does not say."""

import pandas as pd
import pytest

from sftqa_core.figures.inside_knowledge import activation_figure, internal_figure, known_figure, moves_figure

CLASSES = ("known and said", "known, not said", "said, not known", "not known")


def level_row(level, model, known, facts=40):
    row = {"domain": "in", "level": level, "model": model, "facts": facts, "seeds": 1, "chance": 0.1}
    shares = {"known": known, "said": known / 2, "other": 0.2}
    return row | {
        f"{name}{end}": value + shift for name, value in shares.items() for end, shift in (("", 0), ("_low", -0.1), ("_high", 0.1))
    }


def test_known_and_said_stand_beside_another_subject_and_chance():
    """A trace each, points side by side at each level, hollow where facts are few, chance across."""
    rows = [level_row(level, model, 0.6, facts) for level, facts in (("L0", 12), ("all", 52)) for model in ("base", "tuned")]
    figure = known_figure(pd.DataFrame(rows), "in", ("L0", "L1"))
    assert [trace.name for trace in figure.data] == [
        "base knows",
        "base says",
        "tuned knows",
        "tuned says",
        "base, another subject",
        "chance",
    ]
    knows = figure.data[0]
    assert (list(knows.y), list(knows.marker.symbol)) == ([0.6, 0.6], ["circle-open", "circle"])
    assert [list(trace.marker.symbol) for trace in figure.data[1:4]] == [
        ["x-open", "x"], ["diamond-open", "diamond"], ["cross-open", "cross"],
    ]  # fmt: skip
    assert list(knows.error_y.array) == pytest.approx([0.1, 0.1])
    assert knows.text[0] == "<b>base knows, L0</b><br>60.0% (95%: 50.0% to 70.0%)<br>12 facts, 1 seed<br>too few facts to tell"
    assert list(figure.layout.xaxis.ticktext) == ["<b>L0</b>", "<b>all</b>"]
    assert list(figure.data[-1].y) == [0.1, 0.1]
    assert len(known_figure(pd.DataFrame(), "in", ("L0",)).data) == 5


def test_moves_are_cells_with_counts_shaded_by_row():
    """Rows are the base model's classes; a row without facts has no shade."""
    rows = [
        {"domain": "all", "before": CLASSES[1], "after": after, "facts": facts}
        for after, facts in zip(CLASSES, (30, 10, 0, 0), strict=True)
    ]
    figure = moves_figure(pd.DataFrame(rows), "all", CLASSES)
    heat, texts = figure.data
    assert list(heat.z[1]) == [0.75, 0.25, 0.0, 0.0]
    assert list(heat.z[0]) == [None] * 4
    assert list(texts.text[4:8]) == ["30", "10", "0", "0"]
    assert heat.text[1][0] == "<b>known, not said → known and said</b><br>30.0 facts<br>75.0% of 40 facts that were known, not said"
    assert len(figure.layout.shapes) == 4
    assert len(moves_figure(pd.DataFrame(), "all", CLASSES).data) == 2


def test_rankings_of_pairs_stand_in_rows_with_the_published_one():
    """Both models in each row, the published value named as such, no point where there is no value."""
    rows = [
        {"model": model, "by": by, "facts": 50, "pairs": 200.0, "auc": auc, "low": 0.5, "high": 0.9}
        for model in ("base", "tuned") for by, auc in (("likelihood", 0.8), ("linear probe", None))
    ]  # fmt: skip
    figure = internal_figure(pd.DataFrame(rows), 0.7)
    assert [(trace.name, list(trace.x)) for trace in figure.data] == [
        ("base model", [0.8]), ("tuned model", [0.8]), ("answer alone (published)", [0.7]),
    ]  # fmt: skip
    assert figure.data[0].text[0] == "<b>base model, likelihood</b><br>80.0% (95%: 50.0% to 90.0%)<br>50 facts, 200 pairs"


def test_answers_against_examples_begin_at_0():
    """A line for what the base model knows and one for what it does not; 0 examples have a place."""
    rows = [
        {"n": n, "kind": kind, "facts": 40.0, "seeds": 2, "answered": share, "low": share - 0.1, "high": share + 0.1}
        for n, share in ((0, 0.2), (60, 0.7)) for kind in ("known", "not known")
    ]  # fmt: skip
    figure = activation_figure(pd.DataFrame(rows))
    assert [(trace.name, list(trace.y)) for trace in figure.data] == [("base knows it", [0.2, 0.7]), ("base does not know it", [0.2, 0.7])]
    assert list(figure.layout.xaxis.ticktext) == ["0", "60"]
    assert figure.data[0].text[0].startswith("<b>base knows it, before tuning</b><br>20.0%")
    assert len(activation_figure(pd.DataFrame()).data) == 2
