"""What options' texts mean."""

import argparse

import pytest

from sftqa_core.cli.arguments import parse, train_settings
from sftqa_core.cli.values import shots

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
