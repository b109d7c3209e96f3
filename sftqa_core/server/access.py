"""Where the explorer listens, who may log in, what is printed about it at start, and who has logged in.

Sessions end, wrong tokens are counted, and the token is compared in one place.
"""

import hashlib
import hmac
import ipaddress
import re
import secrets
import socket
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TextIO
from urllib.parse import urlsplit

from sftqa_core.errors import SettingsError

LOGINS = ("none", "token", "streamlit")
TOKEN_VARIABLE = "SFTQA_TOKEN"
LOGIN_VARIABLE = "SFTQA_LOGIN"  # how `sftqa app --login` reaches the server that takes its process's place
SHORTEST_TOKEN = 16
_MEBIBYTE = 1024 * 1024
_RECIPE = f"Make one: export {TOKEN_VARIABLE}=\"$(python3 -c 'import secrets; print(secrets.token_urlsafe(32))')\""


@dataclass(frozen=True)
class Access:
    """What one server lets in. Made by `checked`, which refuses what is not safe."""

    host: str  # the address it listens on; empty means every address
    login: str = "none"  # none, token, or streamlit (the organisation's own, configured there as [auth])
    base: str = ""  # what stands before every path, as "/explorer"
    origins: tuple[str, ...] = ()  # addresses of proxies and portals that may connect (server.corsAllowedOrigins)
    upload_mebibytes: int = 200  # the largest file a person may upload

    @property
    def local(self) -> bool:
        """Whether only programs of this machine can connect."""
        return is_loopback(self.host)

    def named(self, host: str) -> bool:
        """Whether a Host header is that of one of the named origins, with its port where it has one."""
        return host.lower() in [urlsplit(origin).netloc.lower() for origin in self.origins]

    def body_limit(self, path: str) -> int:
        """The largest request body in bytes: uploads as configured plus what their form adds, everything else 1 MiB."""
        upload = path.startswith(f"{self.base}/_stcore/upload_file/")
        return (self.upload_mebibytes + 1 if upload else 1) * _MEBIBYTE


_ORIGIN = re.compile(r"https?://([a-z0-9_.-]{1,253}|\[[0-9a-f:.]{2,45}\])(:\d{1,5})?", re.IGNORECASE)
_BASE = re.compile(r"(/[\w.~@+-]+)+", re.ASCII)


def checked_origin(text: str) -> str:
    """An origin as browsers send it: scheme, host, and the port unless it is the usual one. Raises `SettingsError` for others."""
    origin = text.strip().rstrip("/").lower()
    if not _ORIGIN.fullmatch(origin):
        raise SettingsError(
            f"--origin must be an address without a path, as https://explorer.example or http://10.0.0.7:8080, got {text[:300]!r}. "
            "What stands behind the host goes to --base-path."
        )
    scheme, rest = origin.split("://")
    return f"{scheme}://{rest.removesuffix(':443' if scheme == 'https' else ':80')}"


def checked_base(text: str) -> str:
    """A base path with one slash before every part, empty for none. Raises `SettingsError` for others."""
    base = f"/{text.strip().strip('/')}".rstrip("/")
    if base and (not _BASE.fullmatch(base) or ".." in base.split("/")):
        raise SettingsError(f"--base-path must be a path of plain parts, as /user/NAME/proxy/8501, got {text[:300]!r}.")
    return base


def is_loopback(host: str) -> bool:
    """Whether a name or address can only mean this machine. A name that merely resolves to it does not count."""
    name = host.strip("[]").lower()
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def checked(access: Access, port: int = 8501) -> Access:
    """The same access. Raises `SettingsError` when others could connect and nothing asks who they are."""
    if access.login not in LOGINS:
        raise SettingsError(f"The login must be one of {', '.join(LOGINS)}, got {access.login!r}.")
    if not access.local and access.login == "none":
        place = f"On {access.host}" if access.host else "On every address of this machine"
        raise SettingsError(
            f"{place} others could open the explorer and start jobs as you. It does not start without a login.\n"
            f"To use it yourself from another machine, keep it on 127.0.0.1 and run there:\n    {tunnel(port)}\n"
            f"To share it: sftqa app --host {access.host or '0.0.0.0'} --share asks everyone for a token ({TOKEN_VARIABLE});\n"
            f"--share --login streamlit uses your organisation's login."
        )
    return access


