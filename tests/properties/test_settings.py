"""Records, YAML studies and JSON: a record that comes back the same, or an error of ours."""

import dataclasses
import inspect
import json
import types
import typing
from functools import cache
from itertools import islice

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sftqa_core import records
from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import Record, parse_json, shown
from sftqa_core.knowledge.relations import Relation
from sftqa_core.records import StudySettings
from sftqa_core.records.studying import STUDIES
from sftqa_core.studies.config import study_of, study_yaml
from tests.amount import FULL
from tests.properties.made import changes, file_texts, mutated, texts, told, values

KINDS = [kind for _, kind in inspect.getmembers(records, inspect.isclass) if issubclass(kind, Record) and kind is not Record]
KINDS.append(Relation)
STUDY = (
    "kind: shift\nmodels: [a, b]\nseeds: [0, 1]\nsizes: [60, all]\nlearning_rate: 4e-4\nscheme: {name: x, labels: [a, b], cutoffs: [0.5]}\n"
)
EACH = 80 if FULL else 4  # examples of every kind of record
words = st.sampled_from(
    ["a", "test", "in", "out", "all", "tokens", "sampling", "full", "lora", "amount", "level", "relation", "{question}", " {answer}"]
)


def fitting(hint: typing.Any) -> st.SearchStrategy:
    """Values of the annotated type, as JSON has them."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(st.none(), *(fitting(a) for a in arguments if a is not type(None)))
    if inspect.isclass(hint) and issubclass(hint, Record):
        return objects(hint)
    if origin in (tuple, list):
        return st.lists(fitting(arguments[0]), max_size=4)
    if origin is dict:
        return st.dictionaries(words, fitting(arguments[1]), max_size=2)
    plain = {str: st.one_of(words, texts), int: st.integers(-2, 70), float: st.floats(0, 1), bool: st.booleans(), typing.Any: values}
    return plain[hint]


@cache  # built anew for every example it would take longer than what is drawn from it
def objects(kind: type) -> st.SearchStrategy[dict]:
    """JSON objects with all that a record needs and some of what it knows."""
    hints = typing.get_type_hints(kind)
    needed = {f.name for f in dataclasses.fields(kind) if f.default is f.default_factory is dataclasses.MISSING}
    fields = {f.name: fitting(hints[f.name]) for f in dataclasses.fields(kind)}
    return st.fixed_dictionaries(
        {name: fields[name] for name in fields if name in needed}, optional={name: fields[name] for name in fields if name not in needed}
    )


def record_or_error(kind: type, data: typing.Any) -> bool:
    """A record comes back from its JSON text, with the same fingerprint; True if there was one."""
    try:
        record = kind.from_dict(data)
    except SettingsError as error:
        told(error.problems)
        return False
    again = kind.from_dict(parse_json(json.dumps(record.to_dict())))
    assert json.dumps(again.to_dict()) == json.dumps(record.to_dict())  # NaN is not equal to itself
    assert again.fingerprint() == record.fingerprint()
    return True


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_objects_of_the_right_types_are_records_or_an_error(kind, data):
    """Every record, with values of the annotated types."""
    record_or_error(kind, data.draw(objects(kind)))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=EACH)
@given(data=st.data())
def test_any_json_is_a_record_or_an_error(kind, data):
    """Values of any shape under the names that a record knows, and under others."""
    names = st.sampled_from([f.name for f in dataclasses.fields(kind)])
    record_or_error(kind, data.draw(st.one_of(values, st.dictionaries(st.one_of(names, texts), values, max_size=8))))


def meets_records(kind: type) -> bool:
    """Whether valid examples are among those drawn."""
    found = []

    @settings(max_examples=30, phases=[Phase.generate])
    @given(objects(kind))
    def meet(data):
        found.append(record_or_error(kind, data))

    meet()
    return any(found)


def test_the_properties_above_meet_records_too():
    """Many kinds have valid examples among those drawn, else nothing would come back from JSON."""
    assert len([*islice(filter(meets_records, KINDS), 14)]) == 14


@given(st.one_of(file_texts, st.text(alphabet="{}[]&*!<>:-?|'\",#%@ abc0159.\n\t", max_size=60)))
def test_any_text_as_yaml_is_a_study_or_an_error(text):
    """YAML's own signs in any order; nothing in it is executed."""
    try:
        study = study_of(text)
    except SettingsError as error:
        told(error.problems)
        return
    assert study_of(study_yaml(study)) == study


@given(changes)
def test_a_damaged_study_is_a_study_or_an_error(damage):
    """Single bytes of a good file replaced."""
    try:
        study = study_of(mutated(STUDY.encode(), damage).decode("utf-8", "replace"))
    except SettingsError as error:
        told(error.problems)
        return
    assert study_of(study_yaml(study)) == study


@given(objects(StudySettings).flatmap(lambda data: st.fixed_dictionaries({"data": st.just(data), "kind": st.sampled_from(list(STUDIES))})))
def test_a_study_comes_back_from_its_file(made):
    """Whatever its names, prompts and numbers are."""
    try:
        study = StudySettings.from_dict({**made["data"], "kind": made["kind"]})
    except SettingsError:
        return
    assert study_of(study_yaml(study)).fingerprint() == study.fingerprint()


@given(st.one_of(texts, st.text(alphabet='[]{}":,0123456789eE+-.nulltruefasINy \n', max_size=60)))
def test_any_text_as_json_is_a_value_or_a_value_error(text):
    """Never a RecursionError, never two meanings of one name."""
    try:
        value = parse_json(text)
    except ValueError as error:
        told([str(error)])
        return
    assert shown(value)


@given(values)
def test_messages_quote_any_value_in_a_few_words(value):
    """A quoted value is never longer than a few lines."""
    assert 0 < len(shown(value)) < 2_500
