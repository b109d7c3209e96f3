"""The benchmark's rows."""

from types import SimpleNamespace

import pandas as pd
import pytest

from benchmarks.sixty import Bench
from sftqa_core.records import LevelScheme
from tests.small import level_table

FACTS = pd.DataFrame({"fact_id": list("abcd"), "domain": ["in", "in", "out", "out"]})
ANSWERS = pd.DataFrame({"fact_id": list("abcd"), "stage": "after", "correct": [True, False, True, True]})
TWO = LevelScheme("two", ("low", "high"), (0.5,))


def row(levels):
    bench = SimpleNamespace(facts={"dev": FACTS}, levels={"dev": level_table(FACTS, levels)}, settings=SimpleNamespace(scheme=TWO))
    return Bench.row(bench, "dev", ANSWERS)


def test_a_row_holds_both_macro_means():
    """In-domain one of two levels is right, out-of-domain both are."""
    assert row([0, 1, 0, 1]) == (0.5, 1.0, "1.000 0.000")


def test_a_level_without_facts_is_no_zero():
    """The program ends with the level's name: a missing mean must not enter a comparison as 0."""
    with pytest.raises(SystemExit, match=r"dev facts \(out-domain\) have no macro mean: no fact has level high\."):
        row([0, 1, 0, 0])
