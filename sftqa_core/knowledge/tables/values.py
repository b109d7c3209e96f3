"""What one cell says: texts out of the ways in which people, pandas and datasets write them.

A cell may be a text, a number, a date, a list, an object of lists, or any of these written out as text by the program that saved the
file. Each becomes a list of texts. Python's and numpy's spellings are taken apart from the syntax tree, within limits; nothing is run.

| written | read as |
|---|---|
| 1984.0 (a float) | 1984 |
| 2024-03-01 00:00:00 (a date) | 2024-03-01 |
| `["A", "B"]`, `['A', 'B']`, `('A', 'B')`, `{'A', 'B'}` | A, B |
| `['A' 'B']`, `array(['A', 'B'], dtype=object)` (numpy) | A, B |
| `{"text": ["A"], "answer_start": [0]}` (SQuAD) | A |
| `[{"text": "A"}, {"answer": "B"}]` (SQuAD, KILT) | A, B |
| `{"value": "A", "aliases": ["A", "B"]}` (TriviaQA) | A, B |
| `A \\| B` (in CSV, where a cell can't be a list) | A, B |
"""

import ast
import datetime
import decimal
import io
import re
import tokenize
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sftqa_core.jsonrecord import parse_json, shown

MAX_CONTAINER = 100_000  # characters of a list that is written as text
_MAX_NESTING = 8
_OBJECT_KEYS = ("text", "answer", "value", "label", "name", "str")  # the first of them holds an object's text
_MORE_KEYS = ("aliases",)
_SAYS_NOTHING = frozenset({"provenance", "meta"})  # KILT: entries of an output that say where, not what
_OPENS = {"[": "]", "(": ")", "{": "}"}
_LIST_OF_TEXTS = re.compile(r"""[\[({]\s*['"]""")  # no name begins so
_NUMPY = re.compile(r"(?:np\.)?array\((\[.*\])(?:,\s*dtype=[\w.<>']+)?\)", re.DOTALL)
_SET = re.compile(r"(?:frozen)?set\(([{\[(].*[}\])])\)", re.DOTALL)
_WRAPPERS = ("array", "str_", "int64", "int32", "float64", "Timestamp", "frozenset", "set")  # their first argument says it
_STRAIGHT = str.maketrans("‘’“”", "''\"\"")
_NUMBERS = re.compile(r"\[\s*-?\d+(?:\.\d*)?(?:\s+-?\d+(?:\.\d*)?)*\s*\]")  # numpy's array of numbers, without commas
_WHOLE_FLOAT = re.compile(r"(-?\d{1,15})\.0")
_MIDNIGHT = re.compile(r"(\d{4}-\d\d-\d\d)[ T]00:00:00(?:\.0+)?(?:Z|\+00:00)?")
_BETWEEN = frozenset({tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER, tokenize.COMMENT})


class UnreadableCell(ValueError):
    """Why a cell can't be read, as a clause that follows its name."""


def filled(cell: Any) -> bool:
    """Whether a cell holds anything: not None, NaN, NaT or white space."""
    if isinstance(cell, str):
        return bool(cell.strip())
    return cell is not None and bool(cell == cell)  # NaN differs from itself


def plain(value: Any) -> Any:
    """A single value as the text that people mean by it: whole floats without their point, dates in ISO form.

    What is no number, date or text comes back as it is.
    """
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, decimal.Decimal) and value.is_finite():
        return str(int(value)) if value == value.to_integral_value() else str(value.normalize())
    if isinstance(value, float) and value == value and abs(value) != float("inf"):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime.datetime):
        midnight = value.time() == datetime.time()
        return value.date().isoformat() if midnight else value.isoformat(" ")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return value


def entries(value: Any, text_lists: bool) -> list[Any]:
    """The single values in a cell, texts of containers taken apart. `text_lists`: a vertical bar stands between several texts.

    Raises `UnreadableCell` for a list written as text that breaks off, and for an object whose keys say nothing.
    """
    return list(_entries(value, text_lists, 0))


def container(text: str) -> Any:
    """The list or object that a text spells in JSON, Python or numpy; None where it is an ordinary text.

    Raises `UnreadableCell` for what can only be a list, yet can't be read.
    """
    text = text.strip()
    if wrapped := _NUMPY.fullmatch(text) or _SET.fullmatch(text):
        text = wrapped[1]
    if text[:2] in ("[‘", "[“"):  # a word processor wrote the quotes
        text = text.translate(_STRAIGHT)
    if text[:1] not in _OPENS or text[-1:] != _OPENS[text[0]]:
        if _LIST_OF_TEXTS.match(text) and text[0] == "[":
            raise UnreadableCell(f"begins as a list and has no end: {shown(text)}")
        return None
    if len(text) > MAX_CONTAINER:
        raise UnreadableCell(f"is a list written in {len(text):,} characters, the most is {MAX_CONTAINER:,}")
    if text[0] in "[{":
        try:
            return parse_json(text)
        except ValueError:
            pass
    try:
        if _NUMBERS.fullmatch(text):
            return [float(word) if "." in word else int(word) for word in text[1:-1].split()]
        return _without_commas(text) or _value(ast.parse(text, mode="eval").body, 0)
    except (ValueError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError):
        if _LIST_OF_TEXTS.match(text) or _NUMBERS.fullmatch(text):
            raise UnreadableCell(f"looks like a list, but is neither JSON's nor Python's: {shown(text)}") from None
        return None


