"""`sftqa inside`: what was looked at, what came out in words, and the tables as files."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest

from sftqa_core import workflows
from sftqa_core.cli import inside_commands
from sftqa_core.cli import main as command
from sftqa_core.evaluation.inside.kept_looks import KeptLook, Piece
from sftqa_core.records import InsideSettings
from tests.looks import drift_look


@pytest.fixture
def taken(monkeypatch):
    """In place of models a made look; with what it was asked for."""
    asked: list[InsideSettings] = []
    look = drift_look()
    kept = KeptLook("fingerprint", (look.name,), look.settings, look.labels, "base", "source", False, {})

    def inside_settings(name, measures, **own):
        return InsideSettings(name, look.settings, tuple(measures or ("drift",)), **own)

    def inside(settings, reporter):
        asked.append(settings)
        return kept

    monkeypatch.setattr(workflows, "inside_settings", inside_settings)
    monkeypatch.setattr(workflows, "inside", inside)
    monkeypatch.setattr(workflows, "read_look", lambda kept, measures: look)
    monkeypatch.setattr(workflows, "beside", lambda kept, measure: [kept])
    monkeypatch.setattr(workflows, "forecast", lambda settings: SimpleNamespace(seconds_low=1.0, seconds_high=2.0))
    monkeypatch.setattr(workflows, "preflight", lambda settings, cost: None)
    monkeypatch.setattr(inside_commands, "checked", lambda report: None)
    return asked


def run(capsys, *arguments: str, code: int = 0) -> str:
    with pytest.raises(SystemExit) as ended:
        command.main(["inside", *arguments])
    assert ended.value.code == code
    output = capsys.readouterr()
    return output.out or output.err


def test_without_a_run_it_lists_what_was_looked_at(capsys, monkeypatch, tmp_path):
    """Or says how to look."""
    monkeypatch.setattr(workflows, "looks", list)
    assert run(capsys) == "No run was looked at yet. Run: sftqa inside RUN\n"
    look = drift_look()
    pieces = dict.fromkeys(("answers", "drift"), Piece(tmp_path, {}, "made"))
    kept = KeptLook("f", ("cell:s0",), look.settings, look.labels, "base", "source", True, pieces)
    monkeypatch.setattr(workflows, "looks", lambda: [kept])
    lines = run(capsys).splitlines()
    assert lines[-3].split() == ["cell:s0", "drift", "shipped"]
    assert lines[-1] == "Options: drift --kl, restoration --restore, knowledge --k, curves --curves"
    assert json.loads(run(capsys, "--json")) == {"looks": [{"run": "cell:s0", "measures": ["drift"], "shipped": True}]}


def test_flags_ask_for_measures_and_words_come_out(taken, capsys):
    """Every sentence under its measure, what came out first; which intervals they have."""
    text = run(capsys, "cell:s0", "--kl", "--k", "--wrong", "4", "--statements", "20")
    assert [(asked.measures, asked.wrong, asked.statements) for asked in taken] == [(("drift", "knowledge"), 4, 20)]
    lines = text.splitlines()
    assert "160 test facts" in lines[0]
    at = lines.index("Where answers and weights moved (drift, --kl):")
    assert lines[at + 1].startswith("  Answers to questions moved more than statements")
    assert lines[-1].startswith("Intervals are 95%, each for its number alone.")


def test_tables_are_written_into_a_new_folder_only(taken, capsys, tmp_path):
    """One Parquet file a table; what is there already is refused before anything is done."""
    told = json.loads(run(capsys, "cell:s0", "--tables", str(tmp_path / "out"), "--json"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"drift-{name}.parquet" for name in ("layers", "questions", "statements", "templates", "top")
    ]
    assert len(told["tables"]) == 5
    assert len(pd.read_parquet(tmp_path / "out" / "drift-questions.parquet")) == 160
    taken.clear()
    assert "out exists already. Name a new folder." in run(capsys, "cell:s0", "--tables", str(tmp_path / "out"), code=1)
    assert taken == []
