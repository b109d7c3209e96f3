"""Multiple choice: where a question's options stand, and which of them an answer's letter or number names."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sftqa_core.knowledge.tables import values

_SPACES = re.compile(r"[\s_]+")
_LETTER = re.compile(r"[A-Ja-j](?:\s*[,;/&+]\s*[A-Ja-j])*")
_NAMED = re.compile(r"^(?:option|choice|answer)[\s_]*(?=\w\b)", re.IGNORECASE)
_LABELS = re.compile(r"(?:^|(?<=[;,\s]))\(?[A-J][).:]\s*")
_LABELLED = re.compile(r"^\(?[A-Ja-j0-9][).:]\s*")
Options = Sequence[tuple[str, str]]  # (label, text)
_LETTERS = "abcdefghij"
_OPTION_NAMES = [  # of multiple choice with a column an option
    *([prefix + letter for letter in _LETTERS] for prefix in ("", "option_", "option ", "option", "op", "choice_", "choice ", "choice")),
    *(
        [f"{prefix}{number + first}" for number in range(10)]
        for first in (0, 1)
        for prefix in ("option_", "option ", "option", "choice_", "choice ", "choice", "ending")
    ),
]


def option_columns(plain: Sequence[str]) -> list[int]:
    """Where the options of multiple choice stand, if each has a column of its own: A, B, C and so on, option1, option2 ..."""
    for names in _OPTION_NAMES:
        there = 0
        while there < len(names) and names[there] in plain:
            there += 1
        if there > 1:
            return [plain.index(name) for name in names[:there]]
    return []


def counted_from(rows: Sequence[tuple[Sequence[Any], Any]]) -> tuple[int | None, bool]:
    """Of rows (cells of options, answer): what numbers are counted from (None: can't be told), and whether any answer names an option."""
    numbers, most, resolved = set(), 0, False
    for cells, answer in rows:
        given = options_of(*cells)
        if not given or not values.filled(answer) or isinstance(answer, list | dict):
            continue
        most = max(most, len(given))
        number = _as_number(answer)
        if number is not None and str(values.plain(answer)) not in (text for _, text in given):
            numbers.add(number)
        resolved = resolved or number is not None or bool(_LETTER.fullmatch(str(answer))) or bool(resolve(answer, given, None))
    return 0 if 0 in numbers else 1 if most in numbers else None, resolved


def options_of(*cells: Any) -> list[tuple[str, str]]:
    """(label, text) of a row's options: from a list, from {"text": [...], "label": [...]}, from {"A": ...}, or from several cells."""
    value: Any = list(cells) if len(cells) > 1 else cells[0] if cells else None
    if isinstance(value, str):
        value = values.opened(value) or _cut(value)
    if isinstance(value, Mapping) and isinstance(value.get("text"), list) and isinstance(value.get("label"), list):
        return [(str(label), str(values.plain(text))) for label, text in zip(value["label"], value["text"], strict=False)]
    if isinstance(value, Mapping):
        return [(str(label), str(values.plain(text))) for label, text in value.items() if values.filled(text)]
    if isinstance(value, list | tuple):
        if value and all(isinstance(item, Mapping) and "text" in item for item in value):
            return [(str(item.get("label", _LETTERS[n : n + 1].upper())), str(item["text"])) for n, item in enumerate(value)]
        labels = [_LETTERS[n : n + 1].upper() for n in range(len(value))]
        texts = [str(values.plain(text)) if values.filled(text) else "" for text in value]
        if all(
            text[: len(label) + 1].upper() in (f"{label})", f"{label}.", f"{label}:") for label, text in zip(labels, texts, strict=True)
        ):
            texts = [text[2:].strip() for text in texts]  # each begins with its own label
        return list(zip(labels, texts, strict=True))  # with the empty ones: numbers count them
    return []


def _cut(text: str) -> list[str]:
    """Options in one text: "x | y | z", or "A) x; B) y; C) z"."""
    parts = [part.strip() for part in text.split("|")]
    if len(parts) < 2:
        parts = [part.strip(" ;,\n") for part in _LABELS.split(text)[1:]]
    return parts if len(parts) > 1 else []


def resolve(answer: Any, given: Options, first: int | None, names: Sequence[str] = ()) -> str | None:
    """The option's text that an answer names: by its text, its column (of `names`, where each option has one), its label, its letter or
    its number counted from `first`; None for none."""
    said = str(values.plain(answer)).strip()
    if any(text == said for _, text in given):
        return said
    plain_names = [_SPACES.sub("", name).casefold() for name in names]
    if (name := _SPACES.sub("", said).casefold()) in plain_names:
        return given[plain_names.index(name)][1] or None
    letter = _NAMED.sub("", said).strip("().[]: ").casefold()
    for label, text in given:
        if label.casefold() == letter:
            return text or None
    number = _as_number(letter)
    if _NAMED.match(said) and not names:
        first = 1  # "option 3" of a list
    if number is not None and first is not None and 0 <= number - first < len(given):
        return given[number - first][1] or None
    plain = _LABELLED.sub("", said).casefold()  # "C. Rome" and "C) Rome" are the option Rome
    return next((text for _, text in given if text.strip().casefold() in (said.casefold(), plain)), None)


def _as_number(answer: Any) -> int | None:
    said = str(values.plain(answer)).strip()
    said = values.whole_float(said) or said
    return int(said) if said.isascii() and said.isdigit() and len(said) < 4 else None
