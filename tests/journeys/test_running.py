"""A run in progress: reloaded, in two tabs, launched by keys; compared with another and run again with changes when it is over."""

import re

import pytest

from tests.browser.serving import PAGE_MS, RUN_MS, settled, sound, watched

pytestmark = pytest.mark.journey


def test_a_run_goes_on_through_reloads_and_tabs_and_is_one_run(started, visit):
    """Launched by Enter; a reload and a second tab in mid-run show the same job, offer no second one, and one run is there in the end."""
    from playwright.sync_api import expect

    with started("running") as address:
        page = visit(f"{address}/lab")
        outside = watched(page)
        launch = page.get_by_role("button", name="Launch")
        expect(launch).to_be_enabled()
        launch.focus()
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(r"job=train-"))
        job = re.search(r"job=(train-[\w-]+)", page.url).group(1)
        second = visit(page.url, beside=page)
        page.reload()
        for tab in (page, second):
            expect(tab.get_by_text(job)).to_have_count(1)
            if tab.get_by_text("running", exact=True).count():
                expect(tab.get_by_role("button", name="Launch")).to_be_disabled()
        for tab in (page, second):
            expect(tab.get_by_role("link", name="See the results")).to_be_visible(timeout=RUN_MS)
            sound(tab)
        page.get_by_role("link", name="See the results").click()
        expect(page).to_have_url(re.compile(r"/results\?run="))
        jobs = visit(f"{address}/jobs", narrow=True, dark=True)
        expect(jobs.get_by_text("Ended (1)")).to_be_visible()
        assert outside == []
        _compare(page, visit, address)
        _again(page, visit, address)


def _compare(page, visit, address: str) -> None:
    """From Results to Compare: the new run beside the shipped one, what differs, and a fact on which they disagree."""
    from playwright.sync_api import expect

    mine = re.search(r"run=([\w-]+)", page.url).group(1)
    shown = visit(f"{address}/results?run={mine}")
    box = shown.get_by_role("combobox", name="Run", exact=True)
    box.click()
    box.press_sequentially("shipped")
    shown.get_by_role("option", name=re.compile("shipped example")).first.click()
    shown.wait_for_url(lambda url: mine not in url, timeout=PAGE_MS)
    settled(shown)
    theirs = re.search(r"run=([\w-]+)", shown.url).group(1)
    assert theirs != mine
    compared = visit(f"{address}/compare?runs={mine},{theirs}")
    for words in ("What differs, and what moved", "Which is better?", "Fact by fact"):
        expect(compared.get_by_text(words, exact=True)).to_be_visible()
    expect(compared.get_by_text(re.compile(r"facts in common")).first).to_be_visible()
    sound(compared)
    again = visit(compared.url, narrow=True, dark=True)
    expect(again.get_by_text("Which is better?", exact=True)).to_be_visible()


def _again(page, visit, address: str) -> None:
    """Run again with changes: the form is filled in, a change is told, and a reload in a new tab keeps both."""
    from playwright.sync_api import expect

    page.get_by_role("link", name="Run again with changes").first.click()
    expect(page.get_by_text("nothing is changed yet")).to_be_visible()
    settled(page)
    page.get_by_role("radio", name="120", exact=True).click()
    expect(page.get_by_text("60 → 120")).to_be_visible()
    settled(page)
    other = visit(page.url)
    expect(other.get_by_text("60 → 120")).to_be_visible()
    expect(other.get_by_role("radio", name="120", exact=True)).to_be_checked()
