"""Every test works in a workspace of its own."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture
def fake_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A hub on this machine that takes the hub's place, for this process and what it starts."""
    from tests.fake_hub import FakeHub, online

    hub = FakeHub()
    with online(hub, tmp_path / "hf", monkeypatch):
        yield hub
    hub.close()


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A temporary user layer over the shipped one."""
    from sftqa_core.workspace import Workspace

    monkeypatch.setenv("SFTQA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SFTQA_STATE", str(tmp_path / "state"))
    return Workspace.current()
