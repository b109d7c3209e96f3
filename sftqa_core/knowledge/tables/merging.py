"""Rows become facts, and no training fact is tested (METHOD 8.4).

- Rows of one (relation, subject) become one fact. It belongs to the strictest split that any of them is in: test,
  else dev, else train. So a key in both dev and test is a test fact.
- A train fact whose question is in dev or test (under another relation, or written with other case and punctuation), and a dev fact
  whose question is in test, get the split `none`. Two rows of one key ask the same question, so looking at questions covers keys too.
- Right answers are the union over identical question texts, the fact's own first.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sftqa_core.errors import FactsError
from sftqa_core.jsonrecord import shown
from sftqa_core.knowledge.facts import UNUSED, subject_key
from sftqa_core.knowledge.matching import in_word, normalise

MAX_ANSWERS = 2_000  # right answers of one question
MAX_ALL_ANSWERS = 10_000_000  # of all facts: those of one question are right for every fact that asks it
SHARES = {"train": 0.7, "dev": 0.1, "test": 0.2}  # of subjects, where no split is given
_NO_WORDS = str.maketrans({code: " " for code in range(128) if not chr(code).isalnum()})
_STRICTNESS = {UNUSED: 0, "train": 1, "dev": 2, "test": 3}


class Row(NamedTuple):
    """One checked row of a file."""

    relation: str
    subject: str
    answers: Sequence[str]
    question: str
    split: str
    domain: str
    exposures: int | None = None


@dataclass
class Merged:
    """Facts as `fact_table` takes them, and how many rows were merged or excluded."""

    facts: list[dict[str, Any]] = field(default_factory=list)
    merged: int = 0  # rows that joined another row of the same key
    excluded_from_train: int = 0  # train rows whose key or question stands in dev or test
    same_words: int = 0  # of the facts set aside: those whose question differs from the other one's in case or punctuation


def drawn_split(subject: str) -> str:
    """The split of a subject that states none: 70% train, 10% dev, 20% test, by a hash of the subject.

    All facts about a subject land together, on every machine, whatever else the file holds.
    """
    share = int.from_bytes(hashlib.sha256(f"split\x1f{subject_key(subject)}".encode()).digest()[:8]) / 2**64
    if share < SHARES["train"]:
        return "train"
    return "dev" if share < SHARES["train"] + SHARES["dev"] else "test"


def asked_key(question: str) -> str:
    """A question as it counts for leaks in a person's own file: words only, without case and punctuation."""
    plain = normalise(question)
    if plain.isascii():
        words = plain.translate(_NO_WORDS).split()
    else:
        words = "".join(character if in_word(character) else " " for character in plain).split()
    return " ".join(words) or subject_key(question)


def merge_rows(rows: Sequence[Row], asked: Callable[[str], str] = subject_key) -> Merged:
    """One fact for each (relation, normalised subject), in order of first appearance. Raises `FactsError` for too many answers.

    `asked`: questions that it maps to the same text must not be both trained and tested on.
    """
    questions = [subject_key(row.question) for row in rows]
    key_of = {question: asked(question) for question in dict.fromkeys(questions)} if asked is not subject_key else {}
    strictest: dict[str, int] = {}
    strictest_alike: dict[str, int] = {}
    answers: dict[str, dict[str, None]] = {}
    grouped: dict[tuple[str, str], list[Row]] = {}
    for row, question in zip(rows, questions, strict=True):
        strict = _STRICTNESS[row.split]
        strictest[question] = max(strictest.get(question, 0), strict)
        if key_of:
            strictest_alike[key_of[question]] = max(strictest_alike.get(key_of[question], 0), strict)
        answers.setdefault(question, {}).update(dict.fromkeys(row.answers))
        grouped.setdefault((row.relation, subject_key(row.subject)), []).append(row)
    for question, right in answers.items():
        if len(right) > MAX_ANSWERS:
            raise FactsError(f"The question {shown(question)} has {len(right):,} different answers, the most is {MAX_ANSWERS:,}.")
    total = sum(len(answers[question]) for question in questions)  # 1,000 facts that ask one question with 1,000 answers: a million
    if total > MAX_ALL_ANSWERS:
        raise FactsError(
            f"Too many facts ask the same questions: with the answers they share there are {total:,} answers, "
            f"the most is {MAX_ALL_ANSWERS:,}. Give each fact its own question."
        )
    exactly, same_words = strictest, 0
    if key_of:
        strictest = {question: strictest_alike[key] for question, key in key_of.items()}
    facts = [_fact(group, strictest, answers) for group in grouped.values()]
    if strictest != exactly:
        pairs = zip(facts, grouped.values(), strict=True)
        same_words = sum(fact["split"] == UNUSED != _fact(group, exactly, answers)["split"] for fact, group in pairs)
    leaking = sum(row.split == "train" and strictest[question] > 1 for row, question in zip(rows, questions, strict=True))
    return Merged(facts, len(rows) - len(facts), leaking, same_words)


def _fact(group: list[Row], strictest: dict[str, int], answers: dict[str, dict[str, None]]) -> dict[str, Any]:
    split = max((row.split for row in group), key=_STRICTNESS.__getitem__)
    asked = dict.fromkeys(subject_key(row.question) for row in group)
    right = dict.fromkeys(answer for row in group for answer in row.answers)
    for question in asked:
        right.update(answers[question])
        split = split if strictest[question] <= _STRICTNESS[split] else UNUSED
    stated = [row.exposures for row in group if row.exposures is not None]
    return group[0]._asdict() | {"answers": list(right), "split": split, "exposures": max(stated, default=None)}
