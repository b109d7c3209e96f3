"""`sftqa study`, and options that go before a scheme or a file."""

from __future__ import annotations

import json
import shlex

import pytest
import yaml

from sftqa_core import workflows
from sftqa_core.cli import text as study_text
from sftqa_core.cli.arguments import parse
from sftqa_core.cli.main import main
from sftqa_core.cli.typed_records import probe_settings, scheme_of, study_settings
from sftqa_core.errors import SettingsError
from sftqa_core.records import SCHEMES, LevelScheme, StudySettings, TrainSettings
from sftqa_core.records.job import command_of
from sftqa_core.records.recipes import Repeat
from tests.cli.test_cli import run

FOUR = '{"name": "four", "labels": ["a", "b", "c", "d"], "cutoffs": [0.1, 0.4, 0.7]}'


def settings(*words: str) -> StudySettings:
    return study_settings(parse(["study", *words]), ["one", "two"])


def test_a_study_is_of_the_built_in_models_unless_others_are_named():
    """Its other settings are the record's."""
    assert settings("amount") == StudySettings("amount", ("one", "two"))
    named = settings("shift", "--models", "x,y", "--sizes", "60,all", "--seeds", "3", "--lr", "1e-3", "--batch", "4")
    assert named == StudySettings("shift", ("x", "y"), sizes=(60, TrainSettings.ALL), seeds=(3,), learning_rate=1e-3, batch_size=4)


def test_options_go_before_what_a_file_says(tmp_path):
    """The file is a study by itself; another kind than its own is refused, and so is no study at all."""
    file = tmp_path / "study.yaml"
    file.write_text("kind: level\nmodels: [m]\nseeds: [7]\nepochs: 2\n")
    assert settings("--config", str(file)) == StudySettings("level", ("m",), seeds=(7,), epochs=2)
    assert settings("level", "--config", str(file), "--seeds", "0,1").seeds == (0, 1)
    with pytest.raises(SettingsError, match="holds a study of kind level, and amount was asked for"):
        settings("amount", "--config", str(file))
    with pytest.raises(SettingsError, match="Name a study"):
        settings()


def test_a_studys_levels_come_from_options_or_its_file(tmp_path):
    """Cut-offs change what the file says; SliCK's levels have none."""
    file = tmp_path / "study.yaml"
    file.write_text("kind: level\nmodels: [m]\nscheme: {sampling: {samples: 3}}\n")
    assert settings("level", "--scheme", "slick").scheme == SCHEMES["slick"]
    cut = settings("--config", str(file), "--cutoffs", "0,0.5").scheme
    assert (cut.labels, cut.cutoffs, cut.sampling.samples) == (("L0", "L1", "L2"), (0.0, 0.5), 3)
    with pytest.raises(SettingsError, match="SliCK's levels have no cut-offs"):
        settings("level", "--scheme", "slick", "--cutoffs", "0,0.5")


def test_an_exported_study_is_the_same_study(capsys, tmp_path):
    """What --export writes, the page reads and --config runs; a file that is there is left as it is."""
    file = tmp_path / "mine.yaml"
    found = run(capsys, "study", "amount", "--models", "atlas-llama", "--sizes", "0,60", "--export", str(file))
    assert workflows.read_study(file) == StudySettings("amount", ("atlas-llama",), sizes=(0, 60))
    assert found["settings"] == workflows.read_study(file).to_dict()
    assert yaml.safe_load(file.read_text())["sizes"] == [0, 60]
    assert "exists already" in run(capsys, "study", "amount", "--export", str(file), status=1)["error"]


def test_a_report_of_what_is_not_done_runs_nothing(capsys, workspace):
    """No cell of a study with settings of its own: nothing done, no finding, every table empty or without numbers."""
    found = run(capsys, "study", "amount", "--models", "atlas-llama", "--sizes", "7", "--epochs", "3", "--report-only")
    assert (found["done"], found["planned"], found["findings"]) == (0, 3, [])
    assert not (workspace.root / "cells").exists()
    assert "0 of 3 runs are done" in study_text.study(found)


