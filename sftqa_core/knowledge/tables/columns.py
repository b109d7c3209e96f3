"""Which column of a file holds what: decided by the names in its header (layouts.py), the first rows, and what the person says.

Usual names come first, then the known layouts, and a mapping over both. Where a name has two meanings the first rows decide, and what was
decided is told. Where nothing fits, the refusal names what was seen and the mapping that would help.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from sftqa_core.errors import FactsError
from sftqa_core.jsonrecord import shown
from sftqa_core.knowledge import spelling
from sftqa_core.knowledge.tables import choices, layouts, values
from sftqa_core.records import DOMAINS

NAME_THEM = " Name the columns behind the file's name, such as"  # the end of a fault; a page that has pickers leaves it out
SAMPLE = 1_000  # rows that decide what a column means
MAX_TOPICS = 200  # more different texts are no topics
_NAMES_OF_SPLITS = ("set", "subset", "partition", "fold", "part")
_LISTED = 20  # columns that a message names
_DEEPEST = 3  # objects within objects whose keys are named
_HINTS = {  # of names that people give; asked in this order, a whole name before a part of one
    "question": ("question", "query", "prompt", "problem", "instruction", "q", "input", "ask", "frage", "pregunta"),
    "answers": ("answer", "target", "response", "completion", "output", "solution", "object", "obj", "tail", "label", "value", "a"),
    "subject": ("subject", "entity", "head", "subj", "sub", "name"),
    "relation": ("relation", "predicate", "property", "prop", "pred", "rel"),
}


@dataclass(frozen=True)
class Place:
    """Where a value stands: a column, and the way inside it."""

    column: int
    keys: tuple[str, ...]
    label: str  # as messages name it

    def take(self, cells: Sequence[Any]) -> Any:
        value = cells[self.column] if self.column < len(cells) else None
        return values.reach(value, self.keys) if self.keys else value


@dataclass(frozen=True)
class Plan:
    """How a file's columns are read."""

    layout: str  # OWN, or the name of one of `layouts.LAYOUTS`
    at: Mapping[str, tuple[Place, ...]]  # role -> where its values stand
    columns: tuple[str, ...]
    read: str = ""  # AS_PAIRS or nothing
    first_option: int | None = None  # what an option's number is counted from
    whole_floats: bool = False  # texts such as 1984.0 are whole numbers that a table program wrote
    notes: tuple[str, ...] = ()

    @property
    def pairs(self) -> bool:
        return "subject" not in self.at

    def take(self, role: str, cells: Sequence[Any]) -> Any:
        """A row's value of a role: a list of several where several columns hold it; None without any."""
        places = self.at.get(role, ())
        if len(places) < 2:
            return places[0].take(cells) if places else None
        return [value for place in places if values.filled(value := place.take(cells))]

    def label(self, role: str) -> str:
        """The column of a role as messages name it."""
        return self.at[role][0].label if self.at.get(role) else role

    @property
    def ignored(self) -> tuple[str, ...]:
        """Columns that no role takes."""
        used = {place.column for places in self.at.values() for place in places}
        return tuple(name for index, name in enumerate(self.columns) if index not in used)

    @property
    def roles(self) -> dict[str, str]:
        """Role -> its columns, for people."""
        return {role: ", ".join(place.label for place in places) for role, places in self.at.items()}


