"""The papers' settings: what METHOD gives, for models that it is for, and what is left said."""

from __future__ import annotations

import json

import pytest

from sftqa_core import workflows
from sftqa_core.cli.arguments import parse
from sftqa_core.cli.typed_records import train_settings
from sftqa_core.errors import NotFound, SettingsError
from sftqa_core.records import PromptFormat, TrainSettings
from sftqa_core.records.presets import PAPER_PROMPT, PRESETS, preset_values


def test_a_large_model_gets_the_papers_settings():
    """METHOD section 2 for the seed paper; section 9 for the follow-up's prompt."""
    values, notes = preset_values(PRESETS["seed-60"], 8_000_000_000)
    assert values == {
        "n": 60, "method": "full", "epochs": 1, "batch_size": 8, "balance": "relation", "max_answer_tokens": 16, "learning_rate": 1e-5
    }  # fmt: skip
    assert notes == (PRESETS["seed-60"].left,)
    values, _ = preset_values(PRESETS["follow-up-1920"], 8_000_000_000)
    assert (values["n"], values["levels"], values["prompt"]) == (1_920, (2,), PAPER_PROMPT)
    assert PromptFormat("paper", "<|question|> {question} <|answer|>", " {answer} ") == PAPER_PROMPT


def test_a_small_model_keeps_its_default_rate_and_a_built_in_one_its_prompt():
    """Both are said."""
    values, notes = preset_values(PRESETS["follow-up-240"], 2_350_000, made_here=True)
    assert not {"learning_rate", "prompt"} & set(values)
    assert "The paper's learning rate (1e-05) is for models of 7 to 70 billion parameters. This one is small" in notes[-1]
    assert any("have read questions as Q: and A:" in note for note in notes)
    _, notes = preset_values(PRESETS["seed-60"], 3_000_000_000)
    assert notes[-1] == "The paper used its learning rate for models of 7 to 70 billion parameters; this one is smaller."


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_run_with_a_source(name):
    """It can be built, names its paper, and says what the paper is not known to say."""
    preset = PRESETS[name]
    values, notes = preset_values(preset, None)
    assert TrainSettings("m", **values).model == "m"
    assert "arXiv" in preset.source
    assert "METHOD" in preset.section
    assert notes[0] == preset.left != ""
    assert ("learning_rate" in values) == (preset.learning_rate is not None)


def test_no_number_is_invented_for_lora():
    """METHOD states neither n, rank nor rate of the follow-up's LoRA."""
    values, _ = preset_values(PRESETS["follow-up-lora"], 8_000_000_000)
    assert not {"n", "lora_rank", "learning_rate"} & set(values)


def test_options_go_before_the_preset_and_the_preset_before_the_file(tmp_path, capsys):
    """A file gives what neither says; what is left open is told on standard error."""
    file = tmp_path / "run.yaml"
    file.write_text("model: atlas-llama\nn: 500\nseed: 3\nshots: 0\n")
    found = train_settings(parse(["train", "--config", str(file), "--preset", "seed-60", "--seed", "5"]))
    assert (found.model, found.n, found.seed, found.shots, found.max_answer_tokens) == ("atlas-llama", 60, 5, 0, 16)
    assert "arXiv 2409.15825" in capsys.readouterr().err
    with pytest.raises(NotFound, match=r"There is no preset 'x'\. Presets: seed-60"):
        workflows.preset("x", "atlas-llama")


def test_a_run_is_a_file_for_the_command_line(tmp_path, capsys):
    """Written by --export, read by --config, with options over it; unknown settings and a study's file are refused."""
    from sftqa_core.cli.main import main

    out = tmp_path / "run.yaml"
    with pytest.raises(SystemExit) as stop:
        main(["train", "--model", "atlas-llama", "--n", "all", "--levels", "1,2", "--skip-baselines", "--export", str(out), "--json"])
    assert stop.value.code == 0
    settings = TrainSettings("atlas-llama", n=TrainSettings.ALL, levels=(1, 2), shots=0)
    assert json.loads(capsys.readouterr().out) == {"file": str(out), "settings": settings.to_dict()}
    assert out.read_text() == (
        "# A run of SFT-QA Explorer. Run it with: sftqa train --config THIS_FILE\n"
        "model: atlas-llama\nsource: atlas\nn: all\nlevels: [1, 2]\nmethod: full\nseed: 0\nshots: 0\n"
    )
    assert train_settings(parse(["train", "--config", str(out)])) == settings
    assert train_settings(parse(["train", "--config", str(out), "--n", "9", "--more-shots", "1"])).more_shots == (1,)
    for text, said in (
        ("model: m\ntuples: 1\n", "TrainSettings has no setting 'tuples'"),
        ("kind: amount\nmodels: [m]\n", "This is a study's file, and one run was asked for"),
        ("- a\n", "A run's file must hold settings such as 'model: atlas-llama', got list."),
        ("model: !!python/object/apply:os.system [id]\n", "The run's file is no YAML"),
    ):
        out.write_text(text)
        with pytest.raises(SettingsError, match=said):
            train_settings(parse(["train", "--config", str(out)]))
    with pytest.raises(SettingsError, match="Give --skip-baselines or --shots, not both"):
        train_settings(parse(["train", "--model", "m", "--n", "1", "--skip-baselines", "--shots", "4"]))


@pytest.mark.parametrize(
    ("options", "lacking"), [(["--n", "3"], "--model"), (["--model", "m"], "--n"), (["--preset", "seed-60"], "--model, --n")]
)
def test_what_no_file_and_no_preset_gives_is_required(options, lacking, capsys):
    """In the words of other commands."""
    with pytest.raises(SystemExit) as stop:
        parse(["train", *options])
    assert stop.value.code == 2
    assert f"the following arguments are required: {lacking}" in capsys.readouterr().err
