"""One spelling on both sides: apostrophes, dashes, quotes, what can't be seen; and what stands around an answer."""

import sys
import unicodedata
from collections.abc import Iterator

import pytest

from sftqa_core.knowledge import spelling
from sftqa_core.knowledge.matching import (
    Matcher,
    exact_answers,
    left_out,
    named,
    normalise,
    same_name,
    treats_otherwise,
    unspaced,
    wanted_form,
)

APOSTROPHES = "'’‘ʼʻ′`´‛＇\u05f3"
DASHES = "-‐\u2011‒–—―−﹣－\u05be"
QUOTES = '"“”„‟″＂«»\u05f4'
MARKED = ("Paris.", "Paris!", '"Paris."', '"Paris".', "Paris…", "Paris。")
RULES = {"tokens": Matcher().compile, "substring": Matcher("substring").compile, "exact": exact_answers}


def characters() -> Iterator[str]:
    """Each character there is."""
    return (chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("signs", "form"),
    [(APOSTROPHES, "Conan O{}Brien"), (DASHES, "Jean{}Paul Sartre"), (QUOTES, "the {}Heroes{} album")],
    ids=["apostrophes", "dashes", "quotes"],
)
def test_every_form_of_a_sign_is_the_same(rule, signs, form):
    """Whichever of them the answer and the text have, the answer is found, and told as it was given."""
    for given in signs:
        answer = form.replace("{}", given)
        compiled = RULES[rule]([answer])
        for written in signs:
            assert compiled.find(" " + form.replace("{}", written)) == answer, (given, written)
        assert compiled.find(" " + form.replace("{}", "")) is None


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("hidden", ["\u200b", "\u2060", "\ufeff", "\u00ad", "\u200e", "\u202a", "\U000e0020"])
def test_what_cannot_be_seen_does_not_count(rule, hidden):
    """On either side, in front, inside and behind."""
    for answer in (f"{hidden}Toledo", f"Tol{hidden}edo", f"Toledo{hidden}"):
        assert RULES[rule]([answer]).find(" toledo") == answer
    for text in (f"{hidden} Toledo", f" Tol{hidden}edo", f" Toledo{hidden}", f" Toledo{hidden}."):
        assert RULES[rule](["Toledo"]).find(text) == "Toledo"
    assert Matcher().find(f"Toledo{hidden}nian", ["Toledo"]) is None


def test_joiners_count_inside_words_only():
    """They are part of a Persian word's spelling; at its ends, and between emoji, they are dropped."""
    assert spelling.plain("می\u200cخواهم") == "می\u200cخواهم"
    assert Matcher().find("او می\u200cخواهم گفت", ["می\u200cخواهم"]) == "می\u200cخواهم"
    assert Matcher().find("او میخواهم گفت", ["می\u200cخواهم"]) is None
    assert spelling.plain("\u200dPa\u200cris\u200d 👩\u200d👧 1\u200d2") == "Pa\u200cris 👩👧 12"
    assert spelling.plain("é\u200d\u200d\u200cb") == "é\u200db"


@pytest.mark.parametrize("rule", ["tokens", "substring"])
@pytest.mark.parametrize("answer", ['"Paris"', "'Paris'", "“Paris”", "«Paris»", "‘Paris’", "「Paris」", *MARKED])
def test_quotes_around_and_a_mark_behind_an_answer_are_not_looked_for(rule, answer):
    """The answer is found with and without them, and told as it was given; a text has to hold no more of it than the name."""
    for text in ("in Paris, France", "in Paris", 'in "Paris".', f"in {answer} it is", "in PARIS."):
        assert RULES[rule]([answer]).find(text) == answer
    assert RULES[rule]([answer]).find("in Pari") is None


def test_nothing_is_taken_off_where_nothing_would_be_left():
    """Marks alone are an answer; a quote on one side, marks inside and a second mark stay."""
    assert [spelling.bare(text) for text in ("!!!", "?", '""', "'", ".", "")] == [(t, "") for t in ("!!!", "?", '""', "'", ".", "")]
    assert spelling.bare("'Abd") == ("'Abd", "")
    assert spelling.bare("C++") == ("C++", "")
    assert spelling.bare("Dr. No") == ("Dr. No", "")
    assert spelling.bare("Oh!?") == ("Oh!", "?")
    assert spelling.bare("Wait...") == ("Wait", ".")
    assert Matcher().find("the band !!! played", ["!!!"]) == "!!!"


