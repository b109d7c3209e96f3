"""A look at a person's answers before anything is measured: what most of them share that would keep them from ever being found.

A file in which every answer is written as `[Paris]`, or as the letter of an option, gives a memory score of 0 for every fact, and nothing
but the numbers would tell. What is said here goes with the source: into its preview, `sftqa facts`, the Memory page and preflight.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sftqa_core.jsonrecord import shown
from sftqa_core.knowledge import values

if TYPE_CHECKING:
    import pandas as pd

LEAST = 2  # answers; one alone shares nothing
LONG = 100  # characters; no model repeats so much word for word
_BRACKETS = ("[]", "()", "{}", "<>", "【】", "「」")
_QUOTES = "\"'`“”„‟‘’‚‛«»‹›"
_MARKS = ".,;:!?…。、，！？"
_UNSPACED = ("CJK ", "HIRAGANA", "KATAKANA", "THAI ", "LAO ", "KHMER ", "MYANMAR ")


def notes(facts: pd.DataFrame) -> list[str]:
    """Sentences about the answers of a fact table, each with its fix; empty where nothing stands out."""
    answers = [answer for given in facts["answers"] for answer in given]
    return [said for look in _LOOKS if (said := look(answers))]


def _invisible(answers: Sequence[str]) -> str:
    """One is enough to tell: nobody sees it in the file."""
    found = [answer for answer in answers if values.unseen_left_out(answer) != answer]
    if not found:
        return ""
    names = dict.fromkeys(
        unicodedata.name(mark, f"U+{ord(mark):04X}").lower() for answer in found for mark in answer if unicodedata.category(mark) == "Cf"
    )
    return (
        f"{_of(found, answers)} hold characters that can't be seen ({', '.join(list(names)[:3])}). They are left out where answers are "
        "compared; remove them from the file too, or training teaches them."
    )


def _quoted(answers: Sequence[str]) -> str:
    found = [answer for answer in answers if len(answer) > 2 and answer[0] in _QUOTES and answer[-1] in _QUOTES]
    return _left_out(found, answers, "stand in quotes") if found else ""


def _marked(answers: Sequence[str]) -> str:
    found = [answer for answer in answers if len(answer) > 3 and answer[-1] in _MARKS and answer.count(answer[-1]) == 1]
    surely = [answer for answer in found if answer[-1] != "."]  # a full stop may end an abbreviation
    found = found if _most(found, answers) else surely
    return _left_out(found, answers, "end with a mark") if found else ""


def _left_out(found: Sequence[str], answers: Sequence[str], what: str) -> str:
    return (
        f"{_of(found, answers)} {what}, such as {shown(found[0])}. It is left out where answers are compared; remove it from the file too, "
        "or training teaches it."
    )


def _bracketed(answers: Sequence[str]) -> str:
    found = [answer for answer in answers if any(answer[:1] == pair[0] and answer[-1:] == pair[1] for pair in _BRACKETS)]
    if not _most(found, answers):
        return ""
    return (
        f"{_of(found, answers)} stand in brackets, such as {shown(found[0])}: no model will write them so, and every fact would be "
        "unknown. Write the answers plainly, several with | between them."
    )


def _letters(answers: Sequence[str]) -> str:
    found = [answer for answer in answers if len(answer.strip("().")) == 1 and answer.strip("().").upper() in "ABCDEFGH"]
    if not _most(found, answers):
        return ""
    return (
        f"{_of(found, answers)} are a single letter, such as {shown(found[0])}. If they stand for the options of multiple choice, name the "
        "options' column: ?choices=COLUMN, or write the option's text as the answer."
    )


def _long(answers: Sequence[str]) -> str:
    found = [answer for answer in answers if len(answer) > LONG]
    if not _most(found, answers):
        return ""
    return (
        f"{_of(found, answers)} have more than {LONG} characters. An answer counts when a model writes it word for word, so hardly one of "
        "these will. Use short answers: a name, a date, a number."
    )


def _unspaced(answers: Sequence[str]) -> str:
    found = [answer for answer in answers if any(unicodedata.name(mark, "").startswith(_UNSPACED) for mark in answer)]
    if not _most(found, answers):
        return ""
    return (
        f"{_of(found, answers)} are in a script that is written without spaces. There an answer counts wherever it stands, also inside a "
        "longer name; scores can be somewhat too high."
    )


def _most(found: Sequence[str], answers: Sequence[str]) -> bool:
    return len(found) >= LEAST and len(found) > len(answers) / 2


def _of(found: Sequence[str], answers: Sequence[str]) -> str:
    return f"{len(found):,} of {len(answers):,} answers"


_LOOKS: tuple[Callable[[Sequence[str]], str], ...] = (_invisible, _quoted, _marked, _bracketed, _letters, _long, _unspaced)
