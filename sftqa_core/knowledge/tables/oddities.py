"""A look at a person's answers before anything is measured: what most of them share that would keep them from ever being found.

A file in which every answer is written as `[Paris]`, or as the letter of an option, gives a memory score of 0 for every fact, and nothing
but the numbers would tell. What is said here goes with the source: into its preview, `sftqa facts`, the Memory page and preflight.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sftqa_core.jsonrecord import shown
from sftqa_core.knowledge import matching

if TYPE_CHECKING:
    import pandas as pd

LEAST = 2  # answers; one alone shares nothing
LONG = 100  # characters; no model repeats so much word for word
_DROPPED = {  # what `matching.left_out` names -> how it is said of answers
    "characters that can't be seen": "hold characters that can't be seen",
    "outer quotes": "stand in quotes",
    "a final mark": "end with a mark",
}
_BRACKETS = ("[]", "()", "{}", "<>", "【】")
_SEPARATED = re.compile(r"\w\s*;\s*\w|\w\s+/\s+\w")
_EPOCH = re.compile(r"-?\d{11,13}")
_MARKUP = re.compile(r"&(?:\w{2,8}|#\d{1,6});|</?[a-zA-Z][^<>]{0,40}>|\*\*\S|\u00c3[\u0080-\u00bf\u2018-\u2026]|\ufffd")
_NOTHING = frozenset({"nan", "none", "null", "n/a", "na", "<na>", "nat", "-", "?"})
_ANY: tuple[tuple[Callable[[str], bool], str], ...] = (
    (
        lambda answer: bool(_MARKUP.search(answer)),
        "hold HTML, Markdown or broken characters, such as EXAMPLE: no model will write them so. Clean them in the file.",
    ),
    (
        lambda answer: answer.casefold() in _NOTHING,
        "say that there is none, such as EXAMPLE: empty cells that a program wrote as text? Remove these rows.",
    ),
)
_LOOKS: tuple[tuple[Callable[[str], bool], str], ...] = (
    (
        lambda answer: answer[:1] + answer[-1:] in _BRACKETS,
        "stand in brackets, such as EXAMPLE: no model will write them so, and every fact would be unknown. Write the answers plainly, "
        "several with | between them.",
    ),
    (
        lambda answer: len(letter := answer.strip("().")) == 1 and letter.upper() in "ABCDEFGH",
        "are a single letter, such as EXAMPLE. If they stand for the options of multiple choice, name the options' column: "
        "?choices=COLUMN, or write the option's text as the answer.",
    ),
    (
        lambda answer: len(answer) > LONG,
        f"have more than {LONG} characters. An answer counts when a model writes it word for word, so hardly one of these will. Use short "
        "answers: a name, a date, a number.",
    ),
    (
        lambda answer: bool(_SEPARATED.search(answer)),
        "hold a semicolon or a slash between words, such as EXAMPLE. If these are several right answers, write | between them.",
    ),
    (
        lambda answer: bool(_EPOCH.fullmatch(answer)),
        "are numbers of 11 to 13 digits, such as EXAMPLE: dates as milliseconds, which pandas writes unless it is told "
        "date_format='iso'. Write them as 1984-05-03.",
    ),
    (
        lambda answer: not answer.isascii() and matching.unspaced(answer),
        "are in a script that is written without spaces. There an answer counts wherever it stands, also inside a longer name; scores can "
        "be somewhat too high.",
    ),
)


def notes(facts: pd.DataFrame) -> list[str]:
    """Sentences about the answers of a fact table, each with its fix; empty where nothing stands out."""
    answers = [answer for given in facts["answers"] for answer in given]
    odd = [answer for answer in answers if not (answer.isascii() and answer[:1].isalnum() and answer[-1:].isalnum())]
    dropped = {answer: matching.left_out(answer) for answer in dict.fromkeys(odd)}
    said = [_dropped([answer for answer in odd if what in dropped[answer]], answers, what) for what in _DROPPED]
    said += [_any(answers, odd_one, what) for odd_one, what in _ANY]
    return [note for note in (*said, *(_look(answers, odd_one, what) for odd_one, what in _LOOKS)) if note]


def _dropped(found: Sequence[str], answers: Sequence[str], what: str) -> str:
    """What the matching rule leaves out of answers. One answer is enough to tell, but for a full stop, which may end an abbreviation."""
    if what == "a final mark" and not _most(found, answers):
        found = [answer for answer in found if answer[-1] != "."]
    if not found:
        return ""
    example = f", such as {shown(found[0])}" if what != "characters that can't be seen" else f" ({_names(found)})"
    return (
        f"{_of(found, answers)} {_DROPPED[what]}{example}. They are left out where answers are compared; remove them from the file too, or "
        "training teaches them."
    )


def _names(answers: Sequence[str]) -> str:
    marks = dict.fromkeys(mark for answer in answers for mark in answer if unicodedata.category(mark) == "Cf")
    return ", ".join([unicodedata.name(mark, f"U+{ord(mark):04X}").lower() for mark in marks][:3])


def _any(answers: Sequence[str], odd: Callable[[str], bool], what: str) -> str:
    """What is said where a single answer is odd."""
    found = [answer for answer in answers if odd(answer)]
    return f"{_of(found, answers)} {what.replace('EXAMPLE', shown(found[0]))}" if found else ""


def _look(answers: Sequence[str], odd: Callable[[str], bool], what: str) -> str:
    """What is said where most answers are odd; EXAMPLE in it stands for the first of them."""
    found = [answer for answer in answers if odd(answer)]
    return f"{_of(found, answers)} {what.replace('EXAMPLE', shown(found[0]))}" if _most(found, answers) else ""


def _most(found: Sequence[str], answers: Sequence[str]) -> bool:
    return len(found) >= LEAST and len(found) > len(answers) / 2


def _of(found: Sequence[str], answers: Sequence[str]) -> str:
    return f"{len(found):,} of {len(answers):,} answers"
