"""Frozen dataclasses that check themselves when built and travel as JSON both ways.

A field made by `setting` says everything about itself once: bounds, label, help, flag, whose keys it stands in. The record's checks,
the command line, the commands that repeat a run, the pages' forms, titles and tables, and the keys are made of that.
"""

import dataclasses
import difflib
import enum
import functools
import hashlib
import json
import re
import reprlib
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self, Union, cast, get_args, get_origin, get_type_hints

from sftqa_core.errors import SettingsError

_QUOTED = reprlib.Repr()
_QUOTED.maxlevel, _QUOTED.maxlist, _QUOTED.maxtuple, _QUOTED.maxdict = 2, 12, 12, 6
_QUOTED.maxstring = _QUOTED.maxother = 120
MAX_LISTED = 20  # problems that a message lists
_LARGEST = 2**63 - 1  # what tables and databases hold
_SETTING = "setting"  # in a field's metadata
_DEEPEST = 50  # levels of lists and objects where a record holds any JSON
_HALF = re.compile(r"[\ud800-\udfff]")


class Keys(enum.Flag):
    """In whose keys a setting stands, because that result depends on it."""

    NONE = 0  # no result depends on it
    OTHERWISE = enum.auto()  # a training depends on it, but its key has what follows from it: model, examples, learning rate
    TRAINING = enum.auto()  # the checkpoints of a training
    IF_SET = enum.auto()  # there only where it is not at its default: checkpoints were stored before there was such a setting
    ANSWERS = enum.auto()  # a study's cell: what a tuned model answers, but for rounding
    ASKING = enum.auto()  # what the untouched model answers, too


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a field says about itself. `name`, `kind`, `optional` and `default` are filled in from the field."""

    label: str = ""  # what pages call it
    help: str = ""  # for the command line and the pages
    flag: str = ""  # of the command line, or the name of a positional argument; empty: it has none
    title: str = ""  # its words in a run's title, with {value}; empty: label and value
    unit: str = ""  # what a number counts, or the form of a text
    unset: str = ""  # what None means
    low: float | None = None  # bounds of a number, or of each of several
    high: float | None = None
    longest: int | None = None  # characters of a text, or of each of several
    most: int | None = None  # how many a list may have
    choices: Mapping[str, str] = dataclasses.field(default_factory=dict)  # values that are allowed -> what pages call them
    named: Mapping[str, int] = dataclasses.field(default_factory=dict)  # values that have a name of their own and no bounds
    under: str = ""  # it has an effect only while that other setting is not at its default
    only_with: tuple[str, ...] = ()  # or, where these are given, while that other setting is one of them
    keys: Keys | None = None
    rank: int = 1  # place in a command: 0 first and always, 1 where it is not the default, 2 behind those and always
    later: bool = False  # came after results were stored: JSON, and so every key, is without it while it holds its default
    name: str = ""
    kind: Any = None
    optional: bool = False
    default: Any = ...  # stays so where there is none

    def problems(self, name: str, value: Any) -> list[str]:
        """Sentences about a value out of bounds."""
        if value is None or (isinstance(value, int) and value in self.named.values()):
            return []
        if self.choices:
            return one_of(name, value, tuple(self.choices))
        if isinstance(value, tuple):
            many = [f"{name} may be at most {self.most:,}, got {len(value):,}."] if self.most is not None and len(value) > self.most else []
            return many + [problem for item in value for problem in self.problems(name, item)]
        if isinstance(value, str):
            return at_most(name, value, self.longest) if self.longest is not None else []
        if self.low is None:
            return []
        if self.high is None:
            return at_least(name, value, self.low)
        percent = (self.low, self.high) == (0, 1) and isinstance(value, float) and 1 < value <= 100
        return [f"{told} {value:g}% is {value / 100:g}." if percent else told for told in within(name, value, self.low, self.high)]


def setting(default: Any = dataclasses.MISSING, *, make: Callable[[], Any] | None = None, **about: Any) -> Any:
    """A record's field with its `Setting`; `make` makes a default that is a record itself."""
    metadata = {_SETTING: Setting(**about)}
    return dataclasses.field(default_factory=make, metadata=metadata) if make else dataclasses.field(default=default, metadata=metadata)


def like(kind: Any, name: str, **changes: Any) -> Any:
    """A field of another record with its `Setting`; `changes` replace parts of that."""
    (same,) = (field for field in dataclasses.fields(kind) if field.name == name)
    metadata = {_SETTING: dataclasses.replace(same.metadata[_SETTING], **changes)}
    return dataclasses.field(default=same.default, default_factory=same.default_factory, metadata=metadata)


