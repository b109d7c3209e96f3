"""Jobs run in real processes here, on a fast clock; whatever a test leaves behind is ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftqa_core.jobs.local import LocalExecutor
from sftqa_core.workspace import Workspace
from tests.jobs.job_processes import FAST, end_processes


@pytest.fixture(autouse=True)
def job_workloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs run job_workloads.py instead of the real workflows."""
    monkeypatch.setenv("SFTQA_JOB_MODULE", "job_workloads")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.fixture
def executor(workspace: Workspace):
    """A local executor; its worker and its jobs' processes end with the test."""
    yield LocalExecutor(workspace, FAST)
    end_processes(workspace)
