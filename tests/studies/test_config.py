"""A study as YAML: there and back, and what hostile or careless files are told."""

import dataclasses

import pytest

from sftqa_core.errors import SettingsError
from sftqa_core.records import PROMPTS, STUDIES, LevelScheme, PromptFormat, StudySettings, TrainSettings
from sftqa_core.records.recipes import Repeat
from sftqa_core.studies.config import MAX_CHARACTERS, read_study, study_of, study_yaml
from tests.studies.small_study import FOUR

ALL = TrainSettings.ALL
HEAD = "kind: shift\nmodels: [m]\n"


def refused(text):
    with pytest.raises(SettingsError) as error:
        study_of(text)
    return str(error.value)


@pytest.mark.parametrize("kind", STUDIES)
def test_every_kind_comes_back_as_it_was(kind):
    """With nothing but defaults, the sizes are told in words that a person reads."""
    recipe = Repeat() if STUDIES[kind].recipe else None
    study = StudySettings(kind, ("m", "o"), recipe=recipe)
    text = study_yaml(study)
    assert study_of(text) == study
    assert text.startswith("# A study of SFT-QA Explorer. Run it with: sftqa study --config ")
    told = ", ".join("all" if n == ALL else str(n) for n in STUDIES[kind].sizes)
    assert f"\nkind: {kind}\nmodels: [m, o]\nsource: atlas\nseeds: [0, 1, 2]\nsizes: [{told}]\n" in text
    assert text.endswith("\nrecipe: repeat\n") == STUDIES[kind].recipe


@pytest.mark.parametrize("name", ["plain", "chat"])
def test_prompts_with_a_name_are_told_by_it(name):
    """As a person writes them; a text of one's own is one, too."""
    study = dataclasses.replace(StudySettings("amount", ("m",)), prompt=PROMPTS[name])
    assert f"\nprompt: {name}\n" in study_yaml(study)
    assert study_of(study_yaml(study)) == study
    assert study_of(HEAD + 'prompt: "Say {question}"').prompt == PromptFormat("own", "Say {question}")
    assert study_of(HEAD + "prompt: qa") == study_of(HEAD)
    assert "The prompt must hold {question} exactly once, got 'huh'." in refused(HEAD + "prompt: huh")


def test_every_setting_comes_back_as_it_was():
    """None is lost; what stands at its default is left out. (Parts of a batch, or 4 bits, and several GPUs exclude each other.)"""
    alone = {"micro_batch": 2, "quantization": "nf4"}
    found = study_of(study_yaml(StudySettings("level", ("m",), method="lora", **alone)))
    assert {name: getattr(found, name) for name in alone} == alone
    study = StudySettings(
        "amount",
        ("Größe 模型 🦙", "yes", "1e5", "null", "a: b # c"),
        "C:\\facts 'new'.csv",
        (7, 0),
        (0, 3, ALL),
        "lora",
        1e-05,
        3,
        4,
        16,
        PromptFormat("bare", "{question}\n\n", "{answer}!"),
        dataclasses.replace(FOUR, method="adaptive", confidence=0.9),
        "substring",
        8,
        50,
        None,
        "cpu",
        (1, 16),
        2,
        "fsdp",
        "sgd",
        None,
        True,
    )
    plain = StudySettings("amount", ("m",))
    assert all(
        getattr(study, f.name) != getattr(plain, f.name)
        for f in dataclasses.fields(study)
        if f.name not in ("kind", "recipe", "tried", *alone)
    )
    assert study_of(study_yaml(study)) == study
    assert "lora_rank" not in study_yaml(plain)
    assert "retest_limit: null" in study_yaml(study)
    assert "Größe 模型 🦙" in study_yaml(study)


@pytest.mark.parametrize(
    ("kind", "sizes"), [("models", (60,)), ("shift", (60,)), ("level", (240,)), ("shift", (240, 60)), ("amount", (ALL, 10))]
)
def test_sizes_come_back_as_they_were(kind, sizes):
    """Usual sizes that were named, and any order: the same record, or at least the same fingerprint, by which studies are told apart."""
    study = StudySettings(kind, ("m",), sizes=sizes)
    assert study_of(study_yaml(study)).fingerprint() == study.fingerprint()


def test_what_a_person_writes_is_understood():
    """One model, seed or size needs no list; all is a word; 4e-4 and 0.0004 are numbers, though YAML takes the first for a word."""
    study = study_of("kind: amount\nmodels: atlas-llama\nseeds: 3\nsizes: all\nlearning_rate: 4e-4\n")
    assert study == StudySettings("amount", ("atlas-llama",), seeds=(3,), sizes=(ALL,), learning_rate=4e-4)
    assert study_of(HEAD + "learning_rate: 0.0004").learning_rate == 4e-4
    assert study_of(HEAD + "sizes: [60, all, 10]").examples == (10, 60, ALL)
    assert study_of("kind: level\nmodels: m\nscheme: {name: two, labels: [a, b], cutoffs: [0.5]}").scheme == LevelScheme(
        "two", ("a", "b"), (0.5,)
    )


