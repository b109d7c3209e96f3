"""The harm that is done, how often, and what came of it: a table at the end (tests/conftest.py prints it).

`make faults` does every harm its full number of times; the default suite those that tell most, once (SFTQA_TESTS=full chooses).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, field
from pathlib import Path

import pytest

from sftqa_core.jobs.local import LocalExecutor
from sftqa_core.workspace import Workspace
from tests.amount import FULL
from tests.jobs.job_processes import FAST, end_processes


@dataclass
class Harm:
    """One kind of harm."""

    name: str
    times: int = 0
    outcomes: list[str] = field(default_factory=list)

    def done(self, outcome: str) -> None:
        """Count one harm, and keep each new kind of outcome."""
        self.times += 1
        if outcome not in self.outcomes:
            self.outcomes.append(outcome)


@pytest.fixture
def harm(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Harm]]:
    """The row of a kind of harm; it travels in the test's report to the process that prints the table."""
    rows: dict[str, Harm] = {}
    yield lambda name: rows.setdefault(name, Harm(name))
    request.node.user_properties += [("harm", astuple(row)) for row in rows.values()]


@pytest.fixture
def often() -> Callable[..., int]:
    """How often a harm is to be done: so often in full, and `least` times (once) in the default suite."""
    return lambda times, least=1: times if FULL else least


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Random moments, other ones in every run; the seed is printed where a test fails."""
    seed = int(os.environ.get("SFTQA_FAULTS_SEED", random.SystemRandom().randrange(10**6)))
    print(f"SFTQA_FAULTS_SEED={seed}")
    return random.Random(seed)


@pytest.fixture(autouse=True)
def job_workloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs run fault_workloads.py unless a test says otherwise."""
    monkeypatch.setenv("SFTQA_JOB_MODULE", "fault_workloads")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.fixture
def executor(workspace: Workspace):
    """A local executor on a fast clock; whatever it started ends with the test."""
    yield LocalExecutor(workspace, FAST)
    end_processes(workspace)
