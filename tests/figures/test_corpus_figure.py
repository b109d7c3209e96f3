"""Memory score against counts in a training corpus: signs and means, estimates apart, and words that claim no more."""

import math

import pandas as pd
import pytest

from sftqa_core.figures.model_comparison import MOST_SIGNS, corpus_figure


def facts(*rows: tuple[int, bool, float]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["count", "estimated", "score"])
    return table.assign(subject=[f"Town {at}" for at in range(len(rows))], relation="P17", level="L2")


def parts(figure):
    signs = [trace for trace in figure.data if trace.mode == "markers"]
    return signs, {trace.name: trace for trace in figure.data if trace.mode != "markers"}


def test_a_sign_a_fact_and_a_line_of_means():
    """On a logarithmic axis where 0 has a place of its own."""
    signs, lines = parts(corpus_figure(facts(*[(0, False, 0.2)] * 30, *[(100, False, 0.6)] * 30, *[(10_000, False, 0.9)] * 30)))
    (line,) = lines.values()
    assert line.name == "counted"
    assert line.y == pytest.approx((0.2, 0.6, 0.9))
    assert line.x[1:] == pytest.approx((2, 4))
    assert line.x[0] < 2
    assert len(signs[0].x) == 90


def test_estimates_stand_apart():
    """In another sign and colour."""
    signs, lines = parts(corpus_figure(facts((5, False, 0.4), (500, True, 0.2))))
    assert set(lines) == {"counted", "estimated count"}
    assert len({trace.marker.symbol for trace in signs}) == 2
    assert "500 times, estimated count" in signs[1].text[0]


def test_words_say_what_was_counted():
    """Never that a fact was stated."""
    figure = corpus_figure(facts((0, False, 0.0), (1_234, False, 0.5)))
    told = "".join(text for trace in figure.data for text in trace.text) + figure.layout.xaxis.title.text
    assert "<b>Town 1</b> (P17)<br>named together 1,234 times, counted<br>R 0.50, L2" in told
    assert figure.layout.xaxis.title.text == "places in the corpus that name both"
    assert "not counted together" in told
    assert "stated" not in told
    assert "mention" not in told


def test_large_counts_have_ticks_and_many_facts_few_signs():
    """Up to hundreds of millions, whose ticks have room on a telephone."""
    figure = corpus_figure(facts(*[(10 ** (at % 9), False, 0.5) for at in range(MOST_SIGNS + 50)]))
    assert len(parts(figure)[0][0].x) == MOST_SIGNS
    assert figure.layout.xaxis.tickvals == pytest.approx((0, 2, 4, 6, 8))
    assert math.log10(300) in corpus_figure(facts((1, False, 0.5), (900, False, 0.5))).layout.xaxis.tickvals


def test_no_facts_no_signs():
    """An empty chart, and no error."""
    assert parts(corpus_figure(facts().astype({"estimated": bool}))) == ([], {})
