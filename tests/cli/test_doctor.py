"""What `sftqa doctor` says of the device is what `auto` does."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest

from sftqa_core.cli import commands as doctor
from sftqa_core.models import devices


@pytest.mark.parametrize(
    ("gpu", "torch_says", "ok", "told"),
    [
        (None, "NVIDIA H100", True, "cuda (NVIDIA H100) is used for auto"),
        (None, "", False, "there is a GPU, but torch can't use it; choose device cpu, or install a torch build for it"),
        ("no NVIDIA GPU is visible here", "", True, "cpu is used for auto: no NVIDIA GPU is visible here"),
        ("no NVIDIA GPU is visible here", "NVIDIA H100", True, "cpu is used for auto: no NVIDIA GPU is visible here"),
    ],
)
def test_the_device_is_the_one_that_auto_takes(monkeypatch: pytest.MonkeyPatch, gpu, torch_says, ok, told):
    """The rule of models/devices.py decides, and torch is asked whether it holds."""
    monkeypatch.setattr(devices, "why_no_gpu", lambda: gpu)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0, stdout=torch_says + "\n", stderr=""))
    assert doctor._device() == {"check": "device", "ok": ok, "optional": True, "message": told}


def test_a_torch_that_does_not_import_is_told(monkeypatch: pytest.MonkeyPatch):
    """The last line of what it wrote is the message."""
    done = SimpleNamespace(returncode=1, stdout="", stderr="Traceback\nImportError: libc10.so\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    row = doctor._device()
    assert (row["ok"], row["message"]) == (False, "torch can't be used: ImportError: libc10.so")


def test_a_queue_on_a_network_disk_is_told(monkeypatch: pytest.MonkeyPatch, workspace):
    """Locks can't be relied on there; the message names the variable to set. The folder above decides, the nearest one first."""
    disks = [SimpleNamespace(mountpoint="/", fstype="ext4"), SimpleNamespace(mountpoint=str(workspace.state.parent), fstype="nfs4")]
    monkeypatch.setattr("psutil.disk_partitions", lambda all: disks)
    row = next(row for row in doctor._folders() if row["check"] == "state")
    assert (row["ok"], row["optional"]) == (False, True)
    assert "network disk (nfs4)" in row["message"]
    assert "set SFTQA_STATE" in row["message"]
    disks.append(SimpleNamespace(mountpoint=str(workspace.state), fstype="ext4"))
    assert next(row for row in doctor._folders() if row["check"] == "state")["ok"] is True
