"""A folder of static pages: an index, a report each, links that all lead somewhere, plotly.js once."""

from __future__ import annotations

import pytest

from sftqa_core import workflows
from sftqa_core.artifacts import write_bytes
from sftqa_core.errors import NotFound, SettingsError
from sftqa_core.records import StudySettings
from sftqa_core.reports.site import write_site
from sftqa_core.studies.config import study_yaml
from tests.made_runs import facts_of, made_run
from tests.reports.opened import Opened

EVEN = [at % 2 == 0 for at in range(80)]


@pytest.fixture
def alone(monkeypatch, tmp_path, workspace):
    """A workspace over nothing that ships, with two runs and a study of which nothing is done."""
    monkeypatch.setenv("SFTQA_SHIPPED", str(tmp_path / "ships-nothing"))
    made_run("one", EVEN, facts_of())
    made_run("two", EVEN, facts_of(), model="/home/telling-user/base", n=120)
    settings = StudySettings("amount", ("gone",))
    write_bytes(workspace.studies / f"{workflows.study_name(settings)}.yaml", study_yaml(settings).encode())
    return workflows.study_name(settings)


def test_every_link_leads_to_a_page(alone, tmp_path):
    """Index and reports link to each other by names alone; no page holds plotly.js, which lies beside them."""
    names = write_site(tmp_path / "site")
    assert names == sorted(["index.html", "plotly.min.js", "one.html", "two.html", f"{alone}.html"])
    pages = {name: Opened((tmp_path / "site" / name).read_text(encoding="utf-8")) for name in names if name.endswith(".html")}
    for page in pages.values():
        assert set(page.asked) <= set(names)
        assert len(page.page) < 500_000
        assert "telling" not in page.page
        assert "script-src 'self' file: 'sha256-" in page.policy
    assert set(pages["index.html"].asked) == {"one.html", "two.html", f"{alone}.html"}
    assert "No findings yet: too few runs have finished." in pages["index.html"].text
    assert "plotly.min.js" in pages["one.html"].asked
    assert "index.html" in pages["one.html"].asked
    assert pages["one.html"].charts[0]["data"]


def test_the_index_says_how_many_answers_there_are(tmp_path, workspace, monkeypatch):
    """Three of a study's findings stand there, with how many cannot tell."""
    study = next(study for study in workflows.studies() if study.name == "shift-7b1c7c74")
    monkeypatch.setattr(workflows, "studies", lambda: [study])
    monkeypatch.setattr(workflows, "runs", lambda: [])
    write_site(tmp_path / "site")
    told = workflows.study_report(study.settings).findings
    unsure = sum(finding.verdict == "cannot tell" for finding in told)
    index = Opened((tmp_path / "site" / "index.html").read_text(encoding="utf-8"))
    assert f"3 of {len(told)} answers, yes and no first; {unsure} cannot tell. All are on its page." in index.text
    assert "?:" not in index.text


def test_what_cant_be_read_is_left_out_and_said(alone, tmp_path):
    """The other pages are there."""
    (workflows.run("one").folder / "predictions.parquet").write_bytes(b"damaged")
    names = write_site(tmp_path / "site")
    assert "one.html" not in names
    index = Opened((tmp_path / "site" / "index.html").read_text(encoding="utf-8"))
    assert "Left out" in index.text
    assert "one: " in index.text
    assert str(tmp_path) not in index.text


def test_a_folder_that_is_there_is_not_touched(alone, tmp_path):
    """And nothing to show makes no folder."""
    (tmp_path / "site").mkdir()
    with pytest.raises(SettingsError, match="exists already"):
        write_site(tmp_path / "site")
    with pytest.raises(NotFound, match="no study and no run"):
        write_site(tmp_path / "shipped-only", own=False)
    assert not (tmp_path / "shipped-only").exists()
    assert list((tmp_path / "site").iterdir()) == []