def understand(
    name: str,
    columns: Sequence[str],
    mapping: layouts.Mapped | None = None,
    sample: Sequence[Sequence[Any]] = (),
    read: str = "",
    typed: str = "",
) -> Plan:
    """How the columns of the file `name` are read, with its first rows at hand. `typed`: what a mapping is written behind.

    Raises `FactsError` that says what was seen, and which mapping would help.
    """
    mapping = mapping or {}
    if len(columns) > layouts.MAX_COLUMNS:
        raise FactsError(f"{name} has {len(columns):,} columns, the most is {layouts.MAX_COLUMNS:,}.")
    plain = [_plain(column) for column in columns]
    problems = [f"'{role}' is no column role; there are {', '.join(layouts.ROLES)}." for role in mapping if role not in layouts.ROLES]
    layout, wanted = _wanted(plain, mapping)
    at: dict[str, tuple[Place, ...]] = {}
    for role, paths in wanted.items():
        places = [_place(path, columns, plain) for path in paths]
        problems += [
            f"{name} has no column {shown(path)} (wanted as {role}); {_seen(columns, sample)}."
            for path, place in zip(paths, places, strict=True)
            if place is None and role in mapping
        ]
        if there := tuple(place for place in places if place):
            at[role] = there
    problems += [
        f"{name} has the column '{plain[index]}' twice. Take one of them away."
        for index in dict.fromkeys(place.column for places in at.values() for place in places)
        if plain.count(plain[index]) > 1
    ]
    if (
        "question" in at
        and "answers" in at
        and "choices" not in at
        and "choices" not in mapping
        and (options := choices.option_columns(plain))
    ):
        at["choices"] = tuple(Place(index, (), str(columns[index])) for index in options)
    layout = _of_shape(at, sample) if layout == layouts.OWN else layout
    plan = _settled(Plan(layout, at, tuple(map(str, columns)), read), mapping, sample)
    if lacking := _lacking(name, typed or name, plan, columns, sample):
        problems.append(lacking)
    if problems:
        raise FactsError(problems)
    return plan


def columns_used(columns: Sequence[str], mapping: layouts.Mapped | None = None) -> list[str]:
    """Those of a file's columns that any role could take; none where no layout is known. For files whose columns are read one by one."""
    plain = [_plain(column) for column in columns]
    _, wanted = _wanted(plain, mapping or {})
    places = [_place(path, columns, plain) for paths in wanted.values() for path in paths]
    has = {role for role, paths in wanted.items() if any(_place(path, columns, plain) for path in paths)}
    if not _make_facts(has):
        return []
    used = {plain[place.column] for place in places if place} | {plain[index] for index in choices.option_columns(plain)}
    return [str(column) for column, name in zip(columns, plain, strict=True) if name in used]  # both of a name that stands twice


def guess(columns: Sequence[str], sample: Sequence[Sequence[Any]] = ()) -> dict[str, str]:
    """Role -> column for a file without a known layout, by names and by texts that end with a question mark."""
    of_roles = {name for role in ("split", "domain", "exposures") for name in layouts.ROLES[role]}
    names = [name for name in nameable(columns, sample) if _plain(name) not in of_roles and _holds_texts(name, columns, sample)]
    plain = [_plain(name).rsplit(".", 1)[-1] for name in names]
    found: dict[str, str] = {}
    for role, hints in _HINTS.items():
        exact = (index for hint in hints for index, name in enumerate(plain) if name in (hint, f"{hint}s"))
        part = (index for hint in hints if len(hint) > 2 for index, name in enumerate(plain) if hint in name)
        free = (names[index] for either in (exact, part) for index in either if names[index] not in found.values())
        if column := next(free, None):
            found[role] = column
    asking = [str(columns[index]) for index in range(len(columns)) if _asks(index, sample)]
    if asking and found.get("question") not in asking:
        found = {"question": asking[0]} | {role: name for role, name in found.items() if name != asking[0]}
    if "question" in found and "answers" not in found and len(names) == 2:
        found["answers"] = next(name for name in names if name != found["question"])
    if "question" in found and "answers" in found:
        return {role: found[role] for role in ("question", "answers")}
    if not {"subject", "relation"} <= found.keys():
        found = {role: name for role, name in found.items() if role in ("question", "answers")}
    return found


def nameable(columns: Sequence[str], sample: Sequence[Sequence[Any]]) -> Iterator[str]:
    """What can be named in a mapping: the columns, and of a column of objects its keys."""
    first = sample[0] if sample else ()
    for index, name in enumerate(map(str, columns)):
        yield from _inside(name, first[index] if index < len(first) else None, _DEEPEST)


