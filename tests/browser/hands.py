"""What a person's hands do on a page, and what they wait for."""

from typing import Any

import pytest

from tests.browser.serving import PAGE_MS, settled

MOST = 200  # presses of Tab
_ROW = 35  # pixels
_ON_TABLE = """key => document.activeElement?.tagName === 'CANVAS'
  && !!document.activeElement.closest(`.st-key-rows-of-${key}`)"""


def picked(page: Any, label: str, option: str) -> None:
    """Pick an option of a select box."""
    page.get_by_role("combobox", name=label, exact=True).first.click()
    page.get_by_role("option", name=option, exact=True).click()
    settled(page)


def added(page: Any, label: str, option: str) -> None:
    """Add an option to those that are picked, wherever the box stands."""
    box = page.get_by_role("combobox", name=label, exact=True).first
    box.focus()
    box.press("ArrowDown")
    page.get_by_role("option", name=option, exact=True).click()
    settled(page)


def shows(page: Any, label: str, option: str) -> None:
    """Wait until a select box shows an option."""
    from playwright.sync_api import expect

    expect(page.get_by_role("combobox", name=label, exact=True).first).to_have_value(option)
    settled(page)


def value(page: Any, label: str) -> str:
    """What a select box shows."""
    return page.get_by_role("combobox", name=label, exact=True).first.input_value()


def rows_of(page: Any, key: str) -> Any:
    """A table whose rows open (pages/_ui/rows.py), by its key, once it is drawn; it is one canvas."""
    table = page.locator(f".st-key-rows-of-{key}").get_by_test_id("stDataFrame")
    table.locator("canvas").first.wait_for(timeout=PAGE_MS)
    settled(page)
    return table


def click_row(table: Any, row: int, x: int = 100) -> None:
    """Click a row, the first is 0, `x` pixels from the table's left edge."""
    table.scroll_into_view_if_needed()
    place = table.bounding_box()
    at = place["x"] + x, place["y"] + _ROW * (row + 1) + _ROW // 2
    table.page.mouse.move(*at)
    table.page.evaluate("() => new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")  # the table follows
    table.page.mouse.click(*at)


def tab_to(page: Any, selector: str) -> None:
    """Press Tab until the element that has the focus fits; it must be seen to have it."""
    _tab(page, "selector => document.activeElement?.matches(selector) ?? false", selector)


def tab_to_rows(page: Any, key: str) -> None:
    """Press Tab until a table whose rows open has the focus."""
    rows_of(page, key)
    _tab(page, _ON_TABLE, key)
    settled(page)


def _tab(page: Any, there: str, what: str) -> None:
    for _ in range(MOST):
        page.keyboard.press("Tab")
        if page.evaluate(there, what):
            return
    pytest.fail(f"{what} can't be reached with Tab")
