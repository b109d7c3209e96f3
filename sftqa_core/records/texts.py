"""One setting as a short text, for an address or a file's line, and back. What comes from outside is checked like what is typed."""

import json
import math
import re
from typing import Any

from sftqa_core.jsonrecord import Setting, parse_json

# control characters, halves of characters, and marks that turn the reading direction round: never part of what is shown
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]")
NOTHING = "none"  # what None is called where it is not the default


def text_of(about: Setting, value: Any) -> str:
    """A number, text, switch or list of those."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, tuple):
        pieces = [text_of(about, piece) for piece in value]
        plain = pieces and not any("," in piece or piece.startswith("[") for piece in pieces)
        return ",".join(pieces) if plain else json.dumps(pieces, ensure_ascii=False)
    if isinstance(value, float):
        return f"{value:.12g}"
    return next((name for name, number in about.named.items() if number == value), str(value))


def value_of(about: Setting, text: str) -> Any:
    """The value that `text_of` wrote, or a person. Raises ValueError in a sentence for what it can't be."""
    if about.optional and text == NOTHING:
        return None
    if about.kind in (tuple[int, ...], tuple[str, ...]):
        value: Any = tuple(_one(about, int if about.kind == tuple[int, ...] else str, piece) for piece in _pieces(text))
    else:
        value = _one(about, about.kind, text)
    if wrong := about.problems(about.label or about.name, value):
        raise ValueError(wrong[0])
    return value


def _pieces(text: str) -> list[str]:
    if not text.startswith("["):
        return [piece for piece in text.split(",") if piece]
    pieces = parse_json(text)
    if not isinstance(pieces, list) or not all(isinstance(piece, str) for piece in pieces):
        raise ValueError("A list must hold texts.")
    return pieces


def _one(about: Setting, kind: type, text: str) -> Any:
    name = about.label or about.name
    if kind is bool:
        if text not in ("0", "1"):
            raise ValueError(f"{name} must be 1 or 0, got {text[:40]!r}.")
        return text == "1"
    if kind is str:
        return text
    if text in about.named:
        return about.named[text]
    try:
        number = kind(text)
    except (ValueError, OverflowError):
        raise ValueError(f"{name} must be a number, got {text[:40]!r}.") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a number, got {text[:40]!r}.")
    if kind is int and number < (about.low or 0) and about.named:
        raise ValueError(f"{name} must be {about.low or 0} or more, or {' or '.join(about.named)}, got {text[:40]!r}.")
    return number
