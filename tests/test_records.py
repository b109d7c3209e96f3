"""Records check themselves, refuse what they don't know, and travel as JSON."""

import dataclasses
import inspect
import json

import pytest

from sftqa_core import records
from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import Keys, Record, declared, fingerprint, has_effect, keyed, like, setting
from sftqa_core.records import (
    PAPER,
    SLICK,
    CorpusSettings,
    LevelScheme,
    PretrainSettings,
    ProbeSettings,
    PromptFormat,
    SamplerSettings,
    TrainSettings,
    read_cutoffs,
    with_cutoffs,
)

SETTINGS = [
    SamplerSettings(samples=3),
    LevelScheme("four", ("a", "b", "c", "d"), (0.0, 0.3, 0.6)),
    ProbeSettings("m", limit=5, scheme=LevelScheme(sampling=SamplerSettings(seed=7))),
    TrainSettings("m", levels=(0, 3), relations=("P17",), learning_rate=1, prompt=PromptFormat("own", "{question}?", " {answer}")),
    PretrainSettings("m", corpus=CorpusSettings(qa_documents=0), relations=("P17", "P26")),
]


@pytest.mark.parametrize("record", SETTINGS, ids=lambda record: type(record).__name__)
def test_records_survive_json(record):
    """A record written as JSON text and read back is equal, nested records and tuples included."""
    assert type(record).from_dict(json.loads(json.dumps(record.to_dict()))) == record


def test_a_field_that_came_later_changes_no_key_while_it_holds_its_default():
    """Results that were stored before it are found again; another value is another result."""

    @dataclasses.dataclass(frozen=True)
    class Before(Record):
        seed: int = 0

    @dataclasses.dataclass(frozen=True)
    class After(Record):
        seed: int = 0
        top_k: int | None = setting(None, later=True)

    assert After(3).fingerprint() == Before(3).fingerprint()
    assert After(3, 40).to_dict() == {"seed": 3, "top_k": 40}
    assert After.from_dict({"seed": 3}) == After(3)
    assert After.from_dict(After(3, 40).to_dict()) == After(3, 40)


def test_every_record_is_frozen():
    """Nothing in the vocabulary can be changed after it was checked."""
    kinds = [kind for _, kind in inspect.getmembers(records, inspect.isclass) if issubclass(kind, Record) and kind is not Record]
    assert len(kinds) >= 10
    assert all(kind.__dataclass_params__.frozen for kind in kinds)


def test_unknown_and_missing_keys_are_refused_together():
    """All of a record's faults come in one error, with what is known."""
    with pytest.raises(SettingsError) as told:
        TrainSettings.from_dict({"modle": "m", "n": "many", "prompt": {"name": "p", "prompt": "none", "answer": " {answer}"}})
    assert len(told.value.problems) == 4
    assert "has no setting 'modle'" in told.value.problems[0]
    assert "needs 'model'" in told.value.problems[1]
    assert {"must be int, got 'many'" in p or "must hold {question}" in p for p in told.value.problems[2:]} == {True}


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: TrainSettings("m", n=-3), "n must be 0 or more, got -3"),
        (lambda: TrainSettings("m", seed=2**32), "seed must be 0 to 4,294,967,295"),
        (lambda: TrainSettings("m", learning_rate=float("nan")), "learning_rate must be above 0"),
        (lambda: TrainSettings("m", levels=(5,)), "levels must be one or more of 0, 1, 2, 3, 4"),
        (lambda: SamplerSettings(temperature=float("nan")), "temperature must be 0.01 to 10"),
        (lambda: LevelScheme(cutoffs=(0.5, 0.25, 0.0, 0.75)), "Cut-offs must rise"),
        (lambda: LevelScheme(labels=("a", "b")), "2 levels need 1 cut-offs, got 4"),
        (lambda: LevelScheme(prompts="questions"), "prompts must be one of statements, few-shot, got 'questions'"),
        (lambda: LevelScheme(sampling=SamplerSettings(greedy=True)), "A greedy completion is part of few-shot prompts only"),
        (lambda: dataclasses.replace(SLICK, cutoffs=(0.5,)), "Levels by few-shot prompts are 4, without cut-offs, got 4 and 1"),
        (lambda: dataclasses.replace(SLICK, method="adaptive"), "know no other method than sampling, got 'adaptive'"),
        (lambda: dataclasses.replace(SLICK, sampling=SamplerSettings()), "need the greedy completion, too"),
        (lambda: SamplerSettings(top_k=0), "top_k must be 1 to 1,000,000, got 0"),
        (lambda: with_cutoffs([0.1] * 8), "Give one to 7 cut-offs, for two to 8 levels, got 8"),
        (lambda: with_cutoffs([0.5, 0.2]), "Cut-offs must rise within"),
        (lambda: with_cutoffs([0.0], SLICK), "SliCK's levels have no cut-offs"),
        (lambda: read_cutoffs("0,much"), "Cut-offs are numbers with commas between, such as 0,0.25,0.5,0.75, got '0,much'"),
        (lambda: PretrainSettings("m", hidden_size=100, heads=3), "multiple of heads"),
        (lambda: PretrainSettings("m", seed=-1), "seed must be 0"),
        (lambda: CorpusSettings(qa_list_share=1.5), "qa_list_share must be 0 to 1"),
        (lambda: ProbeSettings("m", domain="both"), "domain must be one of in, out, all, got 'both'"),
    ],
)
def test_unusable_values_are_told_when_the_record_is_built(build, words):
    """Each sentence names the setting, what it must be and what it was."""
    with pytest.raises(SettingsError, match=words.replace("^", r"\^")):
        build()


