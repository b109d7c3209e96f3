"""Rows, bars and points open what lies behind them: by mouse and by keyboard, and back leads back."""

import re

import pytest

from tests.browser.hands import click_row
from tests.browser.serving import PAGE_MS, settled

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser):
    return browser.new_context(viewport={"width": 1440, "height": 2600}).new_page()


def table(page, at: int = 0):
    """A table once it is drawn; it is one canvas."""
    from playwright.sync_api import expect

    shown = page.get_by_test_id("stDataFrame").nth(at)
    expect(shown).to_be_visible()
    page.wait_for_function("at => document.querySelectorAll('[data-testid=data-grid-canvas]').length > at", arg=at, timeout=PAGE_MS)
    settled(page)
    return shown


def fact_of(page) -> str:
    return re.search(r"[?&]fact=([0-9a-f]{16})", page.url)[1]


def focus(page, shown):
    """Go to a table by the Tab key alone."""
    shown.scroll_into_view_if_needed()
    page.evaluate("document.querySelector('[data-testid=stMain]')?.focus()")
    inside = "at => document.querySelectorAll('[data-testid=stDataFrame]')[0].contains(document.activeElement) && "
    inside += "(document.activeElement.tagName === 'CANVAS' || document.activeElement.closest('canvas'))"
    for _ in range(120):
        page.keyboard.press("Tab")
        if page.evaluate(inside):
            settled(page)
            return
    pytest.fail("The table can't be reached by the Tab key.")


def test_a_click_on_any_cell_opens_the_row_and_back_leads_back(shipped, page):
    """The first and a later column do, no box needs a tick; back shows what stood there before, and the same row opens again."""
    from playwright.sync_api import expect

    page.goto(f"{shipped}/memory")
    shown = table(page)
    expect(page.get_by_text("An example, until a row is clicked:").first).to_be_visible()
    click_row(shown, 1, x=60)
    expect(page).to_have_url(re.compile("fact="))
    first = fact_of(page)
    settled(page)
    click_row(shown, 3, x=700)
    expect(page).not_to_have_url(re.compile(first))
    settled(page)
    page.go_back()
    expect(page).to_have_url(re.compile(first))
    settled(page)
    assert fact_of(page) == first
    click_row(shown, 3, x=700)
    expect(page).not_to_have_url(re.compile(first))


def test_arrow_keys_move_and_enter_and_space_open(shipped, page):
    """By keyboard alone: reaching the table and moving in it opens nothing, Space and Enter open the row that is reached."""
    from playwright.sync_api import expect

    page.goto(f"{shipped}/memory")
    shown = table(page)
    focus(page, shown)
    for _ in range(3):
        page.keyboard.press("ArrowDown")
        settled(page)
    assert "fact=" not in page.url
    page.keyboard.press("Space")
    expect(page).to_have_url(re.compile("fact="))
    first = fact_of(page)
    settled(page)
    page.keyboard.press("ArrowDown")
    settled(page)
    assert fact_of(page) == first
    page.keyboard.press("Enter")
    expect(page).not_to_have_url(re.compile(first))


@pytest.mark.journey
def test_sorting_a_column_opens_nothing(shipped, page):
    """A click on a column's name sorts; then a click on a row opens the fact that stands there."""
    from playwright.sync_api import expect

    page.goto(f"{shipped}/memory?level=L3")
    shown = table(page)
    for _ in range(2):
        click_row(shown, -1)
        settled(page)
    assert "fact=" not in page.url
    click_row(shown, 0)
    expect(page).to_have_url(re.compile("fact="))


@pytest.mark.journey
def test_a_bar_lists_the_facts_behind_it(shipped, page):
    """A piece of a level bar filters by its level and domain; back takes the filter away."""
    from playwright.sync_api import expect

    page.goto(f"{shipped}/memory")
    table(page)
    settled(page)  # what is still to come above the chart would move it under the pointer
    piece = page.locator(".js-plotly-plot").first.locator(".trace.bars path").nth(2)
    place = piece.bounding_box()
    page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    expect(page).to_have_url(re.compile("level=L1.*domain=in"))
    expect(page.get_by_text(re.compile("^450 of 1,520 facts"))).to_be_visible()
    page.go_back()
    expect(page).not_to_have_url(re.compile("level="))


@pytest.mark.journey
def test_a_flip_opens_its_fact_and_a_link_shows_a_colleague_the_same(shipped, page, browser):
    """From a run's changed predictions to one fact; the address alone shows it in another browser, narrow, without sideways scrolling."""
    from playwright.sync_api import expect

    page.goto(f"{shipped}/results")
    table(page)
    click_row(table(page, 1), 0)
    expect(page).to_have_url(re.compile(r"/fact\?.*runs="))
    expect(page.get_by_role("heading", name="Answers in runs")).to_be_visible()
    question = page.get_by_test_id("stText").first.inner_text()
    other = browser.new_context(viewport={"width": 420, "height": 900}, color_scheme="dark").new_page()
    other.goto(page.url)
    expect(other.get_by_test_id("stText").first).to_have_text(question)
    assert other.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.go_back()
    expect(page.get_by_role("heading", name="Predictions that changed")).to_be_visible()
    settled(page)
    assert "/results" in page.url
