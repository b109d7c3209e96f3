"""Two level schemes side by side."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from sftqa_core.memory.agreement import cross_table, tau_b
from sftqa_core.records import PAPER, SLICK


def levels(values, start=0):
    return pd.DataFrame({"fact_id": [f"{start + at:016x}" for at in range(len(values))], "level": values})


def test_tau_is_kendalls_b_on_tables_of_any_shape():
    """The same number as scipy's, with ties and with different numbers of levels."""
    rng = np.random.default_rng(0)
    for rows, columns in ((5, 4), (2, 8), (3, 3)):
        first = rng.integers(0, rows, 300)
        second = np.minimum(columns - 1, first * columns // rows + rng.integers(0, 2, 300))
        counts = np.zeros((rows, columns), dtype=int)
        np.add.at(counts, (first, second), 1)
        assert float(tau_b(counts)) == pytest.approx(kendalltau(first, second).statistic)
        assert float(tau_b(counts[:, ::-1])) == pytest.approx(-kendalltau(first, second).statistic)


def test_facts_of_both_are_counted_cell_by_cell():
    """Facts that only one scheme measured are left out; tau has an interval around it."""
    first, second = levels([0, 1, 1, 2, 3, 4, 4, 0] * 10), levels([0, 0, 1, 2, 2, 3, 2, 1] * 9)
    found = cross_table(first, second, PAPER, SLICK)
    assert (found.rows, found.columns, found.facts) == (PAPER.labels, SLICK.labels, 72)
    assert found.counts == ((9, 9, 0, 0), (9, 9, 0, 0), (0, 0, 9, 0), (0, 0, 9, 0), (0, 0, 9, 9))
    assert found.tau_low < found.tau < found.tau_high


@pytest.mark.parametrize("values", [[], [2], [1, 1, 1]])
def test_where_nothing_is_ordered_there_is_no_tau(values):
    """No facts, one fact, or all of them on one level: counted, and nothing claimed."""
    found = cross_table(levels(values), levels(values), PAPER, SLICK)
    assert (found.facts, found.tau, found.tau_low, found.tau_high) == (len(values), None, None, None)
