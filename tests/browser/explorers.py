"""Fixtures of tests in a browser: one browser for all of them, and explorers that those share which start no job.

No explorer of these leaves this machine: a hub of our own stands for the hub, and tells what it was asked.
"""

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser.serving import PAGE_MS, QUIET, ROOT, installed_browser, running_explorer, settled, sound

RUNS = 1_000
WIDE, NARROW = {"width": 1440, "height": 1000}, {"width": 420, "height": 900}


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One Chrome or Chromium, whichever is installed, for all tests that ask for it; each opens contexts of its own."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PAGE_MS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=installed_browser(), args=QUIET)
        yield started
        started.close()


@pytest.fixture(scope="session")
def hub() -> Iterator[Any]:
    """A hub on this machine that knows no model and no data set."""
    from tests.fake_hub import FakeHub

    served = FakeHub()
    yield served
    served.close()


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory, hub: Any) -> Callable[..., Any]:
    """Starts an explorer in a folder of its own."""

    def start(name: str, **environment: str) -> Any:
        folder = tmp_path_factory.mktemp(name)
        place = {"SFTQA_CACHE": str(folder / "cache"), "SFTQA_STATE": str(folder / "state"), "HF_HOME": str(folder / "hf")}
        asked = {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
        return running_explorer(folder, **{**place, **asked, **environment})

    return start


@pytest.fixture(scope="session")
def shipped(started: Callable[..., Any]) -> Iterator[str]:
    """With what ships and nothing else."""
    with started("shipped") as address:
        yield address


@pytest.fixture(scope="session")
def nothing(started: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Without runs, models and studies: nothing ships either."""
    with started("nothing", SFTQA_SHIPPED=str(tmp_path_factory.mktemp("ships-nothing"))) as address:
        yield address


@pytest.fixture(scope="session")
def many(started: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """With 1,000 runs, as benchmarks/load_world.py makes them."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import load_world

    from sftqa_core.workspace import Workspace

    folder = tmp_path_factory.mktemp("many-runs")
    before = os.environ.get("SFTQA_CACHE")
    os.environ["SFTQA_CACHE"] = str(folder)
    try:
        load_world.write_runs(Workspace.current(), RUNS)
    finally:
        os.environ.pop("SFTQA_CACHE") if before is None else os.environ.update(SFTQA_CACHE=before)
    with started("many", SFTQA_CACHE=str(folder)) as address:
        yield address


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens an address in a context of its own and waits until its script is over: `visit(address, narrow=True, dark=True)`."""
    contexts = []

    def open_page(address: str, narrow: bool = False, dark: bool = False, beside: Any = None) -> Any:
        context = beside.context if beside else browser.new_context(
            viewport=NARROW if narrow else WIDE, color_scheme="dark" if dark else "light"
        )  # fmt: skip
        contexts.append(context)
        page = context.new_page()
        page.goto(address)
        settled(page)
        sound(page)
        return page

    yield open_page
    for context in dict.fromkeys(contexts):
        context.close()
