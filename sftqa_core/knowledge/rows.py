"""Turns the rows of a file into facts: columns are found by name, every cell is checked, every fault is reported with row and column.

Columns (the first name found counts; others are ignored):

| role | names | meaning |
|---|---|---|
| relation | relation, predicate, property | a built-in id (P17) or one's own; without it the rows are question-answer pairs |
| subject | subject, entity | what the fact is about; a pair's subject is its question |
| answers | answers, answer, objects, object | right answers: a list; in CSV a JSON list or names with a vertical bar between them |
| question | question | as it is to be asked; otherwise the relation's question form is filled (see below) |
| split | split | train, dev (or validation), test or none; empty: drawn, see `drawn_split` |
| domain | domain | in or out; the same for all rows of a relation; otherwise the relation's |
| exposures | exposures | how often a pre-training corpus states the fact |
| templates | templates | statement prefixes with {subject} for a relation of one's own, like answers; once a relation is enough |

A relation whose templates are in a column asks "What is the <relation> of <subject>?" where a row has no question.

One key makes one fact, and no training fact is tested (METHOD 8.4):

- Rows of one (relation, subject) become one fact. It belongs to the strictest split that any of them is in: test,
  else dev, else train. So a key in both dev and test is a test fact.
- A train fact whose question text is in dev or test (under another relation), and a dev fact whose question is in test,
  get the split `none`. Two rows of one key ask the same question, so looking at questions covers keys too.
- Right answers are the union over identical question texts, the fact's own first.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from sftqa_core.errors import FactsError, SettingsError
from sftqa_core.jsonrecord import MAX_LISTED, listed, parse_json, shown
from sftqa_core.knowledge.facts import UNUSED, FactSource, content_fingerprint, fact_table, subject_key, summarise, text_fault
from sftqa_core.knowledge.relations import Relation, builtin_relations, fill, generic_relation
from sftqa_core.records import DOMAINS, SPLITS

ROLES = {
    "relation": ("relation", "predicate", "property"),
    "subject": ("subject", "entity"),
    "answers": ("answers", "answer", "objects", "object"),
    "question": ("question",),
    "split": ("split",),
    "domain": ("domain",),
    "exposures": ("exposures",),
    "templates": ("templates",),
}
COLUMN_NAMES = frozenset(name for names in ROLES.values() for name in names)
MAX_COLUMNS = 1_000
MAX_ANSWERS = 2_000  # right answers of one question
MAX_ALL_ANSWERS = 10_000_000  # of all facts: those of one question are right for every fact that asks it
PAIRS = "qa"  # the relation of question-answer pairs that name none
MAX_ROWS = 2_000_000
MAX_ENTRIES = 1_000  # answers, or templates, of one row
MAX_RELATIONS = 2_000
MAX_PROBLEMS = 10_000  # after so many a file is not read on
SHARES = {"train": 0.7, "dev": 0.1, "test": 0.2}  # of subjects, where no split is given
_STRICTNESS = {UNUSED: 0, "train": 1, "dev": 2, "test": 3}
_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?([eE]\+?[0-9]{1,2})?")  # Python also takes 1_0 and digits of other scripts
_SPLIT_NAMES = {name: name for name in (*SPLITS, UNUSED)} | {"validation": "dev", "valid": "dev", "val": "dev"}
_LISTED = 20  # columns that a message names


@dataclass(frozen=True)
class Cells:
    """A file's content, unchecked."""

    name: str  # shown in every message, and part of the facts' ids
    columns: Sequence[str]
    rows: Iterable[tuple[int, Sequence[Any]]]  # number as the person sees it, cells in the columns' order
    text_lists: bool = False  # cells hold text only, so several answers stand in one (CSV)


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


@dataclass
class _Reading:
    """The state while rows are read one by one."""

    cells: Cells
    at: dict[str, int]  # role -> column index
    relations: dict[str, Relation]  # what can be used: built-in and brought along
    used: dict[str, Relation] = field(default_factory=dict)
    domains: dict[str, tuple[str, int]] = field(default_factory=dict)  # relation -> stated domain and its row
    problems: list[str] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)

    @property
    def pairs(self) -> bool:
        return "subject" not in self.at


