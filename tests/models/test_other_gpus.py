"""AMD's and Apple's GPUs, with stand-ins for what the kernel, the platform and torch's version file say."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sftqa_core.engine.drawing import in_reach_of_float64
from sftqa_core.errors import SettingsError
from sftqa_core.jobs.lease import device_lease, needs_of_device
from sftqa_core.models import amd, devices, nvidia
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.devices import DeviceRam, TorchBuild, device_ram, resolve_device, torch_device, visible_gpus, why_no_gpu
from sftqa_core.models.loading import load_model
from sftqa_core.records import Resources

GB = 10**9
VARIABLES = ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
PROCESSOR = "cpu_cores_count 16\nsimd_count 0\ndrm_render_minor 0\nunique_id 0\n"
GPU = "cpu_cores_count 0\nsimd_count 1216\ndrm_render_minor {minor}\nunique_id {unique}\n"


@pytest.fixture
def amd_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A torch built for ROCm on a machine with a processor and four GPUs of 192 GB, GPU number n with n GB in use."""
    nodes, drm, driver = tmp_path / "nodes", tmp_path / "drm", tmp_path / "kfd"
    for node in range(5):
        (nodes / str(node)).mkdir(parents=True)
        text = GPU.format(minor=127 + node, unique=0xA0 + node) if node else PROCESSOR
        (nodes / str(node) / "properties").write_text(text)
        memory = drm / f"renderD{127 + node}" / "device"
        memory.mkdir(parents=True)
        (memory / "mem_info_vram_total").write_text(f"{192 * GB}\n")
        (memory / "mem_info_vram_used").write_text(f"{(node - 1) * GB}\n")
    driver.touch()
    for name, value in (("_NODES", nodes), ("_DRM", drm), ("_DRIVER", driver)):
        monkeypatch.setattr(amd, name, value)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(devices, "torch_build", lambda: TorchBuild(hip=7))
    return nodes, driver


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch):
    """Apple's own processor."""
    monkeypatch.setattr(devices, "torch_build", TorchBuild)
    monkeypatch.setattr(devices, "platform", SimpleNamespace(system=lambda: "Darwin", machine=lambda: "arm64"))


def test_a_torch_built_for_rocm_computes_on_amds_gpus(amd_machine):
    """`auto` takes the first; torch calls it cuda, results say rocm; the processor's own node is no GPU."""
    assert [resolve_device(setting) for setting in ("auto", "rocm", "cpu")] == ["rocm", "rocm", "cpu"]
    assert torch_device("rocm") == "cuda"
    assert visible_gpus() == ["0", "1", "2", "3"]
    assert device_ram("rocm") == DeviceRam(192 * GB, 192 * GB)


@pytest.mark.parametrize(
    ("variables", "visible", "used"),
    [
        ({"HIP_VISIBLE_DEVICES": "2,0"}, ["2", "0"], 2),
        ({"CUDA_VISIBLE_DEVICES": "3"}, ["3"], 3),
        ({"HIP_VISIBLE_DEVICES": "1", "CUDA_VISIBLE_DEVICES": "3"}, ["1"], 1),
        ({"ROCR_VISIBLE_DEVICES": "3,1"}, ["0", "1"], 3),
        ({"ROCR_VISIBLE_DEVICES": "3,1", "HIP_VISIBLE_DEVICES": "1"}, ["1"], 1),
        ({"ROCR_VISIBLE_DEVICES": "GPU-00000000000000a3"}, ["0"], 2),
        ({"HIP_VISIBLE_DEVICES": "1,7,2"}, ["1"], 1),
    ],
)
def test_what_is_hidden_does_not_count(amd_machine, monkeypatch, variables, visible, used):
    """ROCm's variable renumbers what is left for HIP's, which goes before CUDA's; a name that is not there ends a list."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert visible_gpus() == visible
    assert device_ram("rocm") == DeviceRam((192 - used) * GB, 192 * GB)


def test_amds_gpus_are_chosen_by_hips_number(amd_machine, monkeypatch):
    """The one of that number has its own memory and name; a number that the variable hides is refused."""
    names = amd._DRM / "renderD130" / "device" / "product_name"
    names.write_text("AMD Instinct MI300X OAM\n")
    assert resolve_device("rocm:2") == "rocm"
    assert device_ram("rocm:2") == DeviceRam(190 * GB, 192 * GB)
    assert devices.gpu_names() == {"rocm:0": "", "rocm:1": "", "rocm:2": "AMD Instinct MI300X OAM", "rocm:3": ""}
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "2")
    assert resolve_device("rocm:2") == "rocm"
    with pytest.raises(SettingsError, match=r"number 0 .*There is rocm:2 \(AMD Instinct MI300X OAM\)"):
        resolve_device("rocm:0")
    with pytest.raises(SettingsError, match="the installed torch is built for AMD's ROCm"):
        resolve_device("cuda:2")


def test_why_no_amd_gpu_can_be_used(amd_machine, monkeypatch, tmp_path):
    """Hidden, forbidden and missing are told apart, each in the refusal too."""
    _, driver = amd_machine
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "")
    assert why_no_gpu() == "HIP_VISIBLE_DEVICES hides every GPU"
    assert (resolve_device("auto"), device_ram("rocm")) == ("cpu", None)
    monkeypatch.delenv("HIP_VISIBLE_DEVICES")
    driver.unlink()
    assert "this user may not use AMD's GPUs" in why_no_gpu()
    monkeypatch.setattr(amd, "_NODES", tmp_path / "none")
    with pytest.raises(SettingsError, match=r"device rocm was asked for, but no AMD GPU is visible here\. Choose auto or cpu\."):
        resolve_device("rocm")


def test_a_container_counts_only_the_gpus_that_it_may_read(amd_machine):
    """Nodes of other containers' GPUs have no properties for it, and one with damaged ones is none."""
    nodes, _ = amd_machine
    (nodes / "2" / "properties").unlink()
    (nodes / "3" / "properties").write_text("simd_count many\n")
    assert visible_gpus() == ["0", "1"]


