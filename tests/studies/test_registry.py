"""A study is one record a kind: nothing else asks which kind it is."""

import ast
from pathlib import Path

import pytest

from sftqa_core.records import STUDIES
from sftqa_core.studies.registry import Crossed, Listed, find_study

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", STUDIES)
def test_a_kind_has_its_study_and_its_page(kind):
    """The module that bears its name, a page that exists, and a printed table that the study makes."""
    study = find_study(kind)
    tables = {**study.tables, **study.tables_of_shots, **study.tables_of_all}
    assert {printed.table for printed in study.printed} <= tables.keys()
    assert (ROOT / STUDIES[kind].page).is_file()


def test_nothing_asks_which_kind_a_study_is():
    """No comparison with the name of a kind in the core or the pages; "models" is a kind of stored result, too."""
    names = STUDIES.keys() - {"models"}
    asked = [
        (path.name, node.lineno)
        for folder in ("sftqa_core", "pages")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare)
        and any(isinstance(side, ast.Constant) and side.value in names for side in (node.left, *node.comparators))
        and any(
            isinstance(side, ast.Attribute | ast.Name) and ast.unparse(side).endswith("kind") for side in (node.left, *node.comparators)
        )
    ]
    assert asked == []


def test_a_table_is_printed_across_or_as_it_is():
    """A line for each combination, a column for each value; what is missing is a dash; rows of another kind are left out."""
    rows = [
        {"model": "m", "domain": "in", "level": "mean", "n": 10, "accuracy": 0.5},
        {"model": "m", "domain": "in", "level": "mean", "n": 60, "accuracy": None},
        {"model": "o", "domain": "out", "level": "L0", "n": 60, "accuracy": 0.1},
    ]
    crossed = Crossed("curve", ("model", "domain"), "n", "accuracy", {"level": "mean"})
    assert crossed.cells(rows) == (["model", "domain", "10", "60"], [["m", "in-domain", "50.0%", "-"]])
    listed = Listed("ranks", {"model": ("model", ""), "n": ("facts", ","), "accuracy": ("same", ".1%")})
    assert listed.cells(rows[:1]) == (["model", "facts", "same"], [["m", "10", "50.0%"]])
