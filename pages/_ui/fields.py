"""Fields of a form, made of what settings say about themselves (`jsonrecord.Setting`).

What is filled in into a form of `LINKED` stands in the address, as far as it is not at its default: FORM.SETTING=TEXT. So it survives a
reload, can be opened in another tab or sent to somebody. In other forms it holds for the session.
"""

import re
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import streamlit as st

from pages._ui import address, resources
from pages._ui.wording import literal
from sftqa_core.jsonrecord import Setting, declared, has_effect
from sftqa_core.records.setting_words import label as label
from sftqa_core.records.texts import text_of, value_of

KEPT: dict[str, Any] = {"persist_state": "session"}
SCALARS = (bool, int, float, str)  # kinds of settings that a field can be drawn of
LINKED = ("lab", "study")  # forms whose values stand in the address; so do those of a form within one of them (lab.sftmix)
FEW = 2  # choices that are shown side by side
_NAME = re.compile(r"\b[a-z]+(?:_[a-z]+)+\b")


def field(place: Any, kind: type, name: str, form: str, wrong: list[str], **more: Any) -> Any:
    """Draw one setting and return its value; `more` goes before what the setting says. What can't be read is added to `wrong`.

    The value of a form in `LINKED` stands in the address; of others it holds for the session.
    """
    about = _about(kind, name)
    common = {"key": f"{form}-{name}", "help": _sentences(about.help)}
    if form.partition(".")[0] not in LINKED:
        return _drawn(place, about, wrong, common, KEPT | more)
    if _is_text(about):  # what is typed is kept as it is, so that it can be corrected
        st.session_state[common["key"]] = (address.value(f"{form}.{name}") or "")[: address.LONGEST]
    else:
        st.session_state[common["key"]] = linked_value(kind, form, name, more.get("high"))
    return _drawn(place, about, wrong, common, {"on_change": remember, "args": (kind, form, name)} | more)


def _about(kind: type, name: str) -> Setting:
    """A setting as this machine has it: a device is one of those that are here."""
    about = declared(kind)[name]
    return replace(about, choices=resources.device_choices()) if name == "device" else about


def _is_text(about: Setting) -> bool:
    return (about.kind is str and not about.choices) or (about.kind is float and about.high is None)


def _drawn(place: Any, about: Setting, wrong: list[str], common: dict[str, Any], more: dict[str, Any]) -> Any:
    held = common["key"] in st.session_state
    if about.kind is bool:
        return place.toggle(about.label, False if held else about.default, **common | more)
    if about.choices:
        names = list(about.choices)
        common["format_func"] = about.choices.get
        if len(names) > FEW:
            return place.selectbox(about.label, names, 0 if held else names.index(about.default), **common | more)
        return place.segmented_control(about.label, names, default=None if held else about.default, required=True, **common | more)
    if about.optional:
        common["placeholder"] = about.unset
    if not _is_text(about):
        low, high = (bound if bound is None else about.kind(bound) for bound in (about.low, more.pop("high", about.high)))
        step = {} if about.kind is int else {"step": 0.05}
        start = None if about.optional else "min" if held else about.default
        value = place.number_input(about.label, low, high, start, **step | common | more)
        return value if value is None else about.kind(value)
    return _typed(about, place.text_input(about.label, **common | more), wrong)


def _undrawn(kind: type, form: str, name: str, wrong: list[str], high: float | None = None) -> Any:
    about = _about(kind, name)
    if _is_text(about):
        return _typed(about, (address.value(f"{form}.{name}") or "")[: address.LONGEST], wrong)
    return linked_value(kind, form, name, high)


def _typed(about: Setting, text: str, wrong: list[str]) -> Any:
    if about.kind is not float:
        return text
    try:
        return float(text) if text.strip() else None
    except ValueError:
        wrong.append(f"{about.label} must be a number such as 4e-4, got {text!r}.")
        return None


def linked_value(kind: type, form: str, name: str, high: float | None = None) -> Any:
    """What the address says of a form's setting, else its default; what can't be used is taken out, and the page says so."""
    about, key = _about(kind, name), f"{form}.{name}"
    text = address.value(key)
    try:
        value = about.default if text is None else value_of(about, text)
        if high is not None and value is not None and value > high:
            raise ValueError(f"{about.label} can be at most {high:g} here, got {text}.")
        return value
    except ValueError as error:
        dropped(key, f"{error} The link's value is left out.")
        return about.default


def dropped(key: str, why: str) -> None:
    """Take a parameter out of the address, and say why."""
    address.put(**{key: None})
    address.say_wrong(literal(why))


def remember(kind: type, form: str, name: str) -> None:
    """A widget's callback: write a setting of a form into the address, unless it is at its default."""
    about, held = _about(kind, name), st.session_state[f"{form}-{name}"]
    if _is_text(about):
        address.put(**{f"{form}.{name}": held.strip()[: address.LONGEST]})
    else:
        value = tuple(sorted(held)) or None if isinstance(held, list) else held
        address.put(**{f"{form}.{name}": linked_text(about, value)})


def linked_text(about: Setting, value: Any) -> str | None:
    """A setting as it stands in the address; None where it is at its default."""
    return None if value == about.default else text_of(about, value)


def other_fields(
    kind: type, form: str, values: dict[str, Any], wrong: list[str], but: Collection[str] = (), folded: bool = False
) -> dict[str, Any]:
    """Draw every setting with a label that is not among `values` yet nor left out, three a row; one that now has no effect is not asked.

    Returns `values` with them. `folded`: nothing is drawn, the address tells them.
    """
    known, gpus, drawn = declared(kind), resources.gpus(), 0
    but = (*but, *unasked())
    for name, about in known.items():
        asked = about.label and about.kind in SCALARS and name not in {*values, *but}
        if not asked or not has_effect(kind, values, name) or (name == "gpus" and gpus < 2):
            continue
        more = {"high": gpus} if name == "gpus" else {}
        if folded:
            values = values | {name: _undrawn(kind, form, name, wrong, **more)}
            continue
        if drawn % 3 == 0:
            row = st.columns(3, vertical_alignment="bottom")
        values = values | {name: field(row[drawn % 3], kind, name, form, wrong, **more)}
        drawn += 1
    return values


def unasked() -> tuple[str, ...]:
    """Settings that no form asks here: with one GPU or none a job takes this machine's device."""
    return () if resources.gpus() > 1 else ("device",)


def linked_record(settings: Any, form: str, but: Collection[str] = ()) -> dict[str, str]:
    """A record's settings as a form's parameters in the address: those that a field can be drawn of, are not at their defaults and have
    an effect. One GPU where this machine has fewer than the record asks for, and any where it has not the one that the record names."""
    kind, values, gpus = type(settings), vars(settings), resources.gpus()
    few = ("gpus", "sharding") if gpus < 2 or settings.gpus > gpus else ()
    few += ("device",) if gpus < 2 or settings.device not in resources.device_choices() else ()
    linked = {}
    for name, about in declared(kind).items():
        plain = about.label and about.kind in (*SCALARS, tuple[int, ...], tuple[str, ...]) and name not in {*but, *few}
        if plain and has_effect(kind, values, name) and (text := linked_text(about, values[name])) is not None:
            linked[f"{form}.{name}"] = text
    return linked


def by_label(kind: type, problem: str) -> str:
    """A record's sentence with the fields' visible names in place of the settings'."""
    name, _, rest = problem.partition(" ")
    known = {name: about.label for name, about in declared(kind).items() if about.label}
    return f"{known.get(name, name)} {_NAME.sub(lambda found: known.get(found[0], found[0]), rest)}"


def _sentences(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""
