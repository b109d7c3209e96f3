"""One rule says which device a setting stands for, without torch."""

from __future__ import annotations

import ctypes
from pathlib import Path
from types import SimpleNamespace

import pytest

from sftqa_core.errors import SettingsError
from sftqa_core.models import devices, nvidia
from sftqa_core.models.catalogue import find_model
from sftqa_core.models.devices import DeviceRam, TorchBuild, device_ram, resolve_device, torch_build, why_no_gpu
from sftqa_core.models.loading import load_model


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Pretend a machine: the CUDA version torch is built for (None: no torch), and the driver's GPUs and CUDA version."""

    def pretend(built_for: int | None = 13, gpus: int = 1, driver: int = 13, visible: str | None = None) -> None:
        monkeypatch.setattr(devices, "torch_build", lambda: None if built_for is None else TorchBuild(cuda=built_for))
        monkeypatch.setattr(nvidia, "driver", lambda: (gpus, driver))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return pretend


def test_auto_is_the_gpu_where_torch_and_driver_can_use_one(machine):
    """A driver as new as torch's CUDA or newer will do, and so will one GPU of several."""
    for facts in ({}, {"built_for": 12}, {"gpus": 4, "visible": "3"}, {"visible": "GPU-5c1"}):
        machine(**facts)
        assert [resolve_device(setting) for setting in ("auto", "cuda", "cpu")] == ["cuda", "cuda", "cpu"]


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"visible": ""}, "CUDA_VISIBLE_DEVICES hides every GPU"),
        ({"visible": "-1,0"}, "CUDA_VISIBLE_DEVICES hides every GPU"),
        ({"visible": "1"}, "no NVIDIA GPU is visible here"),
        ({"gpus": 0, "driver": 0}, "no NVIDIA GPU is visible here"),
        ({"built_for": 0}, "the installed torch is a build without CUDA"),
        ({"built_for": None}, "torch is not installed"),
        ({"driver": 12}, "made for CUDA 12, older than the CUDA 13 of the installed torch"),
    ],
)
def test_without_a_usable_gpu_auto_is_the_processor_and_cuda_is_refused(machine, facts, told):
    """Each reason is a sentence's part; the same one stands in the refusal."""
    machine(**facts)
    assert (resolve_device("auto"), resolve_device("cpu")) == ("cpu", "cpu")
    assert told in why_no_gpu()
    with pytest.raises(SettingsError, match=f"device cuda was asked for, but .*{told}. Choose auto or cpu."):
        resolve_device("cuda")


@pytest.mark.parametrize("setting", ["mps:0", "cuda:", "cuda:01", "cuda:-1", "cuda:1,2", "hip:1", "cpu:0", "auto:1", "cuda:9999"])
def test_only_a_gpus_number_may_follow_a_device(machine, setting):
    """Apple's computers have one GPU; the message shows how a number is written."""
    machine()
    with pytest.raises(SettingsError, match=f"auto, cpu, cuda, rocm or mps, got '{setting}'.*number behind it: cuda:1"):
        resolve_device(setting)


def test_a_gpus_number_is_no_part_of_the_device(machine, nvml):
    """What work runs on, and so every key, is cuda; whose memory counts is the GPU's of that number."""
    machine(gpus=2)
    assert [resolve_device(setting) for setting in ("cuda:0", "cuda:1")] == ["cuda", "cuda"]
    assert [devices.chosen_device(setting) for setting in ("cuda:1", "cuda", "auto", "cpu")] == ["cuda:1", "cuda", "cuda", "cpu"]
    assert [device_ram(device).total // 10**9 for device in ("cuda:0", "cuda:1", "cuda")] == [80, 24, 80]


def test_a_number_that_is_not_there_is_refused_with_what_is(machine, nvml):
    """Numbers are the driver's, as the variable names them; one that it hides can't be had."""
    machine(gpus=2)
    with pytest.raises(SettingsError, match=r"number 2 .*be used here\. There is cuda:0 \(Great GPU\), cuda:1 \(Small GPU\)\. Choose"):
        resolve_device("cuda:2")
    machine(gpus=2, visible="1")
    assert resolve_device("cuda:1") == "cuda"
    with pytest.raises(SettingsError, match=r"There is cuda:1 \(Small GPU\)\. Choose another, or device cuda\."):
        resolve_device("cuda:0")
    machine(gpus=2, visible="GPU-5c1")
    with pytest.raises(SettingsError, match="CUDA_VISIBLE_DEVICES names none by a number"):
        resolve_device("cuda:1")
    machine(gpus=0, driver=0)
    with pytest.raises(SettingsError, match="device cuda:1 was asked for, but no NVIDIA GPU is visible here"):
        resolve_device("cuda:1")


def test_without_a_name_from_the_driver_a_gpu_goes_by_its_number(machine, monkeypatch):
    """An old library, or none, is no error."""
    machine(gpus=2)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    assert devices.gpu_names() == {"cuda:0": "", "cuda:1": ""}
    assert nvidia.driver_version() == ""


@pytest.mark.parametrize(
    ("text", "build"),
    [
        ("cuda: Optional[str] = '13.0'\nhip: Optional[str] = None", TorchBuild(13, 0)),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '7.0.51831'", TorchBuild(0, 7)),
        ("cuda = '12.8'", TorchBuild(12, 0)),
        (None, TorchBuild()),
    ],
)
def test_torchs_build_is_read_from_its_version_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, build: TorchBuild):
    """`torch/version.py` names the CUDA or ROCm version, or None; a torch without that file counts as one for the processor."""
    if text is not None:
        (tmp_path / "version.py").write_text(f"__version__ = '2.13.0'\n{text}\n")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    assert torch_build() == build


