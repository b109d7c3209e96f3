"""Reports of runs, comparisons and studies: the workflows' numbers, whole in one file, nothing of the machine that made it."""

from __future__ import annotations

import base64
import hashlib

import pytest

from sftqa_core import workflows
from sftqa_core.artifacts import write_bytes
from sftqa_core.errors import NotFound, SettingsError
from sftqa_core.records import LevelScheme, StudySettings
from sftqa_core.records.amounts import percent, points
from sftqa_core.records.bundles import ORIGIN
from sftqa_core.records.recipes import Repeat
from sftqa_core.reports.report_files import page_of
from sftqa_core.studies.config import study_yaml
from tests.amount import in_full
from tests.made_runs import facts_of, made_run
from tests.reports.opened import Opened

EVEN = [at % 2 == 0 for at in range(240)]
MOST = [at % 4 != 0 for at in range(240)]
CELL = "amount-9203b502:atlas-llama"
NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


def opened(*names: str, **more) -> Opened:
    return Opened(page_of(names, **more))


@pytest.fixture
def two(workspace):
    """Two runs on 120 facts a domain, of which one half and three quarters are right."""
    facts = facts_of(count=120)
    made_run("one", EVEN, facts)
    made_run("two", MOST, facts, n=120)


# ---- runs ----
def test_a_runs_numbers_are_those_of_its_summary():
    """Headline, the charts' points and the table of all numbers, of the shipped run; methods, command and versions beside them."""
    run = workflows.run(workflows.runs()[-1].id)
    report, after = opened(run.id), run.summary.after
    for domain in after.values():
        for value in (domain.macro, domain.natural):
            assert percent(value) in report.text
    drawn = [next(trace for trace in chart["data"] if trace.get("name") == "after" and len(trace["x"]) > 1) for chart in report.charts[:2]]
    assert [trace["y"] for trace in drawn] == [[level.accuracy for level in domain.per_level] for domain in after.values()]
    rows = {(stage, domain, level): rest for stage, domain, level, *rest in report.table("stage", "domain", "level")}
    assert rows["after", "in", "L4"][:2] == ["382", percent(after["in"].per_level[4].accuracy)]
    assert rows["majority", "out", "mean over levels"][0] == "1,540"
    assert len(rows) == 4 * 2 * 7
    assert "21 statement templates were completed 10 times each (temperature 0.7, at most 32 tokens)" in report.text
    assert "fine-tuned on n = 60 question-answer examples from atlas (an invented world), balanced by relation (seed 0)" in report.text
    assert "1,520 in-domain and 1,540 out-of-domain held-out facts" in report.text
    assert run.manifest["command"] in report.text
    assert ["torch", run.manifest["versions"]["torch"]] in report.table("Package", "Version")
    assert "@misc{ye2024sixty," in report.text
    assert "@software{sftqa_explorer," in report.text
    assert "The built-in world is planted." in report.text


def test_a_run_without_baselines_and_examples(workspace):
    """What is not there is said, and the rest is whole."""
    made_run("bare", [at % 2 == 0 for at in range(80)], shots=0)
    report = opened("bare")
    assert "The k-shot baselines were skipped" in report.text
    assert "Nothing was trained in this run." in report.text
    assert {row[0] for row in report.table("stage", "domain")} == {"before", "after"}
    assert len(report.charts) == 2
    assert "50.0%" in report.text
    assert "planted" not in report.text


def test_a_levels_facts_that_are_few_have_hollow_markers(workspace):
    """Eight facts a level and domain: nothing is claimed of them."""
    made_run("few", [at % 2 == 0 for at in range(80)])
    report = opened("few")
    after = next(trace for trace in report.charts[0]["data"] if trace.get("name") == "after" and len(trace["x"]) > 1)
    assert set(after["marker"]["symbol"]) == {"circle-open"}
    assert "with fewer than 30 facts" in report.text


