"""What makes a usable template, and when two templates are the same construction.

A template is a statement prefix with one placeholder, {subject} or (for question-answer pairs) {question}, that ends
exactly where the object follows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import combinations

from sftqa_core.jsonrecord import shown

PLACEHOLDERS = ("{subject}", "{question}")

_DETERMINERS = frozenset({"a", "an", "the"})
_BE = frozenset({"is", "are", "was", "were", "be", "been", "being"})
_HAVE = frozenset({"has", "have", "had"})
_EMPTY = frozenset({"be", "have", "'s", "that", "of", "in", "at", "by", "to", "from", "with", "as", *PLACEHOLDERS})
_WORD = re.compile(r"\{\w+\}|'s\b|[^\W_]+(?:-[^\W_]+)*")
_PAIRS = ("“”", "«»", "()", "[]")
_JOINERS = "\u200c\u200d"  # Persian and Indic spelling needs them; other invisible characters are faults


def fill(template: str, **values: str) -> str:
    """Put each value in place of its {name}, literally and in one pass.

    Braces in a value, or in the template around a name without a value, stay as they are.
    """
    return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), template)


def placeholders(text: str) -> list[str]:
    """Every {name} of a text in order."""
    return re.findall(r"\{\w*\}", text)


def words(text: str) -> list[str]:
    """Casefolded words and placeholders without punctuation; a possessive 's is a word."""
    return _WORD.findall(text.casefold().replace("’", "'"))


def text_problems(text: str) -> list[str]:
    """Faults that a question form and a template can share, as clauses that follow a name and a colon."""
    found, seen = [], placeholders(text)
    if len(seen) != 1 or seen[0] not in PLACEHOLDERS:
        found.append(f"must hold {{subject}} (or {{question}}) exactly once, got {_listed(seen)} in {shown(text)}.")
    if text.count("{") != len(seen) or text.count("}") != len(seen):
        found.append(f"has a brace that belongs to no placeholder: {shown(text)}.")
    if text != text.strip() or "  " in text:
        found.append(f"must not start or end with a space or hold two in a row, got {shown(text)}.")
    if any(_invisible(character) for character in text):
        found.append(f"holds a line break or another control character: {shown(text)}.")
    if text.count('"') % 2 or any(text.count(pair[0]) != text.count(pair[1]) for pair in _PAIRS):
        found.append(f"has an unbalanced quote or bracket: {shown(text)}.")
    return found


def ending_problems(template: str) -> list[str]:
    """Faults of a template's end: the object must be able to follow it after one space."""
    body = template.rstrip()
    if "{question}" in body and body.endswith(("{question}", ":")):
        return []  # "{question}" and "Question: {question} Answer:" are how pairs are written
    if body.endswith("}"):
        return [f"ends with its placeholder, so that subject and object run into one: {shown(template)}."]
    if body and unicodedata.category(body[-1])[0] in "PS":
        return [f"must end with a word, got {body[-1]!r} at the end of {shown(template)}."]
    return []


def article_problems(template: str) -> list[str]:
    """A fault if the template ends with an article, which not every object fits. Asked of the built-in ones only."""
    ends = words(template)[-1:]
    return [f"must not end with an article, got {shown(template)}."] if ends and ends[0] in _DETERMINERS else []


def distinct_constructions(templates: Sequence[str]) -> int:
    """How many constructions the templates are: groups of `same_construction`, joined transitively.

    Joining makes the count cautious and independent of the order.
    """
    group = list(range(len(templates)))
    for left, right in combinations(range(len(templates)), 2):
        if group[left] != group[right] and same_construction(templates[left], templates[right]):
            kept, gone = group[left], group[right]
            group = [kept if number == gone else number for number in group]
    return len(set(group))


def same_construction(left: str, right: str) -> bool:
    """Whether two templates say the same words in the same order, but for what is put before or after them.

    Compared are words, casefolded, without punctuation and determiners, all forms of "be" (and of "have") taken as
    one, a lead phrase before a comma or "that" cut off, "be" right behind the placeholder left out (an apposition
    is no new construction). Same is: equal; one begins or ends with the other; or both run alike from the
    placeholder to the end over two words or more ("Indeed {subject} was born in", "Everybody knows {subject} was born in").
    A shared run counts only if it holds a word that is neither the placeholder nor a function word.
    """
    first, second = _skeleton(left), _skeleton(right)
    short, long = sorted((first, second), key=len)
    if short == long or (_says_something(short) and short in (long[: len(short)], long[-len(short) :])):
        return True
    tail = _tail(first)
    return len(tail) >= 3 and _says_something(tail) and tail == _tail(second)


def _skeleton(template: str) -> list[str]:
    spoken = words(_without_lead(template))
    kept = ["be" if word in _BE else "have" if word in _HAVE else word for word in spoken if word not in _DETERMINERS]
    for position in range(1, len(kept) - 1):
        if kept[position - 1] in PLACEHOLDERS and kept[position] == "be":
            return kept[:position] + kept[position + 1 :]
    return kept


def _without_lead(template: str) -> str:
    """The template without what stands before the last comma, colon or "that" in front of its placeholder."""
    return re.sub(r"^[^{]*(?:[,:;]|\bthat\b)(?=[^{]*\{)", "", template)


def _says_something(run: list[str]) -> bool:
    """Whether a run of words is more than "{subject} is in", which ends many unlike sentences."""
    return any(word not in _EMPTY for word in run)


def _tail(run: list[str]) -> list[str]:
    at = [position for position, word in enumerate(run) if word in PLACEHOLDERS]
    return run[at[0] :] if at else []


def _listed(seen: list[str]) -> str:
    return (", ".join(seen[:5]) + (f" and {len(seen) - 5:,} more" if len(seen) > 5 else "")) or "no placeholder"


def _invisible(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in _JOINERS