def check_token(environment: Mapping[str, str], terminal: TextIO) -> str | None:
    """The token that the environment holds, None when a new one can be made up.

    Raises `SettingsError` when it is too short, or when there is none and a new one would be printed into a file. A token is
    printed on a terminal only: whatever else standard output is may be stored.
    """
    token = environment.get(TOKEN_VARIABLE)
    if token is None and not terminal.isatty():
        raise SettingsError(
            f"A token is needed, but {TOKEN_VARIABLE} is not set. A new token is shown on a terminal only, which this is not.\n{_RECIPE}"
        )
    if token is not None and len(token.strip()) < SHORTEST_TOKEN:
        raise SettingsError(f"{TOKEN_VARIABLE} must have at least {SHORTEST_TOKEN} characters, got {len(token.strip())}.\n{_RECIPE}")
    return token and token.strip()


def take_token(environment: MutableMapping[str, str], terminal: TextIO) -> tuple[str, bool]:
    """The token, and whether it was made up here. It leaves the environment, so that no job's process inherits it.

    Raises as `check_token`.
    """
    token = check_token(environment, terminal)
    environment.pop(TOKEN_VARIABLE, None)
    return token or secrets.token_urlsafe(32), token is None


def tunnel(port: int, host: str | None = None) -> str:
    """The command that brings a loopback port of this machine to the one it is typed on."""
    return f"ssh -L {port}:127.0.0.1:{port} {host or socket.gethostname() or 'HOST'}"


def address(access: Access, port: int, tls: bool = False) -> str:
    """What to type into the browser's address bar."""
    host = socket.gethostname() if access.host in ("", "0.0.0.0", "::") else access.host
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}{access.base}"


def notice(access: Access, port: int, tls: bool = False, new_token: str | None = None) -> str:
    """What is open to whom. `new_token` is shown here and nowhere else."""
    everyone = f"everyone who can reach {access.host or 'any address'}, port {port}"
    where = "every account on this machine" if access.local else everyone
    asks = {"none": "", "token": " with the token", "streamlit": " with a login of your organisation"}[access.login]
    lines = [f"SFT-QA Explorer: {address(access, port, tls)}", f"Open to: {where}{asks}. Anyone with access can start jobs as you."]
    if access.local and access.login == "none":
        lines.append("If others have accounts on this machine, ask for a token: sftqa app --login token")
    for origin in access.origins:
        trusted = "" if access.login != "none" else " Whoever that address lets in is asked nothing here; --login token asks."
        lines.append(f"Also through {origin}{access.base}.{trusted}")
    if access.local:
        lines.append(f"From another machine, run there: {tunnel(port)}")
    elif not tls:
        lines.append(f"The connection is not encrypted. On a shared network, keep it on 127.0.0.1 and use: {tunnel(port)}")
    if new_token is not None:
        lines.append(f"Token (shown only once): {new_token}")
    return "\n".join(f"  {line}" for line in lines)


SESSION_S = 12 * 3600.0
_USER_COOKIES = "_streamlit_user"  # streamlit signs these and spreads a long one over several with this beginning
Clock = Callable[[], float]


class Sessions:
    """Keys that are valid for a limited time, kept as digests; the oldest go when there are too many."""

    def __init__(self, lifetime_s: float = SESSION_S, most: int = 1000, clock: Clock = time.monotonic):
        self._ends: dict[bytes, float] = {}
        self._lifetime_s, self._most, self._clock = lifetime_s, most, clock

    def open(self, key: str | None = None) -> str:
        """Let a key in, a random one if none is given; returns it."""
        key = key or secrets.token_urlsafe(32)
        self._ends.pop(_digest(key), None)
        while len(self._ends) >= self._most:
            del self._ends[next(iter(self._ends))]
        self._ends[_digest(key)] = self._clock() + self._lifetime_s
        return key

    def holds(self, key: str | None) -> bool:
        """Whether the key was let in and has not ended."""
        return bool(key) and self._ends.get(_digest(str(key)), -1.0) > self._clock()

    def close(self, key: str | None) -> None:
        """End a session now."""
        self._ends.pop(_digest(str(key)), None)


