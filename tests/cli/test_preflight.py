"""`sftqa preflight` prints what it found, and its exit status says whether something stands in the way."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest

from sftqa_core import workflows
from sftqa_core.cli import commands
from sftqa_core.cli.main import main
from sftqa_core.records import Check


def run(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["preflight", *words])
    printed = capsys.readouterr().out
    assert ended.value.code == status, printed
    return printed


def test_json_holds_every_point(capsys):
    """One object: ok, headline, kind and checks."""
    found = json.loads(run(capsys, "--model", "atlas-llama", "--device", "cpu", "--json"))
    assert list(found) == ["ok", "headline", "kind", "checks"]
    assert (found["ok"], found["kind"]) == (True, "train")
    assert len(found["checks"]) == 17
    assert list(found["checks"][0]) == ["name", "state", "said", "fix", "about"]


def test_what_stands_in_the_way_is_told_by_the_status(capsys):
    """As JSON and as text; problems come first, and each fix below its finding."""
    found = json.loads(run(capsys, "--model", "nope", "--json", status=1))
    assert (found["ok"], found["checks"][0]["state"]) == (False, "problem")
    lines = run(capsys, "--model", "nope", status=1).splitlines()
    assert lines[0] == "Checked: 1 thing stands in the way (3 points)"
    assert lines[1] == "PROBLEM model     There is no model named 'nope'."
    assert lines[2].strip().startswith("-> On this machine: atlas-llama")


def test_a_trial_takes_the_place_of_the_one_that_was_announced(capsys, monkeypatch):
    """It is made only when nothing else stands in the way, and holds the device meanwhile."""
    held = []

    @contextmanager
    def leased(options, what):
        held.append(what)
        yield

    monkeypatch.setattr(commands, "leased", leased)
    told = Check("trial", "problem", "It does not fit.", "Use a smaller batch_size.")
    monkeypatch.setattr(workflows, "trial", lambda settings, reporter: told)
    words = ("--model", "atlas-llama", "--n", "30", "--batch", "4", "--device", "cpu", "--trial", "--json")
    found = json.loads(run(capsys, *words, status=1))
    assert [check for check in found["checks"] if check["name"] == "trial"] == [told.to_dict()]
    assert (len(found["checks"]), held) == (17, ["preflight"])
    run(capsys, "--model", "nope", "--trial", status=1)
    assert held == ["preflight"]
