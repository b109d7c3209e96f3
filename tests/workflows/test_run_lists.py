"""The table that runs are picked from."""

import pytest

from sftqa_core import workflows
from sftqa_core.records.recipes import SftMix
from sftqa_core.workflows.tested.run_lists import ACCURACIES
from tests.made_runs import made_run

HALF = [at % 2 == 0 for at in range(80)]


def test_a_row_a_run_newest_first(workspace):
    """What it was tuned on and how it answered: half of the facts of each level and domain."""
    made_run("one", HALF, levels=(2, 3), n=30, seed=4)
    table = workflows.run_list()
    assert table["id"].tolist()[-1] == workflows.runs()[-1].id
    row = table.set_index("id").loc["one"]
    columns = ["model", "source", "n", "levels", "seed", "shipped"]
    assert row[columns].tolist() == ["base", "facts.csv", 30, "L2, L3", 4, False]
    assert [row[name] for name in ACCURACIES] == pytest.approx([0.5] * 4)


def test_recipes_have_a_column_with_their_changed_settings(workspace):
    """Empty for plain tuning."""
    made_run("plain", HALF)
    made_run("mixed", HALF, recipe=SftMix(mu=0.5))
    table = workflows.run_list().set_index("id")
    assert table.loc[["plain", "mixed"], "recipe"].tolist() == ["", "SFTMix, mu 0.5"]


def test_a_damaged_summary_leaves_the_numbers_out(workspace):
    """The run stays on the list; opening it says what is wrong."""
    run = made_run("one", HALF)
    (run.folder / "summary.json").write_text("{}")
    assert workflows.run_list().set_index("id").loc["one", list(ACCURACIES)].isna().all()


def test_no_runs_are_an_empty_table():
    """With its columns, so that pages need no case of their own."""
    from sftqa_core.workflows.tested.run_lists import run_list

    table = run_list([])
    assert len(table) == 0
    assert {"id", "model", *ACCURACIES} <= set(table.columns)
