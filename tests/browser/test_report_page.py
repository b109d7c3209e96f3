"""A report that a person takes from the page: opened without the network, it shows the page's numbers; a site's pages do, too."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftqa_core.reports.site import write_site
from tests.browser.serving import PAGE_MS
from tests.made_runs import facts_of, made_run

pytestmark = pytest.mark.browser
DRAWN = "html[data-drawn=yes]"


def offline(browser, file: Path, width: int = 1280, dark: bool = False):
    """The file in a browser without a network; what it complains of, and what it asks for."""
    theme = "dark" if dark else "light"
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, offline=True)
    page, wrong, asked = context.new_page(), [], []
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri(), wait_until="commit", timeout=PAGE_MS)
    page.wait_for_selector(DRAWN, state="attached", timeout=PAGE_MS)
    return page, wrong, asked


def test_a_report_shows_the_pages_numbers_without_the_network(shipped, visit, browser, tmp_path):
    """Headline and n of Results; charts are drawn in both themes, nothing is asked for, and nothing is wider than a telephone."""
    from playwright.sync_api import expect

    results = visit(f"{shipped}/results")
    expect(results.get_by_test_id("stMetricValue")).to_have_count(4)
    told = [text.strip() for text in results.get_by_test_id("stMetricValue").all_inner_texts()]
    results.get_by_role("button", name="Share").click()
    with results.expect_download(timeout=PAGE_MS) as taken:
        results.get_by_role("button", name="Report (HTML)").click()
    file = tmp_path / "report.html"
    taken.value.save_as(file)
    for width, dark in ((1280, False), (400, True)):
        page, wrong, asked = offline(browser, file, width, dark)
        assert page.locator(".numbers .value").all_inner_texts() == told
        assert page.locator(".chart .main-svg").count() >= 6
        ticks = " ".join(page.locator(".chart .xtick").all_text_contents())
        assert "n = 293" in ticks
        ink = page.locator(".chart .xtick text").first.evaluate("text => getComputedStyle(text).fill")
        assert ink == ("rgb(196, 199, 207)" if dark else "rgb(75, 79, 90)")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert (wrong, asked) == ([], [file.as_uri()])
        page.get_by_text("All numbers").click()
        assert page.get_by_role("cell", name="mean over levels").first.is_visible()


@pytest.mark.journey
def test_a_sites_pages_open_from_the_disk(browser, tmp_path, workspace, monkeypatch):
    """From the index to a report with its charts, and back; plotly.js comes from the folder."""
    monkeypatch.setenv("SFTQA_SHIPPED", str(tmp_path / "ships-nothing"))
    made_run("one", [at % 2 == 0 for at in range(240)], facts_of(count=120))
    write_site(tmp_path / "site")
    page, wrong, asked = offline(browser, tmp_path / "site" / "one.html")
    assert page.locator(".chart .main-svg").count() >= 6
    assert [url.rpartition("/")[2] for url in asked] == ["one.html", "plotly.min.js"]
    page.get_by_role("link", name="All studies and runs").click()
    page.get_by_role("link", name="base, n = 60").click()
    page.wait_for_selector(DRAWN, state="attached", timeout=PAGE_MS)
    assert wrong == []
