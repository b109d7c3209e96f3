"""Train level against test level, tested on traces."""

import pandas as pd
import pytest

from sftqa_core.figures.matrices import MEAN, MIX, matrix_figure
from sftqa_core.studies import level, published
from sftqa_core.studies.statistics import MACRO

FOUR = ("never", "seldom", "often", "always")


def cell(train, test, accuracy, difference=None, p_holm=None, facts=200):
    ends = (None, None) if difference is None else (difference - 0.02, difference + 0.02)
    return ("m", "in", train, test, 600, facts, 3, accuracy, accuracy - 0.1, accuracy + 0.1, difference, *ends, p_holm, p_holm)


def matrix(*cells):
    return pd.DataFrame(cells, columns=list(level.MATRIX))


SMALL = matrix(
    cell("L0", "L0", 0.3, 0.1, 0.01), cell("L0", "L1", 0.5, -0.2, 0.049), cell("L0", MEAN, 0.4, -0.05, 0.05),
    cell("L1", "L0", 0.1, -0.1, 0.2), cell("L1", "L1", 0.9, 0.2, 0.001, facts=29), cell("L1", MEAN, 0.5, 0.05, 0.001),
    cell(MIX, "L0", 0.2), cell(MIX, "L1", 0.7), cell(MIX, MEAN, 0.45),
)  # fmt: skip


def outlined(figure):
    return [(round((shape.x0 + shape.x1) / 2), round((shape.y0 + shape.y1) / 2)) for shape in figure.layout.shapes]


def test_names_are_the_studys():
    """What figures may not import is the same as in the study that makes the table."""
    assert (MIX, MEAN) == (level.MIX, MACRO)


def test_rows_are_training_levels_and_columns_test_levels():
    """The first level is at the top left, the natural mix last, the mean at the right; cells say per cent."""
    heat, text = matrix_figure(SMALL, "m", "in", ["L0", "L1"]).data
    assert [list(row) for row in heat.z] == [[0.3, 0.5, 0.4], [0.1, None, 0.5], [0.2, 0.7, 0.45]]
    assert list(zip(text.x, text.y, text.text, strict=True))[:4] == [(0, 0, "30.0%"), (1, 0, "50.0%"), (2, 0, "40.0%"), (0, 1, "10.0%")]
    layout = matrix_figure(SMALL, "m", "in", ["L0", "L1"]).layout
    assert layout.xaxis.ticktext == ("<b>L0</b>", "<b>L1</b>", "<b>mean</b>")
    assert layout.yaxis.ticktext == ("<b>L0</b>", "<b>L1</b>", "<b>natural<br>mix</b>")
    assert layout.yaxis.range[0] > layout.yaxis.range[1]


def test_a_cell_of_few_facts_has_its_number_but_no_shade():
    """Under 30 facts the pointer says 'too few facts to tell' and the number stays."""
    heat, text = matrix_figure(SMALL, "m", "in", ["L0", "L1"]).data
    assert heat.z[1][1] is None
    assert "90.0%" in text.text
    assert [["too few facts to tell" in told for told in row] for row in heat.text] == [
        [False, False, False],
        [False, True, False],
        [False, False, False],
    ]


def test_the_pointer_tells_interval_facts_and_difference():
    """Numbers, what they rest on, and the comparison with the natural mix."""
    heat = matrix_figure(SMALL, "m", "in", ["L0", "L1"]).data[0]
    assert heat.text[0][0] == (
        "<b>trained on L0, tested on L0</b><br>30.0% (95%: 20.0% to 40.0%)<br>200 facts, n = 600, 3 seeds"
        "<br>+10.0 points against the natural mix (95%: +8.0 to +12.0)<br>Holm p 0.010"
    )
    assert heat.text[2][0].endswith("200 facts, n = 600, 3 seeds")


def test_only_a_row_that_was_told_apart_is_outlined():
    """The highest number of a column has no frame of its own; a row that was told apart has one, the natural mix too, where it is drawn."""
    assert outlined(matrix_figure(SMALL, "m", "in", ["L0", "L1"])) == []
    apart = {"L0": "L0", "L1": MIX}
    assert outlined(matrix_figure(SMALL, "m", "in", ["L0", "L1"], apart=apart)) == [(0, 0), (1, 2)]
    assert outlined(matrix_figure(SMALL, "m", "in", ["L0", "L1"], "difference", apart)) == [(0, 0)]  # the mix has no row there


