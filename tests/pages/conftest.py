"""The real app over made-up results (standin.py), with jobs kept in memory."""

import sys
from collections import Counter
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import sftqa_core
from sftqa_core.jobs import executor
from sftqa_core.jobs import listing as reading
from sftqa_core.jobs.executor import FakeExecutor
from tests.pages import standin

ROOT = Path(__file__).parents[2]


class Jobs(FakeExecutor):
    """The fake executor, which a page can also list and wake."""

    def newest_first(self, limit=None, workspace=None, kind=None, states=None):
        found = [job for job in reversed(self.jobs.values()) if kind in (None, job.kind) and (states is None or job.state in states)]
        return found[:limit]

    def counts(self, workspace=None):
        return dict(Counter(job.state for job in self.jobs.values()))

    def stamp(self, workspace=None):
        return str([(job.id, job.turn) for job in self.jobs.values() if job.finished])

    def waiting(self, workspace=None):
        return [reading.Waiting(job, (60.0, 120.0)) for job in self.jobs.values() if job.state == "queued"]

    def wake(self):
        return False


@pytest.fixture
def jobs(monkeypatch) -> Jobs:
    """What pages hand work to; nothing runs until the test says so."""
    kept = Jobs()
    monkeypatch.setattr(executor, "LocalExecutor", lambda: kept)
    monkeypatch.setattr(reading, "jobs_list", kept.newest_first)
    monkeypatch.setattr(reading, "job_counts", kept.counts)
    monkeypatch.setattr(reading, "job_stamp", kept.stamp)
    monkeypatch.setattr(reading, "queue", kept.waiting)
    monkeypatch.setattr(reading, "queue_position", lambda job_id: 1)
    monkeypatch.setattr(reading, "blocked_by", lambda job_id: None)
    return kept


@pytest.fixture
def explorer(monkeypatch, tmp_path, jobs):
    """Opens a page through serve.py: `explorer("memory", query={...}, with_models=False)`. With `real` the core reads the files."""
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
