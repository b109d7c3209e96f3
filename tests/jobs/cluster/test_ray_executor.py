"""Which jobs go to a cluster, and how they wait for it. No cluster is needed: nothing is started here."""

from __future__ import annotations

import json
import queue
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

from sftqa_core import workflows
from sftqa_core.cli.main import main
from sftqa_core.errors import MissingPackage, SettingsError
from sftqa_core.jobs import current_executor
from sftqa_core.jobs.cluster.ray_executor import RayExecutor
from sftqa_core.jobs.cluster.ray_mapper import FIRST, RayMapper, on_cluster
from sftqa_core.jobs.job_folder import rebuild
from sftqa_core.jobs.local import LocalExecutor
from sftqa_core.planning.cluster_address import checked_address
from sftqa_core.processes import ProcessId
from sftqa_core.progress import Phase, Recorder, Silent
from sftqa_core.records import ProbeSettings, Resources, TrainSettings
from sftqa_core.records.pieces import ProbePiece

ADDRESS = "192.0.2.7:6379"
FREE = {"cpu": 1, "gpu": 0, "network": 3, "cluster": 1}
PROBE = {"model": "atlas-llama", "device": "cpu"}


class Idle(RayExecutor):
    """Without a worker: jobs stay in the queue."""

    def work_on(self) -> bool:
        return False


@pytest.fixture
def executor(workspace, monkeypatch) -> Idle:
    monkeypatch.setenv("SFTQA_CLUSTER", ADDRESS)
    return Idle(workspace)


def test_the_executor_follows_the_address(monkeypatch):
    """Who names a cluster needs no other word; who names an executor gets that one."""
    assert type(current_executor()) is LocalExecutor
    monkeypatch.setenv("SFTQA_CLUSTER", ADDRESS)
    assert type(current_executor()) is RayExecutor
    monkeypatch.setenv("SFTQA_EXECUTOR", "local")
    assert type(current_executor()) is LocalExecutor


def test_work_that_is_made_of_pieces_goes_there(executor):
    """Probes, studies and sweeps; a run does not, and what a server's models answer neither."""
    study = executor.submit("study", {"models": ["atlas-llama"], "device": "cpu"})
    assert (executor.store.needs(study.id), study.cluster, study.gpus) == (Resources(cluster=ADDRESS), ADDRESS, 0)
    assert executor.submit("sweep", {"run": PROBE}).cluster == ADDRESS
    assert executor.submit("train", PROBE).cluster == ""
    assert executor.submit("probe", {"model": "http://127.0.0.1:8000/v1#m"}).cluster == ""


def test_a_cluster_is_a_device_of_its_own(executor):
    """A job for it runs beside one on this machine, and a second one waits for the first."""
    first, second, here = executor.submit("probe", PROBE), executor.submit("probe", PROBE), executor.submit("train", PROBE)
    free, there, me = dict(FREE), dict(FREE), ProcessId.current()
    assert executor.store.claim(me, free, there).id == first.id
    free["cluster"] = 0
    assert executor.store.claim(me, free, there).id == here.id
    free["cpu"] = 0
    assert executor.store.claim(me, free, there) is None
    waiting = next(queued for queued in executor.queue() if queued.job.id == second.id)
    assert (waiting.position, waiting.holder) == (1, None)


def test_a_job_keeps_its_address(executor, workspace, monkeypatch):
    """Where it was submitted to, whatever the variable says later; also in a queue that is rebuilt from the jobs' folders."""
    job = executor.submit("probe", PROBE)
    monkeypatch.delenv("SFTQA_CLUSTER")
    assert executor.store.needs(job.id) == Resources(cluster=ADDRESS)
    executor.store.path.write_bytes(b"no database" * 100)
    assert rebuild(workspace)
    assert executor.store.get(job.id).cluster == ADDRESS


