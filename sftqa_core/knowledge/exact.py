"""Is a text an answer, and nothing else? SliCK's rule, for answers to few-shot questions (METHOD section 1).

The text counts up to its first line break. Both sides are brought into one form: NFKC, case folded, runs of white space as one
space, and quotes, brackets, dashes and the marks . , ; : ! ? … taken off both ends, unless nothing would be left. Then they must
be equal: "Paris." is the answer "Paris", "Paris, France" and "It is Paris" are not. The case of short answers does not count
here, since nothing else can stand around them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from sftqa_core.knowledge.answers import normalise

EXACT = "exact"  # the rule's name, beside those of answers.MATCHES
_BREAKS = ("\n", "\r")
_MARKS = frozenset(".,;:!?…'\"`´")
_PAIRED = frozenset(("Ps", "Pe", "Pi", "Pf", "Pd"))  # brackets, typographic quotes, dashes


@dataclass(frozen=True)
class ExactAnswers:
    """One fact's answers, ready to be compared with many texts; stands in for `answers.CompiledAnswers`."""

    forms: tuple[tuple[str, str], ...]  # (plain form, the answer as it was given)
    whole_words: bool = True  # a letter or digit closes nothing: what lets a row be passed over while it is drawn

    def find(self, text: str, closed: bool = True) -> str | None:
        """The answer, as it was given, that the first line of `text` is, or None. With `closed=False`, None: a line that is not
        over may go on."""
        return dict(self.forms).get(plain_form(first_line(text))) if closed else None

    def over(self, text: str) -> bool:
        """Whether nothing that follows `text` can count any more: a line has ended."""
        return any(mark in text for mark in _BREAKS)


def exact_answers(answers: Iterable[str]) -> ExactAnswers:
    """`answers` (aliases already added) for repeated use. Empty answers are passed over."""
    forms: dict[str, str] = {}
    for answer in answers:
        if plain := plain_form(answer):
            forms.setdefault(plain, answer)
    return ExactAnswers(tuple(forms.items()))


def first_line(text: str) -> str:
    """A text up to its first line break."""
    for mark in _BREAKS:
        text = text.split(mark, 1)[0]
    return text


def plain_form(text: str) -> str:
    """What is compared: see above."""
    folded = normalise(text)
    start, end = 0, len(folded)
    while start < end and _is_trimmed(folded[start]):
        start += 1
    while end > start and _is_trimmed(folded[end - 1]):
        end -= 1
    return folded[start:end] or folded


def _is_trimmed(character: str) -> bool:
    return character.isspace() or character in _MARKS or unicodedata.category(character) in _PAIRED
