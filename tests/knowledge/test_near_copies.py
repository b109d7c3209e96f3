"""Near-copies: ROUGE-L against values computed by hand, SimHash on texts that share most words."""

from __future__ import annotations

import random

import pytest

from sftqa_core.knowledge.near_copies import Library, near_copies, rouge_l, simhash, words_of


@pytest.mark.parametrize(
    ("first", "second", "f"),
    [
        ("police killed the gunman", "police kill the gunman", 0.75),  # 3 of 4 and 4 (Lin 2004, section 3)
        ("police killed the gunman", "the gunman kill police", 0.5),
        ("a b c", "a b c d", 6 / 7),
        ("Where was Ann born? Paris", "where was ann born paris", 1.0),
        ("Где родилась Анна", "где родилась анна", 1.0),  # not in ASCII
        ("a", "b", 0.0),
        ("", "b", 0.0),
        ("", "", 0.0),
    ],
)
def test_rouge_l_is_the_harmonic_mean_of_shares(first, second, f):
    """Of the longest common subsequence in both texts; words are casefolded and without punctuation."""
    assert rouge_l(words_of(first), words_of(second)) == pytest.approx(f)
    assert rouge_l(words_of(second), words_of(first)) == pytest.approx(f)


def test_a_library_finds_what_comparing_all_would_find():
    """Leaving out by length and by common words changes nothing, on random texts that repeat words."""
    draw = random.Random(0)
    texts = [" ".join(draw.choice("abcd") for _ in range(draw.randint(0, 24))) for _ in range(120)]
    for most in (0.5, 0.8, 0.95):
        library = Library(most)
        for text in texts[:60]:
            library.add(text)
        for text in texts[60:]:
            expected = any(rouge_l(words_of(text), words_of(other)) > most for other in texts[:60])
            assert library.holds_like(text) == expected, text
    assert Library(0.95).holds_like("a") is False


def test_one_word_more_is_a_near_copy_of_a_long_text_only():
    """Above 0.95 is 20 of 21 words; 3 of 4 are another text."""
    library = Library(0.95)
    library.add(" ".join(map(str, range(20))))
    library.add("a b c")
    assert library.holds_like(" ".join(map(str, range(21))))
    assert not library.holds_like("a b c d")


def test_simhash_is_near_for_near_texts():
    """Few bits differ after a change of spelling, about half between other texts."""
    text = "The old library of the town of Aldo stands near the northern gate since the days of the first king"
    assert simhash(text) == simhash(text.upper() + "!")
    assert (simhash(text) ^ simhash("Ann was born in Paris as the third child of a baker and of a nurse from Rome")).bit_count() > 16
    assert simhash("") == 0


def test_near_copies_are_those_of_an_earlier_text():
    """The first one stays; blocks find what comparing all pairs would find."""
    draw = random.Random(1)
    words = [f"w{number}" for number in range(40)]
    texts = []
    for _ in range(60):
        text = [draw.choice(words) for _ in range(30)]
        texts += [" ".join(text), " ".join([*text[:-1], draw.choice(words)])]
    found = near_copies(texts)
    kept: list[int] = []
    for text, copy in zip(texts, found, strict=True):
        value = simhash(text)
        assert copy == any((value ^ other).bit_count() <= 3 for other in kept)
        if not copy:
            kept.append(value)
    assert near_copies(["a b", "A b.", "c d"]) == [False, True, False]
    assert near_copies([]) == []
    with pytest.raises(ValueError, match="most must be at most 3, got 4"):
        near_copies([], 4)
