"""`sftqa compare`: what it prints and writes."""

from __future__ import annotations

import csv
import json

import pytest

from sftqa_core.cli.main import main
from tests.made_runs import facts_of, made_run

EVEN = [at % 2 == 0 for at in range(240)]
MORE = [at % 2 == 0 or at % 3 == 0 for at in range(240)]


@pytest.fixture
def two(workspace):
    """Two runs on 120 facts a domain: the second has 20 more right in each."""
    facts = facts_of(count=120)
    made_run("one", EVEN, facts)
    made_run("two", MORE, facts, n=120)


def ran(capsys, *words):
    """Exit status and standard output of `sftqa compare`."""
    with pytest.raises(SystemExit) as ended:
        main(["compare", *words])
    return ended.value.code, capsys.readouterr().out


def test_the_difference_is_told_in_words_and_numbers(two, capsys):
    """What differs, accuracies, and a line a test."""
    code, text = ran(capsys, "one", "two")
    assert code == 0
    assert "240 test facts in common; levels of A's base model (paper-5)" in text
    assert "B  120" in text
    assert "B against A  in-domain, micro average         better" in text
    assert "McNemar, exact" in text
    assert "Corrected for 4 comparisons (Holm)." in text


def test_json_holds_the_comparison(two, capsys):
    """The same record as the page draws."""
    _, text = ran(capsys, "one", "two", "--against", "two", "--json")
    told = json.loads(text)
    assert (told["facts"], told["against"], told["settings"]) == (240, "B", {"n": [60, 120]})
    assert told["tests"][0]["only_against"] == 20


def test_items_are_written_as_a_table_that_runs_nothing(two, capsys, tmp_path):
    """A row a fact with every answer; what a spreadsheet would run is made text; a file that exists is not overwritten."""
    facts = facts_of(count=1)
    facts["subject"] = ["=1+1", "plain"]
    made_run("formula", [True, False], facts)
    out = tmp_path / "items.csv"
    assert ran(capsys, "formula", "--items", str(out))[0] == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["subject"] for row in rows] == ["'=1+1", "plain"]
    assert [row["text A"] for row in rows] == ["Object0", "wrong"]
    assert ran(capsys, "formula", "--items", str(out))[0] == 1


def test_what_was_made_again_is_checked(two, capsys):
    """Equal answers end with 0, others with 1; alone, a name gives the command that makes it again."""
    made_run("same", EVEN, facts_of(count=120))
    assert ran(capsys, "--remade", "one", "same") == (0, "Right and wrong are equal on all 240 facts.\n")
    assert ran(capsys, "--remade", "one", "two")[0] == 1
    code, text = ran(capsys, "--remade", "amount-9203b502:atlas-llama:n60:s1")
    assert code == 0
    assert "sftqa train --model atlas-llama --source atlas --n 60 --method full --lr 0.0004 --shots 0 --seed 1" in text


def test_names_of_cells_are_listed(workspace, capsys):
    """One a line, to be copied; an unknown study names those that are here."""
    code, text = ran(capsys, "--cells", "amount-9203b502")
    assert code == 0
    assert "amount-9203b502:atlas-neox:nall:s2" in text.splitlines()
    code, text = ran(capsys, "--cells", "amount", "--json")
    assert code == 1
    assert "There is no study 'amount' here. Studies: amount-9203b502, level-d3d1f6ed, models-b4744e8f, recipe-" in text