@pytest.mark.parametrize("address", ["auto", "local", "ray://192.0.2.7:10001", "192.0.2.7", "a b:1", "--x:1"])
def test_only_a_machine_and_a_port_are_an_address(address, executor, monkeypatch):
    """Ray would look for a cluster, or start one, for some of these. Nothing is queued."""
    with pytest.raises(SettingsError, match="machine:port"):
        checked_address(address)
    monkeypatch.setenv("SFTQA_CLUSTER", address)
    with pytest.raises(SettingsError, match="machine:port"):
        executor.submit("probe", PROBE)
    assert executor.jobs() == []
    assert [checked_address(one) for one in ("node-1.example:6379", "[2001:db8::1]:6379")] == ["node-1.example:6379", "[2001:db8::1]:6379"]


def test_it_is_said_before_anything_starts(monkeypatch):
    """The preflight of what would go there names the address and what Ray does; a run's preflight says nothing of it. What stands in the
    way of connecting, as far as it is known here, is said as well."""
    monkeypatch.setenv("SFTQA_CLUSTER", ADDRESS)
    monkeypatch.setenv("HOME", "/nowhere")
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.setattr("sftqa_core.planning.cluster_address.installed", lambda: True)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "f" * 64)
    probe = workflows.preflight(ProbeSettings("atlas-llama", limit=4))
    (device,) = [check for check in probe.checks if check.name == "device"]
    assert device.state == "note"
    assert device.said.startswith(f"The pieces are done by the Ray cluster at {ADDRESS}. Ray listens on all network interfaces")
    assert probe.ok
    assert "Ray" not in str(workflows.preflight(TrainSettings("atlas-llama", n=4)))
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    (problem,) = workflows.preflight(ProbeSettings("atlas-llama", limit=4)).of("problem")
    assert (problem.name, problem.said[:44]) == ("cluster", f"No token for the cluster at {ADDRESS}: ")
    monkeypatch.setattr("sftqa_core.planning.cluster_address.installed", lambda: False)
    (problem,) = workflows.preflight(ProbeSettings("atlas-llama", limit=4)).of("problem")
    assert (problem.said, problem.fix) == ("Work on a cluster needs the package ray.", "Install: pip install 'sftqa-explorer[cluster]'")
    monkeypatch.setenv("SFTQA_CLUSTER", "auto")
    (problem,) = workflows.preflight(ProbeSettings("atlas-llama", limit=4)).of("problem")
    assert (problem.name, problem.said) == (
        "cluster",
        "The address of a cluster is that of its head, machine:port (192.0.2.7:6379), got 'auto'.",
    )


def test_that_the_cluster_is_at_work_is_told_before_anything_is_counted(tmp_path):
    """Workers are there, and the first piece may take minutes: a page that says it waits for the cluster would be wrong."""
    recorder, heard = Recorder(), queue.Queue()
    talk = SimpleNamespace(heard=heard, ask=lambda request: None, process=SimpleNamespace(poll=lambda: None))
    mapper = RayMapper(ADDRESS, talk, tmp_path, tmp_path / "log", recorder)
    for message in ({"done": 0}, {"done": 1}, {"over": True}):
        heard.put(message)
    mapper.finish([ProbePiece(ProbeSettings("tiny"), ("a", "b"))] * 2, lambda piece: None, Phase(recorder, "probe", 4, "facts"))
    assert [(update.phase, update.done) for update in recorder.updates] == [(FIRST, 0), ("probe", 2), ("probe", 4)]


def test_commands_take_the_address(monkeypatch, capsys):
    """`--cluster`, for work that is made of pieces; where no token is set, nothing is connected."""
    monkeypatch.setenv("SFTQA_CLUSTER", "")
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/nowhere")
    with pytest.raises(SystemExit) as ended:
        main(["probe", "--model", "atlas-llama", "--limit", "4", "--cluster", ADDRESS, "--json"])
    assert ended.value.code == 1
    said = json.loads(capsys.readouterr().out)["error"]
    assert said.startswith(f"No token for the cluster at {ADDRESS}") if find_spec("ray") else "'sftqa-explorer[cluster]'" in said


def test_without_ray_it_is_said_what_to_install(monkeypatch):
    """As soon as a cluster is named, and no sooner."""
    monkeypatch.setattr("sftqa_core.planning.cluster_address.installed", lambda: False)
    with pytest.raises(MissingPackage, match=r"pip install 'sftqa-explorer\[cluster\]'"), on_cluster(ADDRESS, "auto", 1, Silent()):
        pass
