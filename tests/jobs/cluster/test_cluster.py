"""Work on a real cluster of Ray, two pretended machines with a GPU each: the same numbers as here, whatever happens to its machines.

Skipped where ray is not installed.
"""

from __future__ import annotations

import os
import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from sftqa_core import workflows
from sftqa_core.errors import SettingsError, SftqaError, Stopped
from sftqa_core.jobs.cluster.ray_driver import GRACE_S
from sftqa_core.jobs.cluster.ray_executor import RayExecutor
from sftqa_core.jobs.cluster.ray_mapper import on_cluster
from sftqa_core.jobs.lease import leases
from sftqa_core.jobs.worker import Timing
from sftqa_core.processes import Talk, our_environment, talking
from sftqa_core.progress import Progress, Recorder
from sftqa_core.records import LevelScheme, ProbeSettings, SamplerSettings, StudySettings
from sftqa_core.studies.model_study import ModelStudy
from sftqa_core.workflows import study_runs
from tests.amount import in_full
from tests.jobs.cluster.ray_cluster import ENVIRONMENT
from tests.jobs.job_processes import FAST, end_processes, until
from tests.workflows.conftest import made, working_in, world  # noqa: F401 - fixtures

pytestmark = [pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed"), pytest.mark.anew]
SCHEME = LevelScheme("two", ("low", "high"), (0.15,), sampling=SamplerSettings(samples=2, max_new_tokens=4))
CELLS = 12


@dataclass
class RayCluster:
    """The cluster of this run of tests."""

    talk: Talk
    address: str = ""
    nodes: dict[int, str] = field(default_factory=dict)  # number -> Ray's id

    def hear(self) -> None:
        """Wait for what it says of itself."""
        while "address" not in (said := self.talk.heard.get(timeout=600)):
            assert "ended" not in said, said
        self.address, self.nodes = said["address"], {int(number): node["id"] for number, node in said["nodes"].items()}

    def change(self, **request: object) -> None:
        """Add or remove a node."""
        self.talk.ask(request)
        self.hear()


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    """A head without devices and two nodes."""
    with tempfile.TemporaryFile() as log, talking("tests.jobs.cluster.ray_cluster", log, {**our_environment(), **ENVIRONMENT}) as talk:
        cluster = RayCluster(talk)
        cluster.hear()
        yield cluster
        talk.ask({"end": True})
        talk.process.wait(60)


@pytest.fixture
def cluster(ray_cluster: RayCluster, monkeypatch) -> RayCluster:
    """The same, with the token that lets one in."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return ray_cluster


class Watching(Recorder):
    """Keeps what is reported, and does something once so many runs of a study are done."""

    def __init__(self, after: int = 0, do: Callable[[Watching], None] | None = None):
        super().__init__()
        self.after, self.do, self.runs = after, do, 0

    def progress(self, update: Progress) -> None:
        super().progress(update)
        if update.phase == study_runs.PHASE:
            self.runs = update.done
        if self.do and self.runs >= self.after > 0:
            self.do, do = None, self.do
            do(self)

    @property
    def pids(self) -> list[int]:
        """The processes of workers that have greeted, in order."""
        return _pids(self.lines)


def _pids(log: list[str]) -> list[int]:
    return [int(found[1]) for line in log if (found := re.search(r"^Worker \d+: .*, process (\d+),", line))]


def study_of(source: str, **changes) -> StudySettings:
    # so many epochs that cells take longer than a machine to be lost: else all are done by then
    base = {"sizes": (4,), "seeds": tuple(range(CELLS)), "scheme": SCHEME, "max_answer_tokens": 4, "epochs": 40}
    return StudySettings("amount", ("tiny",), source, **{**base, **changes})


@pytest.fixture(scope="session")
def alone(made: Path, tmp_path_factory) -> dict[tuple[int, int], list[bool]]:  # noqa: F811
    """What this process answers without a cluster: (examples, seed) -> answers. In a workspace of its own."""
    import shutil

    root = tmp_path_factory.mktemp("alone")
    shutil.copytree(made / "cache" / "models", root / "cache" / "models")
    with working_in(root):
        workflows.study(study_of(str(made / "facts.csv")))
        return answers(str(made / "facts.csv"))


def answers(source: str, **changes) -> dict[tuple[int, int], list[bool]]:
    """Of each finished cell what was answered rightly."""
    part = ModelStudy(study_of(source, **changes), "tiny")
    cells = {(run.n, run.seed): part.cells.read(run) for run in part.grid()}
    return {run: cell.table["correct"].tolist() for run, cell in cells.items() if cell is not None}


def test_a_study_with_a_lost_machine_is_the_undisturbed_one(cluster, world, alone, workspace):  # noqa: F811
    """One of two machines is lost after two of twelve cells: its cell is done on the other one, each cell is counted once, the numbers are
    those of this process, and of the work no process is left."""
    watching = Watching(after=2, do=lambda _: cluster.change(remove=min(cluster.nodes)))
    try:
        with on_cluster(cluster.address, "auto", 1, watching):
            report = workflows.study(study_of(world), watching)
    finally:
        cluster.change(add=True)
    assert (report.done, report.planned) == (CELLS, CELLS)
    assert [update.done for update in watching.updates if update.phase == study_runs.PHASE] == list(range(1, CELLS + 1))
    assert answers(world) == alone
    again = [line for line in watching.lines if "done by worker" in line]
    lost = [line for line in watching.lines if "was lost. Its piece is done again" in line]
    assert len(again) == len(lost) == 1
    assert re.search(r"Worker (\d)", lost[0])[1] != re.search(r"by worker (\d), in attempt 2", again[0])[1]
    assert len(list((workspace.root / "cells").glob("*/manifest.json"))) == CELLS
    until(lambda: not any(psutil.pid_exists(pid) for pid in watching.pids))
    assert list((workspace.root / "cluster").iterdir()) == []
    assert list((workspace.state / "cluster").iterdir()) == []


@in_full
def test_a_killed_worker_and_a_stop(cluster, world, alone):  # noqa: F811
    """kill -9 of a worker costs one attempt. A study that is stopped keeps its cells, and ends as the undisturbed one."""
    killing = Watching(after=2, do=lambda watching: os.kill(watching.pids[0], signal.SIGKILL))

    with on_cluster(cluster.address, "auto", 1, killing):
        workflows.study(study_of(world, seeds=tuple(range(6))), killing)
    assert answers(world) == {(4, seed): alone[4, seed] for seed in range(6)}

    class Stopping(Watching):
        def check(self) -> None:
            if self.runs >= 2:
                raise Stopped("Stopped on request.")

    stopping = Stopping()
    with pytest.raises(Stopped), on_cluster(cluster.address, "auto", 1, stopping):
        workflows.study(study_of(world), stopping)
    assert 8 <= len(answers(world)) < CELLS
    until(lambda: not any(psutil.pid_exists(pid) for pid in stopping.pids))


@in_full
def test_a_probe_is_divided(cluster, world):  # noqa: F811
    """Its facts are probed in pieces; the levels are those of a probe in this process, which finds them all in the cache."""
    settings, watching = ProbeSettings("tiny", world, scheme=SCHEME), Watching()
    with on_cluster(cluster.address, "auto", 1, watching):
        spread = workflows.probe(settings, watching)
    assert spread.facts_per_s is None  # nothing was sampled here
    counted = [update.done for update in watching.updates if update.phase == "probe"]
    assert counted[-1] == spread.facts == 32
    assert len(counted) > 1
    assert workflows.probe(settings).levels == spread.levels


def test_a_job_goes_to_the_cluster(cluster, world, workspace, monkeypatch):  # noqa: F811
    """Submitted as ever, with progress and log as ever; it takes no device of this machine, and says where the pieces are done."""
    monkeypatch.setenv("SFTQA_CLUSTER", cluster.address)
    monkeypatch.setenv("SFTQA_JOB_MODULE", "sftqa_core.workflows")
    executor = RayExecutor(workspace, FAST)
    try:
        job = executor.submit("probe", ProbeSettings("tiny", world, scheme=SCHEME).to_dict())
        until(lambda: any(line.startswith("Worker 1") for line in executor.log(job.id)) or executor.status(job.id).finished, 600)
        assert leases(workspace) == []
        until(lambda: executor.status(job.id).finished, 600)
    finally:
        end_processes(workspace)
    done, log = executor.status(job.id), executor.log(job.id)
    assert (done.state, done.error) == ("done", None)
    assert any(line.startswith(f"The pieces are done by the Ray cluster at {cluster.address}. Ray listens on all") for line in log)
    updates, _ = executor.progress_since(job.id)
    assert [(update.done, update.total) for update in updates if update.phase == "probe"][-1] == (32, 32)


@in_full
def test_a_cancelled_job_leaves_nothing_that_computes_and_goes_on_later(cluster, world, alone, workspace, monkeypatch):  # noqa: F811
    """Cancelled while cells run, it is over before anybody is killed; with a worker that does not listen, once that one is. Either way
    finished cells stay, and no process and no folder of the work does. At the end it has each cell once, with the undisturbed numbers."""
    monkeypatch.setenv("SFTQA_CLUSTER", cluster.address)
    monkeypatch.setenv("SFTQA_JOB_MODULE", "sftqa_core.workflows")
    timing = Timing(poll_s=0.03, idle_s=20.0)
    executor = RayExecutor(workspace, timing)

    def cells() -> dict[str, int]:
        return {path.parent.name: path.stat().st_mtime_ns for path in (workspace.root / "cells").glob("*/manifest.json")}

    def cancelled(job_id: str, after: int, deaf: bool) -> tuple[float, dict[str, int]]:
        until(lambda: len(cells()) >= after or executor.status(job_id).finished, 600)
        pids = _pids(executor.log(job_id))[-2:]
        if deaf:
            os.kill(pids[0], signal.SIGSTOP)
        began = time.monotonic()
        assert executor.cancel(job_id).state == "stopping"
        until(lambda: executor.status(job_id).finished)
        took_s, kept = time.monotonic() - began, cells()
        until(lambda: not any(psutil.pid_exists(pid) for pid in pids))
        until(lambda: not list((workspace.root / "cluster").iterdir()))
        assert executor.status(job_id).state == "cancelled"
        assert executor.status(job_id).error.startswith("Stopped on request. Finished runs are kept")
        assert after <= len(kept) < CELLS
        assert cells() == kept
        return took_s, kept

    try:
        job = executor.submit("study", study_of(world).to_dict())
        took_s, first = cancelled(job.id, 2, deaf=False)
        assert took_s < GRACE_S
        executor.resume(job.id)
        took_s, second = cancelled(job.id, len(first) + 2, deaf=True)
        assert GRACE_S < took_s < timing.ask_s
        executor.resume(job.id)
        until(lambda: executor.status(job.id).finished, 600)
    finally:
        end_processes(workspace)
    assert (executor.status(job.id).state, executor.status(job.id).error) == ("done", None)
    assert {name: cells()[name] for name in second} == second == second | first
    assert len(cells()) == CELLS
    assert answers(world) == alone


@in_full
@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("auto", "The address of a cluster is that of its head, machine:port"),
        ("127.0.0.1:9", "The cluster at 127.0.0.1:9 can't be used: "),
    ],
)
def test_what_is_no_cluster_is_told(cluster, address, sentence, workspace):
    """Nothing is looked for, and nothing is started."""
    with pytest.raises(SettingsError, match=sentence), on_cluster(address, "auto", 1, Recorder()):
        pass
    assert not list((workspace.root / "cluster").glob("*"))


@in_full
def test_a_lost_head_is_told(cluster, workspace, monkeypatch):
    """A driver that ends, as it does without a head, ends the work in a sentence that names its log."""
    with pytest.raises(SftqaError, match=r"The connection to the cluster at .* was lost: .*\. More is in .*\.log\."):
        _work_with_a_killed_driver(cluster)
    assert len(list((workspace.state / "cluster").glob("*.log"))) == 1


def _work_with_a_killed_driver(cluster: RayCluster) -> None:
    from sftqa_core.progress import Phase
    from sftqa_core.records.pieces import ProbePiece
    from sftqa_core.workflows.piecework import current_mapper

    recorder = Recorder()
    with on_cluster(cluster.address, "auto", 1, recorder):
        mapper = current_mapper()
        mapper._talk.process.kill()
        mapper.finish([ProbePiece(ProbeSettings("tiny"), ("a",))], lambda piece: None, Phase(recorder, "probe", 1, "facts"))


def test_without_a_token_nothing_is_connected(monkeypatch, tmp_path):
    """The sentence says which variable lacks."""
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SettingsError, match="set RAY_AUTH_TOKEN"), on_cluster("192.0.2.7:6379", "auto", 1, Recorder()):
        pass
