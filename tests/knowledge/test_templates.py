"""Template texts: literal filling, faults, and the rule for distinct constructions."""

import pytest

from sftqa_core.knowledge.relations import article_problems, distinct_constructions, ending_problems, fill, same_construction, text_problems


def test_fill_is_literal():
    """A value that looks like a placeholder, a format field or a group reference stays as it is."""
    assert fill("{subject} was born in", subject="{subject} {0} {x!r} \\1 $1") == "{subject} {0} {x!r} \\1 $1 was born in"


def test_fill_takes_one_pass():
    """A subject that holds {question} isn't filled with the question."""
    assert fill("{subject}: {question}", subject="{question}", question="Who?") == "{question}: Who?"


def test_fill_leaves_unknown_names():
    """A placeholder without a value and stray braces stay."""
    assert fill("{subject} {other} {}", subject="A") == "A {other} {}"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("{subject} was born in", "In fact, {subject} was born in"),
        ("Indeed {subject} was born in", "Everybody knows {subject} was born in"),
        ("As we know, the birthplace of {subject} is", "In truth, the birthplace of {subject} is"),
        ("It is said that {subject} attended", "{subject} attended"),
        ("{subject} was born in", "{subject} was born in the city of"),
        ("{subject} was born in", "{subject} is born in"),
        ("{subject} is a native of", "{subject}, a native of"),
        ("The capital of {subject} is", "THE CAPITAL OF {subject} was"),
        ("{subject} has a child named", "{subject} had a child named"),
    ],
)
def test_same_construction(left: str, right: str):
    """Lead phrases, longer ends, tense, determiners and appositions make no new construction, in either order."""
    assert same_construction(left, right)
    assert same_construction(right, left)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("{subject} was born in", "The birthplace of {subject} is"),
        ("The birthplace of {subject} is", "{subject}'s birthplace is"),
        ("The capital of {subject} is", "The author of {subject} is"),
        ("{subject} was born in", "The town {subject} was born in is"),
        ("{subject} is in", "The words of {subject} are in"),
        ("The career of {subject} is that of", "The job of {subject} is that of"),
    ],
)
def test_other_construction(left: str, right: str):
    """Other words around the subject are another construction, even where a short end is shared."""
    assert not same_construction(left, right)


def test_lead_phrases_do_not_add_up():
    """Five lead phrases in front of one sentence and one real alternative count as two."""
    leads = ["", "In fact, ", "Indeed ", "It is known that ", "As books tell us, "]
    assert distinct_constructions([*(f"{lead}{{subject}} was born in" for lead in leads), "The birthplace of {subject} is"]) == 2


def test_counting_does_not_depend_on_the_order():
    """Two templates that are each like a third are one group wherever the third stands."""
    chain = ["{subject} died in", "{subject} died in the town of", "Sadly {subject} died in the town of"]
    assert distinct_constructions(chain) == distinct_constructions(chain[::-1]) == 1


def test_no_templates_are_no_constructions():
    """An empty list counts zero."""
    assert distinct_constructions([]) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("was born in", "must hold {subject} (or {question}) exactly once, got no placeholder in 'was born in'."),
        ("{subject} and {subject} in", "must hold {subject} (or {question}) exactly once, got {subject}, {subject} in"),
        ("{person} was born in", "got {person} in '{person} was born in'."),
        ("{subject} {was born in", "has a brace that belongs to no placeholder"),
        ("{subject} was born in ", "must not start or end with a space"),
        ("{subject} was  born in", "hold two in a row"),
        ("{subject} was\nborn in", "holds a line break or another control character"),
        ("{subject} was born\u202e in", "holds a line break or another control character"),
        ('"{subject} was born in', "has an unbalanced quote or bracket"),
        ("“{subject} was born in", "has an unbalanced quote or bracket"),
        ("({subject} was born in", "has an unbalanced quote or bracket"),
    ],
)
def test_text_problems(text: str, message: str):
    """Each fault of a text is one clause that shows the text."""
    problems = text_problems(text)
    assert len(problems) == 1
    assert message in problems[0]


def test_other_scripts_are_fine():
    """Combining vowel signs and joiners are letters to their writers."""
    template = "{subject} का जन्म\u200d स्थान है"
    assert text_problems(template) + ending_problems(template) == []


@pytest.mark.parametrize("end", [".", ",", ":", "?", "—", '"', "$"])
def test_ending_with_punctuation(end: str):
    """A template whose end is no word is a fault that names the character."""
    template = f"{{subject}} was born in{end}"
    assert ending_problems(template) == [f"must end with a word, got {end!r} at the end of {template!r}."]


def test_ending_with_the_subject():
    """Subject and object must not touch; a bare question may well end the prompt."""
    assert "run into one" in ending_problems("Capital of {subject}")[0]
    assert ending_problems("Question: {question} Answer:") == ending_problems("{question}") == []


def test_ending_with_an_article():
    """'works as a' would not fit 'actor'."""
    assert article_problems("{subject} works as a") == ["must not end with an article, got '{subject} works as a'."]
    assert article_problems("{subject} works as") == []
