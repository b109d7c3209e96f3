"""Options of recipes: made of their settings, over a file's, and refused where the chosen recipe does not have them."""

from __future__ import annotations

import dataclasses
import shlex

import pytest

from sftqa_core.cli import text
from sftqa_core.cli.arguments import parse
from sftqa_core.cli.recipe_options import told
from sftqa_core.cli.typed_records import train_settings
from sftqa_core.errors import SettingsError
from sftqa_core.jsonrecord import declared
from sftqa_core.records import TrainSettings
from sftqa_core.records.job import command_of
from sftqa_core.records.recipes import RECIPES, Continue, Federated, Keep, Repeat, SftMix


def settings_of(text: str) -> TrainSettings:
    """What `sftqa train` makes of its options."""
    return train_settings(parse(["train", "--model", "m", "--n", "60", *shlex.split(text)]))


@pytest.mark.parametrize("kind", RECIPES.values(), ids=list(RECIPES))
def test_a_command_repeats_its_run(kind):
    """Every setting of a recipe that is changed to a value that a study tries comes back from the command."""
    for value in kind.tried:
        run = TrainSettings("m", n=60, recipe=kind(**{kind.knob: value}), **kind.needs)
        assert train_settings(parse(shlex.split(command_of(run))[1:])) == run


def test_options_are_the_recipes_settings():
    """Typed ones over its defaults; no recipe, and plain, are the same."""
    assert settings_of("--recipe repeat --passes 4 --repeat-dropout 0.2").recipe == Repeat(passes=4, dropout=0.2)
    assert settings_of("") == settings_of("--recipe plain") == TrainSettings("m", n=60)


def test_an_option_of_another_recipe_is_refused():
    """With what to do."""
    with pytest.raises(SettingsError) as told:
        settings_of("--repeat-dropout 0.2")
    words = "--repeat-dropout is a setting of recipe repeat, not of plain tuning: give --recipe repeat, or leave it out."
    assert told.value.problems == [words]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--clients 5", "--clients has no effect with --partition relation: it belongs to --partition iid or dirichlet."),
        ("--partition level --clients 5", "--clients has no effect with --partition level: it belongs to --partition iid or dirichlet."),
        ("--partition iid --alpha 1", "--alpha has no effect with --partition iid: it belongs to --partition dirichlet."),
    ],
)
def test_an_option_that_does_nothing_beside_the_others_is_refused(options, told):
    """Not passed over: as many clients as were asked for there would not be. A record that holds such a value is read as ever."""
    with pytest.raises(SettingsError) as error:
        settings_of(f"--method lora --recipe federated {options}")
    assert error.value.problems == [f"{told} Leave one of them out."]
    assert str(Federated(partition="level", clients=5)) == "Federated, clients by a memory level each"
    wanted = Federated(partition="dirichlet", clients=5, alpha=1.0)
    assert settings_of("--method lora --recipe federated --partition dirichlet --clients 5 --alpha 1").recipe == wanted


def test_a_percentage_in_place_of_a_share_is_told_as_one():
    """What was meant stands in the refusal."""
    with pytest.raises(SettingsError) as error:
        settings_of("--recipe restore --restore-share 20")
    assert error.value.problems == ["share must be 0 to 1, got 20.0. 20% is 0.2."]
    with pytest.raises(SettingsError) as error:
        settings_of("--recipe restore --restore-share -1")
    assert error.value.problems == ["share must be 0 to 1, got -1.0."]


def test_the_list_of_runs_names_recipes_where_one_was_used():
    """Without one there is no such column."""
    run = {"run": "a", "model": "m", "source": "atlas", "n": 60, "method": "full", "settings": {}, "created": "now", "cut": ""}
    assert text.runs({"runs": [run]}).splitlines()[0].split() == ["run", "model", "source", "n", "method", "made"]
    head, *lines = text.runs({"runs": [run, {**run, "run": "b", "settings": {"recipe": SftMix(mu=0.5).to_dict()}}]}).splitlines()
    assert head.split() == ["run", "model", "source", "n", "method", "recipe", "made"]
    assert ("SFTMix" in lines[0], "SFTMix, mu 0.5" in lines[1]) == (False, True)


def test_options_override_a_file(tmp_path):
    """A setting changes the file's recipe; another recipe takes its place; plain takes it away."""
    file = tmp_path / "run.yaml"
    file.write_text("model: m\nn: 60\nrecipe: {name: repeat, passes: 2}\n", encoding="utf-8")

    def read(*options: str) -> TrainSettings:
        return train_settings(parse(["train", "--config", str(file), *options]))

    assert read().recipe == Repeat(passes=2)
    assert read("--repeat-dropout", "0.2").recipe == Repeat(passes=2, dropout=0.2)
    assert read("--recipe", "repeat").recipe == Repeat(passes=2)
    assert read("--recipe", "plain") == TrainSettings("m", n=60)


def test_no_option_of_a_recipe_is_one_of_a_run():
    """Nor do two recipes mean different things by one option."""
    own = {about.flag for about in declared(TrainSettings).values()}
    meant: dict[str, tuple[str, object]] = {}
    for kind in RECIPES.values():
        for name, about in declared(kind).items():
            assert about.flag not in own - {""}
            assert not about.flag or meant.setdefault(about.flag, (name, about.kind)) == (name, about.kind)


def test_an_unknown_recipe_is_refused_by_the_command_line(capsys):
    """As any other choice is."""
    with pytest.raises(SystemExit):
        settings_of("--recipe sftmax")
    assert "invalid choice: 'sftmax'" in capsys.readouterr().err


@pytest.mark.parametrize("kind", RECIPES.values(), ids=list(RECIPES))
def test_a_run_is_told_with_what_it_has_to_be_compared_with(kind):
    """Each command is that of plain tuning, or of a control, and nothing is said of a plain run."""
    run = TrainSettings("m", n=120, recipe=kind(), **kind.needs)
    beside = told(run, ())["recipe"]["beside"]
    assert list(beside) == ["plain tuning", *run.recipe.controls(run)]
    runs = [train_settings(parse(shlex.split(command)[1:])) for command in beside.values()]
    assert runs == [dataclasses.replace(run, recipe=None), *run.recipe.controls(run).values()]
    assert told(runs[0], ()) == {}


@pytest.mark.parametrize(
    ("run", "names"),
    [
        (TrainSettings("m", n=60, epochs=6_000, recipe=SftMix()), ["plain tuning"]),  # twice the epochs are more than there may be
        (TrainSettings("m", n=60, recipe=Continue()), ["plain tuning", "stages swapped"]),  # all of them are tuned on at the end
    ],
)
def test_a_control_that_cannot_be_or_is_plain_tuning_is_left_out(run, names):
    """Nobody trains the same twice."""
    assert list(told(run, ())["recipe"]["beside"]) == names


def test_the_terminal_shows_what_a_recipe_says():
    """Below the accuracies: its settings, its notes and the commands."""
    result = {"run": "r", "n": 60, "levels_by": "sampling", "after": {}, "baselines": {}, "seconds": {"all": 1.0}}
    shown = text.run({**result, **told(TrainSettings("m", n=60, recipe=Keep(part="ffn")), ("3 of 4 are right.",))}).splitlines()
    assert shown[4:6] == ["Recipe Keep, only feed-forward layers. 3 of 4 are right.", "Runs to compare it with (sftqa compare RUN RUN):"]
    assert [line.split(":")[0].strip() for line in shown[6:]] == ["plain tuning", "known facts only", "all weights"]
    assert shown[8].endswith("--recipe keep --seed 0")
    assert "Recipe" not in text.run(result)
