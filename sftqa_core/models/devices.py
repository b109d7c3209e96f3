"""Which device a setting stands for: the one place that decides, for leases, loading and `sftqa doctor` alike.

Light: it asks the environment, torch's version file and NVIDIA's driver library, and never imports torch. A GPU counts
when it is not hidden, the installed torch is built for CUDA, and the driver is new enough for that build.
"""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftqa_core.errors import SettingsError

SETTINGS = ("auto", "cpu", "cuda")
NUMBER_FORMATS = {"cpu": "float32", "cuda": "bfloat16"}  # of a loaded model's weights, whatever its file holds
_CUDA_BUILD = re.compile(r"^cuda\b[^=\n]*=\s*['\"](\d+)", re.MULTILINE)  # in torch/version.py; None in a build without CUDA
_LATER = re.compile(r"mps|cuda:\d+")
_CGROUP = Path("/sys/fs/cgroup")  # what a container may take, where it is in one


@dataclass(frozen=True)
class DeviceMemory:
    """Bytes of a device's memory."""

    free: int  # that could be had now
    total: int


class _NvmlMemory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def resolve_device(setting: str) -> str:
    """`cpu` or `cuda` (the first GPU). Raises `SettingsError` for another setting, and for `cuda` where no GPU can be used."""
    if setting not in SETTINGS:
        later = " Apple's GPUs and a choice among several GPUs are not supported yet." if _LATER.fullmatch(setting) else ""
        raise SettingsError(f"device must be {', '.join(SETTINGS[:-1])} or {SETTINGS[-1]}, got {setting!r}.{later}")
    if setting == "cpu":
        return "cpu"
    missing = why_no_gpu()
    if setting == "cuda" and missing:
        raise SettingsError(f"device cuda was asked for, but {missing}. Choose auto or cpu.")
    return "cpu" if missing else "cuda"


def why_no_gpu() -> str | None:
    """What stands in the way of computing on a GPU, as part of a sentence; None when nothing does."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    if first in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides every GPU"
    built_for = _torch_cuda()
    if not built_for:
        return "the installed torch is a build without CUDA" if built_for == 0 else "torch is not installed"
    gpus, driver = _driver()
    if gpus == 0 or (first.isdigit() and int(first) >= gpus):
        return "no NVIDIA GPU is visible here"
    if driver < built_for:
        return f"the GPU's driver is made for CUDA {driver}, older than the CUDA {built_for} of the installed torch"
    return None


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them: numbers from 0, or what the variable says."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    here = [str(number) for number in range(_driver()[0])]
    if chosen is None or not here:
        return here
    named = (name.strip() for name in chosen.split(","))
    return list(itertools.takewhile(lambda name: name in here or not re.fullmatch(r"-?\d*", name), named))  # as the driver reads it


def _torch_cuda() -> int | None:
    """The CUDA version (major) that the installed torch is built for; 0: none; None: no torch."""
    try:
        spec = importlib.util.find_spec("torch")
    except ValueError:
        spec = None
    if spec is None or spec.origin is None:
        return None
    try:
        found = _CUDA_BUILD.search(Path(spec.origin).with_name("version.py").read_text(encoding="utf-8"))
    except OSError:
        return 0
    return int(found[1]) if found else 0


def _driver() -> tuple[int, int]:
    """GPUs that NVIDIA's driver shows, and the newest CUDA version (major) it can run; (0, 0) without a driver."""
    gpus, version = ctypes.c_uint(0), ctypes.c_int(0)
    try:
        with _nvml() as nvml:
            failed = nvml.nvmlDeviceGetCount_v2(ctypes.byref(gpus)) or nvml.nvmlSystemGetCudaDriverVersion_v2(ctypes.byref(version))
    except (OSError, AttributeError):  # no such library, or one without these functions
        return 0, 0
    return (0, 0) if failed else (gpus.value, version.value // 1000)


@contextmanager
def _nvml() -> Iterator[Any]:
    """NVIDIA's driver library, ready to be asked. Raises `OSError` where there is none, or it can't start."""
    nvml = ctypes.CDLL("libnvidia-ml.so.1")
    if nvml.nvmlInit_v2() != 0:
        raise OSError("the driver does not answer")
    try:
        yield nvml
    finally:
        nvml.nvmlShutdown()


def device_memory(device: str) -> DeviceMemory | None:
    """Memory of a resolved device: `cpu` is this machine's, or its container's where that has less, `cuda` the first GPU's.

    None where it can't be read.
    """
    return _gpu_memory() if device == "cuda" else _own_memory()


def _gpu_memory() -> DeviceMemory | None:
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    gpu, found = ctypes.c_void_p(), _NvmlMemory()
    try:
        with _nvml() as nvml:
            if first.isdigit():
                failed = nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(first)), ctypes.byref(gpu))
            else:
                failed = nvml.nvmlDeviceGetHandleByUUID(first.encode(), ctypes.byref(gpu))
            failed = failed or nvml.nvmlDeviceGetMemoryInfo(gpu, ctypes.byref(found))
    except (OSError, AttributeError):
        return None
    return None if failed else DeviceMemory(found.free, found.total)


def _own_memory() -> DeviceMemory:
    import psutil

    machine = psutil.virtual_memory()
    limit = _cgroup_number("memory.max")
    if limit is None or limit >= machine.total:
        return DeviceMemory(machine.available, machine.total)
    left = limit - (_cgroup_number("memory.current") or 0) + (_cgroup_number("memory.stat", "inactive_file") or 0)
    return DeviceMemory(max(0, min(left, machine.available)), limit)


def _cgroup_number(file: str, key: str = "") -> int | None:
    """A number of this container's control group (version 2), alone in its file or behind `key`; None where there is none."""
    try:
        lines = [line.split() for line in (_CGROUP / file).read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return None
    words = [line[-1] for line in lines if line and (not key or line[0] == key)]
    return int(words[0]) if words and words[0].isdigit() else None
