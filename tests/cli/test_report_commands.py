"""`sftqa report` and `sftqa site` as they are typed."""

from __future__ import annotations

import json

import pytest

from sftqa_core.cli.main import main
from tests.made_runs import facts_of, made_run

EVEN = [at % 2 == 0 for at in range(80)]


@pytest.fixture
def typed(workspace, monkeypatch, tmp_path, capsys):
    """Types a command in a folder of its own, over two runs and nothing that ships: (exit status, standard output)."""
    monkeypatch.setenv("SFTQA_SHIPPED", str(tmp_path / "ships-nothing"))
    for name in ("one", "two"):
        made_run(name, EVEN, facts_of())
    monkeypatch.chdir(tmp_path)

    def command(*words: str):
        with pytest.raises(SystemExit) as ended:
            main(words)
        return ended.value.code, capsys.readouterr().out

    return command


def test_a_report_is_written_once(typed, tmp_path):
    """Its size is told, as JSON too; a file that is there stays as it is."""
    status, printed = typed("report", "one", "--out", "one.html")
    assert (status, printed) == (0, "one.html: 4.8 MB. It opens in any browser, without the network.\n")
    status, printed = typed("report", "one", "two", "--pool", "--out", "both.html", "--json")
    told = json.loads(printed)
    assert (status, told["of"], told["size_bytes"]) == (0, ["one", "two"], (tmp_path / "both.html").stat().st_size)
    before = (tmp_path / "one.html").stat().st_mtime_ns
    status, printed = typed("report", "two", "--out", "one.html", "--json")
    assert (status, json.loads(printed)["error"]) == (1, "one.html exists already and is not overwritten. Choose another name.")
    assert (tmp_path / "one.html").stat().st_mtime_ns == before


def test_runs_can_be_named_as_a_person_named_them(typed):
    """The report is of the run with that name."""
    assert typed("label", "two", "--name", "my best")[0] == 0
    status, printed = typed("report", "my best", "--out", "best.html", "--json")
    assert (status, json.loads(printed)["of"]) == (0, ["two"])


def test_a_report_has_to_be_a_page(typed, tmp_path):
    """Another ending is refused before work is done."""
    status, printed = typed("report", "one", "--out", "one.pdf", "--json")
    assert (status, json.loads(printed)["error"]) == (1, "A report is an HTML file, so its name ends in .html, got one.pdf.")
    assert not (tmp_path / "one.pdf").exists()


def test_a_site_is_a_folder(typed, tmp_path):
    """Its files are told."""
    status, printed = typed("site", "--out", "site", "--json")
    assert (status, json.loads(printed)["files"]) == (0, ["index.html", "one.html", "plotly.min.js", "two.html"])
    status, printed = typed("site", "--out", "site", "--json")
    assert (status, json.loads(printed)["error"]) == (1, "site exists already. Name a new folder.")
