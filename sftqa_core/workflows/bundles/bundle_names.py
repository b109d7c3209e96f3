"""What models and sources are called in a bundle: never by a path, a server's address or a key of the machine that packs it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import shown
from sftqa_core.knowledge.atlas import is_atlas
from sftqa_core.knowledge.sources import ENTITY_QUESTIONS, SAMPLE
from sftqa_core.models.lists import BUILT_IN, known_model
from sftqa_core.models.serving.addresses import is_server
from sftqa_core.workspace import Workspace, query_without_places, typed_path

UNKNOWN_LICENCE = "unknown: look it up where it comes from"
_OURS = "MIT, it comes with this program"
_THEIRS = "MIT, EntityQuestions (Princeton Natural Language Processing)"
_PLACE = re.compile(r"^[/\\~.]|^[A-Za-z]:|\\|://|(^|/)\.\.(/|$)")  # what a path or an address looks like, on any system
_USER = re.compile(r"/(?:home|Users)/[^/\s\"']+|[A-Za-z]:[\\/]Users[\\/][^\\\s\"']+")


def public_name(name: str) -> str:
    """A model or source as others may know it: of a path its last part, of a model on a server the model's name, all else as it is.

    Places behind a question mark become their last parts, too; behind an address nothing stays, since it may be a key.
    """
    if is_server(name):
        return f"served-{name.partition('#')[2].rpartition('/')[2]}"
    path, how, query = name.partition("?")
    how, query = ("", "") if "://" in path else (how, query_without_places(query))
    if is_place(path) or typed_path(path)[1]:
        return f"{PureWindowsPath(path.rstrip('/')).name or 'unnamed'}{how}{query}"
    return f"{path}{how}{query}"


def is_place(name: str) -> bool:
    """Whether a name is a path or an address: none of another machine's means anything here, and none is ever looked at."""
    return _PLACE.search(name) is not None


class PublicNames:
    """Puts public names in place of those that are used here, in anything made of JSON."""

    def __init__(self, names: Iterable[str]):
        self.known = {name: public_name(name) for name in names}
        public = list(self.known.values())
        if twice := sorted({name for name in public if public.count(name) > 1}):
            raise SettingsError(f"Two different models or sources would both be called {', '.join(map(shown, twice))}. Pack them apart.")

    def of(self, value: Any) -> Any:
        """The same value with every text renamed. Raises `SettingsError` for a text that still holds a path of this machine."""
        if isinstance(value, str):
            for name, public in sorted(self.known.items(), key=lambda pair: -len(pair[0])):
                value = value.replace(name, public) if name != public else value
            return _without_places(value)
        if isinstance(value, Mapping):
            return {self.of(name): self.of(item) for name, item in value.items()}
        return [self.of(item) for item in value] if isinstance(value, list | tuple) else value


def _without_places(text: str) -> str:
    places = [str(place) for place in (Workspace.current().root, Path.home()) if len(place.parts) > 1]
    if any(re.search(rf"(?<![\w.-]){re.escape(place)}(?![\w-])", text) for place in places) or _USER.search(text):
        raise SettingsError(f"{shown(text)} names a place on this machine, which a bundle must not tell. It was not written.")
    return text


def licence_of_model(name: str) -> str:
    """The licence of a model of that name, where this program knows it."""
    if name in BUILT_IN:
        return _OURS
    row = known_model(name)
    return row.licence if row else UNKNOWN_LICENCE


def licence_of_facts(source: str) -> str:
    """The same of a source of facts."""
    return _OURS if is_atlas(source) else _THEIRS if source in (ENTITY_QUESTIONS, SAMPLE) else UNKNOWN_LICENCE
