"""SliCK's rule: the whole first line is the answer."""

import pickle

import pytest

from sftqa_core.knowledge.matching import exact_answers, first_line, plain_form


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (" Paris", "Paris"),
        (" Paris.", "Paris"),
        ("  PARIS \n\nQ: What?\nA: Rome", "Paris"),
        (' "Paris"!', "Paris"),
        (" (New   York)\r\n", "New York"),
        (" the Big Apple", "the Big Apple"),
        (" Paris, France", None),
        (" It is Paris", None),
        (" Pari", None),
        (" Paris\tParis", None),
        ("\n Paris", None),
        ("", None),
        (" .", None),
    ],
)
def test_the_first_line_must_be_the_answer_and_nothing_else(text, found):
    """Case, white space and marks around it do not count; a word more or a line before it does."""
    assert exact_answers(["Paris", "New York", "the Big Apple"]).find(text) == found


def test_forms_of_letters_are_one():
    """Composed and decomposed letters, full width, sharp s and typographic quotes are the same answer."""
    answers = exact_answers(["Zürich", "Straße", "É", "D.C."])
    assert answers.find(" Zu\u0308rich") == "Zürich"
    assert answers.find(" \u201cSTRASSE\u201d") == "Straße"
    assert answers.find(" e\u0301") == "É"
    assert answers.find(" \uff24.\uff23") == "D.C."  # the last full stop is a mark at the end


def test_short_answers_and_signs_keep_what_they_are():
    """The case of a short answer does not count, a sign that is no mark does, and an answer of marks alone stands."""
    answers = exact_answers(["R", "C++", "!!!", " "])
    assert answers.find(" r") == "R"
    assert answers.find(" c") is None
    assert answers.find(" C++.") == "C++"
    assert answers.find(" !!!") == "!!!"
    assert answers.find(" -") is None


def test_a_line_that_may_go_on_is_no_hit():
    """Nothing is certain before the line has ended; then nothing can be added."""
    answers = exact_answers(["Paris"])
    assert answers.find(" Paris.", closed=False) is None
    assert (answers.over(" Paris"), answers.over(" Paris\n"), answers.over("\r")) == (False, True, True)


def test_answers_travel_and_the_first_of_equal_forms_is_told():
    """They can be pickled; of two answers with one form the first is the one that is found."""
    answers = pickle.loads(pickle.dumps(exact_answers(["USA.", "usa"])))
    assert answers.find("usa") == "USA."
    assert first_line("a\rb\nc") == "a"
    assert plain_form(" ‘Ünder – Way’ ") == "ünder - way"
