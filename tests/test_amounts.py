"""Differences and times as people read them; and that nothing else writes them."""

import ast
from pathlib import Path

import pytest

from sftqa_core.records.amounts import duration, points, signed, span

ROOT = Path(__file__).parents[1]
SOURCES = [*(ROOT / "sftqa_core").rglob("*.py"), *(ROOT / "pages").rglob("*.py")]
AROUND_NOTHING = ("kappa", "spearman", "tau", "rank")  # what lies around 0 on either side


def test_a_difference_has_a_sign_unless_it_rounds_to_nothing():
    """-0.04 points are 0.0: neither -0.0 nor +0.0."""
    assert [points(share) for share in (0.031, -0.004, -0.0004, 0.0004, 0.0, -0.0)] == ["+3.1", "-0.4", "0.0", "0.0", "0.0", "0.0"]
    assert [signed(-0.004, 2), signed(-0.006, 2), signed(1234.5)] == ["0.00", "-0.01", "+1234.5"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"), (89.9, "90 s"), (90, "2 min"), (89 * 60, "89 min"), (90 * 60, "1 h 30 min"), (3600 * 24 - 31, "23 h 59 min"),
        (3600 * 24 - 1, "1 day"), (3600 * 24, "1 day"), (3600 * 27, "1 day 3 h"), (3600 * 52, "2 days 4 h"),
        (3600 * 24 * 40, "40 days"), (float("nan"), "unknown"),
    ],
)  # fmt: skip
def test_a_time_is_told_in_the_units_that_people_use(seconds, words):
    """Days from 24 hours on, never 52 h; never 60 min or 24 h beside a day."""
    assert duration(seconds) == words
    assert span(seconds, seconds) == words


def test_signs_of_rounded_numbers_are_written_in_one_place():
    """No format asks for a sign itself, and none of a number around 0 leaves a minus in front of nothing."""
    wrong = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if path.name != "amounts.py" else ():
            if isinstance(node, ast.FormattedValue) and node.format_spec is not None:
                spec, value = ast.unparse(node.format_spec).strip("f'\""), ast.unparse(node.value)
                if "+" in spec:
                    wrong.append(f"{path.name}:{node.lineno}: {value}: use records.amounts.signed")
                if spec.endswith("f") and any(name in value for name in AROUND_NOTHING) and "z" not in spec:
                    wrong.append(f"{path.name}:{node.lineno}: {value} may round to -0: write z in its format")
    assert wrong == []
