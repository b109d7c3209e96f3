"""The real app over made-up results (standin.py), with jobs kept in memory."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import sftqa_core
from sftqa_core.jobs import use_executor
from sftqa_core.jobs.executor import FakeExecutor
from tests.pages import standin

ROOT = Path(__file__).parents[2]


@pytest.fixture
def jobs() -> Iterator[FakeExecutor]:
    """What pages hand work to; nothing runs until the test says so."""
    with use_executor(FakeExecutor()) as executor:
        yield executor


@pytest.fixture
def explorer(monkeypatch, tmp_path, jobs):
    """Opens a page through app.py: `explorer("memory", query={...}, with_models=False)`. With `real` the core reads the files."""
    shipped = tmp_path / "shipped"
    monkeypatch.setattr("sftqa_core.workspace.shipped_folder", lambda: shipped)

    def open_page(
        page: str = "overview", query: dict[str, str] | None = None, example: bool = True, real: bool = False, **settings: bool
    ) -> AppTest:
        st.cache_data.clear()
        st.cache_resource.clear()
        if not real:
            fake = standin.workflows(**settings)
            monkeypatch.setitem(sys.modules, "sftqa_core.workflows", fake)
            monkeypatch.setattr(sftqa_core, "workflows", fake, raising=False)
        if example:
            standin.write_run(shipped / "runs")
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
        if page != "overview":
            app.switch_page(f"pages/{page}.py")
            for name, value in (query or {}).items():
                app.query_params[name] = value
        app.run()
        assert not app.exception, app.exception
        return app

    return open_page


def words(app: AppTest) -> str:
    """All the text a page shows, in one string."""
    kinds = ("title", "subheader", "markdown", "caption", "info", "error", "warning", "text", "code", "metric")
    return "\n".join(str(element.label if kind == "metric" else element.value) for kind in kinds for element in app.get(kind))