# ---- comparisons ----
def test_a_comparisons_numbers_are_those_of_the_workflow(two):
    """Tests with their corrected intervals, the charts' points, the facts that were answered otherwise."""
    told = workflows.compare(["one", "two"]).comparison
    report = opened("one", "two")
    verdicts = [row[0] for row in report.table("Verdict", "Facts")]
    assert verdicts == ["B is better than A", "B, A: too few facts to tell"] * 2  # a level has 24 facts
    assert "2 of 4 comparisons tell a difference; 2 too few facts to tell." in report.text
    intervals = [row[3] for row in report.table("Verdict", "Facts")]
    assert intervals == [f"{points(test.low)} to {points(test.high)}" for test in told.tests]
    assert "corrected by Holm's procedure over 4 comparisons" in report.text
    assert "McNemar's exact test" in report.text
    first = next(trace for trace in report.charts[0]["data"] if trace.get("name") == "B" and len(trace["x"]) > 1)
    means = told.runs[1].accuracy["in"]
    assert first["y"] == [mean.value for mean in (*means.per_level, means.macro, means.micro)]
    differing = sum(first != second for first, second in zip(EVEN, MOST, strict=True))
    assert f"{differing} of 240 facts in common" in report.text
    assert "sftqa compare one two" in report.text


def test_pooled_seeds_and_a_chosen_one(two):
    """The command and the methods say so."""
    made_run("three", MOST, facts_of(count=120), n=120, seed=1)
    report = opened("one", "two", "three", pool=True, against="one")
    assert "sftqa compare one two three --pool --against one" in report.text
    assert "Each fact was averaged over the seeds of its setting first." in report.text
    assert "B: n = 120, seeds 0, 1" in report.text


def test_a_cell_alone_has_a_report():
    """With its accuracies, and nothing to compare."""
    report = opened(f"{CELL}:n60:s0")
    mean = workflows.compare([f"{CELL}:n60:s0"]).comparison.runs[0].accuracy["in"].macro
    assert percent(mean.value) in report.text
    assert "Which is better?" not in report.text


# ---- what was imported ----
def test_an_imported_run_is_said_to_be_imported(tmp_path, two):
    """First of all, and in the methods; one's own run beside it stays without; the versions are its maker's."""
    workflows.pack(["one"], tmp_path / "theirs.zip")
    bundle = workflows.import_bundle(tmp_path / "theirs.zip")
    label, sentence = f"Imported: {bundle.name}", "Answers were imported as their maker states them, not made here:"
    alone = opened(*bundle.runs)
    assert alone.text.index(f"{label} {ORIGIN}") < alone.text.index("Accuracy per memory level")
    assert f"{sentence} with the bundle {bundle.name}." in alone.text
    assert ["torch", workflows.run("one").versions["torch"]] in alone.table("Package", "Version")
    both = opened(bundle.runs[0], "two")
    assert both.text.index(f"{label} A. {ORIGIN}") < both.text.index("What differs, and what moved")
    assert f"{sentence} A with the bundle {bundle.name}." in both.text
    own = opened("one", "two").text
    assert "Imported" not in own
    assert sentence not in own


@in_full
def test_an_imported_cell_is_of_its_study(tmp_path, workspace):
    """The legend names the study with its bundle; both labels stand with a bundle of which two are compared."""
    workflows.pack(["models-b4744e8f"], tmp_path / "theirs.zip")
    bundle = workflows.import_bundle(tmp_path / "theirs.zip")
    (study,) = bundle.studies
    report = opened(f"{study}:atlas-llama:n60:s0", f"{study}:atlas-llama:n60:s1")
    assert report.text.count(f"cell of import:{bundle.name}:models-b4744e8f") == 2
    assert f"Imported: {bundle.name} A, B. {ORIGIN}" in report.text
    assert f"not made here: A, B with the bundle {bundle.name}." in report.text


# ---- studies ----
def test_a_study_of_a_recipe(workspace):
    """Findings with their verdicts, the claims' differences, cost; the paper's entry in the BibTeX."""
    known = {study.name: study.settings for study in workflows.studies()}
    name = "recipe-faffc8b6"
    told = workflows.study_report(known[name])
    report = opened(name)
    for finding in told.findings:
        assert " ".join(finding.text.split()) in report.text
    claims = report.table("model", "domain", "level", "measure")
    assert len(claims) == len(told.tables["claims"])
    assert "eprint = {2305.13230}" in report.text
    assert "the recipe's main setting was chosen on dev facts" in report.text
    assert f"{told.done} of {told.planned} runs done" in report.text
    assert len(report.charts) == 5