class Attempts:
    """Wrong tokens a minute, by sender. A full table lets no new sender try, so that neither memory nor guesses grow."""

    def __init__(self, allowed: int = 5, window_s: float = 60.0, most: int = 256, clock: Clock = time.monotonic):
        self._failures: dict[str, tuple[int, float]] = {}  # sender -> wrong tokens, when they are forgotten
        self._allowed, self._window_s, self._most, self._clock = allowed, window_s, most, clock

    def wait_s(self, sender: str) -> int:
        """Seconds until this sender may try again; 0 means now."""
        now = self._clock()
        self._failures = {who: entry for who, entry in self._failures.items() if entry[1] > now}
        count, end = self._failures.get(sender, (0, now))
        if count < self._allowed and (count or len(self._failures) < self._most):
            return 0
        end = end if count else min(other for _, other in self._failures.values())
        return max(1, round(end - now + 0.5))

    def failed(self, sender: str) -> None:
        """Count a wrong token."""
        count, _ = self._failures.get(sender, (0, 0.0))
        self._failures[sender] = (count + 1, self._clock() + self._window_s)


class Refusals:
    """Says once for each refused address how it would be let in. Bounded: nobody can fill the terminal or the memory with it."""

    def __init__(self, say: Callable[[str], None], most: int = 20):
        self._say, self._most, self._said = say, most, set[str]()

    def refused(self, origin: str) -> str:
        """The cure as a sentence; empty for what is no origin (whatever its header holds is shown nowhere)."""
        try:
            origin = checked_origin(origin)
        except SettingsError:
            return ""
        cure = f"If you open the explorer at that address, through a proxy, start it with: sftqa app --origin {origin}"
        if origin not in self._said and len(self._said) < self._most:
            self._said.add(origin)
            last = " Further addresses are not shown." if len(self._said) == self._most else ""
            self._say(f"Refused a request from {origin}. {cure}\nIf you do not know the address, there is nothing to do.{last}")
        return cure


class Entrance:
    """One server's door: its access, its token's digest and those who are in."""

    def __init__(self, access: Access, token: str | None = None, sessions: Sessions | None = None, attempts: Attempts | None = None):
        self.access = access
        self.sessions, self.attempts = sessions or Sessions(), attempts or Attempts()
        self.refusals = Refusals(lambda line: print(line, file=sys.stderr, flush=True))
        self._token = None if token is None else _digest(token)
        self.new_token: str | None = None  # one that was made up at start and is still to be shown, once

    def knows(self, token: str) -> bool:
        """Whether this is the token; digests of one length are compared, in constant time."""
        return self._token is not None and hmac.compare_digest(self._token, _digest(token.strip()))

    def key(self, cookies: Mapping[str, str], port: int) -> str | None:
        """What a request shows to be let in: our session's cookie, or all of what streamlit's own login left."""
        if self.access.login == "streamlit":
            return user_key(cookies)
        return cookies.get(session_cookie(port))


def session_cookie(port: int) -> str:
    """The session cookie's name: cookies do not tell ports apart, and two explorers on one machine must not share one."""
    return f"sftqa-session-{port}"


def user_key(cookies: Mapping[str, str]) -> str | None:
    """The cookies of streamlit's own login as one text; None when there are none."""
    own = sorted((name, value) for name, value in cookies.items() if name.startswith(_USER_COOKIES))
    return repr(own) if own else None


def sender(client: object) -> str:
    """Whom wrong tokens are counted for: an IPv4 address, or the /64 network of an IPv6 one, which one person has whole."""
    host = str(client[0]) if isinstance(client, list | tuple) and client else "unknown"
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return host[:64]
    return str(ipaddress.ip_network((host, 64), strict=False)) if version == 6 else host


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


_current: Entrance | None = None


def install(entrance: Entrance | None) -> None:
    """Remember this server's entrance for the page scripts that run in it."""
    global _current
    _current = entrance


def current() -> Entrance | None:
    """The entrance of the server this code runs in; None where there is no guarded server."""
    return _current