@pytest.mark.parametrize(
    ("text", "answer", "found"),
    [
        ("made in the U.S. today", "U.S.", True),
        ("made in the U.S, they say", "U.S.", True),
        ("made in the u.s. today", "U.S.", True),  # four characters as it was given
        ("the U.S.S.R. in 1950", "U.S.", False),
        ("told us so", "U.S.", False),
        ("No. it is", "No.", True),
        ("no, it is", "No.", False),  # three: its case counts
        ("in the US", '"US"', True),
        ("told us so", '"US"', False),  # quotes are no part of it
        ("told us so", "US\u200b", False),
        ("Yahoo Answers", "Yahoo!", True),
        ("Yahoo!Answers", "Yahoo!", False),
    ],
)
def test_a_final_mark_counts_where_it_stands(text, answer, found):
    """The word ends after it if the text has it; and it is one of the characters that make an answer short or not."""
    assert Matcher().find(text, [answer]) == (answer if found else None)


def test_exact_takes_both_sides_as_they_are_meant():
    """SliCK's rule folds the same signs, and the marks of other scripts at the ends."""
    answers = exact_answers(["Rock ’n’ Roll", "東京", "“Heroes”", "Jean–Paul"])
    assert answers.find(" rock 'n' roll.") == "Rock ’n’ Roll"
    assert answers.find("東京。") == "東京"
    assert answers.find("「東京」\n") == "東京"
    assert answers.find(" Heroes") == "“Heroes”"
    assert answers.find(" Jean-Paul") == "Jean–Paul"
    assert answers.find("東京です") is None


def test_folding_any_character_twice_changes_nothing():
    """Nothing that is folded comes back, for each character there is."""
    for character in characters():
        once = normalise(f"a{character}b")
        assert normalise(once) == once, hex(ord(character))


def test_every_format_character_is_dropped_and_no_other():
    """The list in the code is the category, for the characters that this Python knows."""
    for character in characters():
        kind = unicodedata.category(character)
        if kind == "Cf" and character not in "\u200c\u200d":
            assert spelling.plain(f"é{character}b") == "éb", hex(ord(character))
        elif kind != "Cn":
            assert len(spelling.plain(f"é{character}b")) > 2, hex(ord(character))


def test_what_is_left_out_is_told():
    """By name, for the guard that reads files."""
    assert left_out('"Paris."') == {"outer quotes", "a final mark"}
    assert left_out("\ufeffParis") == {"characters that can't be seen"}
    assert left_out("“Paris”\u200b") == {"outer quotes", "characters that can't be seen"}
    assert left_out("می\u200cخواهم") == set()
    assert left_out("Conan O’Brien") == left_out("!!!") == left_out("") == left_out("'Abd") == set()
    assert wanted_form(" “Paris, France.” ") == "Paris, France"
    assert (same_name("O’BRIEN."), same_name("U.S."), same_name("US")) == ("o'brien", "u.s", "US")


def test_only_answers_that_are_treated_otherwise_have_the_version_in_their_name():
    """Plain answers keep the name of the rule, and with it the keys of what is stored."""
    plain = ["Paris", "New York", "Zürich", "R", "C++", "R&B", "12.5", "Москва", "A.B. (band)", "भारत", "!!!", ""]
    for rule in RULES:
        assert named(rule, plain) == rule
        for answer in ("O'Brien", "O’Brien", "Jean-Paul", "Jean–Paul", '"Paris"', "Pa\u00adris", "\ufeffParis", "「東」", "5−3"):
            assert named(rule, [*plain, answer]) == f"{rule}/2", answer
    assert {rule for rule in RULES if treats_otherwise(rule, ["U.S."])} == {"tokens", "substring"}
    assert {rule for rule in RULES if treats_otherwise(rule, ["東京。"])} == set(RULES)
    for answer in ("東京", "서울", "القاهرة", "ירושלים", "กรุงเทพ", "ລາວ", "ភ្នំពេញ", "ရန်ကုန်"):
        assert {rule for rule in RULES if treats_otherwise(rule, [answer])} == {"tokens"}


def test_scripts_without_spaces_are_told():
    """By most of the letters."""
    assert all(unspaced(text) for text in ("東京", "ひらがな", "ｶﾀｶﾅ", "กรุงเทพ", "ລາວ", "ភ្នំពេញ", "ရန်ကုန်", "東京 2020 A"))
    assert not any(unspaced(text) for text in ("", "2020", "Paris", "서울", "القاهرة", "Москва", "Tokyo 東"))