def source_from_cells(
    cells: Cells, name: str, brought: Mapping[str, Relation] | None = None, mapping: Mapping[str, str] | None = None
) -> FactSource:
    """The fact source in a table. `brought`: relations of the person's own; `mapping`: role -> column, over the usual names.

    Raises `FactsError` with every problem found (the first 20 are written out).
    """
    reading = _Reading(cells, find_columns(cells, mapping or {}), builtin_relations() | dict(brought or {}))
    rows = _read_rows(reading)
    if reading.problems:
        raise FactsError(listed(reading.problems))
    if not rows:
        raise FactsError(f"{cells.name} holds no facts: there is no row under its columns.")
    merged = merge_rows(rows)
    facts = fact_table(merged.facts, cells.name)
    if facts["exposures"].isna().all():
        facts = facts.drop(columns="exposures")
    report = summarise(name, facts, 0, merged.merged, merged.excluded_from_train)
    return FactSource(name, facts, reading.used, report, content_fingerprint(facts, reading.used))


def find_columns(cells: Cells, mapping: Mapping[str, str]) -> dict[str, int]:
    """Role -> column index. `mapping`: role -> column, over the usual names. Raises `FactsError` with every problem."""
    if len(cells.columns) > MAX_COLUMNS:
        raise FactsError(f"{cells.name} has {len(cells.columns):,} columns, the most is {MAX_COLUMNS:,}.")
    plain = [str(column).strip().casefold() for column in cells.columns]
    problems = [f"'{role}' is no column role; there are {', '.join(ROLES)}." for role in mapping if role not in ROLES]
    problems += [
        f"{cells.name} has no column {shown(column)} (wanted as {role})."
        for role, column in mapping.items()
        if column.casefold() not in plain
    ]
    wanted = {role: (mapping[role].casefold(),) if role in mapping else names for role, names in ROLES.items()}
    at = {role: plain.index(known[0]) for role, names in wanted.items() if (known := [name for name in names if name in plain])}
    problems += [
        f"{cells.name} has the column '{plain[index]}' twice. Take one of them away."
        for index in at.values()
        if plain.count(plain[index]) > 1
    ]
    seen = f"its columns are {_names(cells.columns)}"
    if "answers" not in at:
        problems.append(f"{cells.name} has no column for the answers (answers or object); {seen}.")
    if "subject" in at and "relation" not in at:
        problems.append(f"{cells.name} has subjects but no column 'relation'; {seen}.")
    if "subject" not in at and "question" not in at:
        problems.append(f"{cells.name} has neither a column 'subject' (facts) nor 'question' (question-answer pairs); {seen}.")
    if problems:
        raise FactsError(problems)
    return at


def _names(columns: Sequence[str]) -> str:
    """A file's columns as a message lists them, however many and long they are."""
    some = [name if len(name) <= 40 and name.isprintable() else shown(name[:40]) for name in map(str, columns[:_LISTED])]
    return (", ".join(some) or "none") + (f" and {len(columns) - _LISTED:,} more" if len(columns) > _LISTED else "")


def drawn_split(subject: str) -> str:
    """The split of a subject that states none: 70% train, 10% dev, 20% test, by a hash of the subject.

    All facts about a subject land together, on every machine, whatever else the file holds.
    """
    share = int.from_bytes(hashlib.sha256(f"split\x1f{subject_key(subject)}".encode()).digest()[:8]) / 2**64
    if share < SHARES["train"]:
        return "train"
    return "dev" if share < SHARES["train"] + SHARES["dev"] else "test"


