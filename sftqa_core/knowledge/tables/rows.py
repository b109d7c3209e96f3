"""Turns the rows of a file into facts: columns are found by columns.py, cells read by values.py, every fault told with row and column.

A relation whose templates are in a column asks "What is the <relation> of <subject>?" where a row has no question. A new relation
without templates can be read as question-answer pairs that ask so (`?read=pairs`).
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any

from sftqa_core.errors import FactsError, SettingsError
from sftqa_core.jsonrecord import MAX_LISTED, listed, shown
from sftqa_core.knowledge.facts import FactSource, content_fingerprint, fact_table, summarise, text_fault
from sftqa_core.knowledge.relations import TEMPLATES, Relation, builtin_relations, fill, generic_relation
from sftqa_core.knowledge.tables import choices, columns, layouts, oddities, values
from sftqa_core.knowledge.tables.merging import Merged, Row, asked_key, drawn_split, merge_rows
from sftqa_core.records import DOMAINS, SPLITS, SourcePreview

PAIRS = "qa"  # the relation of question-answer pairs that name none
MAX_ROWS = 2_000_000
MAX_ENTRIES = 1_000  # answers, or templates, of one row
MAX_RELATIONS = 2_000
MAX_PROBLEMS = 10_000  # after so many a file is not read on
PREVIEWED = 5  # rows
_SOME = 3  # subjects of a relation that has no templates yet
_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?([eE]\+?[0-9]{1,2})?")  # Python also takes 1_0 and digits of other scripts
_ID = re.compile(r"[PQ]\d+|/[\w/]+")  # Wikidata's and Freebase's names of relations say nothing
_GAP = re.compile(r"\{\}|\[X\]")  # CounterFact's and LAMA's sign for the subject
_OBJECT = re.compile(r"\s*\[Y\][\s.?!]*$")
_BETWEEN = re.compile(r"\s*(?:[,;/&+]|\band\b)\s*")
_TURNING = re.compile(r"[\u202a-\u202e\u2066-\u2069]")  # marks that turn the reading direction
NO_TEMPLATES = "is not built in and brings no templates"  # said of a new relation; a page with an editor says it otherwise
_EXAMPLE = '"{subject} flows into | The mouth of {subject} is in"'


@dataclass(frozen=True)
class Cells:
    """A file's content, unchecked."""

    name: str  # shown in every message, and part of the facts' ids
    columns: Sequence[str]
    rows: Iterable[tuple[int, Sequence[Any]]]  # number as the person sees it, cells in the columns' order
    text_lists: bool = False  # cells hold text only, so several answers stand in one (CSV)
    unread: Sequence[str] = ()  # columns that the rows leave out, since no role could take them
    notes: Sequence[str] = ()  # what reading the file has to tell
    split: str = ""  # of rows that state none, where the file's name tells it
    typed: str = ""  # what a person writes a mapping behind, where that is not `name`: the zip around a file, a name of the hub


@dataclass
class _Reading:
    """The state while rows are read one by one."""

    cells: Cells
    plan: columns.Plan
    relations: dict[str, Relation]  # what can be used: built-in and brought along
    used: dict[str, Relation] = field(default_factory=dict)
    domains: dict[str, tuple[str, int]] = field(default_factory=dict)  # relation -> stated domain and its row
    problems: list[str] = field(default_factory=list)
    unknown: dict[str, list[str]] = field(default_factory=dict)  # relation without templates -> some of its subjects
    stated: dict[str, set[str]] = field(default_factory=dict)  # relation -> templates seen in a column
    counts: dict[str, int] = field(default_factory=dict)  # what was read in another form than it is written -> answers

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


def source_from_cells(
    cells: Cells, name: str, brought: Mapping[str, Relation] | None = None, mapping: layouts.Mapped | None = None, read: str = ""
) -> FactSource:
    """The fact source in a table. `brought`: relations of the person's own; `mapping`: role -> columns, over the usual names;
    `read`: `layouts.AS_PAIRS` reads new relations without templates as question-answer pairs.

    Raises `FactsError` with every problem found (the first 20 are written out).
    """
    return source_from_parts([cells], cells.name, name, brought, mapping, read)


