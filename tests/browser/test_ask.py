"""One question to two models in a real browser: nothing is asked by a link, replies come by themselves, and a reload shows them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from sftqa_core.jobs.ask_files import LocalAskService
from sftqa_core.knowledge.sources import open_source
from sftqa_core.models.catalogue import find_model, weights_fingerprint
from tests.jobs.job_processes import until

pytestmark = pytest.mark.browser

COLD_MS, WARM_S = 240_000, 30.0  # a busy machine takes its time


@pytest.fixture
def service(workspace) -> Iterator[LocalAskService]:
    """The explorer's own asking process, which ends with the test."""
    local = LocalAskService(workspace)
    yield local
    if (process := local.folder.living()) is not None:
        os.kill(process.process.pid, signal.SIGTERM)


def test_a_question_is_asked_and_its_answers_stay(explorer, browser, service):
    """From a link to answers side by side; asking is a click or Ctrl+Enter; a reload and another tab ask nothing anew."""
    from playwright.sync_api import expect

    facts = open_source("atlas").facts.query("split == 'test'")
    question, other = facts["question"].iloc[0], facts["question"].iloc[1]
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    page.goto(f"{explorer}/ask?q={question}&columns=atlas-llama,atlas-neox&answer=Paris")
    expect(page.get_by_text("Not asked yet.")).to_have_count(2)
    expect(page.get_by_text(facts["answers"].iloc[0][0]).first).to_be_visible()
    page.wait_for_timeout(1500)
    assert service.folder.tickets() == []
    assert service.folder.service() is None, "a link starts nothing"

    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_text("Token by token")).to_have_count(2, timeout=COLD_MS)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    for name in ("atlas-llama", "atlas-neox"):
        expect(page.get_by_text(f"weights {weights_fingerprint(find_model(name))} · float32 · cpu")).to_be_visible()

    box = page.get_by_role("textbox", name="Question or statement")
    box.fill(other)
    began = time.monotonic()
    box.press("Control+Enter")
    expect(page.get_by_text(facts["answers"].iloc[1][0]).first).to_be_visible()
    expect(page.get_by_text("Not asked yet.")).to_have_count(0)
    until(lambda: len(list(service.folder.replies.glob("*.json"))) == 4 and not service.folder.tickets(), WARM_S)
    assert time.monotonic() - began < WARM_S
    expect(page.get_by_text("Token by token")).to_have_count(2)
    assert parse_qs(urlsplit(page.url).query)["q"] == [other]
    kept = sorted(path.stat().st_mtime_ns for path in service.folder.replies.glob("*.json"))

    page.reload()
    expect(page.get_by_text("Token by token")).to_have_count(2)
    expect(box).to_have_value(other)
    second = context.new_page()
    second.goto(page.url)
    expect(second.get_by_text("Token by token")).to_have_count(2)
    second.close()
    page.go_back()
    expect(box).to_have_value(question)
    expect(page.get_by_text("Token by token")).to_have_count(2)
    assert sorted(path.stat().st_mtime_ns for path in service.folder.replies.glob("*.json")) == kept


@pytest.mark.journey
def test_a_question_that_waits_can_be_cancelled(explorer, browser, service):
    """While a command holds the device the page names it; cancelled, nothing stands in the queue."""
    from playwright.sync_api import expect

    from sftqa_core.jobs.lease import device_lease

    page = browser.new_context(viewport={"width": 420, "height": 900}, color_scheme="dark").new_page()
    with device_lease("cpu", "sftqa probe"):
        page.goto(f"{explorer}/ask?q=Who%3F&columns=atlas-llama")
        expect(page.get_by_text("Not asked yet.")).to_be_visible()
        page.get_by_role("button", name="Ask", exact=True).click()
        expect(page.get_by_text("Waiting: device in use by sftqa probe.")).to_be_visible(timeout=COLD_MS)
        page.get_by_role("button", name="Cancel").click()
        expect(page.get_by_text("Not asked yet.")).to_be_visible()
        assert service.folder.tickets() == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