def merge_rows(rows: Sequence[Row]) -> Merged:
    """One fact for each (relation, normalised subject), in order of first appearance. Raises `FactsError` for too many answers."""
    questions = [subject_key(row.question) for row in rows]
    strictest: dict[str, int] = {}
    answers: dict[str, dict[str, None]] = {}
    grouped: dict[tuple[str, str], list[Row]] = {}
    for row, question in zip(rows, questions, strict=True):
        strictest[question] = max(strictest.get(question, 0), _STRICTNESS[row.split])
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
    facts = [_fact(group, strictest, answers) for group in grouped.values()]
    leaking = sum(row.split == "train" and strictest[question] > 1 for row, question in zip(rows, questions, strict=True))
    return Merged(facts, len(rows) - len(facts), leaking)


def _fact(group: list[Row], strictest: dict[str, int], answers: dict[str, dict[str, None]]) -> dict[str, Any]:
    split = max((row.split for row in group), key=_STRICTNESS.__getitem__)
    asked = {subject_key(row.question) for row in group}
    right = dict.fromkeys(answer for row in group for answer in row.answers)
    for question in asked:
        right.update(answers[question])
        split = split if strictest[question] <= _STRICTNESS[split] else UNUSED
    stated = [row.exposures for row in group if row.exposures is not None]
    return group[0]._asdict() | {"answers": list(right), "split": split, "exposures": max(stated, default=None)}


def refuse_many_rows(name: str, count: int) -> None:
    """Raise `FactsError` when a file has more rows than allowed."""
    if count > MAX_ROWS:
        raise FactsError(f"{name} has more than {MAX_ROWS:,} rows, the most that can be used. Cut it into smaller files.")


def _read_rows(reading: _Reading) -> list[Row]:
    rows: list[Row] = []
    for count, (number, cells) in enumerate(reading.cells.rows, 1):  # empty rows count: a file of nothing else has an end, too
        refuse_many_rows(reading.cells.name, count)
        if not any(_filled(cell) for cell in cells):
            continue
        if row := _read_row(reading, number, cells):
            rows.append(row)
        if len(reading.problems) > MAX_PROBLEMS:
            raise FactsError([*reading.problems[:MAX_LISTED], f"... and more than {MAX_PROBLEMS - MAX_LISTED:,} more; it was not read on."])
    return rows


def _read_row(reading: _Reading, number: int, cells: Sequence[Any]) -> Row | None:
    before = len(reading.problems)
    cell = {role: cells[index] if index < len(cells) else None for role, index in reading.at.items()}
    name = _text(reading, number, "relation", cell.get("relation")) if not reading.pairs or _filled(cell.get("relation")) else PAIRS
    question = _text(reading, number, "question", cell.get("question")) if reading.pairs or _filled(cell.get("question")) else ""
    subject = question if reading.pairs else _text(reading, number, "subject", cell["subject"])
    answers = _texts(reading, number, "answers", cell["answers"])
    stated = cell.get("split")
    split = _SPLIT_NAMES.get(str(stated).strip().casefold(), "") if _filled(stated) else drawn_split(subject)
    if not split:
        _fault(reading, number, "split", f"must be train, dev, test or none, got {shown(stated)}")
    exposures = _exposures(reading, number, cell.get("exposures"))
    relation = _relation(reading, number, name, cell) if name else None
    if relation and not question:
        question = fill(relation.question, subject=subject)
        if "{subject}" not in relation.question:
            _fault(reading, number, "question", f"is empty, and relation {name} has no question form with {{subject}}")
    if relation is None or len(reading.problems) > before:
        return None
    return Row(name, subject, answers, question, split, relation.domain, exposures)


def _relation(reading: _Reading, number: int, name: str, cell: Mapping[str, Any]) -> Relation | None:
    """The row's relation, seen before or new; a stated domain holds for all its rows."""
    domain = str(cell["domain"]).strip().casefold() if _filled(cell.get("domain")) else ""
    if domain and domain not in DOMAINS:
        _fault(reading, number, "domain", f"must be in or out, got {shown(cell['domain'])}")
        domain = ""
    relation = reading.used.get(name) or _new_relation(reading, number, name, cell)
    if relation is None:
        return None
    stated, since = reading.domains.setdefault(name, (domain or relation.domain, number))
    if domain and domain != stated:
        _fault(reading, number, "domain", f"is {domain!r}, but row {since} has {stated!r} for the same relation")
    reading.used[name] = relation if relation.domain == stated else replace(relation, domain=stated)
    return reading.used[name]


