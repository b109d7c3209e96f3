"""What pages.py clicks: the pages with the address that each is opened at, and on each the clicks that are timed.

A new page is one line in `PAGES`, a new click one line in `CLICKS`.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass

from load_world import MODEL, fact_file
from playwright.sync_api import Page as Tab

from sftqa_core.knowledge.sources import open_source
from sftqa_core.workflows import cell_names, studies
from sftqa_core.workspace import Workspace

PAGES = {  # name in the table -> path
    "Overview": "",
    "Learn": "learn",
    "Memory": "memory",
    "Lab": "lab",
    "Results": "results",
    "Compare": "compare",
    "Inside": "inside",
    "Own facts": "own-facts",
    "Ask": "ask",
    "Fact": "fact",
    "Jobs": "jobs",
    "Models": "models",
    "How much data?": "how-much-data",
    "Which data?": "which-data",
    "Which model?": "which-model",
    "What moves?": "what-moves",
    "What if?": "what-if",
    "Real models": "real-models",
}


@dataclass(frozen=True)
class Click:
    """One thing that a person does on a page. `do` is called with 0, 1, 2 ... and picks something else each time."""

    page: str
    name: str
    do: Callable[[Tab, int], None]
    like: str  # the part of bare_page.py that has the same kinds of elements


def address(page: str) -> str:
    """Path and query of a page: Memory and Fact show the person's own facts, all splits; Compare a run beside a cell of a study."""
    query: dict[str, str] = {}
    if page in ("Memory", "Fact"):
        source = str(fact_file(Workspace.current()))
        query = {"model": MODEL, "source": source, "split": "all"}
        query |= {"fact": open_source(source).facts["fact_id"].iloc[0]} if page == "Fact" else {}
    elif page == "Compare":
        query = {"runs": ",".join([max(path.name for path in Workspace.current().runs.iterdir()), _cell()])}
    return PAGES[page] + (f"?{urllib.parse.urlencode(query)}" if query else "")


def _cell() -> str:
    """A cell of the study of amounts that ships."""
    study = next(study.settings for study in studies() if study.settings.kind == "amount")
    return next(name for name, run in cell_names(study, MODEL).items() if run.n == 960)


# --- what a hand does; each returns right after the click that counts


def option(label: str, *names: str) -> Callable[[Tab, int], None]:
    """Opens a select box and picks one of its options: those of `names` in turn, else the second, the third and so on."""

    def pick(tab: Tab, number: int) -> None:
        box = tab.get_by_role("combobox", name=label, exact=True).first
        box.focus()
        box.press("ArrowDown")  # opens the list, wherever the box stands; a click may miss one that a chart above it still moves
        options = tab.get_by_role("option")
        options.first.wait_for()
        if names:
            tab.get_by_role("option", name=names[number % len(names)], exact=True).click()
        else:
            options.nth((number + 1) % options.count()).click()

    return pick


