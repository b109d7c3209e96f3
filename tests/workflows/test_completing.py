"""Texts of one's own, completed by a model: in a workflow, as a job, as a command."""

import json

import pytest

from sftqa_core import workflows
from sftqa_core.cli.main import main
from sftqa_core.errors import ModelUnavailable, SettingsError
from sftqa_core.progress import Recorder, Silent
from sftqa_core.records import CompleteSettings

PROMPTS = ("p19 train 00 was born in", "The capital of p17 test 01 is")


def settings(*prompts: str, **changes) -> CompleteSettings:
    return CompleteSettings(**{"model": "tiny", "prompts": prompts or PROMPTS, "max_new_tokens": 4, "device": "cpu"} | changes)


def test_each_prompt_gets_as_many_completions_as_asked(world):
    """The same prompt has the same completions, whatever stands beside it; another seed gives others."""
    reporter = Recorder()
    done = workflows.complete(settings(), reporter)
    assert done.prompts == PROMPTS
    assert [len(texts) for texts in done.texts] == [3, 3]
    assert all(isinstance(text, str) for texts in done.texts for text in texts)
    assert (reporter.updates[-1].phase, reporter.updates[-1].done, reporter.updates[-1].total) == ("complete", 2, 2)
    alone = workflows.complete(settings(PROMPTS[1], "Other words", PROMPTS[1]))
    assert alone.texts[0] == alone.texts[2] == done.texts[1]
    others = workflows.complete(settings(samples=20, seed=1)).texts
    assert len(others[0]) == 20
    assert set(others[0]) != set(workflows.complete(settings(samples=20)).texts[0])


def test_a_job_returns_the_texts(world):
    """Its result is their JSON, since nothing else is made."""
    result = workflows.run_job("complete", settings().to_dict(), Silent(), "complete-1")
    assert json.loads(result) == [list(texts) for texts in workflows.complete(settings()).texts]


def test_the_command_prints_prompts_and_completions(world, capsys):
    """As JSON, and for people with the completions below each prompt."""
    words = ["complete", "--model", "tiny", "--samples", "2", "--max-new-tokens", "4", "--device", "cpu", PROMPTS[0]]
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"model": "tiny", "prompts": [PROMPTS[0]], "texts": printed["texts"]}
    with pytest.raises(SystemExit, match="0"):
        main(words)
    assert capsys.readouterr().out.splitlines() == [PROMPTS[0], *(f"    {text!r}" for text in printed["texts"][0])]


def test_what_cannot_be_completed_is_refused(world):
    """No prompts, empty or endless ones; a prompt longer than the model reads; a model that is not there."""
    with pytest.raises(SettingsError, match=r"prompts must be 1 to 500 texts, got 0\."):
        CompleteSettings("tiny", ())
    with pytest.raises(SettingsError, match=r"prompt 2 must have 1 to 10,000 characters, got 1\."):
        settings("a", " ")
    with pytest.raises(SettingsError, match="1 of 2 prompts do not fit the model's context window"):
        workflows.complete(settings("a", "word " * 1_000))
    with pytest.raises(ModelUnavailable):
        workflows.complete(settings(model="nowhere"))