def declared(kind: Any) -> dict[str, Setting]:
    """A record's settings by name, in their order. The dict is shared: do not change it."""
    return _declared(kind)


@functools.cache  # typed apart: mypy takes the class of a dataclass for something that can't be hashed
def _declared(kind: Any) -> dict[str, Setting]:
    hints, settings = _hints(kind), {}
    for field in dataclasses.fields(kind):
        inner = [hint for hint in get_args(hints[field.name]) if hint is not type(None)]
        optional = type(None) in get_args(hints[field.name])
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        default = ... if default is dataclasses.MISSING else default
        about = field.metadata.get(_SETTING, Setting())
        plain = inner[0] if optional else hints[field.name]
        settings[field.name] = dataclasses.replace(about, name=field.name, kind=plain, optional=optional, default=default)
    return settings


def has_effect(kind: Any, values: Mapping[str, Any], name: str) -> bool:
    """Whether a setting changes anything beside the other values of its record; those not given are at their defaults."""
    known = declared(kind)
    about = known[name]
    if not about.under:
        return True
    above, default = values.get(about.under, known[about.under].default), known[about.under].default
    return (above in about.only_with if about.only_with else above != default) and has_effect(kind, values, about.under)


def keyed(record: Any, whose: Keys) -> dict[str, Any]:
    """The settings, as JSON, that stand in a key."""
    names = [name for name, about in declared(type(record)).items() if about.keys is not None and whose in about.keys]
    return {name: _plain(getattr(record, name)) for name in names if _stands(record, name)}


def _stands(record: Any, name: str) -> bool:
    """Whether a setting is in the keys now: one with IF_SET only off its default, one under such a setting together with it."""
    known = declared(type(record))
    about = known[name]
    if about.keys is None or Keys.IF_SET not in about.keys:
        return True
    if about.under and Keys.IF_SET in (known[about.under].keys or Keys.NONE):
        return _stands(record, about.under)
    return bool(getattr(record, name) != about.default)


class Record:
    """Base of every record in records/: subclass as a frozen dataclass, override `problems` to check.

    Building a record with unusable values raises `SettingsError` naming every problem at once.
    """

    def __post_init__(self) -> None:
        values = [(field, getattr(self, field.name)) for field in dataclasses.fields(cast(Any, self))]
        # texts with half a character (out of a file name in another encoding, or of JSON) can be stored nowhere
        wrong = [f"{field.name} holds half a character: {shown(bad)}." for field, value in values if (bad := _half(value)) is not None]
        if not wrong:
            bounded = [(field.metadata[_SETTING], field.name, value) for field, value in values if _SETTING in field.metadata]
            wrong = [problem for about, name, value in bounded for problem in about.problems(name, value)] + self.problems()
        if wrong:
            raise SettingsError(listed(list(dict.fromkeys(wrong))))

    def problems(self) -> list[str]:
        """Sentences that say what is wrong with the values beyond each setting's own bounds; empty when they can be used."""
        return []

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: tuples become lists, nested records become objects. What is `later` and unchanged is left out."""
        return _plain(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The record that `to_dict` wrote. Raises `SettingsError` on unknown or missing keys."""
        if not isinstance(data, dict):
            raise SettingsError(f"{cls.__name__} must be a JSON object, got {type(data).__name__}.")
        fields = {f.name: f for f in dataclasses.fields(cast(Any, cls))}
        hints = _hints(cast(Any, cls))
        wrong = [_unknown(cls, key, list(fields)) for key in data if key not in fields]
        required = [name for name, f in fields.items() if f.default is f.default_factory is dataclasses.MISSING]
        wrong += [f"{cls.__name__} needs '{name}'." for name in required if name not in data]
        values = {}
        for key in fields.keys() & data.keys():
            try:
                values[key] = _typed(hints[key], data[key])
            except SettingsError as error:
                wrong += error.problems
            except (TypeError, ValueError, OverflowError) as error:
                wrong.append(f"{cls.__name__}.{key}: {error}.")
        if wrong:
            raise SettingsError(listed(wrong))
        return cls(**values)

    def fingerprint(self) -> str:
        """16 hex digits over the whole record: the only way a cache key is made from settings."""
        return fingerprint(self.to_dict())


def fingerprint(value: Any) -> str:
    """16 hex digits of SHA-256 over canonical JSON (sorted keys, no spaces)."""
    return digest(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False))