def test_a_study_is_told_in_lines():
    """Numbers first, then each question with its answers, then how the words were found."""
    rows = [{"model": "m", "domain": "in", "level": "mean over levels", "n": n, "accuracy": value} for n, value in ((0, 0.1), (60, 0.4))]
    found = {
        "settings": StudySettings("amount", ("m",)).to_dict(),
        "done": 2,
        "planned": 30,
        "findings": [{"about": "m, in-domain", "question": "Enough?", "verdict": "yes", "text": "It is."}],
        "notes": ["A note."],
        "tables": {"curve": rows},
    }
    lines = study_text.study(found).splitlines()
    assert lines[0] == "study amount of m on atlas: 2 of 30 runs are done, seeds 0, 1, 2"
    assert lines[3].split() == ["m", "in-domain", "10.0%", "40.0%"]
    assert lines[5:7] == ["Enough?", "  yes         m, in-domain: It is."]
    assert lines[-1] == "- A note."


def test_a_study_of_a_recipe_is_typed_with_the_recipes_settings(capsys, tmp_path):
    """Options, the command that repeats it and its file are the same study; other studies take no recipe."""
    study = settings("recipe", "--recipe", "repeat", "--repeat-dropout", "0.1", "--tried", "1,4", "--models", "m")
    assert study == StudySettings("recipe", ("m",), recipe=Repeat(dropout=0.1), tried=("1", "4"))
    command = command_of(study)
    assert command == "sftqa study recipe --models m --source atlas --recipe repeat --repeat-dropout 0.1 --tried 1,4"
    assert settings(*shlex.split(command)[2:]) == study
    file = tmp_path / "what-if.yaml"
    file.write_text("kind: recipe\nmodels: m\nrecipe: {name: repeat, dropout: 0.1}\ntried: [1, 4]\n")
    assert settings("--config", str(file)) == study
    assert settings("--config", str(file), "--passes", "4").recipe == Repeat(passes=4, dropout=0.1)
    with pytest.raises(SettingsError, match="A study of kind recipe needs a recipe: one of repeat, "):
        settings("recipe")
    with pytest.raises(SettingsError, match="A study of kind amount is of plain tuning: leave recipe out"):
        settings("amount", "--recipe", "repeat")
    found = run(capsys, "study", "recipe", "--recipe", "repeat", "--models", "atlas-llama", "--sizes", "7", "--report-only")
    assert (found["done"], found["planned"], found["findings"]) == (0, 4 * 3 + 1 + 4 * 3, [])
    assert any("arXiv 2305.13230 (To Repeat or Not To Repeat) reports: Repeating data" in note for note in found["notes"])


def test_options_go_before_what_a_scheme_says():
    """A level scheme as JSON does not take away a method, a confidence or samples that were asked for."""
    asked = ["probe", "--model", "m", "--scheme", FOUR, "--method", "adaptive", "--confidence", "0.8", "--samples", "5"]
    scheme = probe_settings(parse(asked)).scheme
    assert (scheme.name, scheme.method, scheme.confidence, scheme.sampling.samples) == ("four", "adaptive", 0.8, 5)
    assert probe_settings(parse(["probe", "--model", "m", "--seed", "3"])).scheme.sampling.seed == 3
    assert scheme_of(parse(["trust", "--model", "m", "--max-new-tokens", "8"])).sampling.max_new_tokens == 8
    assert scheme_of(parse(["trust", "--model", "m"])) == LevelScheme()


def test_too_many_samples_for_an_adaptive_probe_are_refused(capsys):
    """Its tables grow with the square of the samples: told before anything is computed."""
    words = ("probe", "--model", "atlas-llama", "--method", "adaptive", "--samples", "300")
    assert "at most 100 samples a template, got 300" in run(capsys, *words, status=1)["error"]


def test_trust_of_a_single_fact_is_json_without_nan(capsys):
    """Where kappas are not defined their difference is null."""
    for words in (["--seed", "0"], ["--seed", "1"], ["--method", "adaptive"], ["--method", "likelihood"]):
        run(capsys, "probe", "--model", "atlas-llama", "--split", "dev", "--limit", "1", *words)
    found = run(capsys, "trust", "--model", "atlas-llama", "--split", "dev")
    assert found["adaptive_margin"] is None
    json.dumps(found, allow_nan=False)
    assert found["floor_measured"] is False


def test_estimated_levels_are_called_so(capsys):
    """A run on likelihood levels says so when it is made and when it is shown."""
    words = ("train", "--model", "atlas-llama", "--n", "4", "--test-limit", "1", "--shots", "0", "--no-save-model")
    made = run(capsys, *words, "--level-method", "likelihood")
    assert made["levels_by"] == "likelihood"
    with pytest.raises(SystemExit):
        main(["show", made["run"]])
    assert "levels estimated by the likelihood" in capsys.readouterr().out
