"""Tables as text: each number by its kind."""

from __future__ import annotations

import pandas as pd

from sftqa_core.reports.number_columns import as_texts


def test_numbers_by_their_kind():
    """Shares, points, counts, p-values, lists, yes and no; what is missing is empty, nothing has no sign."""
    table = pd.DataFrame(
        {
            "model": ["m", None], "n": [1920, 60], "asked": [-1, 60], "accuracy": [0.3842, None], "difference": [0.031, -0.0001],
            "low": [-0.02, None], "p_holm": [0.0001, 0.5], "chosen": [True, False], "per_seed": [[0.5, 0.25], [0.1, 0.2]],
            "spearman": [0.5, None],
        }
    )  # fmt: skip
    head, rows = as_texts(table, {"low": "from"})
    assert head == ["model", "n", "asked", "accuracy", "difference", "from", "p after Holm", "chosen", "per seed", "spearman"]
    assert rows == [
        ["m", "1,920", "all", "38.4%", "+3.1", "-2.0", "< 0.001", "yes", "50.0%, 25.0%", "0.50"],
        ["", "60", "60", "", "0.0", "", "0.500", "no", "10.0%, 20.0%", ""],
    ]


def test_no_rows():
    """Headings alone."""
    assert as_texts(pd.DataFrame(columns=["facts", "share"])) == (["facts", "share"], [])
