"""From rows as they stand in files to facts: one key, one fact, and nothing trained on that is tested (METHOD 8.4).

- Rows of one (relation, subject) become one fact. It belongs to the strictest split that any of them is in: test,
  else dev, else train. So a key that stands in dev and test is a test fact.
- A train fact whose question text stands in dev or test (under another relation), and a dev fact whose question stands
  in test, get the split `none`. Two rows of one key ask the same question, so looking at questions covers keys too.
- Right answers are the union over identical question texts, the fact's own first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sftqa_core.errors import FactsError
from sftqa_core.jsonrecord import shown
from sftqa_core.knowledge.facts import UNUSED, subject_key

MAX_ANSWERS = 2_000  # right answers of one question
MAX_ALL_ANSWERS = 10_000_000  # of all facts: those of one question are right for every fact that asks it
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
    """Facts as `fact_table` takes them, and what became of the rows."""

    facts: list[dict[str, Any]] = field(default_factory=list)
    merged: int = 0  # rows that joined another row of the same key
    excluded_from_train: int = 0  # train rows whose key or question stands in dev or test


def merge_rows(rows: Sequence[Row]) -> Merged:
    """One fact for each (relation, normalised subject), in order of first appearance. Raises `FactsError` for answers without end."""
    questions = [subject_key(row.question) for row in rows]
    strictest: dict[str, int] = {}
    answers: dict[str, dict[str, None]] = {}
    grouped: dict[tuple[str, str], list[Row]] = {}
    for row, question in zip(rows, questions, strict=True):
        strictest[question] = max(strictest.get(question, 0), _STRICTNESS[row.split])
        answers.setdefault(question, {}).update(dict.fromkeys(row.answers))
        grouped.setdefault((row.relation, subject_key(row.subject)), []).append(row)
    _refuse_crowds(questions, answers)
    facts = [_fact(group, strictest, answers) for group in grouped.values()]
    leaking = sum(row.split == "train" and strictest[question] > 1 for row, question in zip(rows, questions, strict=True))
    return Merged(facts, len(rows) - len(facts), leaking)


def _refuse_crowds(questions: Sequence[str], answers: dict[str, dict[str, None]]) -> None:
    """A thousand facts that ask one question with a thousand answers are a million answers."""
    for question, right in answers.items():
        if len(right) > MAX_ANSWERS:
            raise FactsError(f"The question {shown(question)} has {len(right):,} different answers, the most is {MAX_ANSWERS:,}.")
    total = sum(len(answers[question]) for question in questions)
    if total > MAX_ALL_ANSWERS:
        raise FactsError(
            f"Too many facts ask the same questions: with the answers that they have in common there are {total:,} answers, "
            f"the most is {MAX_ALL_ANSWERS:,}. Give each fact a question of its own."
        )


def _fact(group: list[Row], strictest: dict[str, int], answers: dict[str, dict[str, None]]) -> dict[str, Any]:
    first = group[0]
    split = max((row.split for row in group), key=_STRICTNESS.__getitem__)
    asked = {subject_key(row.question) for row in group}
    right = dict.fromkeys(answer for row in group for answer in row.answers)
    for question in asked:
        right.update(answers[question])
        split = split if strictest[question] <= _STRICTNESS[split] else UNUSED
    known = [row.exposures for row in group if row.exposures is not None]
    fact = first._asdict() | {"answers": list(right), "split": split, "exposures": max(known, default=None)}
    return fact
