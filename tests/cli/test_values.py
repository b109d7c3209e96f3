"""What options' texts mean."""

import argparse
import shlex
from pathlib import Path

import pytest

from sftqa_core.cli.arguments import parse, reference
from sftqa_core.cli.option_texts import shots
from sftqa_core.cli.typed_records import probe_settings, study_settings, train_settings
from sftqa_core.jsonrecord import declared
from sftqa_core.records import StudySettings
from sftqa_core.records.job import command_of
from tests.golden_settings import field_of, varied

TRAIN = ("train", "--model", "m", "--n", "60")


@pytest.mark.parametrize(
    ("text", "meant"),
    [("4", (4, ())), ("0", (0, ())), ("0,1,4,16", (4, (1, 16))), ("0,8,2", (8, (2,))), ("16,16", (16, ()))],
)
def test_the_usual_number_of_shown_examples_is_the_base_line(text, meant):
    """Of several; others stand beside it, and 0 is what every run has anyway."""
    assert shots(text) == meant


def test_numbers_of_shown_examples_reach_the_settings():
    """From one flag or from both, each once."""
    several = train_settings(parse([*TRAIN, "--shots", "0,1,4,16"]))
    assert (several.shots, several.more_shots) == (4, (1, 16))
    both = train_settings(parse([*TRAIN, "--shots", "2", "--more-shots", "16,2,4"]))
    assert (both.shots, both.more_shots) == (2, (4, 16))
    assert train_settings(parse(TRAIN)).few_shot_stages == {"few_shot": 4}
    with pytest.raises(argparse.ArgumentTypeError, match="one or more numbers"):
        shots("")


@pytest.mark.parametrize(
    ("kind", "read"),
    [("TrainSettings", train_settings), ("ProbeSettings", probe_settings), ("StudySettings", lambda options: study_settings(options, ()))],
)
def test_every_setting_can_be_typed_and_the_command_that_repeats_it_means_the_same(kind, read):
    """The command of a record with any one setting changed is parsed to that record; only an order of facts has no flag."""
    for label, record in varied(kind).items():
        if label != "facts_seed":
            assert read(parse(shlex.split(command_of(record))[1:])) == record, label
    unflagged = {name for name, about in declared(type(record)).items() if not about.flag}
    assert unflagged <= {"scheme", "facts_seed"}
    assert {field_of(label) for label in varied(kind)} >= declared(type(record)).keys() - {"defaults"}


def test_a_studys_command_names_kind_and_models():
    settings = StudySettings("level", ("a", "b"), sizes=(-1,), retest_limit=5, gradient_checkpointing=True)
    assert command_of(settings) == "sftqa study level --models a,b --source atlas --sizes all --retest-limit 5 --gradient-checkpointing"


def test_the_command_lines_reference_is_the_parsers():
    """docs/command-line.md is what `python -m sftqa_core.cli.arguments` prints."""
    written = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
    assert written == reference()
    assert "`--gradient-checkpointing`, `--no-gradient-checkpointing`" in written
    assert "`--method full\\|lora`" in written