def source_from_parts(
    parts: Iterable[Cells],
    label: str,
    name: str,
    brought: Mapping[str, Relation] | None = None,
    mapping: layouts.Mapped | None = None,
    read: str = "",
    unknown: dict[str, list[str]] | None = None,
) -> FactSource:
    """One source out of several tables, such as a file a split. `label` stands in the facts' ids; `unknown` is filled with relations that
    have no templates and some subjects of each. Otherwise as `source_from_cells`."""
    relations = builtin_relations() | dict(brought or {})
    found: list[Row] = []
    notes: dict[str, None] = {}
    counts: Counter[str] = Counter()
    reading: _Reading | None = None
    for cells in parts:
        reading = _begun(cells, relations, mapping or {}, read, reading)
        reading.unknown = reading.unknown if unknown is None else unknown
        found += _read_rows(reading)
        notes.update(dict.fromkeys((*cells.notes, *reading.plan.notes)))
        counts.update(reading.counts)
    if reading is None or not (found or reading.problems):
        raise FactsError(f"{label} holds no facts: there is no row under its columns.")
    if reading.problems:
        raise FactsError(listed(reading.problems))
    merged = merge_rows(found, asked_key)
    facts = fact_table(merged.facts, label)
    if facts["exposures"].isna().all():
        facts = facts.drop(columns="exposures")
    report = summarise(name, facts, 0, merged.merged, merged.excluded_from_train)
    said = (*notes, *_counted(counts, merged), *_of_ids(reading.used), *oddities.notes(facts))
    return FactSource(name, facts, reading.used, report, content_fingerprint(facts, reading.used), said)


def preview(
    cells: Cells, name: str, brought: Mapping[str, Relation] | None = None, mapping: layouts.Mapped | None = None, read: str = ""
) -> SourcePreview:
    """How a table would be read, with its first rows; its faults are part of it instead of raised.

    Raises `FactsError` only for what is no table at all.
    """
    rows = iter(cells.rows)
    sample = list(islice(rows, columns.SAMPLE))
    first = [row for _, row in sample]
    found = SourcePreview(
        source=name,
        columns=tuple(map(str, cells.columns)),
        rows=tuple(tuple(_as_shown(value) for value in row) for row in first[:PREVIEWED]),
        places=tuple(columns.nameable(cells.columns, first)),
        guess=columns.guess(cells.columns, first),
        ignored=tuple(map(str, cells.unread)),
    )
    unknown: dict[str, list[str]] = {}
    try:
        plan = columns.understand(cells.name, cells.columns, mapping, first, read, cells.typed)
        found = replace(found, layout=plan.layout, roles=plan.roles, ignored=(*plan.ignored, *found.ignored))
        whole = replace(cells, rows=chain(sample, rows))
        return with_content(found, source_from_parts([whole], cells.name, name, brought, mapping, read, unknown))
    except FactsError as error:
        return with_faults(replace(found, new_relations=unknown), error)


def with_content(found: SourcePreview, source: FactSource) -> SourcePreview:
    """A preview with what the whole source holds."""
    counts = {split: sum(counts[split] for counts in source.report.relations.values()) for split in SPLITS}
    first = source.facts.head(PREVIEWED)
    read = tuple(zip(first["question"], map(" | ".join, first["answers"]), first["split"], strict=True))
    return replace(
        found, read=read, facts=source.report.facts, splits=counts, relations=len(source.relations), notes=source.notes, faults=()
    )


def with_faults(found: SourcePreview, error: FactsError) -> SourcePreview:
    """A preview with why it can't be used."""
    return replace(found, facts=0, faults=tuple(error.problems))


def _begun(cells: Cells, relations: dict[str, Relation], mapping: layouts.Mapped, read: str, before: _Reading | None) -> _Reading:
    """The state for a table, going on from the one before it: relations and problems are the source's, not a table's."""
    rows = iter(cells.rows)
    sample = list(islice(rows, columns.SAMPLE))
    plan = columns.understand(cells.name, cells.columns, mapping, [row for _, row in sample], read, cells.typed)
    whole = replace(cells, rows=chain(sample, rows))
    if before is None:
        return _Reading(whole, plan, relations)
    return replace(before, cells=whole, plan=plan, counts={})


def _as_shown(value: Any) -> str:
    if not values.filled(value):
        return ""
    return value if isinstance(value, str) else str(values.plain(value)) if not isinstance(value, list | dict) else shown(value)


