"""Two of what ships beside each other, and down to a fact on which they disagree."""

import re

import pytest

from tests.browser.hands import added, click_row, rows_of
from tests.browser.serving import PAGE_MS, settled, sound
from tests.journeys.conftest import compare_link, shipped_cells, shipped_run

pytestmark = pytest.mark.journey
COUNT = re.compile(r"^([\d,]+) of ([\d,]+) facts in common")


def counted(page) -> tuple[int, int]:
    """Facts in the table, and all facts in common."""
    found = COUNT.match(page.get_by_text(COUNT).inner_text(timeout=PAGE_MS))
    return int(found[1].replace(",", "")), int(found[2].replace(",", ""))


@pytest.mark.smoke
def test_two_are_picked_and_explained_down_to_a_fact(shipped, visit):
    """A run by a tick, a study's cells by their settings; disagreements are listed, then all; a fact opens, back keeps the filter."""
    from playwright.sync_api import expect

    page = visit(f"{shipped}/compare")
    table = page.get_by_test_id("stDataFrame").first
    table.locator("canvas").first.wait_for(timeout=PAGE_MS)
    click_row(table, 0, 20)
    expect(page).to_have_url(re.compile(f"runs={shipped_run()}"))
    expect(page.get_by_text("Pick a second run")).to_be_visible()
    settled(page)
    page.get_by_role("button", name="Cells of a study").click()
    box = page.get_by_test_id("stPopoverBody")
    settled(page)
    added(page, "Settings", "n = 960")
    page.keyboard.press("Escape")
    settled(page)
    if not box.count():
        page.get_by_role("button", name="Cells of a study").click()
    box.get_by_role("button", name="Compare", exact=True).click()
    expect(page).to_have_url(re.compile(r"pool=1"))
    expect(page.get_by_text("Which is better?", exact=True)).to_be_visible()
    expect(page.get_by_text(re.compile(r"of \d+ comparisons tell a difference"))).to_be_visible()
    settled(page)
    few, every = counted(page)
    assert 0 < few < every
    page.get_by_role("radio", name="all facts", exact=True).click()
    expect(page.get_by_text(re.compile(f"^{every:,} of {every:,} facts in common"))).to_be_visible()
    settled(page)
    click_row(rows_of(page, "compare-items"), 2)
    expect(page).to_have_url(re.compile(rf"/fact\?.*runs={shipped_run()}"))
    expect(page.get_by_role("heading", name="Answers in runs")).to_be_visible()
    settled(page)
    page.go_back()
    expect(page.get_by_text(re.compile(f"^{every:,} of {every:,} facts in common"))).to_be_visible()
    settled(page)
    assert "show=all" in page.url
    sound(page)


def test_a_copied_comparison_shows_a_colleague_the_same(shipped, visit):
    """Filters included, on a narrow dark screen."""
    page = visit(f"{shipped}/{compare_link(shipped_run(), *shipped_cells(960))}")
    few, every = counted(page)
    added(page, "Level", "L0")
    page.wait_for_url("**level=L0*", timeout=PAGE_MS)
    settled(page)
    fewer, _ = counted(page)
    assert 0 < fewer < few < every
    assert counted(visit(page.url, narrow=True, dark=True)) == (fewer, every)
