"""Relations of one's own: what is wrong with each template, and putting them beside a file of facts."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sftqa_core.errors import FactsError, SettingsError
from sftqa_core.knowledge import sources
from sftqa_core.knowledge.relations import Relation, builtin_relations, relations_toml, template_faults
from sftqa_core.knowledge.sources import OwnRelation, open_source, own_file, own_relations, save_relations
from sftqa_core.knowledge.tables.files import read_relations, sidecar

QUESTION = "Where does {subject} end?"
RIVERS = Relation("rivers", "mouth", "out", QUESTION, ("{subject} flows into", "The mouth of {subject} is in"))
FACTS = (
    "relation,subject,object\nrivers,the Rhine,North Sea\nrivers,the Po,Adriatic\nrivers,the Don,Azov\nrivers,the Ob,Kara\nP19,Ann,Paris\n"
)


@pytest.fixture
def waters(tmp_path: Path) -> Path:
    path = tmp_path / "waters.csv"
    path.write_text(FACTS)
    return path


def test_each_template_is_told_what_is_wrong_with_it():
    """A good one has no faults; the others say what was seen, one list a template."""
    templates = ["{subject} flows into", "x", "{subject} ends in,", "{subject}", "{question} is", "The {subject}, flows  into"]
    assert template_faults(QUESTION, templates) == [
        [],
        ["must hold {subject} (or {question}) exactly once, got no placeholder in 'x'."],
        ["must end with a word, got ',' at the end of '{subject} ends in,'."],
        ["ends with its placeholder, so that subject and object run into one: '{subject}'."],
        ["has {question}, but the relation's question has {subject}."],
        ["must not start or end with a space or hold two in a row, got 'The {subject}, flows  into'."],
    ]


def test_the_same_words_twice_and_too_many_templates_are_faults():
    """Case and punctuation make no other template; the 22nd is one too many."""
    assert template_faults(QUESTION, ["{subject} flows into", "{Subject} x", "“{subject}” flows into"])[2] == [
        "has the same words as template 1."
    ]
    many = [f"{{subject}} has {'very ' * number}long been in" for number in range(22)]
    assert template_faults(QUESTION, many) == [*[[]] * 21, ["is one too many: 21 are used at most."]]
    assert template_faults(QUESTION, many, most=22) == [[]] * 22


@pytest.mark.parametrize("templates", [["x"], ["{subject} is in,"], ["{subject} ends in", "{subject} ends, in"], ["{question} is"]])
def test_what_is_told_is_what_a_relation_is_refused_for(templates):
    """A relation can be built exactly where no template has a fault."""
    told = [fault for faults in template_faults(QUESTION, templates) for fault in faults]
    with pytest.raises(SettingsError) as refused:
        replace(RIVERS, templates=tuple(templates))
    assert len(told) == len(refused.value.problems) == 1


def test_relations_are_written_as_ours_are(tmp_path):
    """A table a relation, with all that a relation has; what is read back is the same."""
    relations = builtin_relations()
    text = relations_toml(relations)
    (tmp_path / "all.toml").write_text(text, encoding="utf-8")
    assert read_relations(tmp_path / "all.toml") == relations
    assert text.splitlines()[:4] == [
        '["P17"]',
        f"label = {json.dumps(relations['P17'].label)}",
        'domain = "in"',
        'question = "Which country is {subject} located in?"',
    ]


def test_relations_stand_beside_the_file_once_they_are_saved(waters):
    """New relations come with three of their subjects, then with what was saved, which the next reading uses."""
    assert own_relations(str(waters)) == {"rivers": OwnRelation(None, ("the Rhine", "the Po", "the Don"))}
    source = save_relations(str(waters), {"rivers": RIVERS})
    assert source.facts["question"].tolist()[0] == "Where does the Rhine end?"
    assert read_relations(sidecar(waters)) == {"rivers": RIVERS}
    assert own_relations(str(waters)) == {"rivers": OwnRelation(RIVERS, ("the Rhine", "the Po", "the Don"))}
    more = replace(RIVERS, templates=(*RIVERS.templates, "{subject} runs into"))
    assert save_relations(str(waters), {"rivers": more}).relations["rivers"].templates[2] == "{subject} runs into"
    assert open_source(str(waters)).relations["rivers"] == more


ASKING = replace(RIVERS, question="{question}", templates=("{question} is",))  # for question-answer pairs


@pytest.mark.parametrize("bad", [{}, {"lakes": replace(RIVERS, id="lakes")}, {"rivers": ASKING}], ids=["none", "others", "pairs"])
def test_relations_that_do_not_fit_change_nothing(waters, bad):
    """The file is opened with them first; what stood beside it stays as it was."""
    save_relations(str(waters), {"rivers": RIVERS})
    before = sidecar(waters).read_bytes()
    with pytest.raises(FactsError, match=r"waters\.csv, row 2"):
        save_relations(str(waters), bad)
    assert sidecar(waters).read_bytes() == before
    assert [path.name for path in sorted(waters.parent.iterdir()) if path.is_file()] == ["waters.csv", "waters.relations.toml"]


def test_a_folder_that_cannot_be_written_is_told(waters, monkeypatch):
    """The disk's refusal is one sentence."""

    def refuse(path, content):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("sftqa_core.knowledge.tables.files.write_bytes", refuse)
    with pytest.raises(FactsError, match=r"waters\.relations\.toml can't be written in .*: Permission denied\."):
        save_relations(str(waters), {"rivers": RIVERS})


