"""How long a person waits for the pages: from each click to the last change on the page, and how far pages jump while they load.

    python benchmarks/pages.py [--world FOLDER] [--rounds 5] [--only Memory,Results]

A real browser over a made-up workspace: a file of 100,000 facts with a complete memory profile and 1,000 runs (load_world.py;
kept in FOLDER for the next time). A click has ended when the server has answered, no script runs and nothing has come or changed
for 300 ms, which are not counted. What can be seen counts, so also what is drawn on a table's canvas; the words that its canvas holds
for screen readers, the document's head, attributes for screen readers and style sheets, and values that are set to what they were
do not. Each click is done `rounds` times, each time to something else, so that
most are not answered from what is kept. Layout shift is the browser's own measure (shifts without a click, the largest window of
a session), at two widths. The first chart is measured by first_chart.py against a bare one-chart app.

What Streamlit, React and the drawing of charts take by themselves is the floor: right after each click the same number of clicks is done
on a bare page with the same kinds of elements (bare_page.py), which reads and computes nothing.

Goals: click to last change at most 300 ms at the median and 1 s at the 95th percentile; first chart at most 1.2 times the bare
app's; layout shift under 0.1.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import load_world
from first_chart import chromium, compare, server
from pages_clicks import CLICKS, PAGES, Click, added, address, bare_choice
from playwright.sync_api import Browser, Error, sync_playwright
from playwright.sync_api import Page as Tab

from sftqa_core.workspace import Workspace

QUIET_MS = 300
PATIENCE_MS = 60_000
WIDTHS = (1440, 420)
MEDIAN_MS, MOST_MS, SHIFT, CHART = 300, 1_000, 0.1, 1.2  # the goals
WATCH = """
window.watched = {clicked: 0, changed: 0, told: 0, shifts: []};
window.WebSocket = class extends WebSocket {
  constructor(...how) { super(...how); this.addEventListener("message", () => { window.watched.told = performance.now(); }); }
};
for (const kind of ["click", "keydown"])
  addEventListener(kind, event => { window.watched.clicked = event.timeStamp; }, {capture: true});
const seen = () => { window.watched.changed = performance.now(); };
const unseen = /^(aria-.*|data-(stale|retained|test.*)|role|id|for|tabindex|href)$/;
const visible = ({type, target, attributeName, oldValue}) => {
  const element = target.closest ? target : target.parentElement;
  if (!element || element.closest("head, canvas")) return false;
  return type !== "attributes" || !(unseen.test(attributeName) || element.getAttribute(attributeName) === oldValue);
};
new MutationObserver(changes => { if (changes.some(visible)) seen(); })
  .observe(document, {subtree: true, childList: true, characterData: true, attributes: true, attributeOldValue: true});
