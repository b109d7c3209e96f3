"""One holder a device, across threads and processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import nullcontext

import pytest

from sftqa_core.errors import SettingsError, Stopped
from sftqa_core.jobs.lease import device_lease, leases, needs_of_device
from sftqa_core.models import devices, nvidia
from sftqa_core.records import Resources
from tests.jobs.job_processes import lease_holder, until

HOLD = "import time; from sftqa_core.jobs.lease import device_lease\nwith device_lease('cpu', 'another command'): time.sleep(60)"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Pretend so many GPUs, whatever this process is shown."""

    def pretend(gpus: int) -> None:
        monkeypatch.setattr(devices, "visible_gpus", lambda: [str(number) for number in range(gpus)])
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return pretend


def test_a_free_device_is_held_and_given_back():
    """The note says who holds it, and goes with the lease."""
    assert lease_holder("cpu") is None
    with device_lease("cpu", "sftqa probe") as slots:
        assert slots == ("cpu",)
        held = lease_holder("cpu")
        assert held is not None
        assert (held.holder, held.slot) == ("sftqa probe", "cpu")
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


@pytest.mark.parametrize(("gpu", "auto"), [(None, 1), ("no GPU is here", 0)])
def test_auto_leases_what_loading_takes(monkeypatch: pytest.MonkeyPatch, gpu: str | None, auto: int):
    """The lease follows models/devices.py; 'cuda' is refused without a GPU, and so is what can't be used yet."""
    monkeypatch.setattr(devices, "why_no_gpu", lambda: gpu)
    assert needs_of_device("auto").gpus == auto == {"cpu": 0, "cuda": 1}[devices.resolve_device("auto")]
    assert needs_of_device("cpu").gpus == 0
    with nullcontext() if gpu is None else pytest.raises(SettingsError, match="but no GPU is here"):
        assert needs_of_device("cuda").gpus == 1
    for setting in ("mps:1", "../gpu"):
        with pytest.raises(SettingsError, match=f"device must be auto, cpu, cuda, rocm or mps, got '{setting}'"):
            needs_of_device(setting)


def test_gpus_are_held_together_or_not_at_all(machine):
    """Of three GPUs two are held; who wants two more waits, who wants one gets the third, and each sees only its own."""
    machine(3)
    with device_lease(Resources(2), "the first") as slots:
        assert slots == ("gpu-0", "gpu-1")
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
        with device_lease("cpu", "another kind") as cpu:
            assert cpu == ("cpu",)
        heard: list[str] = []
        with pytest.raises(Stopped), device_lease(Resources(2), "the second", heard.append, _give_up_after(3), poll_s=0.01):
            raise AssertionError("two were not free")
        assert heard == ["the first"]
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    assert leases() == []


def test_more_gpus_than_there_are_are_refused(machine):
    """At once, instead of waiting for ever."""
    machine(2)
    with pytest.raises(SettingsError, match="needs 3 GPUs, but this machine has 2 that can be used"), device_lease(Resources(3), "it"):
        pass


def test_two_that_want_all_gpus_at_once_never_hold_half_of_them_each(machine):
    """Twenty threads that want two or three of three: all get them, one after the other."""
    machine(3)
    most, held, wrong = 3, [0], []
    guard = threading.Lock()

    def work(gpus: int) -> None:
        with device_lease(Resources(gpus), f"one of {gpus}", poll_s=0.001) as slots:
            with guard:
                held[0] += len(slots)
                wrong.extend([held[0]] if held[0] > most or len(slots) != gpus else [])
            time.sleep(0.002)
            with guard:
                held[0] -= len(slots)

    threads = [threading.Thread(target=work, args=(2 + number % 2,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


def test_work_waits_for_the_very_gpu_it_names(monkeypatch: pytest.MonkeyPatch, machine):
    """Though another is free; it sees that one alone, numbered as the driver does, and any other work takes the free one."""
    machine(3)
    monkeypatch.setattr(devices, "why_no_gpu", lambda: None)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    assert needs_of_device("cuda:1") == Resources(1, "1")
    with device_lease("cuda:1", "the first") as slots:
        assert slots == ("gpu-1",)
        assert (os.environ["CUDA_VISIBLE_DEVICES"], os.environ["CUDA_DEVICE_ORDER"]) == ("1", "PCI_BUS_ID")
        heard: list[str] = []
        with pytest.raises(Stopped), device_lease("cuda:1", "the second", heard.append, _give_up_after(3), poll_s=0.01):
            raise AssertionError("that one was not free")
        assert heard == ["the first"]
        with device_lease(Resources(2), "two others") as others:
            assert others == ("gpu-0", "gpu-2")
    assert "CUDA_DEVICE_ORDER" not in os.environ
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")  # numbers that the person has chosen mean what they meant
    with device_lease("cuda:1", "the third"):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
        assert "CUDA_DEVICE_ORDER" not in os.environ
    assert leases() == []


def test_a_gpu_that_is_not_there_is_refused_before_anything_waits(monkeypatch: pytest.MonkeyPatch, machine):
    """With what is there; and one GPU is not several."""
    machine(2)
    monkeypatch.setattr(devices, "why_no_gpu", lambda: None)
    with pytest.raises(SettingsError, match=r"GPU number 2 was asked for, but it can't be used here\. There is cuda:0, cuda:1"):
        needs_of_device("cuda:2")
    with pytest.raises(SettingsError, match="GPU number 5 was asked for"), device_lease(Resources(1, "5"), "it"):
        pass
    with pytest.raises(SettingsError, match=r"device cuda:1 is one GPU, and the work asks for 2\. Choose device cuda, or"):
        needs_of_device("cuda:1", 2)


def test_the_gpus_of_a_process_are_those_it_is_shown(monkeypatch: pytest.MonkeyPatch):
    """CUDA_VISIBLE_DEVICES chooses by number or by name; a number that is not there ends the list."""
    monkeypatch.setattr(nvidia, "driver", lambda: (4, 13))
    all_of_them = ["0", "1", "2", "3"]
    cases = {None: all_of_them, "2,0": ["2", "0"], "": [], "7,1": [], "1,-1,2": ["1"], "GPU-5c1, 3": ["GPU-5c1", "3"]}
    for shown, found in cases.items():
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if shown is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
        assert devices.visible_gpus() == found
    monkeypatch.setattr(nvidia, "driver", lambda: (0, 0))
    assert devices.visible_gpus() == []


def _give_up_after(times: int):
    left = [times]

    def check() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Stopped("Stopped on request.")

    return check


def test_what_asks_for_several_gpus_leases_as_many(monkeypatch: pytest.MonkeyPatch, machine):
    """More than there are, or any on the processor, are refused before anything waits."""
    machine(2)
    monkeypatch.setattr(devices, "why_no_gpu", lambda: None)
    assert needs_of_device("auto", 2) == Resources(2)
    with pytest.raises(SettingsError, match=r"The work needs 3 GPUs, but this machine has 2 that can be used\. Ask for fewer\."):
        needs_of_device("auto", 3)
    with pytest.raises(SettingsError, match=r"needs 2 GPUs, but this machine has 0 that can be used \(.+\)\. Ask for fewer\."):
        needs_of_device("cpu", 2)
