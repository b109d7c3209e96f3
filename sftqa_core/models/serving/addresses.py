"""Models on a server: how they are named, and which servers may be asked. Light, and asks nobody.

A name is the address of an OpenAI-compatible API and, behind a #, the model that it serves: http://127.0.0.1:8000/v1#smollm2. A server may
be asked if SFTQA_ENGINES, set by whoever starts the explorer or its worker, lists its host and port, or if its address was typed at this
very command line. Nothing that a page, a file or a stored result says opens another address.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from sftqa_core.errors import ModelUnavailable, SettingsError
from sftqa_core.jsonrecord import shown

KIND = "server"  # of such a model's card, and the device and number format of its results
ALLOWED = "SFTQA_ENGINES"  # host:port, several with commas between
KEY = "SFTQA_ENGINES_KEY"  # sent as a bearer token
_EXAMPLE = "http://127.0.0.1:8000/v1#model"
_LONGEST = 400  # characters
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_PORTS = {"http": 80, "https": 443}
_typed: set[str] = set()  # host:port of addresses typed at this process's command line


@dataclass(frozen=True)
class ServerName:
    """One model on one server."""

    scheme: str  # http or https
    host: str  # in lower case; of IPv6 without brackets
    port: int
    path: str  # of the API: "/v1", or ""
    model: str  # as the server calls it

    @property
    def place(self) -> str:
        """host:port, as SFTQA_ENGINES lists it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def root(self) -> str:
        """Where the server itself answers."""
        return f"{self.scheme}://{self.place}"

    @property
    def address(self) -> str:
        """Where its API answers."""
        return self.root + self.path

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"{self.address}#{self.model}"


def server_name(text: str) -> ServerName | None:
    """The server and model that a name means; None for a name that is no address with a #. Raises `ModelUnavailable` for half of one."""
    if not text.lower().startswith(("http://", "https://")) or "#" not in text:
        return None
    address, _, model = text.partition("#")
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise _refused(text, str(error)) from None
    host, path = (parts.hostname or "").lower(), parts.path.rstrip("/")
    if len(text) > _LONGEST or not model.strip() or not model.isprintable():
        raise _refused(text, f"behind the # stands the model's name, of at most {_LONGEST} characters with the address")
    if parts.username is not None or parts.password is not None:
        raise _refused(text, f"it must not hold a user or a password; a key is read from {KEY}")
    if parts.query or not _PATH.fullmatch(path) or ".." in path or not (_HOST.fullmatch(host) or _is_ip(host)) or port == 0:
        raise _refused(text, "it must be scheme, host, port and path, and nothing else")
    return ServerName(parts.scheme.lower(), host, port or _PORTS[parts.scheme.lower()], path, model.strip())


def is_server(name: str) -> bool:
    """Whether a name means a model on a server, or tries to."""
    try:
        return server_name(name) is not None
    except ModelUnavailable:
        return True


def device_for(setting: str, models: Iterable[str]) -> str:
    """The device setting of work with these models: none of this machine's GPUs where all are on servers."""
    names = list(models)
    return "cpu" if names and all(map(is_server, names)) else setting


def allow_typed(text: str) -> None:
    """Let this process ask the server of a name that a person typed at its command line; other texts change nothing."""
    try:
        name = server_name(text)
    except ModelUnavailable:
        return
    if name is not None:
        _typed.add(name.place)


def why_not_allowed(name: ServerName) -> str:
    """Why this process may not ask a server, in a sentence; empty where it may."""
    listed = [piece.strip().lower() for piece in os.environ.get(ALLOWED, "").split(",") if piece.strip()]
    if name.place in (*listed, *_typed):
        return ""
    those = ", ".join(map(shown, listed)) or "none"
    return (
        f"{name.place} is not among the servers that may be asked ({those}). Whoever starts the explorer, or its worker, allows it: "
        f"{ALLOWED}={','.join([*listed, name.place])} sftqa app"
    )


def require_allowed(name: ServerName) -> None:
    """Raise `SettingsError` for a server that this process may not ask."""
    if why := why_not_allowed(name):
        raise SettingsError(why)


def key_for(name: ServerName) -> str | None:
    """The key that is sent to a server; None where none is set. Raises `SettingsError` where it would travel in the open."""
    key = os.environ.get(KEY, "").strip()
    if not key:
        return None
    if not key.isascii() or not key.isprintable():
        raise SettingsError(f"{KEY} must be printable ASCII characters. Set it again.")
    if name.scheme != "https" and not name.is_loopback:
        raise SettingsError(f"{KEY} is sent over https or on this machine only, and {name.root} is neither. Use https, or unset {KEY}.")
    return key


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _refused(text: str, why: str) -> ModelUnavailable:
    told = shown(text if "@" not in text.partition("#")[0] else f"...@{text.partition('#')[0].rpartition('@')[2]}")
    return ModelUnavailable(f"{told} is no address of a served model: {why}. Write it as {_EXAMPLE}.")
