"""Drift, tested on traces."""

import numpy as np
import pytest

from sftqa_core.evaluation.inside.drift_tables import Drift
from sftqa_core.evaluation.inside.drift_weights import PUBLISHED_TOP
from sftqa_core.figures import inside_drift
from tests.looks import LABELS, SHARES, drift_look


@pytest.fixture(scope="module")
def drift() -> Drift:
    looks = [drift_look(n=n, seed=seed, size=n / 60, levels=(0,)) for n in (60, 240) for seed in (0, 1)]
    return Drift(looks[:2], looks)


def test_levels_have_means_with_intervals_and_medians(drift):
    """Two domains side by side at each level and over all, of one kind of prompt; the pointer tells both measures and their facts."""
    figure = inside_drift.levels_figure(drift.by_level, "questions", LABELS)
    means = [trace for trace in figure.data if trace.showlegend]
    assert [trace.name for trace in means] == ["in-domain", "out-of-domain"]
    assert list(means[0].y) == pytest.approx([2.0, 1.5, 1.75], abs=0.03)
    assert [round(x) for x in means[0].x] == [0, 1, 2]
    assert len({x for trace in means for x in trace.x}) == 6
    assert min(means[0].error_y.array) > 0
    assert list(figure.data[1].y)[1] == pytest.approx(1.03, abs=0.1)  # L1's median is a kept fact's
    assert figure.layout.xaxis.ticktext == ("<b>L0</b>", "<b>L1</b>", "<b>all</b>")
    assert means[0].text[0].startswith("<b>L0, in-domain</b><br>mean 2.0")
    assert means[0].text[0].endswith("40 facts, 2 seeds")


def test_lost_and_kept_stand_side_by_side_and_few_are_hollow(drift):
    """27 lost facts are hollow, without interval or difference; 53 kept ones are filled; their numbers stand below the level."""
    figure = inside_drift.lost_figure(drift.lost_and_kept, "questions", LABELS)
    kept, lost = figure.data
    assert (kept.name, lost.name) == ("stayed right", "lost")
    assert (kept.y[0], lost.y[0]) == pytest.approx((1.0, 2.5), abs=0.05)
    assert (kept.marker.symbol[0], lost.marker.symbol[0]) == ("circle", "triangle-down-open")
    assert lost.text[0].endswith("27 facts<br>too few facts to tell")
    assert min(kept.error_y.array) > 0
    assert np.isnan(lost.error_y.array).all()
    assert ("(95%: " in kept.text[0], "(95%: " in lost.text[0]) == (True, False)
    assert figure.layout.xaxis.ticktext == ("<b>L0</b>", "<b>L1</b><br>27 | 53", "<b>all</b><br>27 | 53")
    assert "lost less kept" not in kept.text[0]


def test_amounts_are_lines_by_training_level(drift):
    """A line in the level's colour, its points in the order of n."""
    (line,) = inside_drift.amounts_figure(drift.by_setting, "questions", LABELS).data
    assert line.name == "L0"
    assert list(line.y) == pytest.approx([1.5, 6.0], rel=0.03)
    assert line.x[0] < line.x[1]
    assert line.line.color == inside_drift.style.level_colours(2)[0]


def test_each_run_is_a_point_of_its_setting(drift):
    """KL as published against accuracy on the highest level; a name for each setting, its colour that of the training level."""
    few, many = inside_drift.runs_figure(drift.runs, "L1", LABELS).data
    assert [trace.name for trace in (few, many)] == ["L0, n = 60", "L0, n = 240"]
    assert {trace.marker.color for trace in (few, many)} == {inside_drift.style.level_colours(2)[0]}
    assert (few.marker.symbol[0], many.marker.symbol[0]) == ("circle", "square")
    assert [*few.y, *many.y] == pytest.approx([53 / 80] * 4)
    assert many.x[0] == pytest.approx(4 * few.x[0], rel=0.05)
    assert few.text[0].startswith("<b>n = 60, trained on L0, seed 0</b><br>run-60-(0,)-0<br>KL 0.0")
    assert few.text[0].endswith("80 facts<br>accuracy 66.2% (95%: 55.4% to 75.7%), 80 facts")


def test_of_many_settings_the_legend_names_the_training_levels():
    """Once each, in colours of their own where they are no single level."""
    looks = [drift_look(n=60 + n, levels=levels) for n in range(3) for levels in (None, (0,), (0, 1))]
    figure = inside_drift.runs_figure(Drift(looks[:1], looks).runs, "L1", LABELS)
    assert len(figure.data) == 9
    named = [trace for trace in figure.data if trace.showlegend]
    assert [trace.name for trace in named] == ["L0", "L0, L1", "all levels"]
    assert len({trace.marker.color for trace in named}) == 3


def test_cells_show_each_modules_part(drift):
    """Layers down, modules across, the squared update as text, its density as shade; modules outside of layers have no cell."""
    figure = inside_drift.update_figure(drift.modules)
    heat, texts = figure.data
    assert figure.layout.xaxis.ticktext == ("q", "down")
    assert [list(line) for line in heat.z] == [[pytest.approx(0.6), pytest.approx(0.6)], [None, pytest.approx(0.6)]]
    assert dict(zip(zip(texts.x, texts.y, strict=True), texts.text, strict=True)) == {(0, 0): "10.0%", (1, 0): "20.0%", (1, 1): "20.0%"}


def test_modules_stand_beside_their_size_and_the_published_ones(drift):
    """Four signs a module; the published one says what its parameters alone give."""
    figure = inside_drift.modules_figure(drift.by_module)
    assert [trace.name for trace in figure.data] == ["top 20% of changes", "squared update", "all parameters", "LLaMA-3-8B (published)"]
    assert list(figure.data[0].x) == pytest.approx([0.5, 0.5])
    assert list(figure.data[2].x) == pytest.approx([0.2, 0.8])
    assert figure.data[3].text[1] == "<b>down_proj</b><br>LLaMA-3-8B (published): 28.9%<br>its parameters: 26.9%"


def test_the_top_of_each_ranking_beside_the_published_one(drift):
    """A line a ranking over the paper's shares."""
    figure = inside_drift.top_figure(drift.top, PUBLISHED_TOP)
    assert [trace.name for trace in figure.data] == [
        "relative change", "the same, dealt out by chance", "size of the change", "LLaMA-3-8B (published)",
    ]  # fmt: skip
    assert list(figure.data[0].y) == pytest.approx(np.array(SHARES) ** 0.1)
    assert figure.layout.xaxis.ticktext == ("1%", "3%", "5%", "10%", "20%", "40%", "60%")
    assert list(figure.data[3].y) == list(PUBLISHED_TOP)


def test_nothing_measured_draws_nothing(drift):
    """Empty tables make empty figures."""
    assert len(inside_drift.levels_figure(drift.by_level.head(0), "questions", LABELS).data) == 0
    assert len(inside_drift.amounts_figure(drift.by_setting.head(0), "questions", LABELS).data) == 0
    assert len(inside_drift.update_figure(drift.modules.head(0)).data[1].x) == 0
