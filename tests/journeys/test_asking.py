"""Asking models: the answer stays through a reload, a question can be taken back while it is answered, and asking is no job."""

import re

import pytest

from tests.browser.serving import PAGE_MS, RUN_MS, settled, sound
from tests.journeys.axe_findings import findings
from tests.journeys.conftest import fact_link, shipped_fact

pytestmark = pytest.mark.journey
WEIGHTS = re.compile("weights [0-9a-f]{16}")


@pytest.fixture(scope="module")
def asking(started):
    """An explorer whose asking process nobody has started yet."""
    with started("asking") as address:
        yield address


def ask(page) -> None:
    page.get_by_role("button", name="Ask", exact=True).last.click()


def test_a_question_is_taken_back_while_it_is_answered(asking, visit):
    """Cancelled on its way, it is not asked any more, after a reload neither; asked again, it is answered."""
    from playwright.sync_api import expect

    page = visit(f"{asking}/ask?columns=atlas-llama&q=Where+was+Ada+born%3F")
    expect(page.get_by_text("Not asked yet.")).to_be_visible()
    ask(page)
    page.get_by_role("button", name="Cancel").click(timeout=PAGE_MS)
    expect(page.get_by_text("Not asked yet.")).to_be_visible()
    page.reload()
    settled(page)
    expect(page.get_by_text("Not asked yet.")).to_be_visible()
    expect(page.get_by_text(WEIGHTS)).to_have_count(0)
    ask(page)
    weights = page.get_by_text(WEIGHTS).first
    expect(weights).to_be_visible(timeout=RUN_MS)
    settled(page)
    told = weights.inner_text()
    page.reload()
    settled(page)
    expect(page.get_by_text(told).first).to_be_visible()
    assert findings(page) == []
    narrow = visit(page.url, narrow=True, dark=True)
    expect(narrow.get_by_text(told).first).to_be_visible()
    assert findings(narrow) == []


def test_a_fact_is_asked_on_its_own_page_and_with_other_words(asking, visit):
    """Its page asks its question; from there the Ask page opens with it, and says what is right."""
    from playwright.sync_api import expect

    page = visit(f"{asking}/{fact_link()}")
    _, question = shipped_fact()
    ask(page)
    expect(page.get_by_text(WEIGHTS).first).to_be_visible(timeout=RUN_MS)
    page.get_by_role("link", name="Change the question, ask others").click()
    expect(page.get_by_role("textbox", name="Question or statement")).to_have_value(question)
    expect(page.get_by_text(re.compile("^Right answer: "))).to_be_visible()
    settled(page)
    sound(page)
    expect(visit(f"{asking}/jobs").get_by_text("No jobs yet")).to_be_visible()
