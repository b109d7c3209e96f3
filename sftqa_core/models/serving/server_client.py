"""One server's API over HTTP: bounded in size and time, without redirects or proxies, tried again where that may help.

A request that the server is too busy for (429, 503), or that got lost, is sent again after a pause; where the server is busy, fewer
requests are under way from then on. Every request has a thread of its own, which is left alone when its time is over or the work is
stopped: whoever waits for it looks up several times a second, so a silent server holds nobody.
"""

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from sftqa_core.errors import ModelUnavailable, Stopped
from sftqa_core.jsonrecord import parse_json, shown
from sftqa_core.models.serving.addresses import ServerName, key_for, require_allowed

MOST_BYTES = 64_000_000  # of one reply
CONNECT_S = 10.0
REPLY_S = 900.0  # a request waits in the server's queue behind many others
LOOK_S = 30.0  # to answer what takes no model
TRIES, LOOKS = 10, 3
PAUSES_S = (0.5, 60.0)  # the first and the longest
_LONGEST_WAIT_S = 120.0  # that a server may ask for (Retry-After)
_BUSY = (429, 503)
_AGAIN = (408, 425, 500, 502, 504, *_BUSY)
_SAID = 300  # characters of the server's own words
_GLANCE_S = 0.2
_WAITING = 2  # pieces of work made ready for each that is under way
Item = TypeVar("Item")
Result = TypeVar("Result")


class Refused(ModelUnavailable):
    """The server has said no; `status` is HTTP's, `wait_s` what it asks to wait."""

    def __init__(self, message: str, status: int, wait_s: float = 0.0):
        super().__init__(message)
        self.status, self.wait_s = status, wait_s


class Lost(ModelUnavailable):
    """No answer came; the same request may be answered later."""


class Late(Lost):
    """The time was over."""


@dataclass(frozen=True)
class _Reply:
    status: int
    content: bytes
    wait_s: float


