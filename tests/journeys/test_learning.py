"""The lesson in a browser: presented by keys, by a remote and by Space, on a beamer; a class on one server."""

import re

import pytest

from tests.browser.serving import RUN_MS, settled, sound

pytestmark = pytest.mark.journey
CLASS = 20  # each has a browser of their own that draws on the same cores; twenty press at once in tests/pages/test_learn_page.py
BEAMER = {"width": 1280, "height": 720}
SCROLLED = "document.querySelector('[data-testid=stMain]').scrollTop"
LEFT = "(main => main.scrollHeight - main.clientHeight)(document.querySelector('[data-testid=stMain]'))"  # pixels below the window


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


@pytest.mark.parametrize("guess", [None, ("about half", "L1", "60 examples", "no difference", "no difference")], ids=["asked", "guessed"])
def test_what_is_presented_fits_a_beamer(shipped, visit, guess):
    """Each screen of each step on 1280 x 720, before the guess and after it: nothing lies below the window, nothing is wider."""
    page = visit(f"{shipped}/learn?present=1")
    page.set_viewport_size(BEAMER)
    taken, walked = list(guess or ()), []
    while True:
        buttons = page.locator("[class*=st-key-guess-] button")
        if taken and buttons.count():
            page.get_by_role("button", name=taken.pop(0), exact=True).click()
            settled(page)
        if page.locator("[class*=presented-chart-]").count():
            page.locator(".js-plotly-plot").first.wait_for()
            settled(page)
        walked.append(page.url.partition("?")[2])
        assert page.evaluate(LEFT) == 0, page.url
        sound(page)
        if page.get_by_role("button", name="Next").is_disabled():
            break
        page.keyboard.press("ArrowRight")
        settled(page)
    assert len(walked) == len(set(walked)) == 8
    assert not taken


def test_a_remote_scrolls_before_it_turns_the_page(shipped, visit):
    """In a window that is too low for the screen: down to its end and then on, up to its beginning and then back; a new page begins at its
    top."""
    from playwright.sync_api import expect

    page = visit(f"{shipped}/learn?step=3&present=1")
    page.set_viewport_size({"width": 1280, "height": 300})
    for forth in ("PageDown", " "):
        pressed = 0
        while "step=3" in page.url:
            before = page.evaluate(SCROLLED)
            at_end = page.evaluate(LEFT) - before <= 4
            page.keyboard.press(forth)
            settled(page)
            pressed += 1
            assert at_end or ("step=3" in page.url and page.evaluate(SCROLLED) > before)
        assert pressed > 1
        assert page.evaluate(SCROLLED) == 0
        page.keyboard.press("ArrowLeft")
        expect(page).to_have_url(re.compile(r"step=3\b"))
        settled(page)
    page.keyboard.press("PageDown")
    assert page.evaluate(SCROLLED) > 0
    page.keyboard.press("PageUp")
    assert page.evaluate(SCROLLED) == 0
    assert "step=3" in page.url
    page.keyboard.press("PageUp")
    expect(page).to_have_url(re.compile(r"step=2\b"))


def test_escape_closes_what_is_open_before_it_leaves(shipped, visit):
    """The method stands over the screen; a second Escape leaves presenter mode."""
    from playwright.sync_api import expect

    page = visit(f"{shipped}/learn?step=2&present=1")
    page.get_by_role("button", name="Why?").click()
    box = page.get_by_test_id("stPopoverBody")
    expect(box.get_by_text("memory score R")).to_be_visible()
    page.keyboard.press("Escape")
    expect(box).to_have_count(0)
    settled(page)
    assert "present=1" in page.url
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Learn", exact=True)).to_be_visible()


def test_a_class_asks_and_trains_once(started, visit):
    """Visitors on one server, each with a browser of their own, ask the same question: one answer, which all see. They press the
    same button: one job, and its result in all of them."""
    from playwright.sync_api import expect

    with started("class") as address:
        tabs = [visit(f"{address}/learn") for _ in range(CLASS)]
        for tab in tabs:
            press(tab, "Ask")
        for tab in tabs:
            expect(tab.get_by_text("10 samples")).to_be_visible()
        for tab in tabs:
            tab.get_by_role("radio", name="3 · Train").evaluate("step => step.click()")
        for tab in tabs:
            press(tab, "60 examples")
        for tab in tabs:
            press(tab, "Train 10")
        for tab in tabs:
            expect(tab.get_by_text("1 of the runs is missing")).to_be_visible(timeout=RUN_MS)
        jobs = visit(f"{address}/jobs")
        expect(jobs.get_by_text("Ended (1)")).to_be_visible()


def press(tab, name):
    """Presses a button of one of many tabs, which a busy machine draws too rarely for a click at a place."""
    from playwright.sync_api import expect

    button = tab.get_by_role("button", name=name, exact=True)
    expect(button).to_be_enabled()
    button.evaluate("button => button.click()")
