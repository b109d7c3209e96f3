"""`sftqa pretrain`'s options as settings."""

from __future__ import annotations

import json
import shlex

import pytest

from sftqa_core import workflows
from sftqa_core.cli.arguments import parse
from sftqa_core.cli.main import main
from sftqa_core.cli.typed_records import pretrain_settings
from sftqa_core.errors import SettingsError
from sftqa_core.records import CorpusSettings, PretrainSettings
from sftqa_core.records.job import command_of
from sftqa_core.workflows.own_models import own_model


def settings(*words: str) -> PretrainSettings:
    """What these words mean."""
    return pretrain_settings(parse(["pretrain", *words]), {**workflows.built_in_models(), **workflows.unmade_models()})


def test_options_go_over_the_settings_of_that_name():
    """A known model's own settings stay where nothing is said; of another name the defaults do."""
    assert settings("atlas-llama") == workflows.built_in_models()["atlas-llama"]
    large = settings("atlas-100m", "--no-compile", "--accumulate", "4", "--precision", "float32", "--lr", "0.001")
    assert (large.source, large.compile, large.accumulate, large.precision, large.learning_rate) == ("atlas:8", False, 4, "float32", 0.001)
    assert large.hidden_size == workflows.unmade_models()["atlas-100m"].hidden_size
    own = settings("own", "--sequence-length", "64", "--optimizer", "adamw", "--warmup-steps", "7", "--compile")
    assert own == PretrainSettings("own", sequence_length=64, optimizer="adamw", warmup_steps=7, compile=True)


def test_what_the_text_says_is_typed_too():
    """How often facts are stated, and how many documents have questions or nothing; the corpus's own seed is not --seed."""
    own = settings(
        "own", "--unstated-share", "0.12", "--min-exposures", "1", "--qa-documents", "50", "--filler-documents", "9", "--seed", "3"
    )
    assert own.corpus == CorpusSettings(unstated_share=0.12, qa_documents=50, filler_documents=9)
    assert (own.min_exposures, own.seed) == (1, 3)


def test_the_command_of_settings_gives_them_again(tmp_path, workspace):
    """What the page of own facts prints makes the model that the page would make."""
    (tmp_path / "my rivers.csv").write_text("relation,subject,object\n" + "\n".join(f"P19,Person {at},Town {at % 7}" for at in range(300)))
    for like, spread, limit in (("atlas-llama", "wide", None), ("atlas-qwen", "often", 200), ("atlas-neox", "rarely", 100)):
        made = own_model(str(tmp_path / "my rivers.csv"), like, spread, limit)
        assert settings(*shlex.split(command_of(made))[2:]) == made


def test_a_batch_can_be_given_in_tokens():
    """It holds as many whole sequences as fit, a multiple of its parts."""
    assert settings("own", "--batch-tokens", "32768").batch_size == 256
    assert settings("own", "--batch-tokens", "3000", "--sequence-length", "256", "--accumulate", "2").batch_size == 10


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--batch-tokens", "100"), r"must hold a sequence \(128 tokens\) for each of 1 parts, got 100"),
        (("--batch-tokens", "100", "--batch-size", "4"), "--batch-tokens or --batch-size, not both"),
        (("--batch-size", "6", "--accumulate", "4"), "batch_size must be a multiple of accumulate, got 6 and 4"),
    ],
)
def test_batches_that_can_not_be_are_refused(words: tuple[str, ...], told: str):
    """The message names the options."""
    with pytest.raises(SettingsError, match=told):
        settings("own", *words)


def test_a_larger_world_is_shown(capsys: pytest.CaptureFixture[str]):
    """`sftqa facts --source atlas:2` counts twice as many facts of every relation."""
    with pytest.raises(SystemExit):
        main(["facts", "--source", "atlas:2", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["source"], found["facts"], found["relations"]["P17"]) == ("atlas:2", 16_016, {"train": 672, "dev": 64, "test": 304})
