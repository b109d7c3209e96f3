"""Every page: wide and narrow, light and dark, with what ships, with 1,000 runs, with nothing."""

import pytest

from tests.browser.explorers import RUNS
from tests.browser.serving import settled, sound
from tests.journeys.conftest import PAGES

pytestmark = pytest.mark.journey
EMPTY = {  # page -> what it says where there is nothing
    "": "No example run ships with this copy",
    "learn": "There is no model on this machine yet",
    "memory": "There is no model on this machine yet",
    "fact": "There is no model on this machine yet",
    "lab": "There is no model on this machine yet",
    "results": "No run has finished yet",
    "compare": "No run has finished yet",
    "inside": "No run has finished yet",
    "own-facts": "Needs the model of step 2",
    "ask": "There is no model on this machine yet",
    "real-models": "No real model has been measured here yet",
    "jobs": "No jobs yet",
    "models": "",  # those that can be downloaded
    "how-much-data": "No study of this kind has been started yet",
    "which-data": "No study of this kind has been started yet",
    "which-model": "No study of this kind has been started yet",
    "what-moves": "No study of this kind has been started yet",
    "what-if": "There is no model on this machine yet",
}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("narrow", [False, True], ids=["1440", "420"])
def test_every_page_is_whole_with_what_ships(shipped, visit, narrow, dark):
    """Its heading, no exception, nothing wider than the window."""
    from playwright.sync_api import expect

    for path, heading in PAGES.items():
        page = visit(f"{shipped}/{path}", narrow=narrow, dark=dark)
        expect(page.get_by_role("heading", name=heading, exact=True).first).to_be_visible()
        page.close()


def test_every_page_says_what_to_do_where_there_is_nothing(nothing, visit):
    """No models, no runs, no studies, no jobs: a sentence, and no exception."""
    from playwright.sync_api import expect

    assert EMPTY.keys() == PAGES.keys()
    for path, words in EMPTY.items():
        page = visit(f"{nothing}/{path}", narrow=True)
        expect(page.get_by_role("heading", name=PAGES[path], exact=True).first).to_be_visible()
        if words:
            expect(page.get_by_text(words).first).to_be_visible()
        page.close()


def test_a_thousand_runs_are_picked_from_and_told_apart(many, visit):
    """The newest is shown, another is found by typing a part of its title, and every page still opens."""
    from playwright.sync_api import expect

    page = visit(f"{many}/results")
    picker = page.get_by_role("combobox", name="Run", exact=True)
    first = picker.input_value()
    assert "run=" in page.url
    picker.click()
    picker.press_sequentially("seed 321")
    page.get_by_role("option").first.click()
    settled(page)
    assert "seed 321" in picker.input_value() != first
    expect(page.get_by_text("Predictions that changed")).to_be_visible()
    for path in ("compare", "inside", "ask", "jobs", "lab"):
        visit(f"{many}/{path}").close()
    assert f"{RUNS:,}" == "1,000"


def test_the_menu_of_a_narrow_page_closes_after_a_choice(shipped, visit):
    """Navigation on a phone: the menu opens, a page is picked, and it lies over nothing any more."""
    from playwright.sync_api import expect

    page = visit(f"{shipped}/memory", narrow=True)
    page.get_by_test_id("stExpandSidebarButton").click()
    link = page.get_by_test_id("stSidebarNavLink").filter(has_text="Results")
    link.click()
    expect(page.get_by_role("heading", name="Results", exact=True)).to_be_visible()
    settled(page)
    expect(link).not_to_be_in_viewport(timeout=10_000)
    sound(page)


def test_words_are_explained_on_every_page(shipped, visit):
    """The glossary opens on each page and finds a word."""
    from playwright.sync_api import expect

    page = visit(f"{shipped}/")
    for path in PAGES:
        if path:
            page.goto(f"{shipped}/{path}")
            settled(page)
        page.get_by_role("button", name="Glossary").first.click()
        dialog = page.get_by_role("dialog")
        search = dialog.get_by_role("textbox", name="Search")
        search.fill("kappa")
        search.press("Enter")
        expect(dialog.get_by_text("Holm").first).to_have_count(0)
        expect(dialog.get_by_text("kappa").first).to_be_visible()
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
