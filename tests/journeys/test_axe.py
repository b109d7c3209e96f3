"""No page has a serious or critical finding of axe: light and dark, wide and narrow, with content, unfolded, and in what opens over it."""

from typing import Any

import pytest

from tests.browser.serving import PAGE_MS, settled
from tests.journeys.axe_findings import findings
from tests.journeys.conftest import PAGES, compare_link, fact_link, shipped_cells, shipped_run

pytestmark = pytest.mark.journey
FULL = {  # name -> a page that a bare address leaves empty
    "a fact": lambda: fact_link(runs=shipped_run()),
    "a comparison": lambda: compare_link(shipped_run(), *shipped_cells(10, 960)),
    "a presented step": lambda: "learn?step=2&present=1",
    "a question": lambda: "ask?columns=atlas-llama,atlas-qwen&q=Where+was+Ada+born%3F",
}
LOOKS = {"light 1440": (False, False), "dark 420": (True, True), "dark 1440": (True, False), "light 420": (False, True)}
EVERY_CHANGE = {("results", "light 1440"), ("lab", "dark 420")}  # one with charts and tables, one with a form
VIEWS = [
    pytest.param(name, look, id=f"{name or 'overview'}-{look}", marks=[pytest.mark.smoke] if (name, look) in EVERY_CHANGE else [])
    for name in [*PAGES, *FULL]
    for look in LOOKS
]


def address_of(explorer: str, name: str) -> str:
    return f"{explorer}/{FULL[name]() if name in FULL else name}"


def unfold(page: Any) -> None:
    """Opens everything that is folded, also what appears when something else opens."""
    folded = page.locator("[data-testid=stExpander] details:not([open]) > summary")
    for _ in range(20):
        if not folded.count():
            return
        folded.first.click()  # which is then no longer among them
        settled(page)


def popped(page: Any) -> list[str]:
    """Findings in each box that opens over the page at a press of its button, one after the other."""
    from playwright.sync_api import expect

    lines, buttons, box = [], page.locator("[data-testid=stPopover] button:enabled"), page.get_by_test_id("stPopoverBody")
    for at in range(buttons.count()):
        name = buttons.nth(at).inner_text()
        buttons.nth(at).click()
        expect(box).to_be_visible()
        settled(page)
        lines += [f"in '{name}': {line}" for line in findings(page, "[data-testid=stPopoverBody]")]
        page.keyboard.press("Escape")
        expect(box).to_have_count(0)
    return lines


@pytest.mark.parametrize(("name", "look"), VIEWS)
def test_a_page_has_no_grave_finding(shipped, visit, name, look):
    """With what ships; what is folded away is unfolded first."""
    dark, narrow = LOOKS[look]
    page = visit(address_of(shipped, name), narrow=narrow, dark=dark)
    unfold(page)
    assert findings(page) == []


@pytest.mark.parametrize("look", ["light 1440", "dark 420"])
@pytest.mark.parametrize("name", [*PAGES, *FULL], ids=lambda name: name or "overview")
def test_no_box_over_a_page_has_a_grave_finding(shipped, visit, name, look):
    """What opens at a press of a button, one after the other, also in what is folded away."""
    dark, narrow = LOOKS[look]
    page = visit(address_of(shipped, name), narrow=narrow, dark=dark)
    unfold(page)
    assert popped(page) == []


@pytest.mark.parametrize(
    ("path", "button"),
    [
        ("memory", "Glossary"),
        ("memory", "Add your own facts"),
        ("memory", "Aliases"),
        ("how-much-data", "Add two seeds"),
    ],
)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_dialog_has_no_grave_finding(shipped, visit, path, button, dark):
    """What is asked or told over a page; nothing in it is pressed."""
    page = visit(f"{shipped}/{path}", dark=dark, narrow=dark)
    page.get_by_role("button", name=button).first.click()
    page.get_by_role("dialog").wait_for(timeout=PAGE_MS)
    settled(page)
    assert findings(page, "[role=dialog]") == []


@pytest.mark.smoke
def test_a_planted_fault_is_found(shipped, visit):
    """Grey words on grey: a check that finds nothing here would find nothing anywhere."""
    page = visit(f"{shipped}/jobs")
    page.get_by_text("No jobs yet").evaluate("words => words.style.cssText = 'color:#999 !important;background:#888'")
    assert any(line.startswith("color-contrast") for line in findings(page))
