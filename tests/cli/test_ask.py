"""`sftqa ask`: one question to models side by side, as text and as JSON."""

from __future__ import annotations

import json

import pytest

from sftqa_core.cli import commands, text
from sftqa_core.cli.arguments import parse
from sftqa_core.cli.main import main
from sftqa_core.jobs.lease import leases
from sftqa_core.records import Candidate, PromptFormat, Question, Reply, Sampled, Scored, Step
from sftqa_core.workflows import Asked
from sftqa_core.workflows.asking.questions import KnownFact, KnownLevel

STEP = Step(" Bo", 0.5, (Candidate(" Bo", 0.5), Candidate("", 0.25)))
REPLY = Reply(
    "run:X", "Q: Who?\nA:", 5, " Bo", False, True, (STEP,), (Sampled(" Bo", 7, True), Sampled(" Cy", 3, False)),
    (Scored("Bo", -1.5, 1, -0.25, True),), "w" * 16, "a" * 16, "float32", "cpu",
)  # fmt: skip
FACT = KnownFact("atlas", "0" * 16, "P19", "Ann", "Who?", ("Bo",), "test", "in")


def test_options_become_a_question():
    """Every option has its place; without any the question is asked as runs are tested."""
    plain = parse(["ask", " Who? ", "--model", "atlas-llama"])
    assert (commands.question_of(plain), plain.model) == (Question("Who?"), ["atlas-llama"])
    words = ["--model", "a", "--model", "run:X", "--statement", "--answer", "Bo", "--answer", "Cy", "--samples", "3", "--seed", "2"]
    told = parse(["ask", "Ann is", *words, "--temperature", "1", "--max-new-tokens", "5", "--prompt", "{question} It is"])
    form = PromptFormat("own", "{question} It is")
    assert commands.question_of(told) == Question("Ann is", "statement", (), ("Bo", "Cy"), 3, 1.0, 5, 2, form)
    assert told.model == ["a", "run:X"]


def test_it_asks_under_the_device_s_lease(monkeypatch, capsys):
    """One JSON object, with the replies, the fact and its levels; nobody else computes meanwhile."""
    held = []

    def ask(question, models, device, reporter):
        held.extend(lease.holder for lease in leases())
        return Asked(question, (REPLY,), FACT, (KnownLevel("atlas-llama", "L2", 0.4),))

    monkeypatch.setattr(commands.workflows, "columns", lambda question, models: ())
    monkeypatch.setattr(commands.workflows, "ask", ask)
    with pytest.raises(SystemExit) as ended:
        main(["ask", "Who?", "--model", "run:X", "--json"])
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["replies"][0]["answer"], told["levels"][0]["level"], held) == (" Bo", "L2", ["sftqa ask"])
    assert told["replies"] == [REPLY.to_dict()]


def test_the_terminal_shows_all_of_a_reply():
    """Whose weights, what is right, samples with counts, probabilities, and the first step's tokens."""
    shown = text.ask(Asked(Question("Who?"), (REPLY,), FACT, (KnownLevel("atlas-llama", "L2", 0.4),)).to_dict())
    assert shown.splitlines() == [
        "fact of atlas, P19: Bo; L2 in atlas-llama (R = 0.40)",
        "",
        "run:X  (weights wwwwwwwwwwwwwwww, adapter aaaaaaaaaaaaaaaa, float32 on cpu)",
        "    greedy: ' Bo', right, cut off",
        "      7 x ' Bo', right",
        "      3 x ' Cy', wrong",
        "    answer  log-probability  tokens  per token  then the end",
        "    'Bo'    -1.500                1  -1.500     -0.250",
        "    first token: ' Bo' 50.0%, '(end)' 25.0%",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["", "--model", "atlas-llama"], "There is no question yet. Write one."),
        (["Who?", "--model", "no-such-model"], "There is no model named 'no-such-model'."),
        (["Who?", "--model", "run:nothing"], "There is no run 'nothing'"),
        (["Who?", "--model", "atlas-llama", "--samples", "0"], "samples must be 1 to 100, got 0."),
    ],
)
def test_mistakes_are_told_before_the_device_is_taken(words, told, capsys, monkeypatch):
    """As one JSON object and a failing status."""
    monkeypatch.setattr(commands, "leased", None)
    with pytest.raises(SystemExit) as ended:
        main(["ask", *words, "--json"])
    assert ended.value.code == 1
    assert told in json.loads(capsys.readouterr().out)["error"]