def _inside(name: str, value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        value = value[0]
    if isinstance(value, Mapping) and value and depth:
        for key in list(value)[:_LISTED]:
            yield from _inside(f"{name}.{key}", value[key], depth - 1)
    else:
        yield name


def _holds_texts(path: str, columns: Sequence[str], sample: Sequence[Sequence[Any]]) -> bool:
    """Whether the first row has a text or a number there, or a list of texts: a list of numbers marks something, it answers nothing."""
    place = _place(path, columns, [_plain(column) for column in columns])
    value = place.take(sample[0]) if place and sample else ""
    return not isinstance(value, list) or not value or isinstance(value[0], str | Mapping | tuple)


def _plain(column: Any) -> str:
    return spelling.unseen_left_out(str(column)).strip().casefold()


def _wanted(plain: Sequence[str], mapping: layouts.Mapped) -> tuple[str, dict[str, tuple[str, ...]]]:
    """(the layout's name, role -> paths). Usual names come first: a file that has them is read by them, whatever else it holds."""
    wanted = {role: known[:1] for role, names in layouts.ROLES.items() if (known := tuple(name for name in names if name in plain))}
    layout = layouts.OWN
    has = wanted.keys() | mapping.keys()
    if not _make_facts(has):
        known_layout = next((one for one in layouts.LAYOUTS if all(column in plain for column in one.needs)), None)
        if known_layout:
            layout, wanted = known_layout.name, wanted | dict(known_layout.roles)
            wanted = {role: paths for role, paths in wanted.items() if role in known_layout.roles or role in ("split", "exposures")}
    for role, paths in mapping.items():
        wanted[role] = paths
    return layout, {role: paths for role, paths in wanted.items() if paths}


def _make_facts(roles: Set[str]) -> bool:
    """Whether these roles are enough: answers, and a question or a subject under a relation."""
    return "answers" in roles and ("question" in roles or {"subject", "relation"} <= roles)


def _place(path: str, columns: Sequence[str], plain: Sequence[str]) -> Place | None:
    wanted = _plain(path)
    if wanted in plain:
        index = plain.index(wanted)
        return Place(index, (), str(columns[index]).strip())
    parts = path.strip().split(".")
    for cut in range(len(parts) - 1, 0, -1):
        head = _plain(".".join(parts[:cut]))
        if head in plain:
            return Place(plain.index(head), tuple(parts[cut:]), path.strip())
    return None


def _settled(plan: Plan, mapping: layouts.Mapped, sample: Sequence[Sequence[Any]]) -> Plan:
    """The plan, with what the first rows say about columns whose names have two meanings."""
    at, notes = dict(plan.at), list(plan.notes)
    if "subject" in at and "relation" not in at and "question" in at and "subject" not in mapping:
        notes += _as_topic(at, "subject", sample, "The questions are facts of their own")
    if "domain" in at and "domain" not in mapping:
        stated = {str(value).strip().casefold() for value in _column(at["domain"], sample)}
        if stated and not stated & set(DOMAINS):
            notes += _as_topic(at, "domain", sample, "It holds neither in nor out")
    if "split" not in at and (index := _split_column(plan.columns, sample)) is not None:
        at["split"] = (Place(index, (), plan.columns[index]),)
        notes.append(f"Column '{plan.columns[index]}' names splits only, so it is read as the split.")
    if "topic" in at and ("subject" in at or "relation" in at):
        del at["topic"]
    first = None
    if "choices" in at and "answers" in at:
        first, of_use = choices.counted_from([(_values(at["choices"], cells), at["answers"][0].take(cells)) for cells in sample])
        if not of_use and "choices" not in mapping:
            del at["choices"]
    answers = [value for value in _column(at.get("answers", ()), sample) if isinstance(value, str)]
    floats = sum(values.whole_float(text) is not None for text in answers)
    fractions = sum("." in text and text.strip().replace(".", "", 1).lstrip("-").isdigit() for text in answers) - floats
    if floats and fractions:
        notes.append("Answers such as 1984.0 stay as they are, since others in their column have decimals. Write years without.")
    return replace(plan, at=at, notes=tuple(notes), first_option=first, whole_floats=bool(floats) and not fractions)


def _of_shape(at: Mapping[str, tuple[Place, ...]], sample: Sequence[Sequence[Any]]) -> str:
    """The name of a layout that differs from others in its answers only."""
    first = next(iter(_column(at.get("answers", ()), sample)), None)
    first = first[0] if isinstance(first, list) and first else first
    if isinstance(first, Mapping) and "text" in first:
        return "SQuAD"
    return "TriviaQA" if isinstance(first, Mapping) and "aliases" in first else "multiple choice" if "choices" in at else layouts.OWN


def _split_column(columns: Sequence[str], sample: Sequence[Sequence[Any]]) -> int | None:
    """A column that people name otherwise and that holds nothing but names of splits."""
    for index, name in enumerate(columns):
        if _plain(name) in _NAMES_OF_SPLITS:
            found = {str(cells[index]).strip().casefold() for cells in sample if index < len(cells) and values.filled(cells[index])}
            if found and found <= layouts.SPLIT_NAMES.keys():
                return index
    return None


def _as_topic(at: dict[str, tuple[Place, ...]], role: str, sample: Sequence[Sequence[Any]], why: str) -> list[str]:
    """Make a column that is not what its name says the topic, if its texts recur, else ignore it. Returns what to tell."""
    places = at.pop(role)
    found = [str(value) for value in _column(places, sample)]
    distinct = len(set(found))
    pairs = "subject" not in at and "relation" not in at
    if (
        pairs
        and "topic" not in at
        and distinct <= MAX_TOPICS
        and (distinct <= len(found) / 2 or (len(found) < 20 and distinct < len(found)))
    ):
        at["topic"] = places
        return [f"Column '{places[0].label}': {why[0].lower()}{why[1:]}, so it is read as the questions' topic."]
    return [f"Column '{places[0].label}' is ignored: {why[0].lower()}{why[1:]}."]


def _lacking(name: str, typed: str, plan: Plan, columns: Sequence[str], sample: Sequence[Sequence[Any]]) -> str:
    """What a plan needs and has not, with the mapping that would help; empty if it has everything."""
    at = plan.at
    if "answers" not in at:
        lacks = "no column for the answers (answers or object)"
    elif "subject" in at and "relation" not in at and "question" not in at:
        lacks = "subjects but no column 'relation'"
    elif "subject" not in at and "question" not in at:
        lacks = "neither a column 'subject' (facts) nor 'question' (question-answer pairs)"
    else:
        return ""
    known = {role: at[role][0].label for role in ("relation", "subject", "question", "answers") if role in at}
    guessed = guess(columns, sample)
    roles = (
        ["relation", "subject", "answers"] if ("subject" in at or "relation" in at) and "question" not in at else ["question", "answers"]
    )
    missing = [role for role in roles if role not in known]
    fix = layouts.query_of({role: (guessed.get(role) or "COLUMN",) for role in missing})
    return f"{name} has {lacks}; {_seen(columns, sample)}.{NAME_THEM} {typed}{fix}"


def _seen(columns: Sequence[str], sample: Sequence[Sequence[Any]]) -> str:
    names = list(nameable(columns, sample))
    some = [name if len(name) <= 40 and name.isprintable() else shown(name[:40]) for name in names[:_LISTED]]
    return f"its columns are {', '.join(some) or 'none'}" + (f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else "")


def _asks(index: int, sample: Sequence[Sequence[Any]]) -> bool:
    texts = [cells[index] for cells in sample if index < len(cells) and isinstance(cells[index], str) and cells[index].strip()]
    return bool(texts) and sum(text.rstrip().endswith(("?", "？", "؟")) for text in texts) > len(texts) / 2


def _column(places: Sequence[Place], sample: Sequence[Sequence[Any]]) -> list[Any]:
    return [value for cells in sample for place in places[:1] if values.filled(value := place.take(cells))]


def _values(places: Sequence[Place], cells: Sequence[Any]) -> list[Any]:
    return [place.take(cells) for place in places]
