"""Relations: what is asked of a fact, and the statement prefixes that ask for its object (METHOD section 1).

The 24 relations of the paper stand in relations.toml. A relation of a person's own facts is the same record with as
many templates as they wrote, and `generic_relation` serves question-answer pairs that have no relation.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sftqa_core.jsonrecord import Record, shown
from sftqa_core.knowledge.templates import (
    article_problems,
    distinct_constructions,
    ending_problems,
    fill,
    placeholders,
    same_construction,
    text_problems,
    words,
)
from sftqa_core.records import DOMAINS

__all__ = [
    "CONSTRUCTIONS",
    "TEMPLATES",
    "Relation",
    "builtin_relations",
    "distinct_constructions",
    "fill",
    "generic_relation",
    "relation_problems",
    "same_construction",
    "statement_prompts",
]

TEMPLATES = 21  # N_map of METHOD section 1
MAX_TEMPLATES = 200
MAX_NAME = 200  # characters of an id
CONSTRUCTIONS = 15  # of the 21, how many must be constructions of their own

_DATA = Path(__file__).with_name("relations.toml")
_GENERIC = (
    'The answer to the question "{question}" is',
    "Question: {question} Answer:",
    'When asked "{question}", one should reply',
    '"{question}" can be answered with',
    'In reply to "{question}", an expert said',
    'If someone wants to know "{question}", tell them',
    'The question was "{question}" and the correct response was',
    'A quiz asked "{question}" and the winner wrote',
    'What solves the puzzle "{question}" is',
    '"{question}", asked the teacher, and the class shouted',
    'Looking up "{question}" in an encyclopedia gives',
    'On the back of the card that says "{question}" is printed',
    'Everyone who knows the solution to "{question}" will name',
    '"{question}" is a question whose answer is',
    'For the quiz question "{question}", the judges accept',
    'One can settle "{question}" with the words',
    'A search for "{question}" returned',
    'The exam contained "{question}", for which full marks went to',
    'Faced with "{question}", a well-informed person thinks of',
    'The fact that resolves "{question}" is',
    'Those who wonder "{question}" soon learn that it is',
)


@dataclass(frozen=True)
class Relation(Record):
    """One relation: how its facts are asked for and stated."""

    id: str  # a Wikidata property such as P19, or a name of the person's own
    label: str  # plain words: "place of birth"
    domain: str  # "in" or "out" of the topics one trains on
    question: str  # the one question form, with {subject}; the bare "{question}" for question-answer pairs
    templates: tuple[str, ...]  # statement prefixes with that placeholder once, ending where the object follows

    def problems(self) -> list[str]:
        return relation_problems(self)


def builtin_relations() -> dict[str, Relation]:
    """The 24 relations of EntityQuestions by id, in-domain first. The dict is the caller's own."""
    return {relation.id: relation for relation in _builtin()}


def generic_relation(relation_id: str, domain: str = "in") -> Relation:
    """The relation of bare question-answer pairs: 21 paraphrases around a {question}, in place of statements."""
    return Relation(relation_id, "question and answer", domain, "{question}", _GENERIC)


def statement_prompts(relation: Relation, subject: str, question: str) -> list[str]:
    """The relation's templates filled for one fact, in their order (21 for a built-in relation)."""
    return [fill(template, subject=subject, question=question) for template in relation.templates]


def relation_problems(relation: Relation, templates: int | None = None) -> list[str]:
    """Every fault of a relation as sentences.

    With `templates` the built-in relations' rules hold: exactly that many, 15 constructions, no article at the end.
    Without it any number from one up will do, for relations that people bring along.
    """
    name = relation.id.strip() or "(no id)"
    if len(name) > MAX_NAME or len(relation.templates) > MAX_TEMPLATES:
        return [f"Relation {shown(name)} may have {MAX_NAME} characters and {MAX_TEMPLATES} templates, got {len(relation.templates):,}."]
    blank = [field for field in ("id", "label") if not getattr(relation, field).strip()]
    found = [f"Relation {name} needs a {field}." for field in blank]
    if relation.domain not in DOMAINS:
        found.append(f"Relation {name}: domain must be one of {', '.join(DOMAINS)}, got {shown(relation.domain)}.")
    found += [f"Relation {name}, question: {fault}" for fault in text_problems(relation.question)]
    for number, template in enumerate(relation.templates, start=1):
        faults = text_problems(template) + ending_problems(template) + _other_placeholder(template, relation.question)
        faults += article_problems(template) if templates is not None else []
        found += [f"Relation {name}, template {number}: {fault}" for fault in faults]
    found += [f"Relation {name}: {fault}" for fault in _repeats(relation.templates)]
    return found + [f"Relation {name} {fault}" for fault in _too_few(relation.templates, templates)]


@cache
def _builtin() -> tuple[Relation, ...]:
    data = tomllib.loads(_DATA.read_text(encoding="utf-8"))
    return tuple(Relation.from_dict({"id": name, **fields}) for name, fields in data.items())


def _other_placeholder(template: str, question: str) -> list[str]:
    """A fault if the template asks by {subject} and the question by {question}, or the other way round."""
    seen, wanted = placeholders(template), placeholders(question)
    if len(seen) == 1 and len(wanted) == 1 and seen != wanted:
        return [f"holds {seen[0]}, but the relation's question holds {wanted[0]}."]
    return []


def _repeats(templates: tuple[str, ...]) -> list[str]:
    first: dict[tuple[str, ...], int] = {}
    found = []
    for number, template in enumerate(templates, start=1):
        earlier = first.setdefault(tuple(words(template)), number)
        if earlier != number:
            found.append(f"templates {earlier} and {number} are the same words: {shown(template)}.")
    return found


def _too_few(templates: tuple[str, ...], wanted: int | None) -> list[str]:
    if wanted is None:
        return [] if templates else ["needs at least one template."]
    found = [] if len(templates) == wanted else [f"must have {wanted} templates, got {len(templates)}."]
    distinct = distinct_constructions(templates)
    if distinct < CONSTRUCTIONS:
        found.append(f"must have {CONSTRUCTIONS} distinct constructions among its templates, got {distinct}.")
    return found
