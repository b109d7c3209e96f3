"""The reading API: its names stay, its numbers are those of the workflows, its examples run."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from sftqa_core import reading, workflows
from sftqa_core.errors import NotFound
from sftqa_core.jsonrecord import fingerprint
from tests.made_runs import facts_of, made_run

ROOT = Path(__file__).parents[1]
DOCS = (ROOT / "docs" / "reading.md").read_text(encoding="utf-8")
CELL = "amount-9203b502:atlas-llama"
SIGNATURES = {
    "accuracy": "run",
    "cells": "study",
    "comparison": "names, reference=None, pool=False, against=None",
    "completions": "model, source, fact_id, scheme=None",
    "curve": "run",
    "examples": "run",
    "exposures": "model, source='atlas', split='test', domain='all', scheme=None",
    "findings": "study",
    "inside_tables": "names",
    "levels": "model, source='atlas', split='test', domain='all', scheme=None",
    "looks": "",
    "predictions": "run, stage=None",
    "recipe_tables": "run",
    "runs": "",
    "studies": "",
    "study_tables": "study",
}
FROZEN = {
    "RUNS": "id model source n levels method recipe seed created shipped cut in_macro in_micro out_macro out_micro",
    "ACCURACY": "stage domain level n accuracy low high",
    "PREDICTIONS": "fact_id stage domain level relation subject question answers text matched correct rival mean_logprob tokens",
    "EXAMPLES": "fact_id relation subject question answers domain echo level",
    "CURVE": "step loss learning_rate",
    "LEVELS": "fact_id relation subject question answers split domain echo level score hits completions low_samples high_samples "
    "low_templates high_templates",
    "COMPLETIONS": "fact_id template prompt text count tokens stop matched",
    "EXPOSURES": "fact_id relation subject level score corpus index window count subject_count object_count estimated asked_at",
    "STUDIES": "name kind question models source n seeds recipe shipped finished",
    "CELLS": "cell model n levels recipe seed",
    "FINDINGS": "about question verdict text",
    "LOOKS": "run measures shipped",
}


SUMS = [
    "8c8c4887fd780222",
    "8552d9849babc3d9",
    "1c619848778343f6",
]  # of the columns of STUDY_TABLES, COMPARISON and INSIDE, which docs/reading.md lists


def shipped_run() -> str:
    return workflows.runs()[-1].id


def test_names_of_functions_and_arguments_stay():
    """Somebody's notebook depends on them."""
    public = {name: one for name, one in vars(reading).items() if inspect.isfunction(one) and not name.startswith("_")}
    own = {name: one for name, one in public.items() if one.__module__ == reading.__name__}
    without_types = {
        name: ", ".join(
            key if at.default is at.empty else f"{key}={at.default!r}" for key, at in inspect.signature(one).parameters.items()
        )
        for name, one in own.items()
    }  # fmt: skip
    assert without_types == SIGNATURES


def test_columns_stay():
    """In their order; new ones come behind."""
    assert {name: " ".join(getattr(reading, name)) for name in FROZEN} == FROZEN
    tables = [reading.STUDY_TABLES, reading.COMPARISON, reading.INSIDE]
    assert [fingerprint({str(name): one for name, one in some.items()}) for some in tables] == SUMS


def test_every_function_and_column_is_documented():
    """docs/reading.md names each of them as code, or in a table."""
    assert [name for name in SIGNATURES if f"`{name}(" not in DOCS] == []
    columns = {column for name in FROZEN for column in getattr(reading, name)}
    for tables in (reading.COMPARISON, reading.INSIDE, *reading.STUDY_TABLES.values()):
        columns |= {column for some in tables.values() for column in some}
        assert [name for name in tables if f"| {name} |" not in DOCS] == []
    words = set(re.findall(r"\w+", DOCS))
    assert columns - words == set()


def test_the_examples_run():
    """All of them, one after the other; that none loads torch, test_light_processes shows."""
    blocks = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    assert len(blocks) == 5
    names: dict[str, Any] = {}
    exec("\n".join(blocks), names)
    assert [len(names[name]) for name in ("answers", "levels", "tests")] == [3060, 3060, 4]
    assert len(names["said"]) > 0
    assert names["moved"].index[0] == "L0"


def test_a_runs_tables_have_the_workflows_numbers():
    """Accuracies and answers of the shipped run."""
    run, summary = shipped_run(), workflows.run(shipped_run()).summary
    table = reading.accuracy(run)
    assert tuple(table.columns) == reading.ACCURACY
    means = table[(table["stage"] == "after") & (table["level"] == "mean over levels")].set_index("domain")
    for domain, after in summary.after.items():
        assert (means.loc[domain, "accuracy"], means.loc[domain, "n"]) == (after.macro, after.natural_n)
    answers = reading.predictions(run, "after")
    assert tuple(answers.columns) == reading.PREDICTIONS
    for domain, after in summary.after.items():
        for level in after.per_level:
            rows = answers[(answers["domain"] == domain) & (answers["level"] == level.level)]
            assert (len(rows), int(rows["correct"].sum())) == (level.n, level.correct)
    assert set(reading.predictions(run)["stage"]) == {"before", "after", "few_shot", "majority"}
    assert (tuple(reading.curve(run).columns), tuple(reading.examples(run).columns)) == (reading.CURVE, reading.EXAMPLES)
    assert (len(reading.curve(run)), len(reading.examples(run)), reading.recipe_tables(run)) == (8, 60, {})
    row = reading.runs().set_index("id").loc[run]
    assert (row["n"], row["in_macro"]) == (60, summary.after["in"].macro)