def reach(value: Any, keys: Sequence[str]) -> Any:
    """What lies inside a value under `keys`, one after the other; None where nothing does.

    A key is an object's key or a list's position; a key of objects in a list is asked of each of them. In a chat, `user` and
    `assistant` are the first message of that role. A container written as text is opened.
    """
    for depth, key in enumerate(keys):
        if isinstance(value, str):
            value = opened(value)
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, list | tuple) and key.isdigit():
            value = value[int(key)] if int(key) < len(value) else None
        elif isinstance(value, list | tuple) and _is_chat(value):
            value = _first_said(value, key)
        elif isinstance(value, list | tuple):
            found = (reach(item, keys[depth:]) for item in value if isinstance(item, Mapping))
            return [item for item in found if item is not None]
        else:
            return None
    return value


def whole_float(text: str) -> str | None:
    """1984 for "1984.0", None for any other text."""
    found = _WHOLE_FLOAT.fullmatch(text.strip())
    return found[1] if found else None


def date_alone(text: str) -> str | None:
    """2024-03-01 for "2024-03-01 00:00:00", None for any other text."""
    found = _MIDNIGHT.fullmatch(text.strip())
    return found[1] if found else None


def _entries(value: Any, text_lists: bool, depth: int) -> Iterable[Any]:
    if depth > _MAX_NESTING:
        raise UnreadableCell("is nested too deeply")
    if isinstance(value, str):
        inside = container(value)
        if inside is None or not _holds_texts(inside):
            parts = [part for part in value.split("|") if part.strip()] or [""] if text_lists and depth == 0 else [value]
            yield from parts
            return
        value = inside
    if isinstance(value, list) and value and all(isinstance(item, tuple) and len(item) == 2 for item in value):
        value = dict(value)  # Arrow's maps
    if isinstance(value, Mapping):
        yield from _of_object(value, text_lists, depth)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _entries(item, text_lists, depth + 1)
    else:
        yield value


def _of_object(value: Mapping[str, Any], text_lists: bool, depth: int) -> Iterable[Any]:
    key = next((key for key in _OBJECT_KEYS if filled(value.get(key))), None)
    if key is None:
        if value and _SAYS_NOTHING.issuperset(value):
            return
        raise UnreadableCell(f"must be text, got {shown(dict(value))} ({type(value).__name__})")
    for name in (key, *_MORE_KEYS):
        if filled(value.get(name)):
            yield from _entries(value[name], text_lists, depth + 1)


def _holds_texts(value: Any) -> bool:
    """Whether what a text spells is a list of answers, not a name in brackets such as "(4, 5)" or "{1}"."""
    if isinstance(value, Mapping):
        return any(key in value for key in _OBJECT_KEYS)
    return isinstance(value, list) and all(isinstance(item, str | int | float | list | Mapping) and item == item for item in value)


def _value(node: ast.AST, depth: int) -> Any:
    """A syntax tree as lists, objects and single values; sets in the order in which they are written. Raises ValueError for others."""
    if depth > _MAX_NESTING:
        raise ValueError
    if isinstance(node, ast.Tuple | ast.Set):
        items = [_value(item, depth + 1) for item in node.elts]
        if not any(isinstance(item, str) for item in items):
            raise ValueError  # "(4, 5)" is an answer, not two
        return items
    if isinstance(node, ast.List):
        return [_value(item, depth + 1) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {str(ast.literal_eval(key)): _value(item, depth + 1) for key, item in zip(node.keys, node.values, strict=True) if key}
    if isinstance(node, ast.Call):
        return _called(ast.unparse(node.func).rpartition(".")[2], [_value(given, depth + 1) for given in node.args])
    value = ast.literal_eval(node)
    if isinstance(value, set | frozenset | bytes | complex):
        raise ValueError
    return value


def _called(name: str, given: list[Any]) -> Any:
    """What numpy, pandas and datetime write as a call of themselves: `array(['A'])`, `np.str_('A')`, `Timestamp('1984-05-03')`."""
    if name in _WRAPPERS and given:
        return given[0]
    if name in ("date", "datetime") and len(given) >= 3:
        return plain(datetime.datetime(*given))
    raise ValueError


def _without_commas(text: str) -> list[str] | None:
    """numpy's spelling of a list of texts, `['A' 'B']`, which Python would join into one; None for any other."""
    if not text.startswith("["):
        return None
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type not in _BETWEEN][1:-1]
    if len(tokens) < 2 or any(token.type != tokenize.STRING for token in tokens):
        return None
    return [str(ast.literal_eval(token.string)) for token in tokens]


def opened(text: str) -> Any:
    """`container`, with None for what can't be read, too."""
    try:
        return container(text)
    except UnreadableCell:
        return None


_ROLES = {"user": ("user", "human"), "assistant": ("assistant", "gpt", "model"), "system": ("system",)}


def _is_chat(value: Sequence[Any]) -> bool:
    return bool(value) and isinstance(value[0], Mapping) and bool({"role", "from"} & set(value[0]))


def _first_said(messages: Sequence[Any], role: str) -> Any:
    names = _ROLES.get(role, (role,))
    spoken = [(str(m.get("role", m.get("from"))).casefold(), m) for m in messages if isinstance(m, Mapping)]
    asked = next((n for n, (who, _) in enumerate(spoken) if who in _ROLES["user"]), 0)
    first = next((m for who, m in spoken[asked if role == "assistant" else 0 :] if who in names), None)  # a greeting is no answer
    said_so = None if first is None else first.get("content", first.get("value"))
    if isinstance(said_so, list):  # a message in parts, of which pictures and the like are left out
        return "\n".join(part["text"] for part in said_so if isinstance(part, Mapping) and isinstance(part.get("text"), str))
    return said_so
