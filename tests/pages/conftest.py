"""The real app over made-up results (standin.py), with jobs kept in memory."""

import inspect
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest, local_script_runner
from streamlit.util import calc_hash

import pages._ui  # noqa: F401 - else the first page of a process starts over, without its address
import sftqa_core
from sftqa_core.jobs import use_executor
from sftqa_core.jobs.ask_files import use_ask_service
from sftqa_core.jobs.ask_service import FakeAskService
from sftqa_core.jobs.executor import FakeExecutor
from sftqa_core.records import STUDIES
from sftqa_core.workspace import Workspace
from tests.pages import standin

ROOT = Path(__file__).parents[2]
# Every AppTest would read the metadata of every installed package again: half of what a page takes.
manifest_scanner.scan_component_manifests = cache(manifest_scanner.scan_component_manifests)
_give_up = local_script_runner.require_widgets_deltas


def _wait(runner: Any, timeout: float = 3) -> None:
    """Until the page's script is over: asked every millisecond, as AppTest does, it would have to share its core with the asking."""
    runner._script_thread.join(timeout)
    if not runner.script_stopped():
        _give_up(runner, 0)


local_script_runner.require_widgets_deltas = _wait


@pytest.fixture
def jobs() -> Iterator[FakeExecutor]:
    """What pages hand work to; nothing runs until the test says so."""
    with use_executor(FakeExecutor()) as executor:
        yield executor


MORE = {"unfolded": "more"}  # the Lab with all its fields


@pytest.fixture
def explorer(monkeypatch, tmp_path, jobs) -> Iterator[Callable[..., AppTest]]:
    """Opens a page through app.py: `explorer("memory", query={...}, with_models=False)`. With `real` the core reads the files."""
    shipped = tmp_path / "shipped"
    monkeypatch.setattr("sftqa_core.workspace.shipped_folder", lambda: shipped)

    def open_page(
        page: str = "overview", query: dict[str, str] | None = None, example: bool = True, real: bool = False, **settings: Any
    ) -> AppTest:
        forget()
        if not real:
            fake = standin.workflows(**settings)
            monkeypatch.setitem(sys.modules, "sftqa_core.workflows", fake)
            monkeypatch.setattr(sftqa_core, "workflows", fake, raising=False)
        if example:
            standin.write_run(shipped / "runs")
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
        if page != "overview":
            at(app, page)
            for name, value in (query or {}).items():
                app.query_params[name] = value
        app.run()
        assert not app.exception, app.exception
        return app

    yield open_page
    forget()


@pytest.fixture(scope="module")
def _afresh() -> None:
    """What other files' pages have kept is gone."""
    forget()


@pytest.fixture
def page(request: pytest.FixtureRequest, jobs: FakeExecutor, workspace: Workspace, _afresh: None) -> Iterator[Callable[..., AppTest]]:
    """Opens a page over the real core: `page("memory", split="dev")`. What ships is read once for all tests that make and patch nothing."""
    patches = "monkeypatch" in inspect.signature(request.function).parameters

    def made() -> bool:
        return patches or bool(jobs.kept) or (workspace.root.exists() and any(workspace.root.iterdir()))

    def open_page(name: str, **query: str) -> AppTest:
        if made():
            forget()
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
        at(app, name)
        for key, value in query.items():
            app.query_params[key] = value
        app.run()
        assert not app.exception, app.exception
        return app

    yield open_page
    if made():
        forget()


@pytest.fixture(autouse=True)
def _no_asker() -> Iterator[None]:
    """Pages start no process that answers questions."""
    with use_ask_service(FakeAskService()):
        yield


@pytest.fixture(autouse=True)
def _through_app(monkeypatch) -> None:
    """AppTest forgets at every run that app.py is what runs the pages, as it is when the explorer is served."""
    begin = PagesManager.__init__

    def served(self: PagesManager, *arguments: object, **more: object) -> None:
        begin(self, *arguments, **more)
        PagesManager.uses_pages_directory = False

    monkeypatch.setattr(PagesManager, "__init__", served)


_ADDRESSES = {"available_models": "models", "own_facts": "own-facts", "real_models": "real-models"}


def at(app: AppTest, page: str) -> None:
    """Open the app at a page's own address; AppTest's switch_page knows addresses only after a first run of app.py."""
    studies = {study.page: study.address for study in STUDIES.values()}
    app._page_hash = calc_hash(studies.get(f"pages/{page}.py", _ADDRESSES.get(page, page)))


def forget() -> None:
    """Nothing that the pages have kept stays."""
    st.cache_data.clear()
    st.cache_resource.clear()


def words(app: AppTest) -> str:
    """All the text a page shows, in one string."""
    kinds = ("title", "subheader", "markdown", "caption", "info", "error", "warning", "text", "code", "metric")
    return "\n".join(str(element.label if kind == "metric" else element.value) for kind in kinds for element in app.get(kind))