def test_a_difference_that_rounds_to_nothing_has_no_sign():
    """-0.04 points are "0.0" in the cell and "0.0 points" at the pointer, never -0.0."""
    heat, text = matrix_figure(matrix(cell("L0", "L0", 0.3, -0.0004, 0.9)), "m", "in", ["L0"], "difference").data
    assert list(text.text) == ["0.0"]
    assert "<br>0.0 points against the natural mix (95%: -2.0 to +2.0)" in heat.text[0][0]


def test_differences_are_signed_points_and_shaded_only_where_they_can_be_told():
    """A corrected p of 0.05 or more leaves the cell without shade; the natural mix has no row; the scale is symmetric."""
    figure = matrix_figure(SMALL, "m", "in", ["L0", "L1"], "difference")
    heat, text = figure.data
    assert [list(row) for row in heat.z] == [[0.1, -0.2, None], [None, None, 0.05]]
    assert list(text.text) == ["+10.0", "-20.0", "-5.0", "-10.0", "+20.0", "+5.0"]
    assert [["cannot tell" in told for told in row] for row in heat.text] == [[False, False, True], [True, False, False]]
    assert (heat.zmin, heat.zmax) == (-0.2, 0.2)
    assert heat.colorscale[0][1] != heat.colorscale[-1][1]
    assert figure.layout.yaxis.ticktext == ("<b>L0</b>", "<b>L1</b>")


def test_ink_is_left_to_the_page():
    """Shades stay translucent and numbers have no colour of their own, so that both read on light and dark."""
    for value in ("accuracy", "difference"):
        heat, text = matrix_figure(SMALL, "m", "in", ["L0", "L1"], value).data
        assert text.textfont.color is None
        assert all(float(colour[:-1].split(",")[-1]) <= 0.5 for _, colour in heat.colorscale)


def test_the_published_matrix_is_drawn_as_ones_own():
    """It has no mix and no intervals; its means follow from its cells; without a test no row is outlined."""
    figure = matrix_figure(published.matrix(), "LLaMA-3-8B", "in", published.LEVELS)
    heat, text = figure.data
    assert (len(heat.z), len(heat.z[0])) == (5, 6)
    assert [f"{row[5]:.4f}" for row in heat.z] == ["0.4547", "0.5269", "0.5753", "0.5515", "0.5393"]
    assert text.text[0] == "1.8%"
    assert heat.text[1][1] == "<b>trained on L1, tested on L1</b><br>40.1%"
    assert outlined(figure) == []
    assert len(matrix_figure(published.matrix(), "LLaMA-3-8B", "in", published.LEVELS, "difference").data[1].text) == 0


def test_a_missing_level_makes_no_mean():
    """The mean is over all levels or not at all, and the hole says that it is not known."""
    table = published.matrix()
    heat = matrix_figure(table[(table["train"] != "L0") | (table["test"] != "L3")], "LLaMA-3-8B", "in", published.LEVELS).data[0]
    assert (heat.z[0][3], heat.z[0][5], heat.z[1][5]) == (None, None, pytest.approx(0.52688))
    assert heat.text[0][3] == "<b>trained on L0, tested on L3</b><br>unknown"


def test_a_scheme_of_four_levels_has_four_rows_in_its_order():
    """Labels come from the scheme, and text in them is no markup."""
    labels = ("<never>", *FOUR[1:])
    table = matrix(*(cell(train, test, 0.5) for train in reversed((*labels, MIX)) for test in labels))
    figure = matrix_figure(table, "m", "in", labels)
    assert figure.layout.yaxis.ticktext == (
        "<b>&lt;never&gt;</b>",
        "<b>seldom</b>",
        "<b>often</b>",
        "<b>always</b>",
        "<b>natural<br>mix</b>",
    )
    assert len(figure.layout.xaxis.ticktext) == 5  # with the mean


@pytest.mark.parametrize("table", [matrix(), pd.DataFrame([]), SMALL.assign(model="other")])
def test_without_cells_the_matrix_is_empty(table):
    """An empty table, even one without columns, draws no row, column or outline."""
    figure = matrix_figure(table, "m", "in", ["L0", "L1"], "difference")
    assert (figure.layout.yaxis.ticktext, figure.layout.xaxis.ticktext, figure.layout.shapes) == ((), (), ())
    assert len(figure.data[1].text) == 0
