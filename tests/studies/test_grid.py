"""Which runs a study is made of, and which of them are one and the same."""

import dataclasses

import pytest

from sftqa_core.errors import SettingsError
from sftqa_core.records import LevelScheme, PromptFormat, StudySettings, TrainSettings
from sftqa_core.records.recipes import Federated, Keep, Llm2Llm, Preprocess, Repeat, SelfGuide
from sftqa_core.studies.cells import canonical
from sftqa_core.studies.registry import grid
from tests.studies.small_study import FOUR

ALL = TrainSettings.ALL


def told(runs):
    return [(one.n, one.levels, one.seed) for one in runs]


def test_an_amount_study_goes_seed_after_seed_and_asks_the_untouched_model_once():
    """Sizes ascend with "all" last; n = 0 stands under the first seed only."""
    study = StudySettings("amount", ("m",), seeds=(5, 7), sizes=(ALL, 60, 0))
    assert told(grid(study, "m")) == [(0, None, 5), (60, None, 5), (ALL, None, 5), (60, None, 7), (ALL, None, 7)]
    assert len(grid(StudySettings("amount", ("m",)), "m")) == 10 + 9 + 9


@pytest.mark.parametrize("kind", ["models", "shift"])
def test_other_studies_have_the_untouched_model_beside_each_seed(kind):
    """One run of n = 0, then one of each size a seed."""
    study = StudySettings(kind, ("m", "o"), seeds=(0, 1), sizes=(60,))
    assert told(grid(study, "o")) == [(0, None, 0), (60, None, 0), (60, None, 1)]
    assert {one.model for one in grid(StudySettings(kind, ("m", "o")), "o")} == {"o"}


def test_a_level_study_has_a_run_a_level_and_the_natural_mix():
    """As many levels as the scheme has, with matched topics; the mix is balanced over topics and knows no levels."""
    runs = grid(StudySettings("level", ("m",), seeds=(3,), scheme=FOUR), "m")
    assert told(runs) == [(0, None, 3), *((240, (level,), 3) for level in range(4)), (240, None, 3)]
    assert [one.balance for one in runs] == ["relation", *["matched"] * 4, "relation"]
    assert {one.scheme for one in runs} == {FOUR}


@pytest.mark.parametrize(("asked", "most", "n"), [(240, 100, 100), (60, 100, 60), (ALL, 100, 100), (240, None, 240), (ALL, None, ALL)])
def test_all_rows_of_a_level_study_have_the_number_that_the_scarcest_level_can_give(asked, most, n):
    """One n for every training level and for the mix; what is asked for as long as the scarcest level is not known."""
    runs = grid(StudySettings("level", ("m",), sizes=(asked,)), "m", most)
    assert {one.n for one in runs[1:]} == {n}
    assert len(runs) == 1 + 3 * 6


def test_the_scarcest_level_limits_nothing_but_a_level_study():
    """Other studies ask for what they were told."""
    assert [one.n for one in grid(StudySettings("amount", ("m",), seeds=(0,), sizes=(10, 500)), "m", 20)] == [10, 500]


@pytest.mark.parametrize(("kind", "sizes"), [("shift", (0, 60)), ("shift", (0,)), ("level", (0,)), ("models", (0,))])
def test_the_untouched_model_is_no_size_of_a_study_that_has_it_anyway(kind, sizes):
    """Only the study of how much data may ask for 0; the others list the untouched model by themselves, once."""
    with pytest.raises(SettingsError, match="sizes must be 1 or more, got 0"):
        StudySettings(kind, ("m",), sizes=sizes)
    runs = [canonical(one) for one in grid(StudySettings(kind, ("m",)), "m")]
    assert len(runs) == len(set(runs))
    assert sum(one.n == 0 for one in runs) == 1


def test_runs_without_examples_are_one_whatever_they_would_have_trained_with():
    """Only what is asked, and how an answer is judged, tells two untouched models apart."""
    bare = TrainSettings(model="m", n=0)
    same = dataclasses.replace(
        bare, seed=4, method="lora", learning_rate=1e-3, epochs=3, batch_size=2, levels=(1,), balance="matched", scheme=FOUR
    )
    assert canonical(bare, 1e-4) == canonical(same, 2e-4)
    for change in ({"match": "substring"}, {"max_answer_tokens": 8}, {"prompt": PromptFormat("x", "{question}?")}):
        assert canonical(dataclasses.replace(bare, **change)) != canonical(bare)


def test_shown_examples_are_runs_of_the_untouched_model_a_seed_each():
    """A number of examples and its seed tell two of them apart; other settings of training do not, and tuned models show none."""
    study = StudySettings("amount", ("m",), seeds=(0, 1), sizes=(0, 60), shots=(1, 16))
    shown = [(one.more_shots, one.seed) for one in grid(study, "m") if one.more_shots]
    assert sorted(shown) == [((1,), 0), ((1,), 1), ((16,), 0), ((16,), 1)]
    assert len({canonical(one) for one in grid(study, "m")}) == len(grid(study, "m")) == 7
    bare = TrainSettings(model="m", n=0, more_shots=(16,))
    assert canonical(bare) == canonical(dataclasses.replace(bare, epochs=3, method="lora"))
    assert canonical(bare) != canonical(dataclasses.replace(bare, more_shots=()))
    assert canonical(TrainSettings(model="m", more_shots=(16,))) == canonical(TrainSettings(model="m"))


def test_the_scheme_matters_only_where_examples_are_chosen_by_level():
    """As they come, the examples know no levels."""
    plain, other = (TrainSettings(model="m", scheme=scheme) for scheme in (LevelScheme(), FOUR))
    assert canonical(plain) == canonical(other)
    for change in ({"levels": (1,)}, {"balance": "level"}, {"balance": "matched"}):
        assert canonical(dataclasses.replace(plain, **change)) != canonical(dataclasses.replace(other, **change))


def test_the_default_learning_rate_is_the_one_it_stands_for():
    """A run that names the default's value is the run that names none."""
    plain, named = TrainSettings(model="m"), TrainSettings(model="m", learning_rate=4e-4)
    assert canonical(plain, 4e-4) == canonical(named, 9e-9)
    assert canonical(plain, 4e-4) != canonical(plain, 3e-4)


@pytest.mark.parametrize("recipe", [Keep(), Llm2Llm(teacher="fact"), Federated(partition="level"), SelfGuide(), Preprocess()], ids=str)
def test_a_recipe_that_needs_levels_has_a_cell_for_each_level_scheme(recipe):
    """Which examples are known, or whose, depends on it; others, and the usual scheme, have the cells that they had."""
    usual = TrainSettings("m", n=60, recipe=recipe, **recipe.needs)
    other = dataclasses.replace(usual, scheme=dataclasses.replace(usual.scheme, method="likelihood"))
    assert canonical(other).scheme == other.scheme != canonical(usual).scheme == LevelScheme()
    for free in (None, Repeat()):
        assert canonical(dataclasses.replace(usual, recipe=free)) == canonical(dataclasses.replace(other, recipe=free))