def added(label: str, *names: str) -> Callable[[Tab, int], None]:
    """Adds an option to those that are chosen; a second call takes it out again."""

    def pick(tab: Tab, number: int) -> None:
        box = tab.get_by_role("combobox", name=label, exact=True).first
        if number % 2:
            box.press("Escape")  # closes the list
            tab.get_by_test_id("stMultiSelect").filter(has=box).get_by_role("button", name=re.compile("^Remove ")).last.click()
            return
        box.focus()
        box.press("ArrowDown")  # opens the list, wherever the box stands
        options = tab.get_by_role("option")
        options.first.wait_for()
        wanted = tab.get_by_role("option", name=names[number // 2 % len(names)]) if names else options.nth(1 + number // 2)  # 0: all
        wanted.first.click()

    return pick


def side_by_side(*names: str) -> Callable[[Tab, int], None]:
    """Clicks one of the options that stand side by side."""

    def pick(tab: Tab, number: int) -> None:
        tab.get_by_role("radio", name=names[number % len(names)], exact=True).first.click()

    return pick


def switched(label: str) -> Callable[[Tab, int], None]:
    """Turns a switch on or off."""

    def turn(tab: Tab, number: int) -> None:
        tab.get_by_text(label, exact=True).first.click()

    return turn


def typed(label: str, *texts: str) -> Callable[[Tab, int], None]:
    """Types a text and presses Enter, which counts."""

    def write(tab: Tab, number: int) -> None:
        box = tab.get_by_role("textbox", name=label, exact=True).first
        box.fill(texts[number % len(texts)])
        box.press("Enter")

    return write


def row(number_of_table: int = 0) -> Callable[[Tab, int], None]:
    """Clicks a row of a table (of the last one: -1): the box at its left."""

    def tick(tab: Tab, number: int) -> None:
        grid = tab.get_by_test_id("stDataFrame").nth(number_of_table)
        grid.scroll_into_view_if_needed()
        place = grid.bounding_box()
        assert place is not None
        tab.mouse.click(place["x"] + 22, place["y"] + 35 * (2 + number % 5) + 17)

    return tick


def pressed(*names: str) -> Callable[[Tab, int], None]:
    """Presses one of these buttons."""

    def press(tab: Tab, number: int) -> None:
        tab.get_by_role("button", name=names[number % len(names)], exact=True).first.click()

    return press


def from_here(page: str, do: Callable[[Tab, int], None]) -> Callable[[Tab, int], None]:
    """For a click that leaves what the page showed: `do` is done on the page as its address has it, also the second time."""

    def back(tab: Tab, number: int) -> None:
        if number:
            tab.go_back()
            tab.get_by_role("heading", name=page, exact=True).wait_for()
            tab.wait_for_function("document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'")
        do(tab, number)

    return back


def bare_choice(tab: Tab, number: int) -> None:
    """The one choice of bare_page.py."""
    tab.get_by_role("radio", name=f"L{1 + number % 4}", exact=True).first.click()


def example(tab: Tab, number: int) -> None:
    """Takes one of the questions that the Ask page offers; nothing is asked."""
    tab.locator("[class*='st-key-example-'] button").nth(number % 3).click()


CLICKS = (
    Click("Learn", "step", side_by_side("2 · Guess a level", "3 · Train", "6 · Your own facts"), "page"),
    Click("Memory", "model", option("Model", "atlas-qwen", "atlas-llama"), "page"),
    Click("Memory", "domain", option("Domain"), "page"),
    Click("Memory", "by", side_by_side("relation", "domain"), "chart"),
    Click("Memory", "level filter", added("Level", "L0", "L2", "L4"), "filter"),
    Click("Memory", "relation filter", added("Relation"), "fact"),
    Click("Memory", "search", typed("Search", "stavor", "12", "", "karen", "zuzu"), "fact"),
    Click("Memory", "fact row", row(), "fact"),
    Click("Results", "run", option("Run"), "page"),
    Click("Results", "part", side_by_side("contested", "uncontested", "all test facts"), "page"),
    Click("Results", "changed filter", added("Level", "L0", "L2", "L4"), "filter"),
    Click("Results", "search", typed("Search", "a", "port", "", "n", "ka"), "table"),
    Click("Compare", "show", side_by_side("all facts", "disagreements"), "table"),
    Click("Compare", "domain", option("Domain"), "table"),
    Click("Compare", "level filter", added("Level", "L0", "L2", "L4"), "filter"),
    Click("Compare", "search", typed("Search", "a", "port", "", "n", "ka"), "table"),
    Click("Compare", "fact", from_here("Compare", row(-1)), "page"),
    Click("Fact", "next", pressed("Next"), "page"),
    Click("Fact", "estimates", switched("With estimates (adaptive probe, likelihood)"), "table"),
    Click("Fact", "levels", option("Levels by"), "page"),
    Click("Ask", "example", from_here("Ask", example), "text"),
    Click("Lab", "size", side_by_side("120", "240", "480", "960", "60"), "form"),
    Click("Lab", "method", side_by_side("LoRA", "all weights"), "form"),
    Click("Lab", "model", option("Model", "atlas-qwen", "atlas-llama"), "form"),
    Click("Models", "show", option("Show"), "table"),
    Click("Models", "family", added("Family"), "filter"),
    Click("Models", "row", row(), "table"),
    Click("How much data?", "level", side_by_side("L0", "L2", "L4", "mean over levels"), "charts"),
    Click("How much data?", "published", switched("Show published results"), "charts"),
    Click("Which data?", "model", option("Model"), "page"),
    Click("Which model?", "model", option("Model"), "fact"),
    Click("Which model?", "templates", side_by_side("templates in its text", "other templates", "all templates"), "fact"),
    Click("Which model?", "known by", side_by_side("none knows", "split", "all know"), "table"),
    Click("What moves?", "model", option("Model"), "page"),
    Click("What moves?", "tuned on", option("Tuned on"), "charts"),
)