def test_another_makers_device_is_refused_with_the_reason(monkeypatch):
    """Which device a torch has depends on its build."""
    for build, asked, told in (
        (TorchBuild(hip=7), "cuda", r"cuda was asked for, but the installed torch is built for AMD's ROCm \(device rocm\)"),
        (TorchBuild(cuda=13), "rocm", "rocm was asked for, but the installed torch is not built for AMD's ROCm"),
        (TorchBuild(cuda=13), "mps", "mps was asked for, but this is not an Apple computer"),
    ):
        monkeypatch.setattr(devices, "torch_build", lambda build=build: build)
        with pytest.raises(SettingsError, match=told):
            resolve_device(asked)


def test_an_amd_gpu_under_the_wrong_torch_is_told(amd_machine, monkeypatch):
    """The plain build for CUDA sees nothing, and says what is missing."""
    monkeypatch.setattr(devices, "torch_build", lambda: TorchBuild(cuda=13))
    monkeypatch.setattr(nvidia, "driver", lambda: (0, 0))
    assert why_no_gpu() == "no NVIDIA GPU is visible here (AMD's GPU needs a torch built for ROCm)"


def test_leases_show_a_job_its_amd_gpus_and_no_other(amd_machine, monkeypatch):
    """HIP's variable names them inside, and is as before outside."""
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "3,1,0")
    assert needs_of_device("auto") == Resources(1)
    with device_lease(Resources(2), "a job") as slots:
        assert slots == ("gpu-3", "gpu-1")
        assert os.environ["HIP_VISIBLE_DEVICES"] == "3,1"
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
    assert os.environ["HIP_VISIBLE_DEVICES"] == "3,1,0"


def test_an_apple_computer_has_one_gpu_in_the_machines_memory(mac):
    """It is leased like any other and computes in float32; its memory is the machine's."""
    assert [resolve_device(setting) for setting in ("auto", "mps", "cpu")] == ["mps", "mps", "cpu"]
    assert (visible_gpus(), needs_of_device("auto"), devices.NUMBER_FORMATS["mps"]) == (["0"], Resources(1), "float32")
    assert device_ram("mps").total == device_ram("cpu").total
    with pytest.raises(SettingsError, match="needs 2 GPUs, but this machine has 1"), device_lease(Resources(2), "a job"):
        pass


def test_other_makers_gpus_are_refused_on_an_apple_computer(mac):
    """Its torch has no other device."""
    with pytest.raises(SettingsError, match="cuda was asked for, but an Apple computer's torch computes on Apple's GPU alone"):
        resolve_device("cuda")


def test_a_mac_of_another_maker_or_a_translated_python_has_none(mac, monkeypatch):
    """Under Rosetta the platform says x86_64, too."""
    monkeypatch.setattr(devices, "platform", SimpleNamespace(system=lambda: "Darwin", machine=lambda: "x86_64"))
    assert (resolve_device("auto"), visible_gpus()) == ("cpu", [])
    with pytest.raises(SettingsError, match=r"mps was asked for, but only GPUs of Apple's own processors.*arm64.*Choose auto or cpu"):
        resolve_device("mps")


def test_loading_on_an_apple_gpu_that_torch_refuses_says_why(mac, tiny_folder: Path):
    """This torch has no Apple GPU, as on a macOS that is too old."""
    with pytest.raises(SettingsError, match=r"torch can't use it: it needs a newer macOS\. Choose device cpu\."):
        load_model(find_model(str(tiny_folder)), "auto")


def test_float64_is_computed_by_the_processor_beside_an_apple_gpu():
    """Elsewhere a tensor stays where it is; a pretended one of Apple's comes over."""
    here = torch.ones(2)
    assert in_reach_of_float64(here) is here
    assert in_reach_of_float64(SimpleNamespace(device=SimpleNamespace(type="mps"), cpu=lambda: here)) is here