def _of_ids(used: Mapping[str, Relation]) -> list[str]:
    """Relations whose name says nothing, though a question was made of it."""
    found = [relation for name, relation in used.items() if _ID.fullmatch(name) and relation.question == _plain_question(name)]
    if not found:
        return []
    first = found[0]
    return [
        f"{len(found):,} relations have an id for a name: {first.id} is asked as '{first.question}', with {len(first.templates):,} of the "
        "paper's 21 templates. Give them a question and templates of their own: Templates on the Memory page, or the file of relations."
    ]


def _counted(counts: Mapping[str, int], merged: Merged) -> list[str]:
    notes = [f"{number:,} {what}" for what, number in counts.items()]
    if merged.same_words:
        ask = "fact asks" if merged.same_words == 1 else "facts ask"
        notes.append(f"{merged.same_words:,} {ask} what a test or dev fact asks, but for case and punctuation: kept out of training.")
    return notes


def refuse_many_rows(name: str, count: int) -> None:
    """Raise `FactsError` when a file has more rows than allowed."""
    if count > MAX_ROWS:
        raise FactsError(f"{name} has more than {MAX_ROWS:,} rows, the most that can be used. Cut it into smaller files.")


def refuse(faults: Iterator[str]) -> None:
    """Raise `FactsError` if there are any: the first ones written out, the others counted."""
    if first := list(islice(faults, MAX_LISTED)):
        more = sum(1 for _ in faults)
        raise FactsError([*first, f"... and {more:,} more."] if more else first)


def _read_rows(reading: _Reading) -> list[Row]:
    rows: list[Row] = []
    for count, (number, cells) in enumerate(reading.cells.rows, 1):  # empty rows count: a file of nothing else has an end, too
        refuse_many_rows(reading.cells.name, count)
        if not any(values.filled(cell) for cell in cells):
            continue
        if row := _read_row(reading, number, cells):
            rows.append(row)
        if len(reading.problems) > MAX_PROBLEMS:
            raise FactsError([*reading.problems[:MAX_LISTED], f"... and more than {MAX_PROBLEMS - MAX_LISTED:,} more; it was not read on."])
    return rows


def _read_row(reading: _Reading, number: int, cells: Sequence[Any]) -> Row | None:
    before, plan = len(reading.problems), reading.plan
    cell = {role: plan.take(role, cells) for role in plan.at}
    given = cell["answers"]
    if isinstance(given, str) and "answer_start" in given:
        given = values.opened(given)
    if isinstance(given, Mapping) and given.get("text") in ([], None) and "answer_start" in given:
        reading.count("rows have no answer, as SQuAD marks questions that its text does not answer; they are left out.")
        return None
    question = _question(reading, number, cell)
    group = cell.get("relation") if values.filled(cell.get("relation")) else cell.get("topic")
    name = _text(reading, number, "relation", group) if not plan.pairs or values.filled(group) else PAIRS
    subject = question if plan.pairs else _text(reading, number, "subject", cell["subject"])
    answers = _answers(reading, number, cell, cells)
    exposures = _exposures(reading, number, cell.get("exposures"))
    relation = _relation(reading, number, name, cell, question) if name else None
    if relation and not question and not plan.pairs:
        asks = relation.question if "{subject}" in relation.question else _plain_question(name) if _as_pair(reading, name) else ""
        question = fill(asks, subject=subject)
        if not asks:
            _fault(reading, number, "question", f"is empty, and relation {name} has no question form with {{subject}}")
    if relation and _as_pair(reading, name):
        subject = question
    stated = cell.get("split") if values.filled(cell.get("split")) else reading.cells.split
    split = layouts.SPLIT_NAMES.get(str(stated).strip().casefold(), "") if values.filled(stated) else drawn_split(subject)
    if not split:
        _fault(reading, number, "split", f"must be train, dev, test or none, got {shown(stated)}")
    if relation is None or len(reading.problems) > before:
        return None
    return Row(name, subject, answers, question, split, relation.domain, exposures)


def _question(reading: _Reading, number: int, cell: Mapping[str, Any]) -> str:
    asked = cell.get("question")
    if not reading.plan.pairs and not values.filled(asked):
        return ""
    question = _text(reading, number, "question", asked)
    behind = cell.get("context")
    return f"{question}\n{_text(reading, number, 'context', behind)}" if question and values.filled(behind) else question


