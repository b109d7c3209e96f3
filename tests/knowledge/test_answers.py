"""When a text contains an answer."""

import pickle
import random
import unicodedata

import pytest

from sftqa_core.errors import SettingsError
from sftqa_core.knowledge.matching import Matcher, in_word, is_echo, normalise, stands_inside

TOKENS, SUBSTRING = Matcher(), Matcher("substring")


@pytest.mark.parametrize(
    ("text", "answer", "found"),
    [
        ("He was born in PARIS, France", "Paris", True),
        ("the town of Kyparissia", "Paris", False),
        ("Parisian cafés", "Paris", False),
        ("Paris's mayor", "Paris", True),
        ("in New\n  York City", "new york", True),
        ("a song by A.B. (band), released", "A.B. (band)", True),
        ("the U.S.S.R. in 1950", "U.S.", False),
        ("made in the U.S.", "U.S.", True),
        ("plays R&B and soul", "R&B", True),
        ("plays r&b and soul", "R&B", False),
        ("the language R is", "R", True),
        ("the letter r in Marathi", "R", False),
        ("it is in the US today", "US", True),
        ("they told us so", "US", False),
        ("ﬁnland is cold", "Finland", True),
        ("Großglockner", "GROSSGLOCKNER", True),
        ("Malmö", "Malmö", True),
        ("Jose\u0301 came", "Jose", False),
        ("भारती लेखक", "भारत", False),
        ("भारत में", "भारत", True),
        ("snake_Paris_case", "Paris", True),
        ("", "Paris", False),
    ],
)
def test_tokens_finds_whole_words_only(text: str, answer: str, found: bool) -> None:
    """An answer counts when it stands as whole words, whatever its case unless it is very short."""
    assert TOKENS.find(text, [answer]) == (answer if found else None)


def test_substring_is_the_papers_looser_rule() -> None:
    """The paper's variant finds an answer anywhere and ignores case even for short ones."""
    assert SUBSTRING.find("Kyparissia", ["Paris"]) == "Paris"
    assert SUBSTRING.find("Marathi", ["R"]) == "R"
    assert SUBSTRING.find("Lyon", ["Paris"]) is None


def test_the_longest_answer_is_named_as_it_was_given() -> None:
    """Of several answers the longest is reported, in the caller's spelling."""
    assert TOKENS.find("in new york city", ["New York", "New York City"]) == "New York City"
    assert TOKENS.find("in new york", ["New  York", "new york"]) == "New  York"


def test_a_later_standing_answer_is_found_behind_a_false_one() -> None:
    """A first occurrence inside another word does not hide a later whole word."""
    assert TOKENS.find("Kyparissia is not Paris", ["Paris"]) == "Paris"


def test_empty_answers_match_nothing() -> None:
    """Neither an empty answer nor none at all is found in any text."""
    assert TOKENS.find("anything", ["", "  "]) is None
    assert TOKENS.compile([]).find("anything") is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (" Paris", False),
        (" Paris.", True),
        (" Paris ", True),
        (" Pari", False),
        (" Paris\ufffd", False),
        (" Paris\ufffd,", True),
        (" Paris\n", True),
    ],
)
def test_an_open_text_needs_the_word_closed(text: str, found: bool) -> None:
    """While more may follow, an answer counts once the next character ends its word; half characters don't."""
    assert TOKENS.compile(["Paris"]).find(text, closed=False) == ("Paris" if found else None)


def test_an_answer_ending_in_punctuation_waits_too() -> None:
    """An answer that ends in a bracket still needs the character behind it."""
    compiled = TOKENS.compile(["A.B. (band)"])
    assert compiled.find("A.B. (band)", closed=False) is None
    assert compiled.find("A.B. (band) is", closed=False) == "A.B. (band)"
    assert compiled.find("A.B. (band)") == "A.B. (band)"


def test_an_open_substring_waits_for_marks() -> None:
    """A letter that a following mark would change is not yet an answer under the looser rule."""
    compiled = SUBSTRING.compile(["jose"])
    assert compiled.find("Jose", closed=False) is None
    assert compiled.find("Jose\u0331", closed=False) is None
    assert compiled.find("Joseph", closed=False) == "jose"


@pytest.mark.parametrize("match", ["tokens", "substring"])
def test_what_is_certain_stays_certain(match: str) -> None:
    """Whatever follows, an answer found in an open text is found in every continuation of it."""
    letters = "aAeéß ﬁ.\u0301\u0331\u0308´=<\u0338가\u11a8\u3099カ|İ\n'’\u200b\u200d은東は"
    compiled = Matcher(match).compile(["ae", "aßa", "fi", "éaaa", "가가가가", "カ カカ", "a", "e.a.", "a.", "a'e", "東"])
    draw, certain = random.Random(0), 0
    for _ in range(20_000):
        text = "".join(draw.choices(letters, k=draw.randint(1, 10)))
        cut = draw.randint(0, len(text))
        if compiled.find(text[:cut], closed=False):
            certain += 1
            assert compiled.find(text), (text, cut)
    assert certain > 500


def test_no_closing_character_can_become_a_letter() -> None:
    """No character outside words composes with what follows into one inside words: what closes a word keeps it closed."""
    opened = []
    for code in range(0x110000):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and in_word(chr(code)) and unicodedata.normalize("NFC", chr(code)) == chr(code):
            opened += [code] if parts[0][0] != "<" and not in_word(chr(int(parts[0], 16))) else []
    assert opened == []


def test_unknown_rules_are_refused() -> None:
    """A matching rule that does not exist is named together with those that do."""
    with pytest.raises(SettingsError, match="match must be one of tokens, substring, got 'fuzzy'"):
        Matcher("fuzzy")


def test_compiled_answers_travel_between_processes() -> None:
    """Compiled answers survive pickling."""
    compiled = pickle.loads(pickle.dumps(TOKENS.compile(["Paris"])))
    assert compiled.find("Paris!") == "Paris"


def test_echo_means_that_repeating_the_subject_would_count() -> None:
    """A subject that holds an answer, as written or as whole words in another case, is an echo."""
    assert is_echo("University of Oxford", ["Oxford"])
    assert is_echo("Kyparissia", ["paris"])  # as written
    assert not is_echo("Kyparissia", ["Paris"])
    assert is_echo("FC BARCELONA", ["Barcelona"])
    assert not stands_inside("FC BARCELONA", ["Barcelona"])
    assert not is_echo("Oxfordshire", ["oxford", ""])


def test_normalise_folds_form_case_and_space() -> None:
    """Normal form is NFKC, case folded, single spaced."""
    assert normalise("  Ｐａｒｉｓ\u00a0 STRASSE ß ") == "paris strasse ss"
