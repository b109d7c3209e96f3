"""infini-gram's public count service: how often texts stand in a corpus. One request at a time, with a pause after each answer.

A POST of JSON to the service's address, as its documentation says it (infini-gram.readthedocs.io/en/latest/api.html):

| field | of | meaning |
|---|---|---|
| index | request | which corpus |
| query_type | request | "count" |
| query | request | a text; or texts with AND and OR between them, where OR binds closer: at most 4 clauses of 4 texts, 1,000 characters |
| max_diff_tokens | request with AND or OR | how far apart clauses may stand, 1 to 1,000 tokens |
| max_clause_freq | request with AND or OR | of more matches of a clause so many are looked at (at most 500,000): an estimate |
| count, approx | answer | occurrences; whether they are an estimate |
| error | answer | why there is none, in words; with status 200, 400 or 500 |

A text is counted as it is written, capitals included, where it begins and ends at tokens. Of AND, it is the occurrences of the rarer clause
that have the other one near: not documents, and no statements. The service writes down what it is asked (its api/api_server.py).
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from sftqa_core.errors import ServiceUnavailable, SettingsError
from sftqa_core.jsonrecord import parse_json, shown
from sftqa_core.models.hub.hub_cache import wait_s

MOST_LOOKED_AT = 500_000  # matches of a clause: the most that the service allows, since each estimate is noisy
MOST_CHARACTERS, MOST_TEXTS = 1_000, 4  # of a query, of a clause
_OPERATORS = re.compile(r"(?<!\S)(AND|OR)(?!\S)")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_PATH = re.compile(r"(/[A-Za-z0-9._~-]*)*")
CONNECT_S, REPLY_S = 10.0, 60.0
TRIES = 6
PAUSES_S = (1.0, 30.0)  # before another try: the first and the longest
LONGEST_WAIT_S = 300  # that the service may ask for
_MOST_BYTES = 1_000_000  # of an answer
_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_SAID = 200  # characters of the service's own words
_GLANCE_S = 0.2


class QueryRefused(ServiceUnavailable):
    """The service can't count this one query."""


class _Later(ServiceUnavailable):
    """The same request may be answered later; `of_query`: or the service always fails on this query."""

    def __init__(self, message: str, wait_s: int | None = None, of_query: bool = False):
        super().__init__(message)
        self.wait_s, self.of_query = wait_s or 0, of_query


@dataclass(frozen=True)
class Count:
    """How often a query stands in the corpus."""

    count: int
    estimated: bool


@dataclass(frozen=True)
class _Answer:
    status: int
    content: bytes
    wait_s: int | None


def service_address(text: str) -> str:
    """The address of a service as it is asked. Raises `SettingsError` unless it is https, or this machine."""
    try:
        parts = urlsplit(text)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise SettingsError(f"{shown(text)} is no address of a count service: {error}.") from None
    plain = not (parts.username or parts.password or parts.query or parts.fragment) and _PATH.fullmatch(parts.path)
    if not plain or not text.isprintable() or ".." in parts.path or port == 0 or not (_HOST.fullmatch(host) or _is_loopback(host)):
        raise SettingsError(f"The count service's address must be scheme, host, port and path, and nothing else, got {shown(text)}.")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise SettingsError(f"Facts are sent over https, or to this machine, and {shown(text)} is neither.")
    place = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{place}{f':{port}' if port else ''}{parts.path.rstrip('/')}/"


def why_not_askable(text: str) -> str:
    """Why a text can't stand in a query, behind its name; empty where it can."""
    if _OPERATORS.search(text):
        return "holds AND or OR as a word, which the service takes for its own"
    return "" if text.strip() else "is empty"


def clause(texts: tuple[str, ...]) -> str:
    """Any of these texts."""
    return " OR ".join(texts)


def both(one: tuple[str, ...], other: tuple[str, ...]) -> str:
    """Any of the first near any of the second."""
    return f"{clause(one)} AND {clause(other)}"


