"""What is on the screen is in the address: copied, walked back and forward, wrong; and opening a link does nothing but show."""

import re
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.browser.hands import picked, shows, value
from tests.browser.serving import PAGE_MS, settled, sound, watched
from tests.journeys.conftest import PAGES

pytestmark = pytest.mark.journey
HARM = quote("<img src=x onerror=alert(1)>")
WRONG = {  # a link that can't be right -> what the page says
    "memory?model=nope": "There is no",
    "memory?source=nope.csv": "There is no source",
    "memory?split=nope": "There is no split 'nope'",
    "memory?domain=nope": "There is no domain 'nope'",
    "memory?levels=nope": "There is no levels by 'nope'",
    "memory?levels=cutoffs&cut=9,a": "Showing the paper's",
    f"memory?model={HARM}": "There is no",
    f"memory?source={HARM}": "There is no",
    f"memory?model={'x' * 3000}": "",
    "memory?source=hub:../x": "is not a dataset id",
    "fact?fact=nope": "",
    "lab?source=nope.csv": "There is no source",
    "lab?job=nope": "There is no job 'nope'",
    "results?run=nope": "There is no run 'nope'",
    f"results?run={HARM}": "There is no run",
    "compare?runs=nope,../../x": "There is no run or cell 'nope'",
    f"compare?runs={','.join(str(at) for at in range(100))}": "A link names at most",
    "ask?q=Where?&columns=nope": "There is no model or run 'nope'",
    "ask?q=Where?&kind=nope": "There is no kind 'nope'",
    "how-much-data?study=nope": "There is no study 'nope'",
    "which-data?model=nope": "There is no model 'nope'",
    "jobs?job=nope": "",
    "models?model=nope": "",
}


def test_a_copied_link_shows_the_same_elsewhere(shipped, visit):
    """Model, split and domain, picked here, in another person's browser; the run that is newest by default is named."""
    page = visit(f"{shipped}/memory")
    picked(page, "Model", "atlas-qwen")
    picked(page, "Split", "dev")
    picked(page, "Domain", "out-of-domain")
    page.wait_for_url("**domain=out*", timeout=PAGE_MS)
    settled(page)
    told = page.get_by_text(re.compile(r"^[\d,]+ of [\d,]+ facts probed$")).inner_text()
    other = visit(page.url)
    for label, option in {"Model": "atlas-qwen", "Split": "dev", "Domain": "out-of-domain"}.items():
        shows(other, label, option)
    assert other.get_by_text(re.compile(r"^[\d,]+ of [\d,]+ facts probed$")).inner_text() == told
    results = visit(f"{shipped}/results")
    assert re.search(r"run=\d{8}-\d{6}-", results.url)
    assert value(visit(results.url), "Run") == value(results, "Run")


@pytest.mark.smoke
def test_back_and_forward_walk_through_picks(shipped, visit):
    """Each pick is a step; the page and the pickers follow."""
    page = visit(f"{shipped}/memory")
    for name in ("in-domain", "out-of-domain"):
        picked(page, "Domain", name)
        page.wait_for_url(f"**domain={name.partition('-')[0]}*", timeout=PAGE_MS)
    for step, name in ((page.go_back, "in-domain"), (page.go_back, "both domains"), (page.go_forward, "in-domain")):
        step()
        page.wait_for_timeout(300)
        shows(page, "Domain", name)
    page.get_by_role("link", name="Results", exact=True).click()
    settled(page)
    page.go_back()  # one step, though a bare link settles on a run
    page.wait_for_timeout(300)
    settled(page)
    shows(page, "Domain", "in-domain")
    sound(page)


@pytest.mark.parametrize("link", WRONG, ids=[link[:40] for link in WRONG])
def test_a_wrong_link_is_told_and_does_no_harm(shipped, visit, link):
    """A sentence in place of what is not there, the rest of the page as ever; text of a link is never run."""
    from playwright.sync_api import expect

    page = visit(f"{shipped}/{link}")
    said: list[str] = []
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    expect(page.get_by_role("heading", name=PAGES[link.partition("?")[0]], exact=True).first).to_be_visible()
    if WRONG[link]:
        alerts = page.get_by_test_id("stAlert").all_inner_texts()
        assert any(WRONG[link].casefold() in text.casefold() for text in alerts), alerts
    assert page.locator("img[src=x]").count() == 0
    assert said == []


def test_opening_a_link_starts_nothing_and_fetches_nothing(started, visit, hub):
    """Facts and models of the hub, a question, a twin, a comparison, a study: shown or offered; no job, no file, no request outside."""
    links = [
        "memory?source=hub:owner/name", "lab?source=hub:owner/name&model=atlas-llama", "memory?source=entity-questions",
        "fact?source=hub:owner/name&fact=x",
        "memory?model=owner/model", "lab?model=owner/model", "ask?q=Where+was+Ada+born%3F&columns=atlas-llama",
        "models?model=owner/model", "how-much-data", "compare?runs=nope",
    ]  # fmt: skip
    hub.asked.clear()
    with started("links") as address:
        for link in links:
            page = visit(f"{address}/{link}")
            outside = watched(page)
            page.reload()
            settled(page)
            sound(page)
            assert outside == [], link
            if "hub:" in link or "entity" in link:
                assert page.get_by_role("button", name="Fetch these facts").is_enabled(), link
            page.context.close()
        jobs = visit(f"{address}/jobs")
        assert jobs.get_by_text("No jobs yet").count() == 1
    fetched = [asked for asked in hub.asked if "/resolve/" in asked or "/datasets/" in asked]
    assert fetched == []
    assert {asked for asked in hub.asked if "owner/name" in asked} == set()


def test_an_address_names_no_more_than_what_is_picked(shipped, visit):
    """At its defaults a page's address holds what may be another tomorrow, and nothing else."""
    page = visit(f"{shipped}/memory")
    assert set(parse_qs(urlsplit(page.url).query)) <= {"model", "source", "fact"}
