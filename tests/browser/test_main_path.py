"""From Overview to a finished run, as a person clicks it."""

import re

import pytest

from tests.browser.serving import PAGE_MS, RUN_MS, settled, watched

pytestmark = pytest.mark.browser


def test_from_overview_to_a_finished_run(explorer, browser):
    """Overview leads to the Lab, a double click launches one run, another tab shows it, and its Results open."""
    from playwright.sync_api import expect

    page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
    outside = watched(page)
    page.goto(explorer)
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    expect(page.get_by_text("It is no evidence about large models")).to_be_visible()

    page.get_by_role("button", name="Run it yourself in the Lab").click()
    launch = page.get_by_role("button", name="Launch")
    expect(launch).to_be_enabled()
    expect(page.get_by_role("radio", name="60", exact=True)).to_be_checked()
    launch.dblclick()
    expect(page).to_have_url(re.compile(r"job=train-"))
    expect(page.get_by_text(re.compile("^Fine-tune .* on 60 examples of atlas"))).to_have_count(1)
    job = re.search(r"job=(train-[\w-]+)", page.url).group(1)

    second = page.context.new_page()
    second.goto(f"{explorer}/jobs")
    expect(second.get_by_text(job)).to_have_count(1)
    expect(second.get_by_text(re.compile("^Fine-tune "))).to_have_count(1)
    second.close()

    page.reload()
    finished = page.get_by_role("link", name="See the results")
    expect(finished.or_(page.get_by_text("failed", exact=True)).first).to_be_visible(timeout=RUN_MS)
    finished.click()
    expect(page).to_have_url(re.compile(r"/results\?run="))
    expect(page.get_by_text("In-domain: mean over levels")).to_be_visible()
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    expect(page.get_by_text("Predictions that changed")).to_be_visible()
    assert outside == []


@pytest.mark.journey
@pytest.mark.parametrize("name", ["memory", "ask"])
def test_every_page_opens_by_its_address(explorer, browser, name):
    """A page that is the first thing opened on a fresh server runs inside the app, without error, narrow and dark."""
    from playwright.sync_api import expect

    page = browser.new_context(viewport={"width": 420, "height": 900}, color_scheme="dark").new_page()
    page.goto(f"{explorer}/{name}")
    expect(page.get_by_role("heading", name=name.capitalize(), exact=True)).to_be_visible()
    expect(page).to_have_title(f"{name.capitalize()} · SFT-QA Explorer")
    page.wait_for_timeout(1500)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.journey
def test_a_clicked_fact_stays_while_the_table_is_filtered(shipped, browser):
    """A click shows that row's fact, and a filter that moves the rows leaves the same fact in view."""
    from playwright.sync_api import expect

    page = browser.new_context(viewport={"width": 1440, "height": 1400}).new_page()
    page.goto(f"{shipped}/memory")
    table = page.get_by_test_id("stDataFrame").first
    expect(table).to_be_visible()
    shown = page.get_by_test_id("stText").first
    first = shown.inner_text(timeout=PAGE_MS)
    settled(page)
    place = table.bounding_box()
    page.mouse.click(place["x"] + 200, place["y"] + 35 * 5 + 17)  # the fifth row; the table is one canvas
    expect(shown).not_to_have_text(first)
    picked = shown.inner_text()
    page.get_by_role("textbox", name="Search").fill("a")
    page.get_by_role("textbox", name="Search").press("Enter")
    expect(page.get_by_text("3,060 of 3,060 facts.")).to_have_count(0)
    expect(shown).to_have_text(picked)
