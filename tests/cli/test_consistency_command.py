"""`sftqa consistency`: its table by level, what it says where nothing is stored, and one JSON object without NaN."""

import json

import pandas as pd
import pytest

from sftqa_core import workflows
from sftqa_core.cli import main as command
from sftqa_core.memory import consistency_tables
from sftqa_core.records import LevelScheme
from sftqa_core.workflows.consistency_reports import Consistency, ConsistencyChange

ROWS = [(at % 5, kind, kind == "settled", 0.8, 0.5, 1.0) for at, kind in enumerate(["settled", "torn", "rival", "vague"] * 20)]


def table(rows=ROWS) -> pd.DataFrame:
    made = pd.DataFrame(rows, columns=["level", "kind", "right", "modal_share", "agreement", "entropy"])
    made = made.assign(fact_id=[f"{at:016x}" for at in range(len(made))], relation="P19", contested=True, rival="Lima", modal="Lima")
    return made.assign(answered=10, silent=0, named=9)


@pytest.fixture
def stored(monkeypatch):
    """What the workflows find: `stored(rows)`."""

    def put(rows=ROWS) -> None:
        made, labels = table(rows), LevelScheme().labels
        found = Consistency(
            len(made), made, 0.9 if len(made) else None, 0.0 if len(made) else None, consistency_tables.by_level(made, labels),
            consistency_tables.reliability(made), consistency_tables.rivals(made, labels, str.casefold) if len(made) else None,
        )  # fmt: skip
        change = ConsistencyChange(consistency_tables.changes(made, made.assign(right=True)), consistency_tables.changes(made, made))
        monkeypatch.setattr(workflows, "consistency", lambda *about: found)
        monkeypatch.setattr(workflows, "consistency_change", lambda *about: change)

    return put


def run(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        command.main(["consistency", "--model", "m", *arguments])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_it_prints_a_line_a_level_with_intervals(stored, capsys):
    """Facts, kinds, the share that is correct and its interval; rivals with chance; few facts are said to be few."""
    stored()
    text = run(capsys)
    assert "m on atlas: 80 facts; 90.0% of their completions name a known object, 0.0% have no answer" in text
    every = next(line for line in text.splitlines() if line.startswith("all "))
    assert every.split()[1:6] == ["80", "20", "20", "20", "20"]
    assert "25.0% [16.8%, 35.5%]" in every
    rival = next(line for line in text.splitlines() if line.startswith("rival  "))
    assert "100.0% [83.9%, 100.0%]" in rival
    assert rival.endswith("too few facts to tell")


def test_before_puts_another_model_beside_it(stored, capsys):
    """Both means, the difference with its interval, and what probing the base twice changes."""
    stored()
    text = run(capsys, "--before", "base")
    line = next(line for line in text.splitlines() if line.startswith("commonest answer correct"))
    assert "Beside base, on the facts that both answer:" in text
    assert "80   0.250  1.000  +0.750 [" in line
    assert line.rstrip().endswith("[0.000, 0.000]")


def test_nothing_stored_names_the_probe(stored, capsys):
    """How to get completions."""
    stored([])
    assert run(capsys) == "No completions of atlas (test) by m are stored. Run: sftqa probe --model m --source atlas --split test\n"


def test_json_has_no_nan(stored, capsys):
    """What is not known is null."""
    stored(ROWS[:3])
    result = json.loads(run(capsys, "--json"), parse_constant=lambda name: pytest.fail(name))
    assert [row["level"] for row in result["levels"]] == ["L0", "L1", "L2", "L3", "L4", "between", "all"]
    assert result["levels"][3]["right_share"] is None
    assert (result["facts"], result["before"]) == (3, None)
