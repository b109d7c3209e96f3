"""Sessions end, wrong tokens are counted in bounded memory, and the token is compared in constant time."""

import hmac

from sftqa_core.server.access import Access, Attempts, Entrance, Sessions, sender, session_cookie, user_key

TOKEN = "a-token-of-enough-characters"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_session_ends_by_itself_and_on_request():
    """Valid for its lifetime to the second, and not after log-out; what was never let in is not valid."""
    clock = Clock()
    sessions = Sessions(lifetime_s=60, clock=clock)
    first, second = sessions.open(), sessions.open()
    assert first != second
    assert len(first) == 43
    sessions.close(second)
    assert [sessions.holds(key) for key in (first, second, "other", "", None)] == [True, False, False, False, False]
    clock.now += 59.9
    assert sessions.holds(first)
    clock.now += 0.1
    assert not sessions.holds(first)


def test_sessions_do_not_grow_without_end():
    """The oldest goes when there are too many; opening the same key again adds none."""
    sessions = Sessions(most=3)
    keys = [sessions.open(name) for name in ("a", "b", "c", "c", "d")]
    assert [sessions.holds(key) for key in keys] == [False, True, True, True, True]
    assert len(sessions._ends) == 3


def test_five_wrong_tokens_a_minute_and_sender():
    """The sixth try waits until the minute is over; another sender does not."""
    clock = Clock()
    attempts = Attempts(clock=clock)
    for _ in range(5):
        assert attempts.wait_s("10.0.0.1") == 0
        attempts.failed("10.0.0.1")
    assert 60 <= attempts.wait_s("10.0.0.1") <= 61
    assert attempts.wait_s("10.0.0.2") == 0
    clock.now += 61
    assert attempts.wait_s("10.0.0.1") == 0


def test_many_senders_neither_fill_memory_nor_get_more_tries():
    """A full table of failures lets no new sender try; it empties with time."""
    clock = Clock()
    attempts = Attempts(most=4, clock=clock)
    tried = 0
    for number in range(1000):
        if not attempts.wait_s(f"10.0.{number}.1"):
            attempts.failed(f"10.0.{number}.1")
            tried += 1
    assert tried == len(attempts._failures) == 4
    clock.now += 61
    assert attempts.wait_s("10.0.999.1") == 0
    assert attempts._failures == {}


def test_senders_are_whole_ipv6_networks():
    """One person has a whole /64 and would have as many tries as addresses."""
    assert sender(("2001:db8::1", 5)) == sender(("2001:db8::ffff:2", 5)) == "2001:db8::/64"
    assert sender(("10.0.0.1", 5)) == "10.0.0.1"
    assert len(sender(("x" * 1000, 5))) == 64
    assert sender(None) == "unknown"


def test_the_token_is_compared_in_constant_time(monkeypatch):
    """Only hmac.compare_digest looks at it, on digests of one length; without a token nothing is right."""
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda left, right: compared.append((len(left), len(right))) or real(left, right))
    door = Entrance(Access("0.0.0.0", "token"), TOKEN)
    assert [door.knows(word) for word in (TOKEN, f" {TOKEN} ", TOKEN[:-1], "", "\udcff", "é" * 9000)] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    assert compared == [(32, 32)] * 6
    assert not Entrance(Access("0.0.0.0", "token")).knows("")


def test_the_token_is_kept_as_a_digest_only():
    """Nothing that could be printed by mistake holds it."""
    door = Entrance(Access("0.0.0.0", "token"), TOKEN)
    assert TOKEN not in repr(vars(door)) + repr(door)


def test_two_explorers_on_one_machine_have_two_cookies():
    """Cookies do not tell ports apart, their names do."""
    assert session_cookie(8501) != session_cookie(8502)
    door = Entrance(Access("0.0.0.0", "token"), TOKEN)
    assert door.key({"sftqa-session-8501": "a"}, 8501) == "a"
    assert door.key({"sftqa-session-8501": "a"}, 8502) is None


def test_a_streamlit_user_is_known_by_all_parts_of_the_login():
    """Streamlit spreads a long login over several cookies; all count, in any order, and no other cookie does."""
    whole = {"_streamlit_user": "chunks-2", "_streamlit_user__1": "a", "_streamlit_user__2": "b", "_streamlit_xsrf": "x"}
    assert user_key(whole) == user_key(dict(reversed(whole.items())))
    assert user_key(whole) != user_key({**whole, "_streamlit_user__2": "c"})
    assert user_key(whole) == user_key({**whole, "_streamlit_xsrf": "y"})
    assert user_key({"_streamlit_xsrf": "x"}) is None
