"""Secrets come from the environment and stay there: no log, artefact, manifest, database, error or page holds one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sftqa_core.jobs.job_folder import JobFolder
from sftqa_core.jobs.local import LocalExecutor
from sftqa_core.records import LevelScheme, ProbeSettings, SamplerSettings, TrainSettings
from sftqa_core.server.access import take_token
from tests.amount import few
from tests.jobs.job_processes import FAST, end_processes, until
from tests.workflows.conftest import pretrain_settings, write_world

HF, DOOR = "hf_markerOfTheHubsToken0123456789", "marker-of-the-explorers-token"
OVER = ("done", "failed", "cancelled")
SCHEME = LevelScheme(sampling=SamplerSettings(samples=1, max_new_tokens=2))


def holding(folder: Path, *secrets: str) -> list[str]:
    """Files under a folder whose content or name holds one of the texts."""
    found = []
    for path in folder.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        if any(secret.encode() in content or secret in path.name for secret in secrets):
            found.append(str(path))
    return found


@pytest.fixture
def executor(workspace, monkeypatch):
    """Real jobs, started by a process whose environment held both secrets as a server's does."""
    monkeypatch.setenv("HF_TOKEN", HF)
    monkeypatch.setenv("SFTQA_TOKEN", DOOR)
    take_token(os.environ, sys.stdout)  # what the server does first
    yield LocalExecutor(workspace, FAST)
    end_processes(workspace)


def test_nothing_that_work_leaves_behind_holds_a_secret(executor, workspace, tmp_path):
    """A pre-training, a probe, a training and a job that fails at the hub: every file of cache and state is read."""
    write_world(tmp_path / "facts.csv")
    source = str(tmp_path / "facts.csv")
    probe = ProbeSettings("tiny", source, limit=4, scheme=SCHEME, device="cpu")
    train = TrainSettings("tiny", source, n=4, scheme=SCHEME, shots=1, max_answer_tokens=2, test_limit=1, device="cpu")
    absent = ProbeSettings("owner/absent", source, limit=4, scheme=SCHEME, device="cpu")
    work = [("pretrain", pretrain_settings(tmp_path / "facts.csv")), ("probe", probe), ("train", train), ("probe", absent)]
    states, logs = [], []
    for kind, settings in work:
        job = executor.submit(kind, settings.to_dict())
        until(lambda job=job: executor.status(job.id).state in OVER, 180)
        states.append(executor.status(job.id).state)
        logs.append(JobFolder(workspace, job.id).log.read_text())
    assert states == ["done", "done", "done", "failed"], logs[-2:]
    assert "owner/absent" in logs[-1]
    assert list(workspace.root.rglob("*.safetensors"))
    assert list(workspace.runs.iterdir())
    end_processes(workspace)  # the worker's queue comes and goes while it lives
    assert holding(workspace.root, HF, DOOR) == holding(workspace.state, HF, DOOR) == []


def test_the_search_finds_what_it_looks_for(tmp_path):
    """In a file's content and in its name."""
    (tmp_path / "a.bin").write_bytes(b"\x00" + HF.encode())
    (tmp_path / DOOR).mkdir()
    (tmp_path / "c.txt").write_text("nothing")
    assert sorted(Path(name).name for name in holding(tmp_path, HF, DOOR)) == ["a.bin", DOOR]


@pytest.mark.parametrize("status", few([401, 403, 404, 500], 401))
def test_no_error_of_the_hub_holds_the_token(fake_hub, status):
    """Whatever the hub answers, even the token itself: the sentence, the log and the traceback go without it."""
    fake_hub.put("owner/model", {"config.json": b"{}"}, "echo", status=status)
    script = """
from sftqa_core.errors import SftqaError
from sftqa_core.models.hub.fetch import download
try:
    download("owner/model")
except SftqaError as error:
    print("told:", error)
"""
    environment = {**os.environ, "HF_TOKEN": HF}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert fake_hub.asked
    assert done.stdout.startswith("told: "), done.stderr[-2000:]
    assert HF not in done.stdout + done.stderr
