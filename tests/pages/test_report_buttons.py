"""Reports and bundles are offered where their numbers are shown, and made only when somebody asks."""

from __future__ import annotations

import pytest

from pages._ui import resources
from sftqa_core.reports import report_files
from tests.made_runs import facts_of, made_run

REPORT, BUNDLE = "Report (HTML)", "Bundle (.zip)"


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
        offered = labels(explorer(where, query, example=False, real=True))
        assert (offered.count(REPORT), offered.count(BUNDLE)) == (1, 1)
    assert made == []
    assert resources.report_page(("one", "two"), "one", True, None) == "<!doctype html>"
    assert made == [(("one", "two"), "one", True, None)]


def test_a_studys_page_offers_it(page, made):
    """Beside its file."""
    offered = labels(page("what_moves"))
    assert (offered.count(REPORT), offered.count(BUNDLE)) == (1, 1)
    assert made == []
