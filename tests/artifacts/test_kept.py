"""What is worked out once and kept for all threads."""

import threading

import pytest

from sftqa_core.artifacts import Kept


def test_a_value_is_made_once_and_the_longest_unasked_goes_first():
    """Three fit: the fourth takes the place of the one that nobody asked for since."""
    made = []
    kept = Kept(3)

    def get(key):
        return kept.get(key, lambda: made.append(key) or key.upper())

    assert [get(key) for key in "abcabc"] == list("ABCABC")
    get("d")
    assert made == list("abcd")
    assert [get(key) for key in "bcd"] == list("BCD")
    get("a")
    assert made == list("abcda")


def test_sizes_count_and_one_value_always_stays():
    """Values above the limit push all others out, and are still given out without being made again."""
    made = []
    kept = Kept(100, len)
    for size in (60, 40, 500, 500):
        kept.get(size, lambda size=size: made.append(size) or "x" * size)
    assert made == [60, 40, 500]
    kept.get(60, lambda: made.append(60) or "x" * 60)
    assert made == [60, 40, 500, 60]


def test_what_fails_is_told_and_tried_again():
    """The error passes through, nothing is kept, and the next one who asks makes it."""
    kept = Kept(3)
    with pytest.raises(ZeroDivisionError):
        kept.get("a", lambda: 1 / 0)
    assert kept.get("a", lambda: 7) == 7


def test_two_threads_that_ask_at_once_wait_for_one_making():
    """Eight threads, one making; another key is not kept waiting."""
    kept, made, begun, asked = Kept(3), [], threading.Event(), threading.Event()

    def slowly():
        begun.set()
        asked.wait(60)
        made.append(1)
        return "slow"

    found = []
    threads = [threading.Thread(target=lambda: found.append(kept.get("a", slowly))) for _ in range(8)]
    for thread in threads:
        thread.start()
    begun.wait()
    assert kept.get("b", lambda: "quick") == "quick"
    assert made == []
    asked.set()
    for thread in threads:
        thread.join()
    assert found == ["slow"] * 8
    assert made == [1]
