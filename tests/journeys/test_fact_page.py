"""Down to one fact: from the list, by keys, to its neighbours and its answers in runs, and back again."""

import re

import pytest

from tests.browser.hands import click_row, rows_of, tab_to, tab_to_rows
from tests.browser.serving import settled, sound
from tests.journeys.conftest import fact_link, shipped_run

pytestmark = pytest.mark.journey
PLACE = re.compile(r"^[\d,]+ of [\d,]+ in the list$")


def place(page) -> int:
    """Where in its list the fact stands that the page shows, from 1."""
    return int(page.get_by_text(PLACE).inner_text().partition(" ")[0].replace(",", ""))


def stands(page, at: int) -> None:
    """Wait until the fact at this place of the list is shown."""
    from playwright.sync_api import expect

    expect(page.get_by_text(re.compile(rf"^{at:,} of [\d,]+ in the list$"))).to_be_visible()
    settled(page)


@pytest.mark.smoke
def test_from_the_list_to_a_fact_its_neighbours_and_a_runs_answer(shipped, visit):
    """Its page knows the list with its filter: next and previous step through it, a run's answer opens the run, back returns."""
    from playwright.sync_api import expect

    page = visit(f"{shipped}/memory?level=L2")
    click_row(rows_of(page, "facts"), 1)
    expect(page).to_have_url(re.compile("fact=[0-9a-f]{16}"))
    settled(page)
    page.get_by_role("link", name="Levels in other models, answers in runs").click()
    expect(page.get_by_role("heading", name="Fact", exact=True)).to_be_visible()
    stands(page, 2)
    asked = page.get_by_test_id("stText").first.inner_text()
    page.get_by_role("button", name="Next", exact=True).click()
    stands(page, 3)
    assert page.get_by_test_id("stText").first.inner_text() != asked
    page.get_by_role("button", name="Previous", exact=True).click()
    stands(page, 2)
    expect(page.get_by_test_id("stText").first).to_have_text(asked)
    page.go_back()
    stands(page, 3)
    here = re.search("fact=([0-9a-f]{16})", page.url).group(1)
    click_row(rows_of(page, "fact-runs"), 0)
    expect(page).to_have_url(re.compile(rf"/results\?.*run={shipped_run()}"))
    expect(page.get_by_text("Predictions that changed")).to_be_visible()
    settled(page)
    page.go_back()
    stands(page, 3)
    assert here in page.url
    page.get_by_role("link", name="List of facts").click()
    expect(page.get_by_role("heading", name="Memory", exact=True)).to_be_visible()
    settled(page)
    assert "level=L2" in page.url
    assert here in page.url
    sound(page)


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_from_a_run_to_a_fact_and_its_neighbour_without_a_mouse(shipped, visit, key):
    """Tab to the changed predictions, an arrow key opens nothing, Enter and Space open the fact; there the next one by Tab and Enter."""
    from playwright.sync_api import expect

    page = visit(f"{shipped}/results")
    tab_to_rows(page, "changes")
    page.keyboard.press("ArrowDown")
    settled(page)
    assert "/results" in page.url
    page.keyboard.press(key)
    expect(page).to_have_url(re.compile(r"/fact\?"))
    expect(page.get_by_role("heading", name="Answers in runs")).to_be_visible()
    settled(page)
    before, fact = place(page), re.search("fact=([0-9a-f]{16})", page.url).group(1)
    page.get_by_role("button", name="Next", exact=True).evaluate("button => button.id = 'next-one'")
    tab_to(page, "#next-one")
    page.keyboard.press("Enter")
    stands(page, before + 1)
    expect(page).not_to_have_url(re.compile(fact))


def test_another_models_completions_are_shown_on_the_same_fact(shipped, visit):
    """A row of the models' levels shows that model; its address is a link to the same."""
    from playwright.sync_api import expect

    page = visit(f"{shipped}/{fact_link()}")
    asked = page.get_by_test_id("stText").first.inner_text()
    click_row(rows_of(page, "fact-models"), 2)
    expect(page).to_have_url(re.compile(r"model=(?!atlas-llama(&|$))"))
    settled(page)
    expect(page.get_by_test_id("stText").first).to_have_text(asked)
    sound(visit(page.url, narrow=True, dark=True))
