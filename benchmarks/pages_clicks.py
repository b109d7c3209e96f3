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

from sftqa_core.workspace import Workspace

PAGES = {  # name in the table -> path
    "Overview": "",
    "Memory": "memory",
    "Lab": "lab",
    "Results": "results",
    "Compare": "compare",
    "Ask": "ask",
    "Fact": "fact",
    "Jobs": "jobs",
    "Models": "models",
    "How much data?": "how-much-data",
    "Which data?": "which-data",
    "Which model?": "which-model",
    "What moves?": "what-moves",
}


@dataclass(frozen=True)
class Click:
    """One thing that a person does on a page. `do` is called with 0, 1, 2 ... and picks something else each time."""

    page: str
    name: str
    do: Callable[[Tab, int], None]


def address(page: str) -> str:
    """Path and query of a page; Memory's shows the person's own facts, all splits."""
    if page != "Memory":
        return PAGES[page]
    query = {"model": MODEL, "source": str(fact_file(Workspace.current())), "split": "all"}
    return f"{PAGES[page]}?{urllib.parse.urlencode(query)}"


# --- what a hand does; each returns right after the click that counts


def option(label: str, *names: str) -> Callable[[Tab, int], None]:
    """Opens a select box and picks one of its options: those of `names` in turn, else the second, the third and so on."""

    def pick(tab: Tab, number: int) -> None:
        tab.get_by_role("combobox", name=label, exact=True).first.click()
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
    """Clicks a row of a table: the box at its left."""

    def tick(tab: Tab, number: int) -> None:
        grid = tab.get_by_test_id("stDataFrame").nth(number_of_table)
        grid.scroll_into_view_if_needed()
        place = grid.bounding_box()
        assert place is not None
        tab.mouse.click(place["x"] + 22, place["y"] + 35 * (2 + number % 5) + 17)

    return tick


CLICKS = (
    Click("Memory", "model", option("Model", "atlas-qwen", "atlas-llama")),
    Click("Memory", "domain", option("Domain")),
    Click("Memory", "by", side_by_side("relation", "domain")),
    Click("Memory", "level filter", added("Level", "L0", "L2", "L4")),
    Click("Memory", "relation filter", added("Relation")),
    Click("Memory", "search", typed("Search", "stavor", "12", "", "karen", "zuzu")),
    Click("Memory", "fact row", row()),
    Click("Results", "run", option("Run")),
    Click("Results", "part", side_by_side("contested only", "uncontested only", "all test facts")),
    Click("Results", "changed filter", added("Level", "L0", "L2", "L4")),
    Click("Results", "search", typed("Search", "a", "port", "", "n", "ka")),
    Click("Lab", "size", side_by_side("120", "240", "480", "960", "60")),
    Click("Lab", "method", side_by_side("LoRA", "all weights")),
    Click("Lab", "model", option("Model", "atlas-qwen", "atlas-llama")),
    Click("Models", "show", option("Show")),
    Click("Models", "family", added("Family")),
    Click("Models", "row", row()),
    Click("How much data?", "level", side_by_side("L0", "L2", "L4", "mean over levels")),
    Click("How much data?", "published", switched("Show published results")),
    Click("Which data?", "model", option("Model")),
    Click("Which model?", "model", option("Model")),
    Click("What moves?", "model", option("Model")),
    Click("What moves?", "tuned on", option("Tuned on")),
)
