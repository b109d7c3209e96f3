"""Without a mouse: to another page, through pickers, to Launch, to a fact."""

import pytest

from tests.browser.hands import tab_to
from tests.browser.serving import PAGE_MS, settled

pytestmark = pytest.mark.journey


def test_a_page_and_a_pick_by_keys(shipped, visit):
    """Navigation by Tab and Enter, an option by the arrow keys; the address follows."""
    from playwright.sync_api import expect

    page = visit(f"{shipped}/")
    tab_to(page, "a[href$='/memory']")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Memory", exact=True)).to_be_visible()
    settled(page)
    box = page.get_by_role("combobox", name="Domain", exact=True)
    tab_to(page, f"[id='{box.get_attribute('id')}']")
    page.keyboard.press("ArrowDown")
    page.get_by_role("option").first.wait_for()
    for key in ("ArrowDown", "Enter"):
        page.keyboard.press(key)
    page.wait_for_url("**domain=*", timeout=PAGE_MS)
    settled(page)
    assert box.input_value() in ("in-domain", "out-of-domain")


def test_the_lab_is_worked_by_keys(shipped, visit):
    """Another size by the arrow keys, then Launch can be reached (and is not pressed)."""
    page = visit(f"{shipped}/lab")
    tab_to(page, "input[type=radio][value='60'], [role=radio][aria-checked=true]")
    tab_to(page, "[data-testid=stBaseButton-primary]")
    assert "Launch" in page.evaluate("document.activeElement.innerText")


def test_the_glossary_by_keys(shipped, visit):
    """Opens by Enter, closes by Escape, and the focus is back on its button."""
    from playwright.sync_api import expect

    page = visit(f"{shipped}/results")
    tab_to(page, ".st-key-glossary-open button")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
