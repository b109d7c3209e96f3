"""The lesson in a browser: presented by keys, by a remote and by Space; a class of twenty on one server."""

import re

import pytest

from tests.browser.serving import RUN_MS, settled, sound

pytestmark = pytest.mark.journey
CLASS = 20


@pytest.mark.smoke
def test_the_lesson_is_presented_by_keys(shipped, visit):
    """Into presenter mode by its button: only the step, larger; arrows, a remote's keys and Space turn the page, Escape leaves it."""
    from playwright.sync_api import expect

    page = visit(f"{shipped}/learn?step=2")
    usual = page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)")
    page.get_by_role("button", name="Present").click()
    expect(page).to_have_url(re.compile(r"present=1"))
    settled(page)
    assert page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)") > 1.2 * usual
    expect(page.get_by_test_id("stHeader")).to_be_hidden()
    for key, step in (("ArrowRight", "3"), ("PageDown", "4"), ("ArrowLeft", "3"), ("PageUp", "2")):
        page.keyboard.press(key)
        expect(page).to_have_url(re.compile(rf"step={step}\b"))
        settled(page)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press(" ")
    expect(page).to_have_url(re.compile(r"step=3\b"))
    settled(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Learn", exact=True)).to_be_visible()
    assert "present" not in page.url
    settled(page)
    page.keyboard.press("ArrowRight")  # turns no page outside presenter mode
    settled(page)
    assert "step=3" in page.url
    sound(page)


def test_space_presses_what_has_the_focus(shipped, visit):
    """A guess by the keyboard is a guess; it turns no page."""
    from playwright.sync_api import expect

    page = visit(f"{shipped}/learn?step=4&present=1")
    page.get_by_role("button", name="no difference").focus()
    page.keyboard.press(" ")
    expect(page.get_by_text("Not what you predicted")).to_be_visible()
    settled(page)
    assert "step=4" in page.url


def test_a_class_trains_once(started, visit):
    """Twenty tabs on one server press the same button: one job, and its result in all of them."""
    from playwright.sync_api import expect

    with started("class") as address:
        first = visit(f"{address}/learn?step=3")
        tabs = [first, *(visit(f"{address}/learn?step=3", beside=first) for _ in range(CLASS - 1))]
        for tab in tabs:
            tab.get_by_role("button", name="60 examples").click()
        for tab in tabs:
            expect(tab.get_by_role("button", name="Train 10", exact=True)).to_be_enabled()
        for tab in tabs:
            tab.get_by_role("button", name="Train 10", exact=True).evaluate("button => button.click()")
        for tab in tabs:
            expect(tab.get_by_text("1 of the runs is missing")).to_be_visible(timeout=RUN_MS)
        jobs = visit(f"{address}/jobs")
        expect(jobs.get_by_text("Ended (1)")).to_be_visible()
