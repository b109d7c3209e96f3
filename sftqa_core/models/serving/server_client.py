"""One server's API over HTTP: bounded in size and time, without redirects or proxies, tried again where that may help.

A request that the server is too busy for (429, 503), or that got lost, is sent again after a pause; where the server is busy, fewer
requests are under way from then on. Threads share one client.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sftqa_core.errors import ModelUnavailable, Stopped
from sftqa_core.jsonrecord import parse_json, shown
from sftqa_core.models.serving.addresses import ServerName, key_for, require_allowed

MOST_BYTES = 64_000_000  # of one reply
CONNECT_S = 10.0
REPLY_S = 900.0  # a request waits in the server's queue behind many others
LOOK_S = 30.0  # to answer what takes no model
TRIES = 6
PAUSES_S = (0.5, 60.0)  # the first and the longest
_BUSY = (429, 503)
_AGAIN = (408, 425, 500, 502, 504, *_BUSY)
_SAID = 300  # characters of the server's own words


class Refused(ModelUnavailable):
    """The server has said no; `status` is HTTP's."""

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


class Client:
    """Raises `SettingsError` for a server that may not be asked, or a key that would travel in the open.

    `check` is called between tries and may raise `Stopped`; `transport` stands in for the network in tests.
    """

    def __init__(self, name: ServerName, most: int = 32, check: Callable[[], None] = lambda: None, transport: Any = None):
        import httpx2

        require_allowed(name)
        key = key_for(name)
        self.name, self.check, self.room = name, check, Room(most)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", **({"Authorization": f"Bearer {key}"} if key else {})}
        self._key, self._closed = key, False
        self._http = httpx2.Client(
            headers=headers,
            follow_redirects=False,
            trust_env=False,
            transport=transport,
            timeout=httpx2.Timeout(REPLY_S, connect=CONNECT_S),
            limits=httpx2.Limits(max_connections=most + 2, max_keepalive_connections=most + 2),
        )

    def close(self) -> None:
        """Close its connections; what waits for a reply, or for another try, raises `Stopped`."""
        self._closed = True
        self._http.close()

    def look(self, url: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON that an address of this server gives, at once. Raises `Refused`, `ModelUnavailable`."""
        return self._once(url, body, LOOK_S)

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """The reply to one request for completions. Raises `Refused`, `ModelUnavailable`, `Stopped`."""
        pause = PAUSES_S[0]
        for left in reversed(range(TRIES)):
            self._check()
            try:
                with self.room.held():
                    reply = self._once(f"{self.name.address}/completions", body, REPLY_S)
                if not isinstance(reply, dict):
                    raise ModelUnavailable(f"{self.name.root} gave {shown(reply)} in place of completions. Is it an OpenAI-compatible API?")
                return reply
            except Refused as error:
                if error.status not in _AGAIN or not left:
                    raise
                if error.status in _BUSY:
                    self.room.shrink()
            except Lost:
                if not left:
                    raise
            self._wait(pause * random.uniform(0.75, 1.25))  # not all threads at once
            pause = min(2 * pause, PAUSES_S[1])
        raise AssertionError("unreachable")

    def _check(self) -> None:
        self.check()
        if self._closed:
            raise Stopped(f"{self.name.root} is asked no more.")

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._check()
            time.sleep(min(left, 0.5))

    def _once(self, url: str, body: dict[str, Any] | None, limit_s: float) -> Any:
        import httpx2

        until, content = time.monotonic() + limit_s, bytearray()
        try:
            with self._http.stream("GET" if body is None else "POST", url, json=body) as response:
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > MOST_BYTES:
                        raise ModelUnavailable(f"{self.name.root} sent more than {MOST_BYTES:,} bytes in one reply. Ask for less at once.")
                    if time.monotonic() > until:
                        raise Lost(f"{self.name.root} did not finish its reply within {limit_s:.0f} s. Is the server overloaded?")
                status = response.status_code
        except httpx2.TimeoutException:
            raise Lost(f"{self.name.root} did not answer in time. Is the server running, and not overloaded?") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            said = self._without_key(str(error))
            raise Lost(f"{self.name.root} can't be reached ({said or type(error).__name__}). Is the server running there?") from None
        if status != 200:
            raise self._refusal(status, bytes(content))
        try:
            return parse_json(content.decode())
        except ValueError as error:
            raise ModelUnavailable(f"{url} gave no JSON ({error}). Is it the address of an OpenAI-compatible API?") from None

    def _refusal(self, status: int, content: bytes) -> Refused:
        place = self.name.root
        if 300 <= status < 400:
            return Refused(f"{place} wants to send this program to another address ({status}), which is never followed.", status)
        if status in (401, 403):
            return Refused(f"{place} asks for a key ({status}). Set it in SFTQA_ENGINES_KEY, over https or on this machine.", status)
        return Refused(f"{place} refused the request ({status}): {self._said(content)}", status)

    def _said(self, content: bytes) -> str:
        """The server's own words, cut short, in one line."""
        try:
            told = parse_json(content[:100_000].decode())
        except ValueError:
            told = content[:_SAID].decode(errors="replace")
        if isinstance(told, dict):
            told = told.get("error", told.get("message", told))
            told = told.get("message", told) if isinstance(told, dict) else told
        return self._without_key(" ".join(str(told).split()))[:_SAID] or "nothing said"

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "(key)") if self._key else text


class Lost(ModelUnavailable):
    """No answer came; the same request may be answered later."""


class Room:
    """How many requests may be under way: at most `most`, half as many after each time that the server was too busy, and one more for
    every `most` that went through."""

    def __init__(self, most: int):
        self.most, self.limit = most, float(most)
        self._under_way, self._changed = 0, threading.Condition()

    @contextmanager
    def held(self) -> Iterator[None]:
        """One of the places, waited for."""
        with self._changed:
            self._changed.wait_for(lambda: self._under_way < max(1, int(self.limit)))
            self._under_way += 1
        try:
            yield
            with self._changed:
                self.limit = min(float(self.most), self.limit + 1 / self.most)
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def shrink(self) -> None:
        """The server was too busy."""
        with self._changed:
            self.limit = max(1.0, self.limit / 2)
