"""The command line: one JSON object on standard output whatever happens, with stable keys."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sftqa_core.cli import commands
from sftqa_core.cli.main import main

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ACCURACY = ["per_level", "macro", "macro_low", "macro_high", "macro_levels", "natural", "natural_low", "natural_high", "natural_n"]


def run(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0):
    """The JSON object that a command prints; its exit status is checked."""
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json"])
    printed = capsys.readouterr().out
    assert ended.value.code == status, printed
    return json.loads(printed)


def test_facts_prints_its_documented_keys(capsys):
    """`facts` counts the built-in world: 24 relations, nothing unparsed."""
    found = run(capsys, "facts", "--source", "atlas")
    assert list(found) == ["source", "facts", "relations", "unparsed", "unique", "merged", "excluded_from_train", "echo", "notes"]
    assert (found["source"], len(found["relations"]), found["unparsed"], found["echo"]) == ("atlas", 24, 0, 0)
    assert list(found["relations"]["P17"]) == ["train", "dev", "test"]


def test_probe_prints_its_documented_keys(capsys):
    """`probe` of shipped facts needs no sampling: levels per domain, five counts each."""
    found = run(capsys, "probe", "--model", "atlas-llama", "--source", "atlas", "--limit", "48")
    assert list(found) == ["model", "source", "facts", "scheme", "levels", "facts_per_s", "artifact"]
    assert (found["facts"], found["facts_per_s"]) == (48, None)
    assert [len(found["levels"][domain]) for domain in ("in", "out")] == [5, 5]
    assert sum(found["levels"]["in"]) + sum(found["levels"]["out"]) == 48


def test_train_and_show_print_their_documented_keys(capsys):
    """`train` prints the run's headline and `show` the same with settings and command; `runs` lists it first."""
    found = run(capsys, "train", "--model", "atlas-llama", "--source", "atlas", "--n", "10", "--test-limit", "2", "--no-save-model")
    assert list(found)[:6] == ["run", "n", "before", "after", "baselines", "seconds"]
    for part in (found["before"]["in"], found["after"]["out"], found["baselines"]["few_shot"]["in"], found["baselines"]["majority"]["out"]):
        assert list(part) == ACCURACY
        assert list(part["per_level"][0]) == ["level", "n", "correct", "accuracy", "low", "high"]
    assert {"train", "eval"} <= found["seconds"].keys()
    shown = run(capsys, "show", found["run"])
    assert {key: shown[key] for key in ("run", "n", "before", "after", "baselines", "seconds")} == {
        key: found[key] for key in ("run", "n", "before", "after", "baselines", "seconds")
    }
    assert shown["command"].startswith("sftqa train --model atlas-llama --source atlas --n 10")
    assert run(capsys, "runs")["runs"][0]["run"] == found["run"]


def test_a_level_without_facts_has_null_accuracy_and_no_macro_mean(capsys):
    """With two test facts a relation of one relation's topics some level is empty: its accuracy is null and it is named."""
    found = run(capsys, "train", "--model", "atlas-llama", "--source", "atlas", "--n", "0", "--test-limit", "1", "--shots", "0")
    part = found["after"]["in"]
    empty = [level for level in part["per_level"] if level["n"] == 0]
    assert (part["macro"] is None) == bool(empty)
    assert all(level["accuracy"] is None for level in empty)
    assert part["macro_levels"] == [level["level"] for level in part["per_level"] if level["n"]]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("probe", "--model", "nope"), "There is no model named 'nope'"),
        (("train", "--model", "atlas-llama", "--source", "missing.csv", "--n", "5"), "missing.csv"),
        (("train", "--model", "atlas-llama", "--source", "atlas", "--n", "9999"), "9,999 examples"),
        (("train", "--model", "atlas-llama", "--source", "atlas", "--n", "5", "--levels", "7"), "levels must be"),
        (("show", "nope"), "There is no run 'nope'"),
        (("jobs", "cancel", "nope"), "There is no job 'nope'"),
        (("jobs", "log"), "needs a job's id"),
        (("facts", "--source", "atlas", "--download"), "source must be entity-questions or hub:owner/name"),
    ],
)
def test_failures_are_one_json_object_too(capsys, words, told):
    """A failing command prints only {"error": sentence} and exits with 1."""
    found = run(capsys, *words, status=1)
    assert list(found) == ["error"]
    assert told in found["error"]


