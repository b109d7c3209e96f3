"""Relations: what is asked of a fact, and the statement prefixes (templates) that ask for its object (METHOD section 1).

The 24 relations of the paper are in relations.toml. A user's own relation is the same record with as many templates as they
wrote, and `generic_relation` serves question-answer pairs that have no relation.

A template is a statement prefix with one placeholder, {subject} or (for question-answer pairs) {question}, that ends exactly
where the object follows. The functions below check templates and decide when two of them are the same construction.
"""

import json
import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

from sftqa_core.jsonrecord import Record, shown
from sftqa_core.records import DOMAINS

PLACEHOLDERS = ("{subject}", "{question}")
TEMPLATES = 21  # N_map of METHOD section 1
MAX_TEMPLATES = 200
MAX_NAME = 200  # characters of an id
MOST_DOTS = 50  # before the = of a line of TOML: tomllib takes the square of their number
CONSTRUCTIONS = 15  # of the 21, how many must be constructions of their own

_DATA = Path(__file__).with_name("relations.toml")
_DETERMINERS = frozenset({"a", "an", "the"})
_BE = frozenset({"is", "are", "was", "were", "be", "been", "being"})
_HAVE = frozenset({"has", "have", "had"})
_EMPTY = frozenset({"be", "have", "'s", "that", "of", "in", "at", "by", "to", "from", "with", "as", *PLACEHOLDERS})
_WORD = re.compile(r"\{\w+\}|'s\b|[^\W_]+(?:-[^\W_]+)*")
_PAIRS = ("“”", "«»", "()", "[]")
_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
_JOINERS = "\u200c\u200d"  # Persian and Indic spelling needs them; other invisible characters are faults
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
    return dict(_builtin())


@cache
def _builtin() -> dict[str, Relation]:
    data = tomllib.loads(_DATA.read_text(encoding="utf-8"))
    return {name: Relation.from_dict({"id": name, **fields}) for name, fields in data.items()}


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
    problems = [f"Relation {name} needs a {field}." for field in blank]
    if relation.domain not in DOMAINS:
        problems.append(f"Relation {name}: domain must be one of {', '.join(DOMAINS)}, got {shown(relation.domain)}.")
    problems += [f"Relation {name}, question: {fault}" for fault in text_problems(relation.question)]
    for number, template in enumerate(relation.templates, start=1):
        faults = template_problems(template, relation.question) + (article_problems(template) if templates is not None else [])
        problems += [f"Relation {name}, template {number}: {fault}" for fault in faults]
    for number, earlier in repeated(relation.templates).items():
        again = shown(relation.templates[number - 1])
        problems.append(f"Relation {name}: templates {earlier} and {number} have the same words: {again}.")
    if templates is None:
        return problems if relation.templates else [*problems, f"Relation {name} needs at least one template."]
    if len(relation.templates) != templates:
        problems.append(f"Relation {name} must have {templates} templates, got {len(relation.templates)}.")
    distinct = distinct_constructions(relation.templates)
    if distinct < CONSTRUCTIONS:
        problems.append(f"Relation {name} must have {CONSTRUCTIONS} distinct constructions among its templates, got {distinct}.")
    return problems


def template_faults(question: str, templates: Sequence[str], most: int = TEMPLATES) -> list[list[str]]:
    """What is wrong with each of a relation's templates, while it is being written: clauses, none for a good one.

    The rules are those that refuse a `Relation`; and templates behind the first `most` are too many, as the paper asks 21.
    """
    faults = [template_problems(template, question) for template in templates]
    for number, earlier in repeated(templates).items():
        faults[number - 1].append(f"has the same words as template {earlier}.")
    for found in faults[most:]:
        found.append(f"is one too many: {most} are used at most.")
    return faults


