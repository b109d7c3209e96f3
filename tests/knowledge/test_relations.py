"""The 24 relations and the rules every relation keeps."""

from collections import Counter

import pytest

from sftqa_core.errors import SettingsError
from sftqa_core.knowledge.relations import (
    CONSTRUCTIONS,
    TEMPLATES,
    Relation,
    builtin_relations,
    distinct_constructions,
    generic_relation,
    relation_problems,
    statement_prompts,
)

IN_DOMAIN = ["P17", "P19", "P20", "P36", "P69", "P131", "P159", "P276", "P495", "P740"]
OUT_OF_DOMAIN = ["P26", "P40", "P50", "P106", "P112", "P127", "P136", "P170", "P175", "P176", "P264", "P407", "P413", "P800"]
QUESTIONS = {  # as EntityQuestions writes them
    "P17": "Which country is {subject} located in?",
    "P19": "Where was {subject} born?",
    "P36": "What is the capital of {subject}?",
    "P40": "Who is {subject}'s child?",
    "P106": "What kind of work does {subject} do?",
    "P131": "Where is {subject} located?",
    "P136": "What type of music does {subject} play?",
    "P159": "Where is the headquarter of {subject}?",
    "P170": "Who was {subject} created by?",
    "P176": "Which company is {subject} produced by?",
    "P264": "What music label is {subject} represented by?",
    "P276": "Where is {subject} located?",
    "P495": "Which country was {subject} created in?",
}


@pytest.fixture
def born() -> dict:
    return {"id": "born", "label": "birth", "domain": "in", "question": "Where was {subject} born?", "templates": ["{subject} was born in"]}


def test_domains():
    """Ten relations about places come first as in-domain, the other fourteen follow."""
    relations = builtin_relations()
    assert list(relations) == IN_DOMAIN + OUT_OF_DOMAIN
    assert [relation.domain for relation in relations.values()] == ["in"] * 10 + ["out"] * 14


@pytest.mark.parametrize("relation", builtin_relations().values(), ids=lambda relation: relation.id)
def test_builtin_relations_are_well_formed(relation: Relation):
    """Every built-in relation has 21 faultless templates of at least 15 constructions, some led by the subject."""
    assert relation_problems(relation, TEMPLATES) == []
    assert len(relation.templates) == 21
    assert distinct_constructions(relation.templates) >= 15
    assert sum(template.startswith("{subject}") for template in relation.templates) >= 5
    assert relation.question.endswith("?")


def test_no_template_serves_two_relations():
    """A statement tells which relation is meant: no template stands under two."""
    counts = Counter(template for relation in builtin_relations().values() for template in relation.templates)
    assert counts.most_common(1)[0][1] == 1
    assert counts.total() == 24 * 21


@pytest.mark.parametrize("relation_id", QUESTIONS)
def test_questions_are_those_of_entity_questions(relation_id: str):
    """The question forms, clumsy ones included, are the data set's own, since they're inverted."""
    assert builtin_relations()[relation_id].question == QUESTIONS[relation_id]


def test_changing_the_dict_changes_nobody_elses():
    """The dict belongs to the caller; the records are shared."""
    mine = builtin_relations()
    first = mine.pop("P17")
    assert builtin_relations()["P17"] is first


def test_statement_prompts_are_literal():
    """Prompts come in the templates' order, and a subject with braces stays as written."""
    prompts = statement_prompts(builtin_relations()["P19"], "{subject} {0}", "unused")
    assert len(prompts) == 21
    assert prompts[0] == "{subject} {0} was born in"


def test_generic_relation():
    """Bare questions get 21 prompts that each hold the question and nothing unfilled."""
    relation = generic_relation("trivia", "out")
    assert relation_problems(relation, TEMPLATES) == []
    assert (relation.id, relation.domain) == ("trivia", "out")
    assert distinct_constructions(relation.templates) >= CONSTRUCTIONS
    prompts = statement_prompts(relation, "unused", "Who wrote {subject}?")
    assert prompts[0] == 'The answer to the question "Who wrote {subject}?" is'
    assert all(prompt.count("Who wrote {subject}?") == 1 for prompt in prompts)


def test_a_relation_of_ones_own(born: dict):
    """One template is enough, an article may end it, and it travels as JSON."""
    relation = Relation.from_dict({**born, "templates": ["{subject} is a native of the"]})
    assert Relation.from_dict(relation.to_dict()) == relation


def test_all_faults_at_once(born: dict):
    """Every fault of a relation is told, by template number."""
    templates = ["{subject} was born in.", "born in", "{question} was born in", "{subject} Was born, in"]
    with pytest.raises(SettingsError) as caught:
        Relation.from_dict({**born, "label": " ", "domain": "here", "question": "Where?", "templates": templates})
    assert caught.value.problems == [
        "Relation born needs a label.",
        "Relation born: domain must be one of in, out, got 'here'.",
        "Relation born, question: must hold {subject} (or {question}) exactly once, got no placeholder in 'Where?'.",
        "Relation born, template 1: must end with a word, got '.' at the end of '{subject} was born in.'.",
        "Relation born, template 2: must hold {subject} (or {question}) exactly once, got no placeholder in 'born in'.",
        "Relation born: templates 1 and 4 are the same words: '{subject} Was born, in'.",
    ]


def test_placeholder_of_the_other_kind(born: dict):
    """Templates must ask by what the question asks by."""
    with pytest.raises(SettingsError, match=r"template 1: holds \{question\}, but the relation's question holds \{subject\}\."):
        Relation.from_dict({**born, "templates": ["{question} was born in"]})


def test_no_templates(born: dict):
    """A relation without templates can't be probed."""
    with pytest.raises(SettingsError, match="Relation born needs at least one template"):
        Relation.from_dict({**born, "templates": []})


def test_the_builtin_rules_are_stricter(born: dict):
    """Lead phrases, a wrong number and an article are faults when the built-in rules are asked for."""
    templates = [f"In the year {year} {{subject}} was born in" for year in range(20)]
    relation = Relation.from_dict({**born, "templates": [*templates, "{subject} works as a"]})
    assert relation_problems(relation, TEMPLATES) == [
        "Relation born, template 21: must not end with an article, got '{subject} works as a'.",
        "Relation born must have 15 distinct constructions among its templates, got 2.",
    ]
    assert "Relation born must have 22 templates, got 21." in relation_problems(relation, 22)