def test_mistyped_commands_are_one_json_object_too():
    """What the parser refuses is told as JSON when --json was asked for, with exit status 2."""
    done = subprocess.run([sys.executable, "-m", "sftqa_core.cli", "probe", "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--model" in json.loads(done.stdout)["error"]


@pytest.mark.parametrize("words", [("train", "--model", "m", "--n", "-1"), ("app", "--port", "99999999"), ("dance",)])
def test_impossible_arguments_end_with_status_2(capsys, words):
    """The parser refuses them before anything is loaded."""
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert ended.value.code == 2
    assert "error" in capsys.readouterr().err


@pytest.mark.parametrize("raised", [ValueError("odd"), FileNotFoundError(2, "No such file", "/gone"), PermissionError(13, "Denied", "/ro")])
def test_what_nobody_foresaw_is_one_json_object_too(capsys, monkeypatch, raised):
    """An unexpected exception becomes one sentence as JSON; only a fault of the program's own leaves a traceback beside it."""
    from sftqa_core import workflows

    def broken(device):
        raise raised

    monkeypatch.setattr(workflows, "offered_models", broken)
    with pytest.raises(SystemExit) as ended:
        main(["models", "--json"])
    printed = capsys.readouterr()
    assert ended.value.code == 1
    told = json.loads(printed.out)["error"]
    assert (str(raised) if isinstance(raised, ValueError) else raised.filename) in told
    assert ("Traceback" in printed.err) == isinstance(raised, ValueError)


def test_a_folder_that_cannot_be_written_is_told_before_the_work(capsys, tmp_path):
    """`select --out` checks its folder first and makes none."""
    found = run(capsys, "select", "--model", "atlas-llama", "--n", "5", "--out", str(tmp_path / "none" / "x.jsonl"), status=1)
    assert "is not a writable folder" in found["error"]
    assert not (tmp_path / "none").exists()


def test_select_never_overwrites(capsys, tmp_path):
    """An existing file is left as it is."""
    out = tmp_path / "chosen.jsonl"
    out.write_text("mine")
    found = run(capsys, "select", "--model", "atlas-llama", "--n", "5", "--out", str(out), status=1)
    assert "exists already" in found["error"]
    assert out.read_text() == "mine"


def test_models_and_doctor_know_the_built_in_model(capsys):
    """`models` lists atlas-llama as built-in, and `doctor` finds its files whole."""
    listed = {model["name"]: model for model in run(capsys, "models")["models"]}
    assert (listed["atlas-llama"]["kind"], listed["atlas-llama"]["available"]) == ("built-in", True)
    checks = {row["check"]: row for row in run(capsys, "doctor")["checks"]}
    assert checks["shipped"]["ok"]
    assert "built-in models and results match their checksums" in checks["shipped"]["message"]


def test_text_output_is_for_people(capsys):
    """Without --json the same results are plain lines."""
    with pytest.raises(SystemExit):
        main(["probe", "--model", "atlas-llama", "--limit", "24"])
    printed = capsys.readouterr().out
    assert "24 facts (nothing left to probe)" in printed
    assert "in-domain" in printed


def test_every_documented_option_exists():
    """Each command line of the README and of docs/ parses."""
    from sftqa_core.cli.arguments import parse

    texts = [path.read_text(encoding="utf-8") for path in DOCUMENTS]
    lines = [line.strip() for text in texts for line in text.splitlines() if line.startswith("    sftqa ") and "[" not in line]
    assert len(lines) >= 3
    for line in lines:
        words = line.split("   ")[0].split()[1:]
        assert parse(words).command == words[0]


def test_the_readme_is_a_map():
    """At most 150 lines, and every file that it or docs/ links to is there."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
    for document in DOCUMENTS:
        links = re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8"))
        assert [link for link in links if not (document.parent / link).exists()] == []


def test_a_number_that_is_missing_is_null():
    """A budget without a kappa does not put NaN, which is no JSON, into what --json prints."""
    assert commands._no_nan({"templates": 1, "kappa": float("nan"), "same": 0.5}) == {"templates": 1, "kappa": None, "same": 0.5}