class Client:
    """Raises `SettingsError` for a server that may not be asked, or a key that would travel in the open.

    `check` is called while a reply is awaited and may raise `Stopped`; threads share a client.
    """

    def __init__(self, name: ServerName, most: int = 32, check: Callable[[], None] = lambda: None):
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
            timeout=httpx2.Timeout(REPLY_S, connect=CONNECT_S),
            limits=httpx2.Limits(max_connections=most + 2, max_keepalive_connections=most + 2),
        )

    def close(self) -> None:
        """Ask no more: whoever waits for a reply, or for another try, meets `Stopped`."""
        self._closed = True
        self._http.close()

    def look(self, path: str) -> Any:
        """The JSON that an address of this server gives. Raises `Refused`, `ModelUnavailable`, `Stopped`."""
        return self._asked(path, None, LOOKS, LOOK_S)

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """The reply to one request for completions. Raises `Refused`, `ModelUnavailable`, `Stopped`."""
        reply = self._asked(f"{self.name.path}/completions", body, TRIES, REPLY_S)
        if not isinstance(reply, dict):
            raise ModelUnavailable(f"{self.name.root} gave {shown(reply)} in place of completions. Is it an OpenAI-compatible API?")
        return reply

    def side_by_side(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """The results of all items as they finish; items are drawn from the iterable as needed. When the caller stops, or a piece of work
        fails, the client is closed, so that the others end, too."""
        source, most = iter(items), self.room.most
        pool, whole = ThreadPoolExecutor(most), False
        futures: set[Future[Result]] = set()
        try:
            while True:
                futures |= {pool.submit(work, item) for item in islice(source, _WAITING * most - len(futures))}
                if not futures:
                    break
                done, futures = wait(futures, timeout=_GLANCE_S, return_when=FIRST_COMPLETED)
                self._check()
                for future in done:
                    yield future.result()
            whole = True
        finally:
            if not whole:
                self.close()
            pool.shutdown(wait=whole, cancel_futures=True)

    def _asked(self, path: str, body: dict[str, Any] | None, tries: int, limit_s: float) -> Any:
        pause, late = PAUSES_S[0], 0
        for left in reversed(range(tries)):
            try:
                with self.room.held(self._check) as began:
                    return self._once(path, body, limit_s)
            except Refused as error:
                if error.status not in _AGAIN or not left:
                    raise
                if error.status in _BUSY:
                    self.room.shrink(began)
                pause = max(pause, error.wait_s)
            except Lost as error:
                late += isinstance(error, Late)
                if not left or late > 1:
                    raise
            self._wait(pause * random.uniform(0.75, 1.25))  # not all threads at once
            pause = min(2 * pause, PAUSES_S[1])
        raise AssertionError("unreachable")

    def _check(self) -> None:
        if self._closed:
            raise Stopped(f"Nothing more is asked of {self.name.root}.")
        self.check()

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._check()
            time.sleep(min(left, _GLANCE_S))

    def _once(self, path: str, body: dict[str, Any] | None, limit_s: float) -> Any:
        """One request in a thread of its own."""
        came: Future[_Reply] = Future()
        threading.Thread(target=self._fetch, args=(came, path, body, limit_s), daemon=True).start()
        until = time.monotonic() + limit_s
        while not came.done():
            self._check()
            if time.monotonic() > until:
                raise Late(f"{self.name.root} did not answer within {limit_s:.0f} s. Is the server running, and not overloaded?")
            wait([came], timeout=_GLANCE_S)
        reply = came.result()
        text = self._without_key(reply.content.decode(errors="replace"))
        if reply.status != 200:
            raise self._refusal(reply, text)
        try:
            return parse_json(text)
        except ValueError as error:
            raise ModelUnavailable(f"{self.name.root}{path} gave no JSON ({error}). Is it an OpenAI-compatible API?") from None

    def _fetch(self, came: "Future[_Reply]", path: str, body: dict[str, Any] | None, limit_s: float) -> None:
        import httpx2

        until, content, root = time.monotonic() + limit_s, bytearray(), self.name.root
        try:
            timeout = httpx2.Timeout(limit_s, connect=CONNECT_S)
            with self._http.stream("GET" if body is None else "POST", root + path, json=body, timeout=timeout) as response:
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > MOST_BYTES:
                        raise ModelUnavailable(f"{root} sent more than {MOST_BYTES:,} bytes in one reply. Ask for less at once.")
                    if time.monotonic() > until:
                        raise Late(f"{root} did not finish its reply within {limit_s:.0f} s. Is the server overloaded?")
                asked_s = response.headers.get("Retry-After", "")
                wait_s = min(float(asked_s), _LONGEST_WAIT_S) if asked_s.isascii() and asked_s.isdigit() else 0.0
                came.set_result(_Reply(response.status_code, bytes(content), wait_s))
        except ModelUnavailable as error:
            came.set_exception(error)
        except httpx2.TimeoutException:
            came.set_exception(Late(f"{root} did not answer in time. Is the server running, and not overloaded?"))
        except Exception as error:  # of httpx2, or of a client that was closed meanwhile
            said = self._without_key(str(error)) or type(error).__name__
            came.set_exception(Lost(f"{root} can't be reached ({said}). Is the server running there?"))

    def _refusal(self, reply: _Reply, text: str) -> Refused:
        place, status = self.name.root, reply.status
        if 300 <= status < 400:
            return Refused(f"{place} wants to send this program to another address ({status}), which is never followed.", status)
        if status in (401, 403):
            return Refused(f"{place} asks for a key ({status}). Set it in SFTQA_ENGINES_KEY, over https or on this machine.", status)
        try:
            told = parse_json(text[:100_000])
        except ValueError:
            told = text
        if isinstance(told, dict):
            told = told.get("error", told.get("message", told))
            told = told.get("message", told) if isinstance(told, dict) else told
        said = "".join(sign if sign.isprintable() else " " for sign in " ".join(str(told).split()))[:_SAID] or "nothing said"
        return Refused(f"{place} refused the request ({status}): {said}", status, reply.wait_s)

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "(key)") if self._key else text


class Room:
    """How many requests may be under way: at most `most`, half as many after the server was too busy, and one more for every `most` that
    went through."""

    def __init__(self, most: int):
        self.most, self.limit = most, float(most)
        self._under_way, self._changed, self._shrunk = 0, threading.Condition(), 0.0

    @contextmanager
    def held(self, check: Callable[[], None] = lambda: None) -> Iterator[float]:
        """One of the places, waited for; when it was got. `check` is called meanwhile."""
        with self._changed:
            check()
            while self._under_way >= max(1, int(self.limit)):
                self._changed.wait(_GLANCE_S)
                check()
            self._under_way += 1
        try:
            yield time.monotonic()
            with self._changed:
                self.limit = min(float(self.most), self.limit + 1 / self.most)
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def shrink(self, began: float) -> None:
        """The server was too busy for a request of that time. Those that were sent together count once."""
        with self._changed:
            if began > self._shrunk:
                self.limit, self._shrunk = max(1.0, self.limit / 2), time.monotonic()
