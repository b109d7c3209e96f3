"""Frozen dataclasses that check themselves when built and travel as JSON both ways."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import reprlib
import types
import typing
from typing import Any, Self

from sftqa_core.errors import SettingsError

_QUOTED = reprlib.Repr()
_QUOTED.maxlevel, _QUOTED.maxlist, _QUOTED.maxtuple, _QUOTED.maxdict = 2, 12, 12, 6
_QUOTED.maxstring = _QUOTED.maxother = 120


class Record:
    """Base of every record in records/: subclass as a frozen dataclass, override `problems` to check.

    Building a record with unusable values raises `SettingsError` naming every problem at once.
    """

    def __post_init__(self) -> None:
        found = self.problems()
        if found:
            raise SettingsError(found)

    def problems(self) -> list[str]:
        """Sentences that say what is wrong with the values; empty when they can be used."""
        return []

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: tuples become lists, nested records become objects."""
        return _plain(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The record that `to_dict` wrote. Raises `SettingsError` on unknown or missing keys."""
        if not isinstance(data, dict):
            raise SettingsError(f"{cls.__name__} must be a JSON object, got {type(data).__name__}.")
        fields = {f.name: f for f in dataclasses.fields(typing.cast(Any, cls))}
        hints = typing.get_type_hints(cls)
        wrong = [f"{cls.__name__} has no setting '{key}'; it knows {', '.join(fields)}." for key in data if key not in fields]
        wrong += [f"{cls.__name__} needs '{name}'." for name, f in fields.items() if name not in data and _required(f)]
        values = {}
        for key in fields.keys() & data.keys():
            try:
                values[key] = _typed(hints[key], data[key])
            except SettingsError as error:
                wrong += error.problems
            except (TypeError, ValueError, OverflowError) as error:
                wrong.append(f"{cls.__name__}.{key}: {error}.")
        if wrong:
            raise SettingsError(wrong)
        return cls(**values)

    def fingerprint(self) -> str:
        """16 hex digits over the whole record: the only way a cache key is made from settings."""
        return fingerprint(self.to_dict())


def fingerprint(value: Any) -> str:
    """16 hex digits of SHA-256 over canonical JSON (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> list[str]:
    """For `problems`: a sentence if `value` is none of `allowed`."""
    return [] if value in allowed else [f"{name} must be one of {', '.join(allowed)}, got {value!r}."]


def at_least(name: str, value: int | None, least: int) -> list[str]:
    """For `problems`: a sentence if `value` is given and below `least`."""
    return [] if value is None or value >= least else [f"{name} must be {least} or more, got {value}."]


def within(name: str, value: float, low: float, high: float) -> list[str]:
    """For `problems`: a sentence if `value` does not lie from `low` to `high` (NaN never does)."""
    return [] if low <= value <= high else [f"{name} must be {low:,} to {high:,}, got {shown(value)}."]


def shown(value: Any) -> str:
    """A value as a message quotes it: a long or deep one is cut short."""
    try:
        return _QUOTED.repr(value)
    except ValueError:  # a number of thousands of digits
        return f"a number of {value.bit_length():,} bits" if isinstance(value, int) else type(value).__name__


def _required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def _typed(hint: Any, value: Any) -> Any:
    """`value` as the annotated type, or a TypeError that says what was seen."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _typed(next(a for a in arguments if a is not type(None)), value)
    if isinstance(hint, type) and issubclass(hint, Record):
        return hint.from_dict(value)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"must be a list, got {shown(value)}")
        return tuple(_typed(arguments[0], item) for item in value)
    if origin is dict:
        if not isinstance(value, dict):
            raise TypeError(f"must be an object, got {shown(value)}")
        return {key: _typed(arguments[1], item) for key, item in value.items()}
    if hint is Any:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise TypeError(f"must be {hint.__name__}, got {shown(value)}")
    return value