class CountService:
    """Asks one index. `check` is called while it waits and may raise `Stopped`."""

    def __init__(self, address: str, index: str, tokens: int, window: int, pause_s: float, check: Callable[[], None] = lambda: None):
        import httpx2

        self.address, self.index, self.tokens = service_address(address), index, tokens
        self.window, self.pause_s, self.check = window, pause_s, check
        self.asked = 0  # queries that were answered
        self._next_s = 0.0  # when the next may be sent
        local = _is_loopback(urlsplit(self.address).hostname or "")
        self._http = httpx2.Client(
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "sftqa-explorer"},
            follow_redirects=False,
            trust_env=not local,  # a proxy on the way out
            timeout=httpx2.Timeout(REPLY_S, connect=CONNECT_S),
        )

    def close(self) -> None:
        """Ask no more."""
        self._http.close()

    def count(self, query: str) -> Count:
        """How often a query stands in the index. Raises `QueryRefused` for this query alone; `ServiceUnavailable`, `Stopped`."""
        body: dict[str, Any] = {"index": self.index, "query_type": "count", "query": query}
        if _OPERATORS.search(query):  # a plain text has no such settings: the service fails on them
            body |= {"max_clause_freq": MOST_LOOKED_AT, "max_diff_tokens": self.window}
        pause = PAUSES_S[0]
        for left in reversed(range(TRIES)):
            self._wait_until(self._next_s)
            try:
                counted = self._read(self._sent(body))
                self.asked += 1
                return counted
            except _Later as error:
                if error.wait_s > LONGEST_WAIT_S:
                    raise ServiceUnavailable(f"{error} It asks to wait {error.wait_s:,} s. Try again then.") from None
                if not left:
                    raise (QueryRefused(str(error)) if error.of_query else error) from None
                pause_s, pause = max(pause, float(error.wait_s)), min(2 * pause, PAUSES_S[1])
            finally:
                self._next_s = time.monotonic() + self.pause_s
            self._wait_until(time.monotonic() + pause_s)
        raise AssertionError("unreachable")

    def _sent(self, body: dict[str, Any]) -> _Answer:
        """One request: at most so many bytes in so many seconds, however slowly they drip."""
        import httpx2

        until, content = time.monotonic() + REPLY_S, bytearray()
        try:
            with self._http.stream("POST", self.address, json=body) as response:
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > _MOST_BYTES:
                        raise ServiceUnavailable(f"{self.address} sent more than {_MOST_BYTES:,} bytes in place of a count.")
                    if time.monotonic() > until:
                        raise _Later(f"{self.address} did not finish its answer within {REPLY_S:.0f} s.")
                return _Answer(response.status_code, bytes(content), wait_s(response))
        except httpx2.TimeoutException:
            raise _Later(f"{self.address} did not answer in time.") from None
        except httpx2.HTTPError as error:
            raise _Later(f"{self.address} can't be reached ({str(error) or type(error).__name__}).") from None

    def _read(self, answer: _Answer) -> Count:
        told, said = self._told(answer)
        if 300 <= answer.status < 400:
            raise ServiceUnavailable(f"{self.address} wants to send this program to another address, which is never followed.")
        if answer.status == 500 and said:  # its own word for a query that it fails on, and for a bad minute
            raise _Later(f"{self.address} failed on a query: {said}.", answer.wait_s, of_query=True)
        if answer.status in _AGAIN:
            raise _Later(f"{self.address} is busy or down ({answer.status}).", answer.wait_s)
        if answer.status != 200:
            raise ServiceUnavailable(f"{self.address} refused the request ({answer.status}): {said or 'nothing said'}.")
        if said:
            raise QueryRefused(f"{self.address} refused a query: {said}.")
        count, estimated = (told.get(name) for name in ("count", "approx")) if isinstance(told, dict) else (None, None)
        if type(count) is not int or not 0 <= count <= self.tokens or type(estimated) is not bool:
            raise ServiceUnavailable(f"{self.address} gave {shown(told)} in place of a count. Is it a count service?")
        return Count(count, estimated)

    def _told(self, answer: _Answer) -> tuple[Any, str]:
        """The answer's JSON, and the error that it names; no JSON is an answer only where the status says that there is none."""
        try:
            told = parse_json(answer.content.decode(errors="replace"))
        except ValueError as error:
            if answer.status == 200:
                raise ServiceUnavailable(f"{self.address} gave no JSON ({error}). Is it a count service?") from None
            return None, ""
        words = told.get("error") if isinstance(told, dict) else None
        said = "" if words is None else " ".join("".join(sign if sign.isprintable() else " " for sign in str(words)).split())[:_SAID]
        return told, said.rstrip(".") or ("" if words is None else "nothing said")

    def _wait_until(self, when_s: float) -> None:
        self.check()
        while (left := when_s - time.monotonic()) > 0:
            time.sleep(min(left, _GLANCE_S))
            self.check()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