def test_the_usual_sizes_are_the_usual_ones_however_they_were_told():
    """Named or left out, the study is the same."""
    assert study_of(HEAD + "sizes: [1920, 60]") == study_of(HEAD + "sizes:") == study_of(HEAD)
    assert study_of("kind: models\nmodels: [m]\nsizes: 60") == study_of("kind: models\nmodels: [m]")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "A study's file must hold settings such as 'kind: amount', got NoneType."),
        ("- kind: amount", "A study's file must hold settings such as 'kind: amount', got list."),
        ("amount", "A study's file must hold settings such as 'kind: amount', got str."),
        ("kind: shift\nmodels: [m\nseeds: 1", "The study's file is no YAML in line 3: expected ',' or ']', but got ':'."),
        (HEAD + "---\n" + HEAD, "The study's file is no YAML in line 3: but found another document."),
        (HEAD + "? [a]\n: b", "The study's file is no YAML in line 3: found unhashable key."),
        (HEAD + "source: 2020-13-45", "The study's file is no YAML: month must be in 1..12."),
        (HEAD + "\x00", "The study's file is no YAML: unacceptable character #x0000: special characters are not allowed."),
        ("x" * (MAX_CHARACTERS + 1), "A study's file has at most 100,000 characters, got 100,001."),
    ],
    ids=["empty", "list", "word", "syntax", "two documents", "key", "date", "control character", "huge"],
)
def test_what_is_no_study_is_told_where_and_why(text, message):
    """The message says what was seen, with the line where YAML gives one."""
    assert refused(text) == message


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['touch hacked']", "!!python/name:os.system", "!new {a: 1}"])
def test_tags_are_refused_and_nothing_is_executed(tag, tmp_path, monkeypatch):
    """Python's tags and unknown ones have no constructor."""
    monkeypatch.chdir(tmp_path)
    message = refused(f"kind: shift\nmodels: {tag}")
    assert message.startswith("The study's file is no YAML in line 2: could not determine a constructor for the tag '")
    assert list(tmp_path.iterdir()) == []


def test_deep_nesting_and_self_reference_are_refused():
    """50,000 brackets, or a list that holds itself, are a sentence."""
    assert refused("[" * 50_000) == "The study's file is no YAML: it is nested too deeply."
    assert refused("kind: shift\nmodels: &a [*a]") == "StudySettings.models: must be str, got [[[...]]]."


def test_aliases_stand_for_what_they_name():
    """An anchor used twice is a list used twice."""
    assert study_of("kind: shift\nmodels: [m]\nseeds: &few [30, 90]\nsizes: *few").sizes == (30, 90)


def test_nested_aliases_do_not_blow_up_the_message():
    """Six levels of five aliases, 15,625 words, where a model's name should stand: a short sentence."""
    bomb = "a: &a [x, x, x, x, x]\n"
    for name, last in zip("bcdef", "abcde", strict=True):
        bomb += f"{name}: &{name} [{', '.join([f'*{last}'] * 5)}]\n"
    assert len(refused(f"{bomb}kind: shift\nmodels: *f")) < 5_000


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("seeds: 1.5", "StudySettings.seeds: must be int, got 1.5."),
        ("seeds: [true]", "StudySettings.seeds: must be int, got True."),
        ("seeds: []", "A study needs one or more seeds."),
        ("seeds: [1, 1]", "seeds must be named once each, got [1, 1]."),
        ("seeds: [-1]", "seed must be 0 to 4,294,967,295, got -1."),
        ("sizes: []", "sizes must hold one or more numbers of examples, or be left out."),
        ("sizes: [-2]", "sizes must be 1 or more, got -2."),
        ("sizes: most", "StudySettings.sizes: must be int, got 'most'."),
        ("learning_rate: fast", "StudySettings.learning_rate: must be float, got 'fast'."),
        ("learning_rate: nan", "learning_rate must be above 0 and at most 1, got nan."),
        ("method: adapter", "method must be one of full, lora, got 'adapter'."),
        ("scheme: 3", "LevelScheme must be a JSON object, got int."),
        ("prompt: {prompt: what}", "The prompt must hold {question} exactly once, got 'what'."),
        ("source: 2020-01-01", "StudySettings.source: must be str, got datetime.date(2020, 1, 1)."),
        ("test_limit: 0", "test_limit must be 1 or more, got 0."),
        ("retest_limit: 0", "retest_limit must be 1 or more, got 0."),
    ],
)
def test_values_of_the_wrong_kind_are_told_by_name(line, message):
    """Each setting says what it must be and what it got."""
    assert refused(HEAD + line) == message


