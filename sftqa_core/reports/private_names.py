"""Models and sources as reports call them: no path, server, user or key of this machine is in a file that leaves it.

Of a model in a folder or a file the last part of its path stays, of one on a server the name that the server gives it, of a source of
one's own the file's name. Names of the hub and of built-in models are public and stay as they are. The same names stand in every text:
findings and notes are made of settings, cells' names hold their model's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path, PureWindowsPath
from typing import Any, TypeVar
from urllib.parse import quote

from sftqa_core.errors import ModelUnavailable
from sftqa_core.models.serving.addresses import KEY, server_name
from sftqa_core.workspace import Workspace, app_folder, query_without_places, shipped_folder, typed_path

HIDDEN = "…"
_SECRETS = (KEY, "SFTQA_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")  # of the environment: none is stored, none is shown
_SHORTEST = 6  # characters of what is hidden wherever it stands
_NAMES = ("model", "models", "source")  # settings that may be places; of others only what is one beyond doubt
_ABSOLUTE = re.compile(r"/\w|~/|[A-Za-z]:[\\/]|https?://")
_PERSON = r"[^\s/\\'\"<>]+(?:(?<![,;:])(?: [^\s/\\'\"<>,;:]+){1,3}(?=[/\\]))?"  # with blanks where a slash follows soon: John Smith/
_HOME = re.compile(rf"(?:/root(?=/)|(?:/home/|/Users/|[A-Za-z]:[\\/]Users[\\/]){_PERSON})")
_Settings = TypeVar("_Settings")


def public_name(name: str) -> str:
    """A model or source as it may be shown; what stands behind a question mark stays, since it names columns, but for places in it."""
    path, mark, query = name.partition("?")
    if mark and "://" in path:  # no columns of a file: a key, as likely as not
        return HIDDEN
    return f"{_without_place(path)}{mark}{query_without_places(query)}"


def _without_place(name: str) -> str:
    try:
        if (served := server_name(name)) is not None:
            return f"{Path(served.model).name} (on a server)"
    except ModelUnavailable:  # half an address
        return HIDDEN
    if name.startswith(("hub:", "run:")) or not _is_place(name):
        return name
    revision = name.rpartition("@")
    last = PureWindowsPath(revision[0] or name).name  # knows both kinds of slashes
    return (last or HIDDEN) + (f"@{revision[2]}" if revision[0] else "")


def _is_place(name: str) -> bool:
    """Whether a name is a path, not the hub's owner/name or a name without slashes."""
    if "://" in name or "\\" in name or name.startswith(("/", "~", ".")) or name.count("/") > 1:
        return True
    return "/" in name and bool(typed_path(name)[1])


@dataclass(frozen=True)
class Names:
    """The public names of what a report is about, for every text in it."""

    records: tuple[Any, ...]  # settings: every text in them that is a place has a public name

    @cached_property
    def public(self) -> Mapping[str, str]:
        """Private -> public, the longest first, so that a folder's name does not cut that of a file in it."""
        found: dict[str, str] = {}
        for name, text in _texts(self.records):
            named = name in _NAMES and len(text) > 2  # "." tells nothing, and stands in every sentence
            if (named or _ABSOLUTE.match(text)) and (shown := public_name(text)) != text:
                found |= {text: shown, quote(text, safe="/@"): quote(shown, safe="/@()")}
                path = text.partition("?")[0]
                found.setdefault(path, public_name(path))
        workspace = Workspace.current()
        folders = (workspace.root, workspace.state, shipped_folder(), app_folder(), Path.cwd(), Path.home())
        found |= {str(folder): HIDDEN for folder in folders if len(str(folder)) >= _SHORTEST}
        secrets = (os.environ.get(name, "") for name in _SECRETS)
        found |= {secret: HIDDEN for secret in secrets if len(secret) >= _SHORTEST}
        return dict(sorted(found.items(), key=lambda pair: len(pair[0]), reverse=True))

    def text(self, text: object) -> str:
        """Any text with public names in the places of private ones."""
        shown = str(text)
        for private, public in self.public.items():
            shown = shown.replace(private, public)
        return _HOME.sub(HIDDEN, shown)

    def settings(self, settings: _Settings) -> _Settings:
        """A record with public names in it, for the command that repeats it."""
        changed: dict[str, Any] = {}
        for about in fields(settings):  # type: ignore[arg-type]
            value = getattr(settings, about.name)
            if is_dataclass(value):
                changed[about.name] = self.settings(value)
            elif about.name in ("model", "source") and isinstance(value, str):
                changed[about.name] = self.text(value)
            elif about.name == "models":
                changed[about.name] = tuple(map(self.text, value))
        return replace(settings, **{name: value for name, value in changed.items() if value != getattr(settings, name)})  # type: ignore[type-var]

    def inside(self, content: Any) -> Any:
        """JSON with public names in all its texts."""
        if isinstance(content, dict):
            return {name: self.inside(value) for name, value in content.items()}
        if isinstance(content, list):
            return [self.inside(value) for value in content]
        return self.text(content) if isinstance(content, str) else content


def _texts(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a record, or of several, with the setting that it is of."""
    if isinstance(value, str):
        yield name, value
    elif is_dataclass(value):
        for about in fields(value):
            yield from _texts(getattr(value, about.name), about.name)
    elif isinstance(value, tuple):
        for one in value:
            yield from _texts(one, name)
