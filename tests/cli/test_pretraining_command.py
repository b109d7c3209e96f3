"""`sftqa pretrain` on a file of one's own, from its cost to the tuned model."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from sftqa_core.cli.main import main

SIZE = "--hidden-size 32 --heads 2 --layers 1 --intermediate-size 48 --vocabulary 400 --batch-size 4 --device cpu"
TEXT = "--qa-documents 40 --filler-documents 10 --max-exposures 6 --min-exposures 1 --unstated-share 0.1"
TINY = f"{SIZE} {TEXT}".split()


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict, str]:
    """How a command ends, its JSON, and what it told on the way."""
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json"])
    out = capsys.readouterr()
    return ended.value.code, json.loads(out.out), out.err


def own_file(folder: Path, count: int) -> str:
    """One relation that is not built in, with two templates; some facts have two right answers."""
    templates = "{subject} flows into the | The mouth of {subject} is in the"
    objects = [f"Sea {at % 5}" + (f" | Lake {at}" if at % 9 == 0 else "") for at in range(count)]
    rows = [{"relation": "mouth", "subject": f"River {at}", "object": name, "templates": templates} for at, name in enumerate(objects)]
    pd.DataFrame(rows).to_csv(folder / "rivers.csv", index=False)
    return str(folder / "rivers.csv")


def test_a_file_with_a_relation_of_its_own_goes_the_whole_way(tmp_path, workspace, capsys):
    """Its cost stands before the work; the model reads the file's own templates, is probed on what it read, and is tuned."""
    source = own_file(tmp_path, 120)
    status, made, told = said(capsys, "pretrain", "rivers", "--source", source, *TINY)
    assert status == 0, told
    assert told.startswith("120 facts, ")
    assert " statements, " in told.splitlines()[0]
    assert "RAM: about" in told.splitlines()[0]
    assert made["details"]["corpus"]["seen_templates"] == {"mouth": [0, 1]}
    assert made["details"]["corpus"]["documents"] == {
        "statements": made["details"]["corpus"]["documents"]["statements"],
        "questions": 40,
        "filler": 10,
    }
    read = pd.read_parquet(Path(made["path"]) / "exposures.parquet")
    assert len(read) == 120
    assert 0 < (read["exposures"] == 0).sum() < 30
    status, probed, told = said(capsys, "probe", "--model", "rivers", "--source", source, "--limit", "6")
    assert (status, probed["facts"]) == (0, 6), told
    status, tuned, told = said(capsys, "train", "--model", "rivers", "--source", source, "--n", "20", "--test-limit", "10")
    assert (status, tuned["n"]) == (0, 20), told
    assert tuned["after"]["in"]["natural_n"] == 10


def test_questions_with_answers_are_refused_before_the_work(tmp_path, workspace, capsys):
    """The reason and what to do instead; nothing is written."""
    path = tmp_path / "qa.csv"
    path.write_text("question,answer\n" + "\n".join(f"Who is {at}?,Bo {at}" for at in range(60)))
    status, failed, _ = said(capsys, "pretrain", "own", "--source", str(path), *TINY)
    assert status == 1
    assert "can't be pre-trained on bare question-answer pairs" in failed["error"]
    assert "Give each fact a relation, a subject and an object" in failed["error"]
    assert not workspace.models.exists()


def test_a_relation_without_templates_is_refused_with_the_way_to_write_them(tmp_path, workspace, capsys):
    """As every command refuses such a file."""
    path = tmp_path / "rivers.csv"
    path.write_text("relation,subject,object\n" + "\n".join(f"mouth,River {at},Sea {at % 5}" for at in range(60)))
    status, failed, _ = said(capsys, "pretrain", "own", "--source", str(path), *TINY)
    assert status == 1
    assert "mouth" in failed["error"]
    assert "templates" in failed["error"]


def test_very_few_facts_are_told_to_be_pointless(tmp_path, workspace, capsys):
    """Twenty facts: a model can be made, and it is said what can't be told from it; five can't carry questions."""
    status, _, told = said(capsys, "pretrain", "few", "--source", own_file(tmp_path, 20), *TINY, "--epochs", "4")
    assert (status, "nothing can be told: at least 30 are needed" in told) == (0, True), told
    assert "in-domain train facts are left to tune on" in told
    status, failed, _ = said(capsys, "pretrain", "fewer", "--source", own_file(tmp_path, 5), *TINY)
    assert status == 1
    assert "facts to carry its question text" in failed["error"]
