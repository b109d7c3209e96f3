"""One step of a person is one step back in the browser."""

import re

import pytest

from tests.browser.serving import PAGE_MS, settled

pytestmark = pytest.mark.browser


def test_back_takes_as_many_steps_as_were_taken(shipped, browser):
    """Results settles on the newest run, and a cell of a study opens Compare with parameters: one press of Back leaves either."""
    from playwright.sync_api import expect

    page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
    page.goto(shipped)
    page.get_by_role("link", name="Results", exact=True).click(timeout=PAGE_MS)
    expect(page).to_have_url(re.compile(r"results\?run="))
    page.get_by_role("link", name="Which data?", exact=True).first.click()
    expect(page).to_have_url(re.compile(r"which-data\?study="))
    cells = page.locator(".js-plotly-plot .heatmaplayer").first
    expect(cells).to_be_visible()
    place = cells.bounding_box()
    page.mouse.click(place["x"] + place["width"] * 3.5 / 6, place["y"] + place["height"] * 0.5 / 6)
    expect(page).to_have_url(re.compile(r"compare\?runs=.*level0"))
    expect(page.get_by_role("heading", name="Compare", exact=True)).to_be_visible()
    settled(page)
    page.go_back()
    expect(page).to_have_url(re.compile(r"which-data\?study=[^&]*$"))
    settled(page)
    page.go_back()
    expect(page).to_have_url(re.compile(r"results\?run="))
    settled(page)
    page.go_back()
    expect(page).to_have_url(re.compile(rf"^{shipped}/?$"))
