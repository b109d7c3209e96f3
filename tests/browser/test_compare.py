"""Two runs picked by a click, their difference, and one fact behind it, in a real browser."""

import re

import pytest

from tests.browser.hands import click_row
from tests.made_runs import facts_of, made_run

pytestmark = pytest.mark.browser


@pytest.mark.journey
def test_two_runs_are_picked_and_compared(explorer, browser):
    """Two ticks put two runs into the address; the verdict appears; back takes the second one out again."""
    from playwright.sync_api import expect

    facts = facts_of(count=120)
    made_run("20260101-000000-one", [at % 2 == 0 for at in range(240)], facts)
    made_run("20260102-000000-two", [at % 2 == 0 or at % 3 == 0 for at in range(240)], facts, n=120)
    page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
    page.goto(f"{explorer}/compare")
    table = page.locator("[data-testid=stDataFrame]").first
    expect(table.locator("canvas").first).to_be_visible()
    click_row(table, 0, 20)
    expect(page).to_have_url(re.compile(r"runs=\d{8}-\d{6}-\w+$"))
    expect(page.get_by_text("Pick a second run")).to_be_visible()
    click_row(table, 1, 20)
    expect(page).to_have_url(re.compile(r"runs=\d{8}-\d{6}-\w+(,|%2C)\d{8}-\d{6}-\w+"))
    expect(page.get_by_text("4 comparisons")).to_be_visible()
    page.go_back()
    expect(page.get_by_text("Pick a second run")).to_be_visible()