def test_a_run_without_baselines_or_examples(workspace):
    """Two stages, and tables without rows that have their columns."""
    made_run("bare", [at % 2 == 0 for at in range(80)])
    assert set(reading.accuracy("bare")["stage"]) == {"before", "after"}
    assert reading.accuracy("bare").query("stage == 'after' and level == 'micro average'")["accuracy"].tolist() == [0.5, 0.5]
    assert (len(reading.examples("bare")), tuple(reading.examples("bare").columns)) == (0, reading.EXAMPLES)
    assert (len(reading.curve("bare")), tuple(reading.curve("bare").columns)) == (0, reading.CURVE)


def test_levels_and_completions():
    """The counts of levels are those of the profile; a fact's completions are as many as were drawn."""
    profile, table = workflows.profile("atlas-llama", "atlas"), reading.levels("atlas-llama")
    assert tuple(table.columns) == reading.LEVELS
    assert table["level"].value_counts()["L0"] == profile.groups("split")["test"][0]
    texts = reading.completions("atlas-llama", "atlas", table["fact_id"][0])
    assert tuple(texts.columns) == reading.COMPLETIONS
    assert int(texts["count"].sum()) == table["completions"][0] == 210


def test_studies_their_cells_findings_and_tables():
    """As reports have them; a table without rows keeps its columns."""
    table = reading.studies().set_index("name")
    assert table.loc["amount-9203b502", ["kind", "question", "finished"]].tolist() == ["amount", "How much data?", True]
    cells = reading.cells("amount-9203b502")
    assert (tuple(cells.columns), len(cells)) == (reading.CELLS, 112)
    known = {study.name: study.settings for study in workflows.studies()}
    for name in ("amount-9203b502", "recipe-fcfa81d7"):
        report = workflows.study_report(known[name])
        assert reading.findings(name).to_dict("records") == [finding.to_dict() for finding in report.findings]
        for title, found in reading.study_tables(name).items():
            columns = reading.STUDY_TABLES[known[name].kind][title]
            assert (len(found), tuple(found.columns)[: len(columns)]) == (len(report.tables[title]), columns)
    assert len(reading.study_tables("recipe-fcfa81d7")["by_level"]) == 0


def test_a_comparison_is_that_of_the_command():
    """Four tables; tests and accuracies are the comparison's."""
    names = [f"{CELL}:n60:s0", f"{CELL}:n240:s0"]
    tables, told = reading.comparison(names), workflows.compare(names).comparison
    assert {name: tuple(table.columns)[: len(reading.COMPARISON[name])] for name, table in tables.items()} == reading.COMPARISON
    assert tables["tests"]["p_holm"].tolist() == [test.p_holm for test in told.tests]
    micro = tables["accuracy"].query("label == 'B' and domain == 'in' and level == 'micro average'")
    assert micro["accuracy"].tolist() == [told.runs[1].accuracy["in"].micro.value]
    assert {"correct A", "text A", "correct base"} <= set(tables["facts"].columns)


def test_few_facts_are_told_as_such(workspace):
    """A comparison of runs on 20 facts a domain has its verdict in the table."""
    facts = facts_of(count=20)
    for name, share in (("one", 2), ("two", 4)):
        made_run(name, [at % share == 0 for at in range(40)], facts)
    assert set(reading.comparison(["one", "two"])["tests"]["verdict"]) == {"too few facts to tell"}


def test_tables_of_looks():
    """Of two seeds together: facts of both, numbers over both, with the documented columns."""
    names = [f"{CELL}:n60:s0", f"{CELL}:n60:s1"]
    assert set(names) <= set(reading.looks()["run"])
    tables = reading.inside_tables(names)
    assert {name: tuple(table.columns) for name, table in tables.items()} == reading.INSIDE
    assert (len(tables["facts"]), set(tables["drift"]["run"])) == (6120, set(names))
    assert set(tables["drift_by_level"]["seeds"]) == set(tables["knowledge_by_level"]["seeds"]) == {2}
    assert set(tables["curves"]["part"]) == {"train", "dev"}


def test_unknown_names_are_refused():
    """With a sentence, each in its own way."""
    with pytest.raises(NotFound, match="There is no study 'amount'"):
        reading.study_tables("amount")
    with pytest.raises(NotFound, match="There is no run 'nothing'"):
        reading.predictions("nothing")
    with pytest.raises(NotFound, match="Nobody has looked inside 'nothing'"):
        reading.inside_tables("nothing")


def test_nothing_stored_is_an_empty_table(tmp_path, monkeypatch):
    """With its columns."""
    monkeypatch.setenv("SFTQA_SHIPPED", str(tmp_path / "nothing"))
    empty = {"RUNS": reading.runs(), "STUDIES": reading.studies(), "LOOKS": reading.looks()}
    assert {name: (len(table), tuple(table.columns)) for name, table in empty.items()} == {
        name: (0, getattr(reading, name)) for name in empty
    }
