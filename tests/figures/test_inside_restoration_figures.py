"""What putting weights back does, tested on traces."""

import pandas as pd
import pytest

from sftqa_core.evaluation.inside import restoration_tables as tables
from sftqa_core.figures.inside_restoration import blocks_figure, levels_figure, own_figure, shares_figure
from tests.restored_looks import BEST, LABELS, made_look


@pytest.fixture(scope="module")
def curve():
    return tables.curve([made_look()])


def trace(figure, name):
    return next(trace for trace in figure.data if trace.name == name)


def test_a_line_for_each_way_against_the_tuned_model(curve):
    """In points; the chosen share is larger, a loss that is too deep an arrow at the edge, below all other intervals; chance is dotted."""
    figure = shares_figure(curve, "in", "mean over levels", tables.WAYS, BEST)
    relative = trace(figure, "largest relative change")
    lowest = 100 * curve.query("domain == 'in' and level == 'mean over levels' and difference > -0.16")["low"].min()
    assert lowest < -16
    assert list(relative.y) == pytest.approx([0, 0, 22.5, lowest])
    assert [round(x) for x in relative.x] == [0, 1, 2, 4]
    assert list(relative.marker.size) == [7, 7, 13, 7]
    assert list(relative.marker.symbol) == ["diamond", "diamond", "diamond", "arrow-down"]
    assert list(figure.layout.xaxis.ticktext) == ["0%", "1%", "10%", "20%", "60%"]
    assert relative.text[2].startswith("<b>10% largest relative change, mean over levels</b><br>72.5%: +22.5 points (")
    assert "<br>80 facts, 1 seed<br>15.0% of the squared update put back<br>the share that dev facts choose" in relative.text[2]
    assert "-50.0 points" in relative.text[3]
    chance = trace(figure, "by chance, as many")
    assert (chance.line.dash, trace(figure, "largest absolute change").line.dash) == ("dot", "solid")
    assert "2 draws (70.0% to 72.5%)" in chance.text[1]
    low, high = figure.layout.yaxis.range
    assert low == pytest.approx(1.06 * lowest)
    assert high > max(relative.y)


def test_intervals_are_around_the_points(curve):
    """As long as the table says, whole inside the chart; an arrow has none."""
    row = curve.query("domain == 'in' and level == 'mean over levels' and way == 'relative' and share == 0.1").iloc[0]
    relative = trace(shares_figure(curve, "in", "mean over levels", tables.WAYS, BEST), "largest relative change")
    assert relative.error_y.array[2] == pytest.approx(100 * (row["high"] - row["difference"]))
    assert relative.error_y.arrayminus[2] == pytest.approx(100 * (row["difference"] - row["low"]))
    assert (relative.error_y.array[3], relative.error_y.arrayminus[3]) == (0, 0)
    figure = shares_figure(curve, "out", "L0", tables.WAYS, BEST)
    ends = [y - down for line in figure.data for y, down in zip(line.y, line.error_y.arrayminus, strict=True)]
    assert figure.layout.yaxis.range[0] < min(ends)


def test_published_lines_are_against_their_own_start(curve):
    """Grey and dashed, one name for all of them."""
    rows = [(train, share, 0.5 + 0.01 * at + share) for at, train in enumerate(("L0", "L1")) for share in (0.0, 0.1, 0.4)]
    reference = pd.DataFrame(rows, columns=["train", "share", "accuracy"])
    figure = shares_figure(curve, "in", "mean over levels", tables.WAYS, BEST, reference)
    lines = [trace for trace in figure.data if trace.legendgroup == "published"]
    assert [list(line.y) for line in lines] == [pytest.approx([0, 10])] * 2  # 40% was not tried here
    assert [line.showlegend for line in lines] == [True, False]
    assert {line.name for line in lines} == {"five training levels (published)"}
    assert lines[1].text[1] == "<b>trained on L1 (published)</b><br>10%: +10.0 points"


def test_one_share_by_level(curve):
    """The ways side by side at each level and in the mean."""
    figure = levels_figure(curve, "out", 0.1, LABELS, tables.WAYS)
    assert [trace.name for trace in figure.data] == ["largest relative change", "largest absolute change", "by chance, as many"]
    assert list(figure.layout.xaxis.ticktext) == ["<b>L0</b>", "<b>L1</b>", "<b>mean</b>"]
    relative = figure.data[0]
    assert dict(zip(map(round, relative.x), relative.y, strict=True)) == pytest.approx({0: 25, 1: 20, 2: 22.5})


def test_few_facts_are_hollow():
    """Below 30 at a level, in the mean too, with words."""
    curve = tables.curve([made_look(each=20)])
    figure = levels_figure(curve, "in", 0.1, LABELS, tables.WAYS)
    assert set(figure.data[0].marker.symbol) == {"diamond-open"}
    assert all(text.endswith("too few facts to tell") for text in figure.data[0].text)


def test_blocks_of_layers_stand_in_both_domains():
    """Where embeddings come first."""
    names = {block: tables.block_name(block) for block in ("other", "0-1", "2")}
    figure = blocks_figure(tables.blocks([made_look()]), names)
    assert [trace.name for trace in figure.data] == ["in-domain", "out-of-domain"]
    assert list(figure.data[0].y) == pytest.approx([0, -47.5, -1.25])
    assert list(figure.layout.xaxis.ticktext) == ["embeddings<br>and the rest", "layers 0-1", "layer 2"]
    assert "30.0% of the squared update put back" in figure.data[1].text[1]


def test_own_examples_stand_beside_the_published_ones():
    """A trace a share with its intervals, few hollow; crosses at the same places."""
    published = pd.DataFrame([("L0", 0.0, 0.12), ("L0", 0.2, 0.3), ("L4", 0.0, 0.9)], columns=["train", "share", "accuracy"])
    own = tables.own([made_look()])
    figure = own_figure(own, LABELS, published)
    assert [trace.name for trace in figure.data] == ["nothing put back", "5% put back", "LLaMA-3-8B (published)"]
    nothing, some, crosses = figure.data
    assert list(nothing.y) == pytest.approx([0.1, 0.9, 1.0])
    assert list(nothing.marker.symbol) == ["circle", "circle", "circle-open"]
    assert nothing.error_y.array[0] == pytest.approx(own["high"][0] - own["accuracy"][0])
    assert nothing.text[2].endswith("5 examples<br>too few facts to tell")
    assert list(figure.layout.xaxis.ticktext) == ["<b>L0</b>", "<b>L1</b>", "level not<br>known"]
    assert (list(crosses.x), list(crosses.y)) == ([nothing.x[0]], [0.12])  # 20% was not tried here, and no example was at L4
    assert len(own_figure(own, LABELS).data) == 2
    assert len(own_figure(tables.own([]), LABELS, published).data) == 0
    assert nothing.x[0] < some.x[0]


def test_nothing_measured_draws_nothing():
    """Empty tables give empty charts."""
    empty = tables.curve([])
    assert len(shares_figure(empty, "in", "mean over levels", tables.WAYS, {}).data) == 0
    assert len(levels_figure(empty, "in", 0.1, LABELS, tables.WAYS).data) == 0
    assert [len(trace.y) for trace in blocks_figure(tables.blocks([]), {}).data] == [0, 0]