def test_the_installed_torch_says_the_same_of_itself():
    """The version file and torch agree about the build."""
    import torch

    assert torch_build() == TorchBuild(*(int((told or "0").split(".")[0]) for told in (torch.version.cuda, torch.version.hip)))


@pytest.mark.parametrize(("codes", "found"), [((0, 0, 0), (2, 12)), ((9, 0, 0), (0, 0)), ((0, 3, 0), (0, 0)), ((0, 0, 3), (0, 0))])
def test_the_driver_is_asked_through_its_library(monkeypatch: pytest.MonkeyPatch, codes, found):
    """Two GPUs and CUDA 12.8 are read; any call that fails means no usable driver."""

    def answer(code: int, value: int):
        def call(reference) -> int:
            reference._obj.value = value
            return code

        return call

    library = SimpleNamespace(
        nvmlInit_v2=lambda: codes[0],
        nvmlShutdown=lambda: 0,
        nvmlDeviceGetCount_v2=answer(codes[1], 2),
        nvmlSystemGetCudaDriverVersion_v2=answer(codes[2], 12080),
    )
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    assert nvidia.driver() == found


def test_a_library_that_is_missing_or_too_old_is_no_driver(monkeypatch: pytest.MonkeyPatch):
    """Neither is an error."""

    def missing(name: str):
        raise OSError(name)

    for library in (missing, lambda name: SimpleNamespace()):
        monkeypatch.setattr(ctypes, "CDLL", library)
        assert nvidia.driver() == (0, 0)


def test_loading_never_takes_the_processor_in_the_gpus_place(machine, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Where the rule says GPU and torch can't use it, loading ends with what to do: the lease that is held is the GPU's."""
    machine()
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for setting in ("auto", "cuda"):
        with pytest.raises(SettingsError, match=r"torch can't use it.*Choose device cpu"):
            load_model(find_model(str(tiny_folder)), setting)


def test_loading_takes_the_processor_where_the_rule_does(machine, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Even if torch itself would see a GPU."""
    machine(visible="")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    loaded = load_model(find_model(str(tiny_folder)), "auto")
    assert (loaded.device, loaded.dtype) == ("cpu", "float32")


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch):
    """A driver library with two GPUs of 80 and 24 GB, told apart by number and by identifier; returns what was asked for."""
    asked: list[object] = []
    sizes = {0: (80, 70), 1: (24, 20)}
    names = {b"GPU-5c1": 1}

    def handle(number: int | None, reference) -> int:
        asked.append(number)
        if number not in sizes:
            return 6
        reference._obj.value = number + 1  # 0 would be a null pointer
        return 0

    def memory(gpu, reference) -> int:
        total, free = sizes[gpu.value - 1]
        reference._obj.total, reference._obj.free = total * 10**9, free * 10**9
        return 0

    library = SimpleNamespace(
        nvmlInit_v2=lambda: 0,
        nvmlShutdown=lambda: 0,
        nvmlDeviceGetHandleByIndex_v2=lambda number, reference: handle(number.value, reference),
        nvmlDeviceGetHandleByUUID=lambda name, reference: handle(names.get(name), reference),
        nvmlDeviceGetMemoryInfo=memory,
        nvmlDeviceGetName=lambda gpu, text, length: setattr(text, "value", {1: b"Great GPU", 2: b"Small GPU"}[gpu.value]) or 0,
        nvmlSystemGetDriverVersion=lambda text, length: setattr(text, "value", b"580.82") or 0,
    )
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return asked


@pytest.mark.parametrize(("visible", "free"), [(None, 70), ("0,1", 70), ("1", 20), ("GPU-5c1", 20)])
def test_the_first_visible_gpus_memory_is_the_drivers(nvml, monkeypatch: pytest.MonkeyPatch, visible: str | None, free: int):
    """Free and total bytes are those of the GPU that work would run on, by number or identifier."""
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert device_ram("cuda") == DeviceRam(free * 10**9, {70: 80, 20: 24}[free] * 10**9)


def test_the_driver_tells_its_version(nvml):
    """As its library says it."""
    assert nvidia.driver_version() == "580.82"


def test_a_gpu_that_the_driver_does_not_know_has_no_memory_to_tell(nvml, monkeypatch: pytest.MonkeyPatch):
    """A failed call, like a library that is missing, gives None and no error."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert device_ram("cuda") is None
    assert nvml == [7]
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(nvmlInit_v2=lambda: 9))
    assert device_ram("cuda") is None


def test_a_container_has_the_memory_of_its_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Of a limit of 4 GB with 3 GB in use, 1 GB of it cached files, 2 GB are free; without a limit the machine's own numbers count."""
    machine = SimpleNamespace(available=20 * 10**9, total=24 * 10**9)
    monkeypatch.setattr("psutil.virtual_memory", lambda: machine)
    monkeypatch.setattr(devices, "_CGROUP", tmp_path)
    assert device_ram("cpu") == DeviceRam(20 * 10**9, 24 * 10**9)
    (tmp_path / "memory.max").write_text("max\n")
    assert device_ram("cpu") == DeviceRam(20 * 10**9, 24 * 10**9)
    (tmp_path / "memory.max").write_text("4000000000\n")
    (tmp_path / "memory.current").write_text("3000000000\n")
    (tmp_path / "memory.stat").write_text("anon 1999999999\ninactive_file 1000000000\n")
    assert device_ram("cpu") == DeviceRam(2 * 10**9, 4 * 10**9)
