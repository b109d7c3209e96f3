"""Learning curves, tested on traces."""

import pandas as pd
import pytest

from sftqa_core.figures.curves import MODEL_COLOURS
from sftqa_core.figures.inside_curves import curves_figure, regression_figure, shares_figure, train_by_test_figure
from sftqa_core.figures.style import GREY, level_colours

LABELS = ("L0", "<b>")


def steps(facts=40):
    rows = [
        {
            "part": part, "level": level, "domain": "all", "step": step, "facts": facts, "seeds": 2, "logprob": -4.0 + at + step / 10,
            "low": -5.0 + at, "high": -3.0 + at, "per_token": -1.0, "fits": 0.5, "fits_low": 0.4, "fits_high": 0.6,
        }
        for part in ("train", "dev") for at, level in enumerate((*LABELS, "all")) for step in (0, 10)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_each_level_has_a_line_and_a_band():
    """In its colour, from step 0; the band goes there and back; both parts have one scale; names are shown as they stand."""
    figure = curves_figure(steps(), "dev", "all", LABELS)
    bands, lines = figure.data[::2], figure.data[1::2]
    assert [line.name for line in lines] == ["L0", "&lt;b&gt;"]
    assert [line.line.color for line in lines] == level_colours(2)
    assert list(lines[1].x) == [0, 10]
    assert list(lines[1].y) == pytest.approx([-3.0, -2.0])
    assert list(bands[1].x) == [0, 10, 10, 0]
    assert list(bands[1].y) == pytest.approx([-2.0, -2.0, -4.0, -4.0])
    assert figure.layout.yaxis.range == curves_figure(steps(), "train", "all", LABELS).layout.yaxis.range == (pytest.approx(-5.25), 0.3)
    assert lines[1].text[1] == (
        "<b>&lt;b&gt;, step 10</b><br>log P -2.00 (95%: -4.00 to -2.00)<br>fitted: 50.0% (95%: 40.0% to 60.0%)<br>40 facts, 2 seeds"
    )


def test_few_facts_are_hollow_and_have_no_band():
    """And the pointer says so; without levels all facts are one grey line; an empty table is an empty figure."""
    lines = curves_figure(steps(facts=29), "dev", "all", LABELS).data
    assert [set(line.marker.symbol) for line in lines] == [{"circle-open"}] * 2
    assert "too few facts to tell" in lines[0].text[0]
    (_, line) = curves_figure(steps().query("level == 'all'"), "dev", "all", LABELS).data
    assert (line.name, line.line.color) == ("all facts", GREY)
    assert len(curves_figure(pd.DataFrame(), "dev", "all", LABELS).data) == 0


def test_examples_stand_beside_dev_facts():
    """At each level one of both, side by side, with intervals; a median that was not reached is told in words."""
    rows = [
        {"part": part, "level": level, "domain": "in", "facts": 40, "seeds": 1, "before": 0.0, "share": 0.4, "low": 0.3, "high": 0.6,
         "median": median}
        for part in ("train", "dev") for level, median in (("L0", float("nan")), ("all", 12.0))
    ]  # fmt: skip
    train, dev = shares_figure(pd.DataFrame(rows), LABELS, "ever fitted").data
    assert (train.name, train.marker.color, dev.marker.color) == ("training examples", MODEL_COLOURS[0], GREY)
    assert (train.name, dev.name) == ("training examples", "in-domain dev facts, not trained on")
    both = shares_figure(pd.DataFrame(rows).assign(domain="all"), LABELS, "ever fitted").data
    assert both[1].name == "dev facts, not trained on"
    assert [round(x, 2) for x in train.x] == [0.86, -0.14]
    assert [round(x, 2) for x in dev.x] == [1.14, 0.14]
    assert list(train.error_y.array) == pytest.approx([0.2, 0.2])
    assert list(train.error_y.arrayminus) == pytest.approx([0.1, 0.1])
    assert "median step 12" in train.text[0]
    assert "fewer than half are ever fitted" in train.text[1]
    assert len(shares_figure(pd.DataFrame(), LABELS, "ever fitted").data) == 0


def test_coefficients_stand_beside_the_published_ones():
    """In points, the base left out; an interval without end does not flatten the others; without own ones the published remain."""
    own = pd.DataFrame(
        [
            ("in", "base", 0.4, 0.3, 0.5, 100, 0.5),
            ("in", "known", 0.1, 0.05, 0.2, 100, 0.5),
            ("in", "unknown", -0.1, -3.0, 3.0, 100, 0.5),
        ],
        columns=["domain", "coefficient", "value", "low", "high", "facts", "r2"],
    )
    published = pd.DataFrame({"domain": ["in", "in"], "coefficient": ["base", "unknown"], "value": [0.369, -0.083], "r2": [0.86, 0.86]})
    figure = regression_figure(own, published)
    mine, theirs = figure.data
    assert list(mine.y) == pytest.approx([10.0, -10.0])
    assert mine.text[0] == "<b>in-domain, known examples</b><br>+10.0 points (95%: +5.0 to +20.0)<br>R² 0.50"
    assert list(theirs.y) == pytest.approx([-8.3])
    assert theirs.name == "PaLM 2-M (published)"
    assert figure.layout.yaxis.range == pytest.approx((-21.6, 21.6))
    assert [trace.name for trace in regression_figure(own.head(0), published).data] == ["PaLM 2-M (published)"]


def test_train_levels_are_rows_and_test_levels_columns():
    """Of one stop; few facts stand in brackets; the published table has no numbers of facts."""
    table = pd.DataFrame(
        [
            ("early stop", "Unknown", "all", 200, 0.375),
            ("early stop", "Unknown", "Unknown", 20, 0.006),
            ("convergence", "x", "all", 1, 0.1),
        ],
        columns=["stop", "train", "test", "facts", "accuracy"],
    )
    heat, texts = train_by_test_figure(table, "early stop", ("all", "Unknown")).data
    assert [list(row) for row in heat.z] == [[0.375, 0.006]]
    assert list(texts.text) == ["38%", "(1%)"]
    assert heat.text[0][1] == "<b>trained on Unknown, tested on Unknown</b><br>0.6%<br>20 facts<br>too few facts to tell"
    published = train_by_test_figure(table.drop(columns="facts"), "early stop", ("all", "Unknown")).data
    assert list(published[1].text) == ["38%", "1%"]
    assert published[0].text[0][0].endswith("<br>published")
