"""Figures are made once for all who look at the same, and never for another figure's data or theme."""

from types import SimpleNamespace

import pytest

from pages._ui import charts
from sftqa_core.figures.themes import INK, TOOLS


class Place:
    """Where figures are drawn: keeps them."""

    def __init__(self):
        self.drawn = []

    def plotly_chart(self, figure, config, key, alt, height):
        self.drawn.append(figure)


@pytest.fixture
def draw(monkeypatch):
    """`draw(of, theme="dark")` draws a figure of one point, with the number of figures made so far as its height."""
    from plotly.graph_objects import Figure

    place, made = Place(), []
    monkeypatch.setattr(charts, "_drawn", type(charts._drawn)())

    def figure():
        made.append(1)
        return Figure([{"type": "scatter", "mode": "text", "x": [0], "y": [len(made)], "text": ["a"]}])

    def draw(of, theme="light", key="chart"):
        monkeypatch.setattr(charts.st, "context", SimpleNamespace(theme=SimpleNamespace(type=theme)))
        charts.draw(figure, key=key, alt="a point", place=place, of=of)
        return place.drawn[-1].data[0].y[0]

    draw.place = place
    return draw


def test_the_same_figure_is_made_once(draw):
    """Everything it hangs on, its key and the theme decide; another of them is another figure."""
    assert [draw(("a", 1)), draw(("a", 1)), draw(("a", 2)), draw(("a", 1), key="other"), draw(("a", 1), "dark"), draw(("a", 1))] == [
        1, 1, 2, 3, 4, 1,
    ]  # fmt: skip


def test_without_what_it_hangs_on_it_is_made_each_time(draw):
    """Nothing is kept that could be another's."""
    assert [draw(None), draw(None)] == [1, 2]


def test_the_oldest_go_first(draw, monkeypatch):
    """Two fit: the third takes the place of the one that was looked at longest ago."""
    monkeypatch.setattr(charts, "_KEPT", 2)
    assert [draw("a"), draw("b"), draw("a"), draw("c"), draw("a"), draw("b")] == [1, 2, 1, 3, 1, 4]


def test_words_on_the_page_are_readable_in_either_theme(draw):
    """Text without a colour of its own takes the page's, and so do axes."""
    for theme in ("light", "dark"):
        draw("a", theme)
        figure = draw.place.drawn[-1]
        assert figure.data[0].textfont.color == figure.layout.font.color == INK[theme]
        assert figure.layout.xaxis.tickfont.color == figure.layout.yaxis.title.font.color == TOOLS[theme]