def template_problems(template: str, question: str) -> list[str]:
    """Faults of one template beside its relation's question form, as clauses that follow a name and a colon."""
    faults = text_problems(template) + ending_problems(template)
    seen, wanted = placeholders(template), placeholders(question)
    if len(seen) == 1 and len(wanted) == 1 and seen != wanted:
        faults.append(f"has {seen[0]}, but the relation's question has {wanted[0]}.")
    return faults


def repeated(templates: Sequence[str]) -> dict[int, int]:
    """The number of each template that has the words of an earlier one, and the earlier one's; numbers count from 1."""
    first: dict[tuple[str, ...], int] = {}
    earlier = {number: first.setdefault(tuple(words(template)), number) for number, template in enumerate(templates, start=1)}
    return {number: same for number, same in earlier.items() if same != number}


def relations_toml(relations: Mapping[str, Relation]) -> str:
    """Relations by id as a TOML file laid out as relations.toml, which `files.read_relations` reads back the same."""
    lines = []
    for name, relation in relations.items():
        lines += [f"[{_quoted(name)}]"]
        lines += [f"{field} = {_quoted(getattr(relation, field))}" for field in ("label", "domain", "question")]
        lines += ["templates = [", *(f"    {_quoted(template)}," for template in relation.templates), "]", ""]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    """A text as TOML writes it: as JSON does, but for the last of the control characters."""
    written = json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
    return written if text.count(".") <= MOST_DOTS else written.replace(".", "\\u002e")


def fill(template: str, **values: str) -> str:
    """Put each value in place of its {name}, literally and in one pass.

    Braces in a value, or in the template around a name without a value, stay as they are.
    """
    return re.sub(r"\{(\w+)\}", lambda name: values.get(name[1], name[0]), template)


def placeholders(text: str) -> list[str]:
    """Every {name} of a text in order."""
    return re.findall(r"\{\w*\}", text)


def words(text: str) -> list[str]:
    """Casefolded words and placeholders without punctuation; a possessive 's is a word."""
    return _WORD.findall(text.casefold().replace("’", "'"))


def text_problems(text: str) -> list[str]:
    """Faults that a question form and a template can share, as clauses that follow a name and a colon."""
    problems, seen = [], placeholders(text)
    if len(seen) != 1 or seen[0] not in PLACEHOLDERS:
        listing = ", ".join(seen[:5]) + (f" and {len(seen) - 5:,} more" if len(seen) > 5 else "")
        problems.append(f"must hold {{subject}} (or {{question}}) exactly once, got {listing or 'no placeholder'} in {shown(text)}.")
    if text.count("{") != len(seen) or text.count("}") != len(seen):
        problems.append(f"has a brace that belongs to no placeholder: {shown(text)}.")
    if text != text.strip() or "  " in text:
        problems.append(f"must not start or end with a space or hold two in a row, got {shown(text)}.")
    if any(unicodedata.category(character) in _INVISIBLE and character not in _JOINERS for character in text):
        problems.append(f"holds a line break or another control character: {shown(text)}.")
    if text.count('"') % 2 or any(text.count(pair[0]) != text.count(pair[1]) for pair in _PAIRS):
        problems.append(f"has an unbalanced quote or bracket: {shown(text)}.")
    return problems


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
    """The words of a template that count. Without what stands before the last comma, colon or "that" in front of its placeholder."""
    spoken = words(re.sub(r"^[^{]*(?:[,:;]|\bthat\b)(?=[^{]*\{)", "", template))
    kept = ["be" if word in _BE else "have" if word in _HAVE else word for word in spoken if word not in _DETERMINERS]
    for position in range(1, len(kept) - 1):
        if kept[position - 1] in PLACEHOLDERS and kept[position] == "be":
            return kept[:position] + kept[position + 1 :]
    return kept


def _says_something(run: list[str]) -> bool:
    """Whether a run of words is more than "{subject} is in", which ends many unlike sentences."""
    return any(word not in _EMPTY for word in run)


def _tail(run: list[str]) -> list[str]:
    at = [position for position, word in enumerate(run) if word in PLACEHOLDERS]
    return run[at[0] :] if at else []
