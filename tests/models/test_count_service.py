"""The client of the count service, against one on this machine that answers well or badly."""

from __future__ import annotations

import time

import pytest

from sftqa_core.errors import ServiceUnavailable, SettingsError, Stopped
from sftqa_core.models.corpora import count_service
from sftqa_core.models.corpora.count_service import Count, CountService, QueryRefused, both, clause, service_address, why_not_askable
from tests.fake_counts import INDEX, FakeCounts, counting

TOKENS = 1_000_000


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(count_service, "PAUSES_S", (0.01, 0.04))


def service(fake: FakeCounts, pause_s: float = 0.0, **settings) -> CountService:
    return CountService(fake.address, INDEX, TOKENS, 100, pause_s, **settings)


def test_a_text_alone_is_asked_without_settings_and_texts_together_with_them():
    """The real service fails on settings of AND beside a plain text."""
    with counting(counts={"Velora": 7, "Tamis": 3, "Old Tamis": 2}, together={"Velora": 2}) as fake:
        asks = service(fake)
        assert asks.count("Velora") == Count(7, False)
        assert asks.count(clause(("Tamis", "Old Tamis"))) == Count(5, False)
        assert asks.count(both(("Velora",), ("Tamis", "Old Tamis"))) == Count(2, False)
    plain, either, together = fake.asked
    assert plain == {"index": INDEX, "query_type": "count", "query": "Velora"}
    assert either["query"] == "Tamis OR Old Tamis"
    assert together == {
        "index": INDEX, "query_type": "count", "query": "Velora AND Tamis OR Old Tamis", "max_clause_freq": 500_000, "max_diff_tokens": 100
    }  # fmt: skip
    assert asks.asked == 3


def test_an_estimate_is_told_as_one():
    """The service says so in `approx`."""
    with counting(counts={"Velora": 60_000, "Tamis": 5}, together={"Velora": 4}) as fake:
        assert service(fake).count("Velora AND Tamis") == Count(4, True)


def test_requests_are_one_at_a_time_with_a_pause_after_each_answer():
    """Whatever the service could bear."""
    with counting(counts={"a": 1}) as fake:
        asks = service(fake, pause_s=0.15)
        for _ in range(3):
            asks.count("a")
    assert all(later - earlier >= 0.15 for earlier, later in zip(fake.times, fake.times[1:], strict=False))


@pytest.mark.parametrize("trouble", ["busy", "down", "internal"])
def test_what_passes_is_asked_again(trouble):
    """Twice refused, then answered."""
    with counting(counts={"a": 4}, trouble=trouble, refusals=2) as fake:
        assert service(fake).count("a") == Count(4, False)
    assert len(fake.asked) == 3


def test_a_busy_service_is_given_the_time_that_it_asks_for():
    """Retry-After in seconds goes before the own pause."""
    with counting(counts={"a": 4}, trouble="busy", refusals=1, retry="1") as fake:
        service(fake).count("a")
    first, second = fake.times
    assert second - first >= 1


def test_a_service_that_asks_for_long_is_left_alone():
    """After one request, with the time it wants."""
    with counting(trouble="busy", retry="3600") as fake:
        with pytest.raises(ServiceUnavailable, match=r"is busy or down \(429\)\. It asks to wait 3,600 s\. Try again then\."):
            service(fake).count("a")
        assert len(fake.asked) == 1


def test_it_gives_up_after_some_tries():
    """A service that stays down."""
    with counting(trouble="down") as fake:
        with pytest.raises(ServiceUnavailable, match=r"is busy or down \(503\)"):
            service(fake).count("a")
        assert len(fake.asked) == count_service.TRIES


@pytest.mark.parametrize(("trouble", "requests"), [("error", 1), ("internal", 6)])
def test_a_query_that_it_can_not_count_is_told_apart(trouble, requests):
    """The others can still be asked; a failure inside may be of a bad minute, so it is tried again first."""
    with counting(counts={"b": 3}, trouble=trouble, only="a") as fake:
        asks = service(fake)
        with pytest.raises(QueryRefused, match=r"Please limit your input to <= 500 tokens!|Internal server error: 7"):
            asks.count("a")
        assert len(fake.asked) == requests
        assert asks.count("b") == Count(3, False)