def _answers(reading: _Reading, number: int, cell: Mapping[str, Any], cells: Sequence[Any]) -> list[str]:
    """The row's right answers. What was read in another form than it is written is counted."""
    given = _entries(reading, number, "answers", cell["answers"])
    if "choices" in cell and given:
        places = reading.plan.at["choices"]
        options = choices.options_of(*(place.take(cells) for place in places))
        given = _options_meant(reading, number, given, options, [place.label for place in places] if len(places) > 1 else [])
    texts = [_answer(reading, number, item) for item in given]
    if values.filled(cell.get("aliases")):
        texts += [_answer(reading, number, item) for item in _entries(reading, number, "aliases", cell["aliases"], may_be_empty=True)]
    return list(dict.fromkeys(text for text in texts if text))


def _options_meant(reading: _Reading, number: int, given: Sequence[Any], options: choices.Options, names: Sequence[str]) -> list[Any]:
    meant = []
    for item in given:
        text = choices.resolve(item, options, reading.plan.first_option, names)
        several = [choices.resolve(part, options, None) for part in _BETWEEN.split(item)] if text is None and isinstance(item, str) else []
        if len(several) > 1 and all(several):
            reading.count("answers name several options; their texts are taken.")
            meant += several
        elif text is None:
            seen = ", ".join(f"{label} {shown(option)}" for label, option in options[:6]) or "none in this row"
            why = f"is {shown(item)}, which names none of the options ({seen})"
            if reading.plan.first_option is None and str(values.plain(item)).strip().isdigit():
                why = f"is {shown(item)}; it can't be told whether options are counted from 0 or from 1. Write the option's letter or text"
            _fault(reading, number, "answers", why)
        else:
            if text != item:
                reading.count("answers are the letter or number of an option; the option's text is taken.")
            meant.append(text)
    return meant


def _answer(reading: _Reading, number: int, item: Any) -> str:
    if isinstance(item, str):
        if reading.plan.whole_floats and (whole := values.whole_float(item)):
            reading.count("answers are written as 1984.0; they are read as 1984.")
            item = whole
        if date := values.date_alone(item):
            reading.count("answers are dates with a time of midnight; the date alone is taken.")
            item = date
        if _TURNING.search(item):
            reading.count("answers held marks that turn the reading direction; the marks are left out.")
            item = _TURNING.sub("", item)
        if any(mark in item.strip() for mark in "\t\n\r"):
            _fault(reading, number, "answers", f"holds a line break or a tab: {shown(item)}. An answer is a short text on one line")
            return ""
    elif isinstance(item, float) and item == item and item.is_integer():
        reading.count("answers are written as 1984.0; they are read as 1984.")
    return _text(reading, number, "answers", item)


def _relation(reading: _Reading, number: int, name: str, cell: Mapping[str, Any], question: str) -> Relation | None:
    """The row's relation, seen before or new; a stated domain holds for all its rows."""
    stated_domain = cell.get("domain")
    domain = str(stated_domain).strip().casefold() if values.filled(stated_domain) else ""
    if domain and domain not in DOMAINS:
        _fault(reading, number, "domain", f"must be in or out, got {shown(stated_domain)}")
        domain = ""
    relation = _with_templates(reading, number, name, cell) or _new_relation(reading, number, name, question)
    if relation is None:
        if name in reading.unknown and len(reading.unknown[name]) < _SOME and isinstance(cell.get("subject"), str):
            reading.unknown[name].append(cell["subject"].strip())
        return None
    stated, since = reading.domains.setdefault(name, (domain or relation.domain, number))
    if domain and domain != stated:
        _fault(reading, number, "domain", f"is {domain!r}, but row {since} has {stated!r} for the same relation")
    reading.used[name] = relation if relation.domain == stated else replace(relation, domain=stated)
    return reading.used[name]


