"""The Lab's form in a real browser: it survives a reload, opens in another tab, and goes back with the history."""

import re

import pytest

pytestmark = pytest.mark.browser


def test_the_form_survives_a_reload_and_opens_in_another_tab(shipped, browser):
    """What is filled in stands in the address, by the settings' names; back undoes the last change."""
    from playwright.sync_api import expect

    page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
    page.goto(f"{shipped}/lab")
    expect(page.get_by_role("button", name="Launch")).to_be_enabled()
    page.get_by_role("radio", name="240", exact=True).click(force=True)
    expect(page).to_have_url(re.compile(r"lab\.n=240"))
    page.get_by_role("radio", name="LoRA", exact=True).click(force=True)
    expect(page).to_have_url(re.compile(r"lab\.method=lora"))
    page.reload()
    second = page.context.new_page()
    second.goto(page.url)
    for tab in (page, second):
        expect(tab.get_by_role("radio", name="240", exact=True)).to_be_checked()
        expect(tab.get_by_role("radio", name="LoRA", exact=True)).to_be_checked()
    second.close()
    page.go_back()
    expect(page.get_by_role("radio", name="all weights", exact=True)).to_be_checked()
    expect(page.get_by_role("radio", name="240", exact=True)).to_be_checked()