def test_a_study_of_amounts_draws_its_table():
    """One line a model, with the means over levels of the report."""
    settings = next(study.settings for study in workflows.studies() if study.name == "amount-9203b502")
    rows = workflows.study_report(settings).tables["curve"]
    report = opened("amount-9203b502")
    line = next(trace for trace in report.charts[0]["data"] if trace.get("name") == "atlas-qwen")
    chosen = [row for row in rows if (row["model"], row["domain"], row["level"]) == ("atlas-qwen", "in", "mean over levels")]
    assert sorted(line["y"]) == sorted(row["accuracy"] for row in chosen)
    assert "with seeds 0, 1, 2" in report.text
    assert "The first 300 of 560 rows" in report.text


def test_a_study_of_which_nothing_is_done(workspace):
    """Its settings, and that nothing is known; a model that is gone is no reason to fail."""
    settings = StudySettings("recipe", ("/home/telling-user/gone",), "atlas", recipe=Repeat())
    name = workflows.study_name(settings)
    write_bytes(workspace.studies / f"{name}.yaml", study_yaml(settings).encode())
    report = opened(name)
    assert "No run of this study has finished yet." in report.text
    assert report.charts == []
    assert "telling-user" not in report.own


# ---- what a file may hold ----
def test_one_file_that_asks_for_nothing(two):
    """Its policy forbids every request and every script but two, which are known by their hashes."""
    report = opened("one", "two")
    assert report.policy.startswith("default-src 'none'; script-src 'sha256-")
    assert report.asked == []
    assert report.tags & {"iframe", "img", "link", "object", "form", "base"} == set()
    assert "unsafe-inline" not in report.policy.split("style-src")[0]
    for script in report.scripts:
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in report.policy
    assert len(report.scripts) == 2


def test_texts_of_models_and_data_stay_texts(workspace):
    """A subject, an answer, a level's label and a relation that are HTML are shown as they stand, in tables and in charts."""
    facts = facts_of(count=40).assign(subject=NASTY, question=NASTY)
    scheme = LevelScheme("own", ("L0", "<b>L1</b>", "L2", "L3", "L4"))
    made_run("nasty", [at % 2 == 0 for at in range(80)], facts, scheme=scheme)
    made_run("other", [at % 3 == 0 for at in range(80)], facts, scheme=scheme, n=120)
    for names in (["nasty"], ["nasty", "other"]):
        report = opened(*names)
        assert len(report.scripts) == 2
        assert report.tags & {"img", "b"} == set()
        assert NASTY in report.text
        assert "<b>L1</b>" in report.text


def test_nothing_of_the_machine_is_in_it(tmp_path, workspace, monkeypatch):
    """A model in a folder, one on a server, a file of facts, tokens: the last part of each name is left, the command has it, too."""
    monkeypatch.setenv("SFTQA_TOKEN", "token-of-this-machine")
    places = {
        "model": "/home/telling-user/telling-project/checkpoint-7",
        "source": "/home/telling-user/telling-data/facts.csv?subject=name",
    }
    manifest = {"notes": str(tmp_path), "model": {"name": places["model"], "weights": "w", "dtype": "float32"}}
    made_run("local", EVEN, facts_of(count=120), manifest=manifest, **places)
    made_run("served", MOST, facts_of(count=120), model="http://telling-host.example:8000/v1#llama", source=places["source"])
    for names in (["local"], ["served"], ["local", "served"]):
        report = opened(*names)
        for telling in ("telling", str(tmp_path), str(workspace.root), "token-of-this-machine", "8000"):
            assert telling not in report.own
        assert "facts.csv" in report.text
    assert "sftqa train --model checkpoint-7 --source 'facts.csv?subject=name'" in opened("local").text
    assert "llama (on a server)" in opened("served").text


def test_names_that_are_none_and_studies_among_runs_are_refused(two):
    """With a sentence, before anything is written."""
    with pytest.raises(NotFound, match="There is no run 'nothing'"):
        page_of(["nothing"])
    with pytest.raises(SettingsError, match="a report is of one study, or of runs and cells"):
        page_of(["one", "amount-9203b502"])


def test_runs_without_facts_in_common(two):
    """That is said, and nothing is tested."""
    made_run("elsewhere", EVEN, facts_of("others.csv", 120, "Thing").assign(subject=[f"Other {at}" for at in range(240)]))
    report = opened("one", "elsewhere")
    assert "These were asked no fact in common" in report.text
    assert "Which is better?" not in report.text


def test_a_report_is_made_of_what_is_stored_alone(two):
    """Made again, it is the same to the last sign."""
    assert page_of(["one"]) == page_of(["one"])