def test_a_fingerprint_covers_the_whole_record():
    """Changing any one field, nested ones too, changes the fingerprint."""
    base = ProbeSettings("m")
    changed = [
        dataclasses.replace(base, device="cpu"),
        dataclasses.replace(base, match="substring"),
        dataclasses.replace(base, scheme=LevelScheme(sampling=SamplerSettings(seed=1))),
    ]
    assert len({record.fingerprint() for record in [base, *changed]}) == 4
    assert base.fingerprint() == fingerprint(base.to_dict()) == ProbeSettings("m").fingerprint()


def test_cutoffs_of_ones_own_name_their_levels_and_are_written_as_they_are_read():
    """Cut-offs give L0 upwards; the paper's own give the paper's scheme; a third is written so that it is read back to the last bit."""
    own = with_cutoffs(read_cutoffs("0,0.2, 0.4,0.6,0.8"))
    assert own.labels == ("L0", "L1", "L2", "L3", "L4", "L5")
    assert own.cutoffs == (0.0, 0.2, 0.4, 0.6, 0.8)
    assert own.sampling == PAPER.sampling
    assert with_cutoffs((0, 0.25, 0.5, 0.75)) is PAPER
    assert own.written_cutoffs == "0,0.2,0.4,0.6,0.8"
    assert read_cutoffs(with_cutoffs((0.0, 1 / 3)).written_cutoffs) == (0.0, 1 / 3)


def test_what_slick_added_to_records_changes_no_older_key():
    """The paper's scheme is written without the settings that came with SliCK, and SliCK's is read back whole."""
    assert not {"contexts", "shots", "top_k", "greedy"} & {*PAPER.to_dict(), *PAPER.sampling.to_dict()}
    assert LevelScheme.from_dict(SLICK.to_dict()) == SLICK
    assert (PAPER.asking, SLICK.asking) == ({}, {"prompts": {"kind": "few-shot", "contexts": 10, "shots": 4}})


@dataclasses.dataclass(frozen=True)
class Drawn(Record):
    """A record whose fields say everything about themselves."""

    method: str = setting("none", choices={"none": "nothing", "some": "something"}, keys=Keys.TRAINING)
    share: float = setting(0.5, low=0, high=1, under="method", keys=Keys.NONE)
    steps: int | None = setting(None, low=1, named={"all": -1}, keys=Keys.TRAINING | Keys.IF_SET, later=True)
    counts: tuple[int, ...] = setting((1,), low=0, high=9)
    step_share: float = setting(0.0, low=0, high=1, under="steps", keys=Keys.TRAINING | Keys.IF_SET, later=True)


@dataclasses.dataclass(frozen=True)
class Others(Record):
    share: float = like(Drawn, "share", low=0.25)
    method: str = like(Drawn, "method")


def test_settings_are_checked_by_what_they_say():
    """Choices and bounds, of each of several values too; a value with a name has no bounds; all problems come at once."""
    with pytest.raises(SettingsError) as raised:
        Drawn(method="all", share=2.0, steps=0, counts=(3, 10))
    assert raised.value.problems == [
        "method must be one of none, some, got 'all'.",
        "share must be 0 to 1, got 2.0. 2% is 0.02.",
        "steps must be 1 or more, got 0.",
        "counts must be 0 to 9, got 10.",
    ]
    assert Drawn(steps=-1).steps == -1


def test_a_field_can_be_like_another_records():
    """Its default and what it says are the other's, but for what is otherwise here; field and record fill in name, type and default."""
    assert Others() == Others(0.5, "none")
    with pytest.raises(SettingsError, match=r"share must be 0\.25 to 1, got 0\.1"):
        Others(0.1)
    steps, share = declared(Drawn)["steps"], declared(Others)["share"]
    assert (steps.name, steps.kind, steps.optional, steps.default) == ("steps", int, True, None)
    assert (share.kind, share.optional, share.default, share.low) == (float, False, 0.5, 0.25)


def test_a_setting_under_another_has_an_effect_only_with_it():
    assert not has_effect(Drawn, {"share": 0.1}, "share")
    assert has_effect(Drawn, vars(Drawn(method="some")), "share")


def test_a_key_holds_what_its_result_depends_on():
    """One that came after keys were made stands there only where it is set; one under it comes and goes with it."""
    assert keyed(Drawn(share=0.1), Keys.TRAINING) == {"method": "none"}
    assert keyed(Drawn(step_share=0.5), Keys.TRAINING) == {"method": "none"}
    assert keyed(Drawn(steps=3), Keys.TRAINING) == {"method": "none", "steps": 3, "step_share": 0.0}
    assert keyed(Drawn(steps=3), Keys.ANSWERS) == {}


def test_every_setting_of_a_run_says_what_depends_on_it():
    """A setting that is forgotten in a key would go on with the wrong training, or find the wrong answers."""
    for name, about in declared(TrainSettings).items():
        assert about.keys is not None, name
        assert about.label, name
        assert about.help or name == "scheme", name
        assert about.flag or name == "scheme", name
    asking = {name for name, about in declared(TrainSettings).items() if Keys.ASKING in (about.keys or Keys.NONE)}
    assert asking == {"prompt", "match", "max_answer_tokens"}  # which evaluation/predictions.py keeps the base model's answers under
