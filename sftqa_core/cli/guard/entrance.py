"""Who came in: sessions that end, wrong tokens that are counted, and the one comparison of the token."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections.abc import Callable, Mapping

from sftqa_core.cli.guard.access import Access

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


class Entrance:
    """One server's door: its access, its token's digest and those who are in."""

    def __init__(self, access: Access, token: str | None = None, sessions: Sessions | None = None, attempts: Attempts | None = None):
        self.access = access
        self.sessions, self.attempts = sessions or Sessions(), attempts or Attempts()
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
    found = sorted((name, value) for name, value in cookies.items() if name.startswith(_USER_COOKIES))
    return repr(found) if found else None


def sender(client: object) -> str:
    """Whom wrong tokens are counted for: an IPv4 address, or the /64 network of an IPv6 one, which one person has whole."""
    host = str(client[0]) if isinstance(client, list | tuple) and client else "unknown"
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host[:64]
    return str(ipaddress.ip_network((host, 64), strict=False)) if found.version == 6 else host


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
