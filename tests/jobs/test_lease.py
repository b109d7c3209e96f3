"""One holder a device, across threads and processes."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import nullcontext

import pytest

from sftqa_core.errors import SettingsError, Stopped
from sftqa_core.jobs.lease import device_lease, lease_holder, leased_device
from sftqa_core.models import devices
from tests.jobs.job_processes import until

HOLD = "import time; from sftqa_core.jobs.lease import device_lease\nwith device_lease('cpu', 'another command'): time.sleep(60)"


def test_a_free_device_is_held_and_given_back():
    """The note says who holds it, and goes with the lease."""
    assert lease_holder("cpu") is None
    with device_lease("cpu", "sftqa probe") as device:
        assert device == "cpu"
        lease = lease_holder("cpu")
        assert lease is not None
        assert (lease.holder, lease.device) == ("sftqa probe", "cpu")
        with device_lease("cuda:0", "sftqa train"):
            assert lease_holder("cuda:0").holder == "sftqa train"
    assert lease_holder("cpu") is None


def test_a_killed_holder_frees_the_device():
    """The system's lock dies with the process, and its note is not believed."""
    process = subprocess.Popen([sys.executable, "-c", HOLD])
    try:
        until(lambda: lease_holder("cpu") is not None)
        heard: list[str] = []

        def kill_when_heard(holder: str) -> None:
            heard.append(holder)
            process.kill()

        with device_lease("cpu", "sftqa probe", kill_when_heard, poll_s=0.02):
            assert lease_holder("cpu").holder == "sftqa probe"
        assert heard == ["another command"]
    finally:
        process.kill()
        process.wait()


def test_waiting_ends_when_the_person_stops_it():
    """What `check` raises comes out, and the holder keeps the device."""
    process = subprocess.Popen([sys.executable, "-c", HOLD])
    until(lambda: lease_holder("cpu") is not None)
    end_s = time.monotonic() + 0.2

    def check() -> None:
        if time.monotonic() > end_s:
            raise Stopped("Stopped on request.")

    try:
        with pytest.raises(Stopped, match="on request"), device_lease("cpu", "sftqa probe", check=check, poll_s=0.02):
            raise AssertionError("the device was not free")
        assert lease_holder("cpu").holder == "another command"
    finally:
        process.kill()
        process.wait()


def test_an_error_inside_gives_the_device_back():
    """The next one does not wait."""
    with pytest.raises(KeyError), device_lease("cpu", "sftqa probe"):
        raise KeyError("loss")
    with device_lease("cpu", "sftqa probe"):
        assert lease_holder("cpu").holder == "sftqa probe"


@pytest.mark.parametrize(("gpu", "auto"), [(None, "cuda:0"), ("no GPU is here", "cpu")])
def test_auto_leases_what_loading_takes(monkeypatch: pytest.MonkeyPatch, gpu: str | None, auto: str):
    """The lease follows models/devices.py; 'cuda' is the first GPU, and is refused without one."""
    monkeypatch.setattr(devices, "why_no_gpu", lambda: gpu)
    assert leased_device("auto") == auto == {"cpu": "cpu", "cuda": "cuda:0"}[devices.resolve_device("auto")]
    assert leased_device("cpu") == "cpu"
    with nullcontext() if gpu is None else pytest.raises(SettingsError, match="but no GPU is here"):
        assert leased_device("cuda") == "cuda:0"


def test_devices_have_one_name_each():
    """A lease's own name stands for itself, also where the queue was filled on another machine; anything else is refused."""
    assert [leased_device(name) for name in ("cpu", "cuda:0")] == ["cpu", "cuda:0"]
    for setting in ("mps", "cuda:1", "../gpu"):
        with pytest.raises(SettingsError, match=f"device must be auto, cpu or cuda, got '{setting}'"):
            leased_device(setting)
