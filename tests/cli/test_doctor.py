"""What `sftqa doctor` says of the device is what `auto` does."""

from __future__ import annotations

import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from sftqa_core.artifacts import write_folder
from sftqa_core.cli import doctor_commands as doctor
from sftqa_core.cli import text
from sftqa_core.models import devices
from sftqa_core.workspace import Workspace


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


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch, workspace, tmp_path) -> Path:
    """Thirty shipped folders."""
    monkeypatch.setattr(Workspace, "current", lambda: replace(workspace, shipped=tmp_path / "shipped"))
    for number in range(30):
        write_folder(tmp_path / "shipped" / "cells" / f"{number:016x}", lambda made: made.joinpath("rows").write_bytes(b"1"), {})
    return tmp_path / "shipped"


def test_shipped_content_is_one_line(shipped):
    """However many folders are shipped."""
    message = "the files of 30 of 30 built-in models and results match their checksums"
    assert doctor._shipped() == [{"check": "shipped", "ok": True, "optional": False, "message": message}]


def test_a_damaged_shipped_folder_has_a_line_of_its_own(shipped):
    """It names the folder and its files, a manifest that can't be read too."""
    shipped.joinpath("cells", f"{3:016x}", "rows").write_bytes(b"2")
    shipped.joinpath("cells", f"{4:016x}", "manifest.json").write_bytes(b"{")
    rows = doctor._shipped()
    assert [(row["check"], row["ok"], row["message"]) for row in rows] == [
        ("shipped", False, "the files of 28 of 30 built-in models and results match their checksums"),
        ("shipped cells/0000000000000003", False, "damaged: rows; install the package again"),
        ("shipped cells/0000000000000004", False, "damaged: manifest.json; install the package again"),
    ]
    assert len(text.doctor({"checks": rows}).splitlines()) == 3


def test_an_installation_without_shipped_content_is_told(monkeypatch: pytest.MonkeyPatch, workspace, tmp_path):
    """It is absent, not a failure: everything else works without."""
    monkeypatch.setattr(Workspace, "current", lambda: replace(workspace, shipped=tmp_path / "none"))
    (row,) = doctor._shipped()
    assert (row["ok"], row["optional"]) == (False, True)
    assert row["message"] == "the built-in model and results are missing; install the package again"


def test_a_cluster_that_is_named_is_knocked_at(monkeypatch: pytest.MonkeyPatch):
    """Nothing is said where none is named; else what lacks, whether anything listens, and which Ray all nodes must have."""
    monkeypatch.setenv("SFTQA_CLUSTER", "")
    assert doctor._cluster() == []
    monkeypatch.setattr("sftqa_core.planning.cluster_address.installed", lambda: True)
    monkeypatch.setattr(doctor.importlib.metadata, "version", lambda name: "2.60.0")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "f" * 64)
    with socket.socket() as head:
        head.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{head.getsockname()[1]}"
        monkeypatch.setenv("SFTQA_CLUSTER", address)
        (refused,) = doctor._cluster()
        head.listen()
        (row,) = doctor._cluster()
    assert (refused["ok"], refused["message"]) == (
        False,
        f"nobody answers at {address} (Connection refused); is its head started? See docs/cluster.md",
    )
    assert (row["ok"], row["message"]) == (
        True,
        f"something listens at {address}; a token is set; ray 2.60.0, which all nodes must have",
    )
    monkeypatch.setenv("SFTQA_CLUSTER", "auto")
    assert doctor._cluster()[0]["message"].startswith("The address of a cluster is that of its head, machine:port")