def digest(text: str) -> str:
    """16 hex digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> list[str]:
    """For `problems`: a sentence if `value` is none of `allowed`."""
    return [] if value in allowed else [f"{name} must be one of {', '.join(allowed)}, got {shown(value)}."]


def at_least(name: str, value: float | None, least: float) -> list[str]:
    """For `problems`: a sentence if `value` is given and below `least`."""
    return [] if value is None or value >= least else [f"{name} must be {least:,} or more, got {shown(value)}."]


def within(name: str, value: float | None, low: float, high: float) -> list[str]:
    """For `problems`: a sentence if `value` is given and does not lie from `low` to `high` (NaN never does)."""
    return [] if value is None or low <= value <= high else [f"{name} must be {low:,} to {high:,}, got {shown(value)}."]


def at_most(name: str, text: str, most: int) -> list[str]:
    """For `problems`: a sentence if `text` has more than `most` characters."""
    return [] if len(text) <= most else [f"{name} may have {most:,} characters, got {len(text):,}."]


def listed(problems: list[str]) -> list[str]:
    """The first problems, and how many more there are: a file of a million bad rows must not fill the screen."""
    more = len(problems) - MAX_LISTED
    return problems if more <= 0 else [*problems[:MAX_LISTED], f"... and {more:,} more."]


def parse_json(text: str) -> Any:
    """JSON from outside. Raises ValueError in plain words, also for a name that stands twice in an object."""
    return in_plain_words(lambda text: json.loads(text, object_pairs_hook=_once), text)


def in_plain_words(parse: Callable[[str], Any], text: str) -> Any:
    """What `parse` makes of a text from outside, JSON or TOML. Its ValueErrors pass through; it raises one, too, for numbers of
    thousands of digits and for nesting that is too deep, which Python words for programmers."""
    try:
        return parse(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        if str(error).startswith("Exceeds the limit"):
            raise ValueError("it holds a number of thousands of digits") from None
        raise


def _unknown(kind: Any, key: Any, names: list[str]) -> str:
    """An unknown setting; where it is what the command line calls one, or nearly a name, that one is named last."""
    flags = {about.flag.removeprefix("--"): name for name, about in declared(kind).items() if about.flag}
    near = flags.get(str(key)) or next(iter(difflib.get_close_matches(str(key), names, 1)), None)
    meant = f" Did you mean {near}?" if near else ""
    return f"{kind.__name__} has no setting {shown(key)}; it knows {', '.join(names)}.{meant}"


def shown(value: Any) -> str:
    """A value as a message quotes it: a long or deep one is cut short."""
    try:
        return _QUOTED.repr(value)
    except ValueError:  # a number of thousands of digits
        return f"a number of {value.bit_length():,} bits" if isinstance(value, int) else type(value).__name__


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"duplicate key {shown(name)}")
        values[name] = value
    return values


def _half(value: Any) -> str | None:
    """A text with half a character in it, or inside it."""
    if isinstance(value, str):
        return value if not value.isascii() and _HALF.search(value) else None
    inside: Iterable[Any] = ()
    if isinstance(value, (list, tuple)):
        inside = value
    elif isinstance(value, dict):
        inside = (*value, *value.values())
    return next((bad for item in inside if (bad := _half(item)) is not None), None)


def _too_deep(value: Any, levels: int = _DEEPEST) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return levels < 0 or any(_too_deep(item, levels - 1) for item in inside)


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = [(f, getattr(value, f.name), f.metadata.get(_SETTING)) for f in dataclasses.fields(value)]
        return {f.name: _plain(item) for f, item, about in items if not (about and about.later and item == f.default)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def _typed(hint: Any, value: Any) -> Any:
    """`value` as the annotated type, or a TypeError that says what was seen."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _typed(next(a for a in arguments if a is not type(None)), value)
    if isinstance(hint, type) and issubclass(hint, Record):
        return hint.from_dict(value)
    if origin in (tuple, list):
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"must be a list, got {shown(value)}")
        return origin(_typed(arguments[0], item) for item in value)
    if origin is dict:
        if not isinstance(value, dict):
            raise TypeError(f"must be an object, got {shown(value)}")
        return {key: _typed(arguments[1], item) for key, item in value.items()}
    if hint is Any:
        if _too_deep(value):
            raise TypeError(f"must not be nested more than {_DEEPEST} levels deep")
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise TypeError(f"must be {hint.__name__}, got {shown(value)}")
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise TypeError(f"must be a whole number of at most 18 digits, got {shown(value)}")
    return value
