"""Reports are offered where their numbers are shown, and made only when somebody asks."""

from __future__ import annotations

import pytest

from pages._ui import resources
from sftqa_core.reports import report_files
from tests.made_runs import facts_of, made_run
from tests.pages.test_study_pages import page  # noqa: F401 - what ships, as it is

LABEL = "Report (HTML)"


@pytest.fixture
def made(monkeypatch):
    """What reports were made of."""
    asked: list[tuple] = []
    monkeypatch.setattr(report_files, "page_of", lambda *names: asked.append(names) or "<!doctype html>")
    return asked


def labels(app) -> list[str]:
    return [button.proto.label for button in app.get("download_button")]


def test_results_and_compare_offer_it(explorer, workspace, made):
    """One button each; drawing the page makes none."""
    for name in ("one", "two"):
        made_run(name, [at % 2 == 0 for at in range(80)], facts_of())
    for where, query in (("results", {"run": "one"}), ("compare", {"runs": "one,two"})):
        assert labels(explorer(where, query, example=False, real=True)).count(LABEL) == 1
    assert made == []
    assert resources.report_page(("one", "two"), "one", True, None) == "<!doctype html>"
    assert made == [(("one", "two"), "one", True, None)]


def test_a_studys_page_offers_it(page, made):  # noqa: F811
    """Beside its file."""
    assert labels(page("what_moves")).count(LABEL) == 1
    assert made == []