def test_templates_of_a_column_are_marked(tmp_path):
    """They stand in the file itself until they are saved beside it, which then counts."""
    path = tmp_path / "r.jsonl"
    row = {"relation": "rivers", "subject": "the Rhine", "answers": ["North Sea"], "templates": ["{subject} flows into"], "domain": "out"}
    path.write_text(json.dumps(row) + "\n" + json.dumps({"relation": "P19", "subject": "Ann", "answers": ["Paris"], "domain": "out"}))
    (one,) = own_relations(str(path)).values()
    assert (one.column, one.subjects, one.relation.domain) == (True, ("the Rhine",), "out")
    assert one.relation.templates == ("{subject} flows into",)
    other = replace(one.relation, templates=("{subject} runs into",))
    save_relations(str(path), {"rivers": other})
    assert own_relations(str(path))["rivers"] == OwnRelation(other, ("the Rhine",))


def test_relations_beside_a_file_that_it_does_not_use_are_kept(waters):
    """They are listed without subjects, so that saving keeps them; a built-in relation that is given anew is one's own, too."""
    born = replace(builtin_relations()["P19"], templates=("{subject} was born in",))
    save_relations(str(waters), {"rivers": RIVERS, "lakes": replace(RIVERS, id="lakes"), "P19": born})
    assert {name: one.subjects for name, one in own_relations(str(waters)).items()} == {
        "rivers": ("the Rhine", "the Po", "the Don"),
        "P19": ("Ann",),
        "lakes": (),
    }


def test_other_sources_have_no_relations_of_their_own(tmp_path, waters):
    """Only a single file of facts brings any; a file that is broken otherwise is told as ever."""
    (tmp_path / "f.zip").write_bytes(b"PK")
    for name in ("atlas", "atlas:2", sources.ENTITY_QUESTIONS, "hub:owner/name", str(tmp_path), str(tmp_path / "f.zip"), "nowhere.csv"):
        assert own_file(name) is None
    assert own_file(f"{waters}?subject=subject") == waters
    with pytest.raises(FactsError, match="'atlas' has no relations of its own: only a file of facts"):
        own_relations("atlas")
    waters.write_text("relation,subject,object\nP19,,Paris\n")
    with pytest.raises(FactsError, match="row 2, subject: is empty"):
        own_relations(str(waters))
    waters.write_text("question,answers\nWho?,Ann\n")
    assert own_relations(str(waters)) == {}
