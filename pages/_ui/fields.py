"""Fields of a form, made of what settings say about themselves (`jsonrecord.Setting`). What is filled in holds for the session."""

import re
from collections.abc import Collection
from typing import Any

import streamlit as st

from pages._ui import resources
from sftqa_core.jsonrecord import declared, has_effect

KEPT: dict[str, Any] = {"persist_state": "session"}
SCALARS = (bool, int, float, str)  # kinds of settings that a field can be drawn of
FEW = 2  # choices that are shown side by side
_NAME = re.compile(r"\b[a-z]+(?:_[a-z]+)+\b")


def label(kind: type, name: str) -> str:
    """What pages call a setting."""
    about = declared(kind).get(name)
    return (about.label if about else "") or name.replace("_", " ").capitalize()


def field(place: Any, kind: type, name: str, form: str, wrong: list[str], **more: Any) -> Any:
    """Draw one setting and return its value; `more` goes before what the setting says. What can't be read is added to `wrong`."""
    about = declared(kind)[name]
    common = {"key": f"{form}-{name}", "help": _sentences(about.help), **KEPT}
    if about.kind is bool:
        return place.toggle(about.label, about.default, **common | more)
    if about.choices:
        names = list(about.choices)
        common["format_func"] = about.choices.get
        if len(names) > FEW:
            return place.selectbox(about.label, names, names.index(about.default), **common | more)
        return place.segmented_control(about.label, names, default=about.default, required=True, **common | more)
    if about.optional:
        common["placeholder"] = about.unset
    if about.kind is int or (about.kind is float and about.high is not None):
        low, high = (bound if bound is None else about.kind(bound) for bound in (about.low, more.pop("high", about.high)))
        step = {} if about.kind is int else {"step": 0.05}
        value = place.number_input(about.label, low, high, about.default, **step | common | more)
        return value if value is None else about.kind(value)
    text = place.text_input(about.label, **common | more)
    if about.kind is not float:
        return text
    try:
        return float(text) if text.strip() else None
    except ValueError:
        wrong.append(f"{about.label} must be a number such as 4e-4, got {text!r}.")
        return None


def other_fields(kind: type, form: str, values: dict[str, Any], wrong: list[str], but: Collection[str] = ()) -> dict[str, Any]:
    """Draw every setting with a label that is not among `values` yet nor left out, three a row; one that now has no effect is not asked.

    Returns `values` with them.
    """
    known, gpus, drawn = declared(kind), resources.gpus(), 0
    for name, about in known.items():
        asked = about.label and about.kind in SCALARS and name not in {*values, *but}
        if not asked or not has_effect(kind, values, name) or (name == "gpus" and gpus < 2):
            continue
        if drawn % 3 == 0:
            row = st.columns(3, vertical_alignment="bottom")
        more = {"high": gpus} if name == "gpus" else {}
        values = values | {name: field(row[drawn % 3], kind, name, form, wrong, **more)}
        drawn += 1
    return values


def filled(settings: Any, form: str) -> dict[str, Any]:
    """The values of the form's fields for a record's settings; one GPU where this machine has fewer than the record asks for."""
    values = {f"{form}-{name}": getattr(settings, name) for name, about in declared(type(settings)).items() if about.kind in SCALARS}
    gpus = resources.gpus()
    if gpus < 2 or settings.gpus > gpus:
        values |= {f"{form}-gpus": 1, f"{form}-sharding": "ddp"}
    return values


def by_label(kind: type, problem: str) -> str:
    """A record's sentence with the fields' visible names in place of the settings'."""
    name, _, rest = problem.partition(" ")
    known = {name: about.label for name, about in declared(kind).items() if about.label}
    return f"{known.get(name, name)} {_NAME.sub(lambda found: known.get(found[0], found[0]), rest)}"


def _sentences(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""