def test_kind_and_models_are_needed_and_known():
    """The kinds are listed; a lacking model is asked for; some kinds look at one number of examples."""
    assert refused("kind: speed\nmodels: m") == "A study must be one of amount, level, models, shift, recipe, got 'speed'."
    assert refused("source: atlas") == "StudySettings needs 'kind'.\nStudySettings needs 'models'."
    assert refused("kind: amount\nmodels: []") == "A study needs one or more models."
    assert refused("kind: amount\nmodels:") == "StudySettings.models: must be a list, got None."
    assert refused("kind: level\nmodels: m\nsizes: [60, 120]") == "A study of kind level takes one number of examples, got [60, 120]."


def test_a_recipe_comes_back_with_what_is_changed_of_it():
    """Its name alone, or with settings; values that are tried are of whatever kind its main setting is."""
    study = StudySettings("recipe", ("m",), recipe=Repeat(dropout=0.1), tried=("1", "8"))
    assert "recipe: {name: repeat, dropout: 0.1}\n" in study_yaml(study)
    assert study_of(study_yaml(study)) == study
    head = "kind: recipe\nmodels: m\n"
    assert study_of(f"{head}recipe: repeat\ntried: [1, 8]") == StudySettings("recipe", ("m",), recipe=Repeat(), tried=("1", "8"))
    assert study_of(f"{head}recipe: sftmix\ntried: 0.5").values == {"0.5": 0.5}
    assert refused(f"{head}recipe: plain").startswith("A study of kind recipe needs a recipe: one of repeat")
    assert refused(f"{head}recipe: repeat\ntried: [1.5]") == "Passes must be a number, got '1.5'."
    assert refused(f"{head}recipe: repeat\ntried: [true]") == "StudySettings.tried: must be str, got True."


def test_unknown_settings_are_refused_all_at_once():
    """A misspelt name is never passed over; the known ones are listed."""
    problems = refused(HEAD + "seed: 1\n7: 2\nsizes: x").split("\n")
    assert len(problems) == 3
    assert problems[0].startswith("StudySettings has no setting 'seed'; it knows kind, models, source, seeds, sizes, method, ")
    assert problems[1].startswith("StudySettings has no setting '7'; ")
    assert problems[2] == "StudySettings.sizes: must be int, got 'x'."


def test_a_setting_that_stands_twice_is_refused():
    """Which of both was meant nobody knows."""
    assert "kind" in refused("kind: shift\nkind: amount\nmodels: [m]")


def test_a_kind_in_brackets_is_told_like_any_other():
    """As without sizes: must be str, got a list."""
    assert refused("kind: [shift]\nmodels: [m]\nsizes: [60]") == "StudySettings.kind: must be str, got ['shift']."


def test_a_seed_of_thousands_of_digits_is_told_like_any_other():
    """In hexadecimal it passes YAML; the message must not need all its digits."""
    assert refused(HEAD + f"seeds: [0x{'F' * 5_000}]") == (
        "StudySettings.seeds: must be a whole number of at most 18 digits, got a number of 20,000 bits."
    )
    assert refused(HEAD + "seeds: " + "9" * 5_000) == "The study's file is no YAML: it holds a number of thousands of digits."


def test_a_huge_learning_rate_is_told_like_any_other():
    """1 with 400 zeros is no float."""
    assert "learning_rate" in refused(HEAD + "learning_rate: 1" + "0" * 400)


def test_merges_that_double_with_every_line_are_refused():
    """Forty lines of two merges each would be 2 to the power of 40 settings."""
    lines = ["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 40))]
    assert refused("\n".join(lines)) == "The study's file is no YAML in line 2: '<<' can't be used here, write the settings out."


@pytest.mark.parametrize("value", ["!!bool maybe", "!!int ''", "!!float ''", "!!timestamp x"])
def test_values_that_do_not_fit_their_tag_are_told(value):
    """PyYAML raises KeyError, IndexError or AttributeError for them."""
    assert refused(HEAD + f"source: {value}") == "The study's file is no YAML: a value does not fit the tag (!!...) in front of it."


def test_thousands_of_unknown_settings_are_counted_in_no_time():
    """Twenty are written out, the others counted; that a name stands twice is still found."""
    many = "\n".join(f"k{n}: 1" for n in range(8_000))
    problems = refused(many).split("\n")
    assert len(problems) == 21
    assert problems[-1] == "... and 7,982 more."
    assert refused(many + "\nk7: 2") == "The study's file is no YAML in line 8001: 'k7' stands there twice."


def test_a_study_has_an_end():
    """More than a hundred seeds, models or sizes are a slip, not a study."""
    assert "A study may have 100 seeds, got 101." in refused(HEAD + f"seeds: {list(range(101))}")
    assert "A study may have 100 models, got 101." in refused("kind: models\nmodels: " + str([f"m{n}" for n in range(101)]))


def test_a_path_is_said_once(tmp_path):
    """The reason alone stands beside it."""
    with pytest.raises(SettingsError) as error:
        read_study(tmp_path)
    assert str(error.value) == f"{tmp_path} can't be read as a study: Is a directory. Give a YAML file in UTF-8."
