"""One step of a person is one step back in the browser."""

import re
from collections.abc import Callable

import pytest

from tests.amount import in_full
from tests.browser.serving import PAGE_MS, settled

pytestmark = pytest.mark.browser


def test_back_takes_as_many_steps_as_were_taken(shipped, browser):
    """Results settles on the newest run, and a cell of a study opens Compare with parameters: one press of Back leaves either."""
    from playwright.sync_api import expect

    page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
    page.goto(shipped)
    page.get_by_role("link", name="Results", exact=True).click(timeout=PAGE_MS)
    expect(page).to_have_url(re.compile(r"results\?run="))
    page.get_by_role("link", name="Which data?", exact=True).first.click()
    expect(page).to_have_url(re.compile(r"which-data\?study="))
    cells = page.locator(".js-plotly-plot .heatmaplayer").first
    expect(cells).to_be_visible()
    place = cells.bounding_box()
    page.mouse.click(place["x"] + place["width"] * 3.5 / 6, place["y"] + place["height"] * 0.5 / 6)
    expect(page).to_have_url(re.compile(r"compare\?runs=.*level0"))
    expect(page.get_by_role("heading", name="Compare", exact=True)).to_be_visible()
    settled(page)
    page.go_back()
    expect(page).to_have_url(re.compile(r"which-data\?study=[^&]*$"))
    settled(page)
    page.go_back()
    expect(page).to_have_url(re.compile(r"results\?run="))
    settled(page)
    page.go_back()
    expect(page).to_have_url(re.compile(rf"^{shipped}/?$"))


class Line:
    """Between browser and server: what either says is passed on, or held back for a while, as on a slow line."""

    def __init__(self, page):
        self._held: dict[str, list[Callable[[], None]]] = {}  # who must wait -> what it has said since
        page.route_web_socket(re.compile("/_stcore/stream"), self._opened)

    def _opened(self, browsers):
        server = browsers.connect_to_server()
        browsers.on_message(lambda message: self._pass("browser", lambda: server.send(message)))
        server.on_message(lambda message: self._pass("server", lambda: browsers.send(message)))

    def _pass(self, who, send) -> None:
        if who in self._held:
            self._held[who].append(send)
        else:
            send()

    def hold(self, who) -> None:
        """From now on nothing of this one comes through."""
        self._held[who] = []

    def release(self, who) -> None:
        """What it has said comes through, and all that follows."""
        for send in self._held.pop(who):
            send()


@in_full
@pytest.mark.parametrize(("leave", "meanwhile"), [("back", r"/jobs\?run="), ("link", r"/results\?run=")])
def test_what_a_left_page_still_says_does_not_stay_in_the_address(shipped, browser, leave, meanwhile):
    """Results is left while it still runs, on a slow line: what it settles on reaches the browser after that, and is no part of the address
    of the page that is drawn."""
    from playwright.sync_api import expect

    page = browser.new_context(viewport={"width": 1440, "height": 1000}).new_page()
    line = Line(page)
    page.goto(f"{shipped}/jobs")
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    settled(page)
    page.get_by_role("link", name="Results", exact=True).click()
    page.wait_for_url(f"{shipped}/results", wait_until="commit")
    line.hold("server")
    line.hold("browser")
    if leave == "back":
        page.evaluate("history.back()")
    else:
        page.get_by_role("link", name="Jobs", exact=True).click()
    line.release("server")
    expect(page).to_have_url(re.compile(meanwhile))
    line.release("browser")
    expect(page.get_by_role("heading", name="Jobs", exact=True)).to_be_visible()
    settled(page)
    expect(page).to_have_url(f"{shipped}/jobs")