@pytest.mark.parametrize(
    ("trouble", "answer", "words"),
    [
        ("invalid", "", r"refused the request \(400\): \[Flask\] Invalid index: x\."),
        ("text", "", "gave no JSON"),
        ("list", "", r"gave \[1, 2\] in place of a count\. Is it a count service\?"),
        ("answer", '{"count": NaN, "approx": false}', "in place of a count"),
        ("answer", '{"count": Infinity, "approx": false}', "in place of a count"),
        ("answer", '{"count": 1000001, "approx": false}', "in place of a count"),
        ("answer", '{"count": ' + "9" * 400 + ', "approx": false}', "in place of a count"),
        ("answer", '{"count": ' + "9" * 9_000 + ', "approx": false}', "gave no JSON"),
        ("answer", '{"count": -1, "approx": false}', "in place of a count"),
        ("answer", '{"count": 2.5, "approx": false}', "in place of a count"),
        ("answer", '{"count": true, "approx": false}', "in place of a count"),
        ("answer", '{"count": 3}', "in place of a count"),
        ("answer", '{"count": 3, "approx": 0}', "in place of a count"),
        ("answer", '{"count": 3, "count": 4, "approx": false}', "gave no JSON"),
        ("answer", "[" * 100_000, "gave no JSON"),
        ("redirect", "", "wants to send this program to another address, which is never followed"),
        ("large", "", "sent more than 1,000,000 bytes in place of a count"),
    ],
)  # fmt: skip
def test_what_is_no_count_is_refused(trouble, answer, words):
    """Numbers that can't be, other types, pages, what has no end."""
    with counting(trouble=trouble, answer=answer) as fake:
        with pytest.raises(ServiceUnavailable, match=words):
            service(fake).count("a")
        assert len(fake.asked) == 1


@pytest.mark.parametrize("trouble", ["silent", "drip"])
def test_a_slow_service_holds_nobody(trouble, monkeypatch):
    """The time of an answer is bounded however it drips."""
    monkeypatch.setattr(count_service, "REPLY_S", 0.3)
    monkeypatch.setattr(count_service, "TRIES", 2)
    with counting(trouble=trouble) as fake:
        began = time.monotonic()
        with pytest.raises(ServiceUnavailable, match=r"did not answer in time|did not finish its answer within"):
            service(fake).count("a")
        assert time.monotonic() - began < 5
        assert len(fake.asked) == 2


def test_nobody_there_is_told():
    """A port on which nothing listens."""
    with counting() as fake:
        gone = fake.address
    with pytest.raises(ServiceUnavailable, match=r"can't be reached"):
        CountService(gone, INDEX, TOKENS, 100, 0.0).count("a")


def test_a_person_can_stop_while_it_waits():
    """`check` is called while it pauses."""
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) > 3:
            raise Stopped("Stopped on request.")

    with counting(trouble="busy", retry="200") as fake:
        began = time.monotonic()
        with pytest.raises(Stopped):
            service(fake, check=check).count("a")
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://api.infini-gram.io/", "https://api.infini-gram.io/"),
        ("https://Counts.Example:8443/api", "https://counts.example:8443/api/"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000/"),
        ("http://[::1]:5000/", "http://[::1]:5000/"),
        ("http://localhost:5000/", "http://localhost:5000/"),
    ],
)
def test_an_address_is_https_or_this_machine(text, address):
    """The same address is always written the same."""
    assert service_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "http://api.infini-gram.io/", "http://192.168.0.7:5000/", "http://127.0.0.1.example.org/", "ftp://127.0.0.1/",
        "https://user:secret@api.infini-gram.io/", "https://api.infini-gram.io/?q=1", "https://api.infini-gram.io/#a",
        "https://api.infini-gram.io:0/", "https://api.infini-gram.io:99999/", "https:///", "", "api.infini-gram.io", "https://a b/",
        "https://api.infini-gram.io/../x", "https://\nx/",
    ],
)  # fmt: skip
def test_other_addresses_are_refused(text):
    """In the open, with a password, or none at all."""
    with pytest.raises(SettingsError):
        service_address(text)


def test_words_of_the_service_are_not_sent_as_text():
    """AND and OR as words of their own, in capitals; inside a word, or in small letters, they are text."""
    assert why_not_askable("Romeo AND Juliet") == "holds AND or OR as a word, which the service takes for its own"
    assert why_not_askable("OR") == "holds AND or OR as a word, which the service takes for its own"
    assert why_not_askable("  ") == "is empty"
    assert [why_not_askable(text) for text in ("Trinidad and Tobago", "ANDORRA", "ORLANDO AND-ROID")] == ["", "", ""]