def _with_templates(reading: _Reading, number: int, name: str, cell: Mapping[str, Any]) -> Relation | None:
    """A relation that was seen before or whose templates stand in this row. One of a column has the templates of all its rows, 21 at most
    but for those of its first row."""
    known = reading.used.get(name)
    if known is None and len(reading.used) >= MAX_RELATIONS:
        raise FactsError(f"{reading.cells.name} holds more than {MAX_RELATIONS:,} different relations. Cut it into smaller files.")
    if reading.plan.pairs or name in reading.relations or not values.filled(cell.get("templates")):
        return known
    seen = reading.stated.setdefault(name, set())
    given = _texts(reading, number, "templates", cell["templates"])
    if seen.issuperset(given):
        return known
    texts = [text for item in given if item not in seen and (text := _as_template(item))]
    seen.update(given)
    if known is not None and name not in reading.unknown:
        texts = [*known.templates, *(text for text in texts if text not in known.templates)][: max(TEMPLATES, len(known.templates))]
    try:
        return Relation(name, name, "in", _plain_question(name), tuple(texts)) if texts else known
    except SettingsError as error:
        for problem in error.problems:
            _fault(reading, number, "templates", problem.removesuffix("."))
        reading.unknown[name] = []  # what is missing has been said
        return known


def _new_relation(reading: _Reading, number: int, name: str, question: str) -> Relation | None:
    if reading.plan.pairs:
        return generic_relation(name)
    if name in reading.relations:
        return reading.relations[name]
    if _as_pair(reading, name) and (question or not _ID.fullmatch(name)):
        return generic_relation(name)
    if name not in reading.unknown:
        reading.unknown[name] = []
        file, typed = reading.cells.name, reading.cells.typed or reading.cells.name
        why = f"{shown(name)} {NO_TEMPLATES}: add a column 'templates' such as {_EXAMPLE}, or a file "
        why += (
            f"{file.rpartition('.')[0] or file}.relations.toml beside this one, or read them as question-answer pairs: {typed}?read=pairs"
        )
        if reading.plan.read == layouts.AS_PAIRS:
            why = f"{shown(name)} is an id, so no question can be made of it: add a column 'question', or put the relation's name there"
        _fault(reading, number, "relation", why)
    return None


def _as_pair(reading: _Reading, name: str) -> bool:
    """Whether rows of this relation are read as question-answer pairs because the person asks for it."""
    return reading.plan.read == layouts.AS_PAIRS and not reading.plan.pairs and name not in reading.relations and name not in reading.stated


def _plain_question(relation: str) -> str:
    return f"What is the {relation} of {{subject}}?"


def _as_template(text: str) -> str:
    """A template as ours are written, from CounterFact's "{} was written by" or LAMA's "[X] was written by [Y] ."; empty where the object
    stands elsewhere than at the end."""
    text = _OBJECT.sub("", _GAP.sub("{subject}", text)).strip() if _GAP.search(text) else text
    return "" if "[Y]" in text else text


# --- cells -----------------------------------------------------------------------------------------------


def _fault(reading: _Reading, number: int, role: str, said: str) -> None:
    reading.problems.append(f"{reading.cells.name}, row {number:,}, {reading.plan.label(role)}: {said}.")


def _text(reading: _Reading, number: int, role: str, value: Any) -> str:
    value = values.plain(value)
    if not values.filled(value):
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
    texts = [_text(reading, number, role, item) for item in _entries(reading, number, role, value)]
    return list(dict.fromkeys(text for text in texts if text))


def _entries(reading: _Reading, number: int, role: str, value: Any, may_be_empty: bool = False) -> list[Any]:
    try:
        found = values.entries(value, reading.cells.text_lists)
    except values.UnreadableCell as error:
        _fault(reading, number, role, str(error))
        return []
    if not found and not may_be_empty:
        _fault(reading, number, role, "is an empty list")
    if len(found) > MAX_ENTRIES:
        _fault(reading, number, role, f"has {len(found):,} entries, the most is {MAX_ENTRIES:,}")
        return []
    return found


def _exposures(reading: _Reading, number: int, value: Any) -> int | None:
    if not values.filled(value):
        return None
    try:
        count = float(value) if not isinstance(value, str) or _NUMBER.fullmatch(value.strip()) else -1.0
    except (TypeError, ValueError, OverflowError):
        count = -1.0
    if isinstance(value, bool) or not 0 <= count < 10**9 or count != int(count):
        _fault(reading, number, "exposures", f"must be a whole number from 0, got {shown(value)}")
        return None
    return int(count)