const write = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (...what) { seen(); return write.apply(this, what); };
new PerformanceObserver(list => {
  for (const shift of list.getEntries())
    if (!shift.hadRecentInput) window.watched.shifts.push([shift.startTime, shift.value]);
}).observe({type: "layout-shift", buffered: true});
"""
OVER = """quiet => {
  const app = document.querySelector("[data-testid=stApp]");
  return app && app.dataset.testScriptState === "notRunning" && app.dataset.testConnectionState === "CONNECTED"
    && window.watched.told > window.watched.clicked && performance.now() - Math.max(window.watched.changed, window.watched.told) > quiet;
}"""


@dataclass(frozen=True)
class Timed:
    """One click and how long it took, in milliseconds."""

    click: Click
    took_ms: tuple[float, ...]
    bare_ms: tuple[float, ...]  # on a bare page with the same kinds of elements
    failed: str = ""


def main() -> None:
    """Make or take the workspace, measure, print the tables; the exit status says whether all goals are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", type=Path, default=Path("build/pages-world"), help="the made-up workspace, kept for the next time")
    parser.add_argument("--facts", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="pages, separated by commas")
    parser.add_argument("--charts", type=int, default=5, help="rounds of the first chart; 0: not measured")
    options = parser.parse_args()
    pages = [page for page in PAGES if not options.only or page in options.only.split(",")]
    os.environ.update(SFTQA_CACHE=str(options.world.absolute()), SFTQA_STATE=str(options.world.absolute() / "state"))
    make_world(options.facts, options.runs)
    print(f"load before: {', '.join(f'{load:.2f}' for load in os.getloadavg())}", flush=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        run = [sys.executable, "-m", "streamlit", "run"]
        with server([*run, "app.py"]) as where, server([*run, str(Path(__file__).with_name("bare_page.py"))]) as bare:
            timed = [one for page in pages for one in measure(browser, (where, bare), page, options.rounds)]
            shifts = {page: [layout_shift(browser, where, page, width) for width in WIDTHS] for page in pages}
        ratio = compare(browser, options.charts) if options.charts else None
        browser.close()
    raise SystemExit(not tell(timed, shifts, ratio))


def make_world(facts: int, runs: int) -> None:
    """The made-up workspace, where it is not there yet."""
    workspace = Workspace.current()
    if not load_world.fact_file(workspace).exists():
        load_world.write_facts(workspace, facts)
        load_world.write_hits(workspace, facts)
    if not workspace.runs.exists():
        load_world.write_runs(workspace, runs)


def measure(browser: Browser, servers: tuple[str, str], page: str, rounds: int) -> list[Timed]:
    """Every click of a page, one after the other in one tab; after each the clicks on the bare page beside it."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    tab = context.new_page()
    tab.add_init_script(WATCH)
    timed = []
    for click in (click for click in CLICKS if click.page == page):
        took, failed = clicked(tab, f"{servers[0]}/{address(page)}", click.do, rounds)
        choice = added("Level", "L0", "L2", "L4") if click.like == "filter" else bare_choice
        bare, bare_failed = clicked(tab, f"{servers[1]}/?part={click.like}", choice, rounds)
        timed.append(Timed(click, took, bare, failed or bare_failed))
        told, beside = (", ".join(f"{ms:.0f}" for ms in times) for times in (took, bare))
        print(f"{page}: {click.name}: {told} ms; bare ({click.like}): {beside} ms {failed or bare_failed}", flush=True)
    context.close()
    return timed


def clicked(tab: Tab, where: str, do: Callable[[Tab, int], None], rounds: int) -> tuple[tuple[float, ...], str]:
    """Milliseconds of each click on a page, and why there is none more."""
    took: list[float] = []
    try:
        tab.goto(where)
        until_quiet(tab)
        for number in range(rounds):
            do(tab, number)
            took.append(until_quiet(tab))
    except Error as error:
        return tuple(took), str(error).splitlines()[0]
    return tuple(took), ""


def until_quiet(tab: Tab) -> float:
    """Milliseconds from the last click or key to the last change; waits until the page is quiet."""
    tab.wait_for_function(OVER, arg=QUIET_MS, timeout=PATIENCE_MS, polling=50)
    changed, clicked = tab.evaluate("[window.watched.changed, window.watched.clicked]")
    return max(0.0, changed - clicked)


def layout_shift(browser: Browser, where: str, page: str, width: int) -> float:
    """The largest sum of shifts in a session window (gaps under 1 s, 5 s at most) while the page loads and for a second after."""
    context = browser.new_context(viewport={"width": width, "height": 900})
    tab = context.new_page()
    tab.add_init_script(WATCH)
    tab.goto(f"{where}/{address(page)}")
    until_quiet(tab)
    time.sleep(1)
    shifts = tab.evaluate("window.watched.shifts")
    context.close()
    most, begun, last, total = 0.0, 0.0, float("-inf"), 0.0
    for at, value in shifts:
        if at - last > 1_000 or at - begun > 5_000:
            begun, total = at, 0.0
        last, total = at, total + value
        most = max(most, total)
    return most


def middle_and_high(times: Sequence[float]) -> tuple[float, float]:
    """Median and 95th percentile; 0 where there are none."""
    every = sorted(times) or [0.0]
    return statistics.median(every), every[min(len(every) - 1, int(0.95 * len(every)))]


def tell(timed: Sequence[Timed], shifts: dict[str, list[float]], ratio: float | None) -> bool:
    """Print the tables; whether every goal was met."""
    print("\n| page | click | median | most | bare page | median |\n|---|---|---|---|---|---|")
    for one in timed:
        numbers = f"{statistics.median(one.took_ms):.0f} ms | {max(one.took_ms):.0f} ms" if one.took_ms else "| "
        floor = f"{one.click.like} | {statistics.median(one.bare_ms):.0f} ms" if one.bare_ms else f"{one.click.like} | "
        print(f"| {one.click.page} | {one.click.name} | {numbers} | {floor} |{' ' + one.failed if one.failed else ''}")
    median, high = middle_and_high([ms for one in timed for ms in one.took_ms])
    bare_median, bare_high = middle_and_high([ms for one in timed for ms in one.bare_ms])
    clicks = sum(len(one.took_ms) for one in timed)
    quick = sum(bool(one.took_ms) and statistics.median(one.took_ms) <= MEDIAN_MS for one in timed)
    print(f"\n{quick} of {len(timed)} kinds of click have a median of at most {MEDIAN_MS} ms.")
    print(f"All {clicks} clicks: median {median:.0f} ms (goal {MEDIAN_MS}), 95th percentile {high:.0f} ms (goal {MOST_MS}).")
    if bare_median:
        print(f"On bare pages: {bare_median:.0f} and {bare_high:.0f} ms; {median / bare_median:.2f} and {high / bare_high:.2f} times that.")
    print(f"\n| layout shift | {' | '.join(f'{width} px' for width in WIDTHS)} |\n|---|{'---|' * len(WIDTHS)}")
    for page, values in shifts.items():
        print(f"| {page} | {' | '.join(f'{value:.3f}' for value in values)} |")
    met = [clicks > 0, median <= MEDIAN_MS, high <= MOST_MS, all(value < SHIFT for values in shifts.values() for value in values)]
    if ratio is not None:
        print(f"\nFirst chart: {ratio:.2f} times the bare app's (goal {CHART}).")
        met.append(ratio <= CHART)
    return all(met) and not any(one.failed for one in timed)


if __name__ == "__main__":
    main()