def _new_relation(reading: _Reading, number: int, name: str, cell: Mapping[str, Any]) -> Relation | None:
    if len(reading.used) >= MAX_RELATIONS:
        raise FactsError(f"{reading.cells.name} holds more than {MAX_RELATIONS:,} different relations. Cut it into smaller files.")
    if reading.pairs:
        return generic_relation(name)
    if name in reading.relations:
        return reading.relations[name]
    if _filled(cell.get("templates")):
        templates = _texts(reading, number, "templates", cell["templates"])
        try:
            return Relation(name, name, "in", f"What is the {name} of {{subject}}?", tuple(templates)) if templates else None
        except SettingsError as error:
            for problem in error.problems:
                _fault(reading, number, "templates", problem.removesuffix("."))
            return None
    if name not in reading.unknown:
        reading.unknown.add(name)
        fault = "is not built in and brings no templates: add a column 'templates' or a file <name>.relations.toml beside this one"
        _fault(reading, number, "relation", f"{shown(name)} {fault}")
    return None


# --- cells -----------------------------------------------------------------------------------------------


def _filled(cell: Any) -> bool:
    return bool(cell.strip()) if isinstance(cell, str) else cell is not None and cell == cell  # NaN differs from itself


def _fault(reading: _Reading, number: int, role: str, said: str) -> None:
    index = reading.at.get(role)
    column = role if index is None else reading.cells.columns[index]
    reading.problems.append(f"{reading.cells.name}, row {number:,}, {column}: {said}.")


def _text(reading: _Reading, number: int, role: str, value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # a year as an answer is written as a number in JSON
    if value is None or value != value or (isinstance(value, str) and not value.strip()):
        _fault(reading, number, role, "is empty")
    elif not isinstance(value, str):
        _fault(reading, number, role, f"must be text, got {shown(value)} ({type(value).__name__})")
    elif fault := text_fault(value):
        _fault(reading, number, role, fault)
    else:
        return value.strip()
    return ""


def _texts(reading: _Reading, number: int, role: str, value: Any) -> list[str]:
    """Several texts in one cell; an empty one among them is a fault, none at all too."""
    if isinstance(value, dict) and "text" in value:
        value = value["text"]  # the layout of reading-comprehension sets: {"text": [...], "answer_start": [...]}
    if isinstance(value, str):
        value = _split_text(value, reading.cells.text_lists)
    if not isinstance(value, (list, tuple)):
        value = [value]
    if not value:
        _fault(reading, number, role, "is an empty list")
    if len(value) > MAX_ENTRIES:
        _fault(reading, number, role, f"has {len(value):,} entries, the most is {MAX_ENTRIES:,}")
        return []
    texts = [_text(reading, number, role, item) for item in value]
    return list(dict.fromkeys(text for text in texts if text))


def _split_text(text: str, text_lists: bool) -> list[Any]:
    if text.lstrip().startswith("["):
        try:
            items = parse_json(text)
        except ValueError:
            items = None
        if isinstance(items, list) and all(isinstance(item, (str, int)) for item in items):
            return items
    return [part for part in text.split("|") if part.strip()] or [""] if text_lists else [text]


def _exposures(reading: _Reading, number: int, value: Any) -> int | None:
    if not _filled(value):
        return None
    try:
        count = float(value) if not isinstance(value, str) or _NUMBER.fullmatch(value.strip()) else -1.0
    except (TypeError, ValueError, OverflowError):
        count = -1.0
    if isinstance(value, bool) or not 0 <= count < 10**9 or count != int(count):
        _fault(reading, number, "exposures", f"must be a whole number from 0, got {shown(value)}")
        return None
    return int(count)
