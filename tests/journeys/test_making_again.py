"""A cell of a study whose weights were not kept is made again on the Compare page, and checked against what is stored."""

import re

import pytest

from tests.browser.serving import RUN_MS, settled, sound
from tests.journeys.axe_findings import findings
from tests.journeys.conftest import compare_link, shipped_cells, shipped_run

pytestmark = pytest.mark.journey
CHECKED = re.compile(r"Right and wrong are equal on all [\d,]+ facts|of [\d,]+ facts differ in right or wrong")


def test_a_cell_is_made_again_and_its_numbers_are_checked(started, visit):
    """The cost first, then one job through a reload and a second tab, then the check; the new run takes the cell's place with its words."""
    from playwright.sync_api import expect

    (cell,) = shipped_cells(10)
    with started("again") as address:
        page = visit(f"{address}/{compare_link(shipped_run(), cell)}")
        expect(page.get_by_text("keep which answers were right, not their words")).to_be_visible()
        page.get_by_text("Weights and words that were not kept").click()
        settled(page)
        page.get_by_role("combobox", name="Make again").click()
        page.get_by_role("option", name=re.compile(r"n = 10, seed 0 · cell of")).click()
        expect(page.get_by_text(re.compile("^About .* on this machine"))).to_be_visible()
        settled(page)
        assert findings(page) == []
        page.get_by_role("button", name="Make it again").click()
        expect(page).to_have_url(re.compile("job=train-"))
        job = re.search(r"job=(train-[\w-]+)", page.url).group(1)
        page.reload()
        second = visit(page.url, beside=page)
        for tab in (page, second):
            settled(tab)
            expect(tab.get_by_text(job).or_(tab.get_by_text(CHECKED)).first).to_be_visible()
            expect(tab.get_by_role("button", name="Make it again")).to_have_count(0)
        for tab in (page, second):
            expect(tab.get_by_text(CHECKED)).to_be_visible(timeout=RUN_MS)
            sound(tab)
        page.get_by_role("button", name="Compare with the new one in its place").click()
        expect(page).to_have_url(re.compile(r"runs=[\w-]+(,|%2C)\d{8}-[\w-]+-n10-"))
        settled(page)
        expect(page.get_by_text("keep which answers were right, not their words")).to_have_count(0)
        expect(visit(f"{address}/jobs", narrow=True, dark=True).get_by_text("Ended (1)")).to_be_visible()
