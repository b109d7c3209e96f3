"""Sentences on what was seen inside a model, and in which order they are read: what came out first, what cannot be told last. Light.

Every interval that is shown is the 95% one of its number alone, so that a sentence, its chart and its table say the same. A claim needs
more: that the interval corrected for all comparisons of the chapter leaves out 0, too (METHOD 8.9).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from sftqa_core.evaluation.intervals import ALPHA

INTERVALS = (
    "Intervals are 95%, each for its number alone. Words that compare (more, less, rises, helps) follow wider ones, corrected for all that "
    'a chapter compares: "cannot tell" may stand beside an interval that leaves out 0.'
)
Ends = tuple[float, float]


class Weight(IntEnum):
    """What stands behind a sentence; those with the smallest number are read first."""

    CLAIM = 0  # a comparison whose corrected interval leaves out 0
    NUMBER = 1  # what was measured, without a verdict
    OPEN = 2  # a question that these looks cannot answer


@dataclass(frozen=True)
class Sentence:
    """One sentence with its numbers."""

    text: str
    weight: Weight


@dataclass(frozen=True)
class Question:
    """What a sentence will answer, and how many differences it may tell of; `answered` has its verdict at level 1 - alpha."""

    differences: int
    answered: Callable[[float], Sentence]


def number(text: str) -> Question:
    """What was measured, without a verdict."""
    return Question(0, lambda alpha: Sentence(text, Weight.NUMBER))


def unanswered(text: str) -> Question:
    """What too little stands behind for any answer."""
    return Question(0, lambda alpha: Sentence(text, Weight.OPEN))


def answers(questions: Sequence[Question]) -> list[Sentence]:
    """A sentence each, in order; verdicts are corrected for all that is asked (Bonferroni)."""
    alpha = ALPHA / max(sum(question.differences for question in questions), 1)
    return ordered(question.answered(alpha) for question in questions)


def ordered(sentences: Iterable[Sentence]) -> list[Sentence]:
    """By weight; those of one weight stay in their order."""
    return sorted(sentences, key=lambda sentence: sentence.weight)


def texts(sentences: Iterable[Sentence]) -> list[str]:
    """The words alone."""
    return [sentence.text for sentence in sentences]


def side(shown: Ends, corrected: Ends) -> int:
    """1 or -1 where both intervals of a difference lie on that side of 0, else 0: a claim follows the corrected one, and never stands
    beside one that holds 0."""
    return int(min(shown[0], corrected[0]) > 0) - int(max(shown[1], corrected[1]) < 0)


def judged(interval: Callable[[float], Ends], alpha: float) -> tuple[int, Ends]:
    """`side` of a difference whose interval at level 1 - alpha is `interval(alpha)`, and the 95% one, which is shown."""
    shown = interval(ALPHA)
    return side(shown, interval(alpha)), shown


def compared(side: int, text: str) -> Sentence:
    """A comparison in words: a claim where it lies on one side of 0."""
    return Sentence(text, Weight.CLAIM if side else Weight.OPEN)
