"""The line that the command line prints before work starts."""

from __future__ import annotations

import pytest

from sftqa_core import workflows
from sftqa_core.cli.commands import _tell_cost
from sftqa_core.cli.main import main
from sftqa_core.planning.fit import Fit
from sftqa_core.planning.forecast import Forecast
from sftqa_core.records import Check, Preflight, TrainSettings

GB = 10**9
CHECKED = "Checked: nothing stands in the way, 1 to know (1 point).\nnote: A chat model. Choose the prompt chat.\n"


@pytest.mark.parametrize(
    ("fit", "told"),
    [
        (Fit("cpu", int(0.6 * GB), GB, 18 * GB, 24 * GB), "RAM: about 0.6 GB, 18 GB free. From before."),
        (Fit("cuda", None, None, GB, GB, "unknown until the model is downloaded."),
         "GPU memory: unknown until the model is downloaded. From before."),
        (None, "From before."),
    ],
)  # fmt: skip
def test_the_footprint_stands_between_time_and_notes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fit, told: str):
    """On standard error, as one line; without an estimate there is nothing in its place. What was looked at comes after it."""
    monkeypatch.setattr(workflows, "forecast", lambda settings: Forecast(60, 8, 100, 0, 20.0, 60.0, ("From before.",), (), fit=fit))
    note = Check("chat", "note", "A chat model.", "Choose the prompt chat.")
    monkeypatch.setattr(workflows, "preflight", lambda settings, cost: Preflight("train", (note,)))
    _tell_cost(TrainSettings("any"))
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"60 examples, 8 steps, 100 test facts: about 20 s to 60 s. {told}\n{CHECKED}")


def test_a_failed_check_ends_the_command_with_its_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Said once; neither is the device waited for, nor the model loaded."""
    wrong = Check("model", "problem", "The hub has no nobody/nothing.", "Check the name.")
    monkeypatch.setattr(workflows, "forecast", lambda settings: Forecast(0, 0, 0, 100, 20.0, 60.0, (), ()))
    monkeypatch.setattr(workflows, "preflight", lambda settings, cost: Preflight("probe", (wrong,)))
    monkeypatch.setattr(workflows, "probe", lambda *arguments: pytest.fail("it went on"))
    with pytest.raises(SystemExit) as end:
        main(["probe", "--model", "nobody/nothing"])
    told = capsys.readouterr().err.splitlines()
    assert (end.value.code, told[-1]) == (1, "The hub has no nobody/nothing. Check the name.")
    assert len(told) == 2, "and the line of the cost"


def test_without_enough_facts_no_cost_is_told(monkeypatch, capsys):
    """The refusal alone: time and steps of work that can't be done help nobody."""
    few = "100 examples were asked for, but it has 60."
    monkeypatch.setattr(workflows, "forecast", lambda settings: Forecast(100, 13, 20, 0, 20.0, 60.0, (), (few,)))
    monkeypatch.setattr(
        workflows, "preflight", lambda settings, cost: Preflight("train", (Check("facts", "problem", few, "Ask for 60 or fewer."),))
    )
    monkeypatch.setattr(workflows, "train", lambda *arguments: pytest.fail("it went on"))
    with pytest.raises(SystemExit) as end:
        main(["train", "--model", "nobody/nothing", "--n", "100"])
    assert (end.value.code, capsys.readouterr().err.splitlines()) == (1, [f"{few} Ask for 60 or fewer."])
