"""A study of 200 cells on a cluster whose workers are killed and whose machines are lost: every cell once, and the numbers of one process.

In the full run only (make faults); where ray is not installed it is skipped.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from importlib.util import find_spec

import pytest

from sftqa_core import workflows
from sftqa_core.jobs.cluster.ray_mapper import on_cluster
from sftqa_core.workflows import study_runs
from tests.amount import FULL
from tests.jobs.cluster.test_cluster import Watching, answers, cluster, ray_cluster, study_of  # noqa: F401 - fixtures
from tests.workflows.conftest import made, working_in, world  # noqa: F401 - fixtures

pytestmark = [
    pytest.mark.skipif(not FULL, reason="only in the full run"),
    pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed"),
    pytest.mark.anew,
]
CELLS = int(os.environ.get("SFTQA_CLUSTER_CELLS", "200"))
EVERY = min(20, CELLS // 3)  # cells between two harms


class Harming(Watching):
    """After every 20 cells a worker is killed; in the middle a machine is lost, and another one joins."""

    def __init__(self, cluster, row, chance):  # noqa: F811
        super().__init__()
        self.cluster, self.row, self.chance, self.next, self.machine = cluster, row, chance, EVERY // 2, True

    def progress(self, update):
        super().progress(update)
        if self.runs < self.next:
            return
        self.next += EVERY
        if self.machine and self.runs >= CELLS // 2:
            self.machine = False
            self.cluster.change(remove=min(self.cluster.nodes))
            self.cluster.change(add=True)
            self.row("a machine of a cluster is lost").done("every cell once, the same numbers")
        else:
            with suppress(ProcessLookupError):  # it may be gone by itself
                os.kill(self.chance.choice(self.pids[-2:]), signal.SIGKILL)
                self.row("kill -9 of a cluster's worker").done("every cell once, the same numbers")


def test_a_large_study_on_a_cluster_that_is_harmed(cluster, made, world, workspace, harm, chance, tmp_path):  # noqa: F811
    """Each cell is counted once and lies once in the cache; each has the answers that this process gives."""
    import shutil

    few = {"sizes": (4, 8), "seeds": tuple(range(CELLS // 2)), "test_limit": 2}
    harming = Harming(cluster, harm, chance)
    with on_cluster(cluster.address, "auto", 1, harming):
        report = workflows.study(study_of(world, **few), harming)
    assert (report.done, report.planned) == (CELLS, CELLS)
    assert [update.done for update in harming.updates if update.phase == study_runs.PHASE] == list(range(1, CELLS + 1))
    assert len(list((workspace.root / "cells").glob("*/manifest.json"))) == CELLS
    found = answers(world, **few)
    shutil.copytree(made / "cache" / "models", tmp_path / "alone" / "cache" / "models")
    with working_in(tmp_path / "alone"):
        workflows.study(study_of(world, **few))
        assert found == answers(world, **few)
