"""How much is tested: what a change is judged by, or with SFTQA_TESTS=full all of it (make faults, make test-full)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

FULL = os.environ.get("SFTQA_TESTS") == "full"
in_full = pytest.mark.full  # of a test that costs much and tells little that cheaper ones do not: only in a full run


def spread(*choices: Sequence[Any]) -> list[tuple[Any, ...]]:
    """As few combinations as hold every choice: the first of each, the second of each, and so on, the shorter lists over again.

    For choices that do not depend on each other. In a full run all combinations.
    """
    if FULL:
        return list(itertools.product(*choices))
    return [tuple(choice[at % len(choice)] for choice in choices) for at in range(max(map(len, choices)))]


def few(choices: Iterable[Any], *ordinary: Any) -> list[Any]:
    """Of choices that are much alike those that every change is judged by; in a full run all of them."""
    every = list(choices)
    assert all(choice in every for choice in ordinary)
    return every if FULL else list(ordinary)
