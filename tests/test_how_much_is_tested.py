"""What an ordinary run leaves out is run by another target of the Makefile."""

import re
from pathlib import Path

import pytest

from tests import amount

ROOT = Path(__file__).parents[1]
TARGETS = dict(re.findall(r"^([\w-]+):.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_a_full_run_has_all_choices_and_an_ordinary_one_few(monkeypatch):
    """Of choices that are much alike those that are named; a name that is none of them is refused."""
    monkeypatch.setattr(amount, "FULL", False)
    assert amount.few("abc", "b") == ["b"]
    assert amount.spread("abc", (1, 2)) == [("a", 1), ("b", 2), ("c", 1)]
    monkeypatch.setattr(amount, "FULL", True)
    assert amount.few("abc", "b") == ["a", "b", "c"]
    assert len(amount.spread("abc", (1, 2))) == 6
    with pytest.raises(AssertionError):
        amount.few("abc", "d")


def test_what_an_ordinary_run_leaves_out_has_a_target():
    """Tests marked `full` and the other choices: test-full, of faults also faults; all tests in a browser: journeys."""
    assert "SFTQA_TESTS" not in TARGETS["test"]
    assert "SFTQA_TESTS=full" in TARGETS["test-full"]
    assert "SFTQA_TESTS=full" in TARGETS["faults"]
    assert '-m "browser or journey" tests/browser tests/journeys' in TARGETS["journeys"]
    for folder, mark in (("browser", "browser"), ("journeys", "journey")):
        for path in (ROOT / "tests" / folder).glob("test_*.py"):
            assert f"\npytestmark = pytest.mark.{mark}\n" in path.read_text(encoding="utf-8"), path.name
