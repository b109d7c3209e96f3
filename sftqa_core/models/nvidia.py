"""NVIDIA's GPUs, read through the driver's own library (NVML), without torch or CUDA."""

import ctypes
import itertools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

VISIBLE = "CUDA_VISIBLE_DEVICES"
ORDER = "CUDA_DEVICE_ORDER"  # how CUDA numbers GPUs: by itself the fastest comes first
DRIVERS_ORDER = "PCI_BUS_ID"  # as the driver, and so this module and nvidia-smi, numbers them
_LONGEST = 96  # bytes of a name


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def first_wanted() -> str:
    """The GPU that work runs on, as the variable names it; "" or "-1" where it hides all of them."""
    return os.environ.get(VISIBLE, "0").split(",")[0].strip()


def visible() -> list[str]:
    """The GPUs that this process may use, as the variable names them: numbers from 0, or its entries, read as the driver does."""
    chosen = os.environ.get(VISIBLE)
    here = [str(number) for number in range(driver()[0])]
    if chosen is None or not here:
        return here
    named = (name.strip() for name in chosen.split(","))
    return list(itertools.takewhile(lambda name: name in here or not re.fullmatch(r"-?\d*", name), named))


def why_none(built_for: int) -> str | None:
    """Why a torch built for this CUDA version (major; 0: none) can't compute on one; None when it can."""
    first = first_wanted()
    if first in ("", "-1"):
        return f"{VISIBLE} hides every GPU"
    if not built_for:
        return "the installed torch is a build without CUDA"
    gpus, newest = driver()
    if gpus == 0 or (first.isdigit() and int(first) >= gpus):
        return "no NVIDIA GPU is visible here"
    if newest < built_for:
        return f"the GPU's driver is made for CUDA {newest}, older than the CUDA {built_for} of the installed torch"
    return None


def driver() -> tuple[int, int]:
    """GPUs that the driver shows, and the newest CUDA version (major) it can run; (0, 0) without a driver."""
    gpus, version = ctypes.c_uint(0), ctypes.c_int(0)
    try:
        with _nvml() as nvml:
            failed = nvml.nvmlDeviceGetCount_v2(ctypes.byref(gpus)) or nvml.nvmlSystemGetCudaDriverVersion_v2(ctypes.byref(version))
    except (OSError, AttributeError):  # no such library, or one without these functions
        return 0, 0
    return (0, 0) if failed else (gpus.value, version.value // 1000)


def ram(gpu: str = "") -> tuple[int, int] | None:
    """Free and total bytes of a GPU by its name in the variable, or of the first one; None where the driver does not say."""
    memory = _Memory()
    try:
        with _nvml() as nvml:
            failed = nvml.nvmlDeviceGetMemoryInfo(_handle(nvml, gpu or first_wanted()), ctypes.byref(memory))
    except (OSError, AttributeError):
        return None
    return None if failed else (memory.free, memory.total)


def name(gpu: str) -> str:
    """What NVIDIA calls a GPU ("NVIDIA A100-SXM4-80GB"), by its name in the variable; empty where the driver does not say."""
    text = ctypes.create_string_buffer(_LONGEST)
    try:
        with _nvml() as nvml:
            failed = nvml.nvmlDeviceGetName(_handle(nvml, gpu), text, ctypes.c_uint(_LONGEST))
    except (OSError, AttributeError):
        return ""
    return "" if failed else text.value.decode("utf-8", "replace")


def driver_version() -> str:
    """The driver's own version ("580.82.07"); empty where it does not say."""
    text = ctypes.create_string_buffer(_LONGEST)
    try:
        with _nvml() as nvml:
            failed = nvml.nvmlSystemGetDriverVersion(text, ctypes.c_uint(_LONGEST))
    except (OSError, AttributeError):
        return ""
    return "" if failed else text.value.decode("utf-8", "replace")


def _handle(nvml: Any, gpu: str) -> ctypes.c_void_p:
    """The library's handle of a GPU. Raises `OSError` for one that it does not know."""
    handle = ctypes.c_void_p()
    if gpu.isdigit():
        failed = nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(gpu)), ctypes.byref(handle))
    else:
        failed = nvml.nvmlDeviceGetHandleByUUID(gpu.encode(), ctypes.byref(handle))
    if failed:
        raise OSError("the driver does not know this GPU")
    return handle


@contextmanager
def _nvml() -> Iterator[Any]:
    """The driver's library, ready to be asked. Raises `OSError` where there is none, or it can't start."""
    nvml = ctypes.CDLL("libnvidia-ml.so.1")
    if nvml.nvmlInit_v2() != 0:
        raise OSError("the driver does not answer")
    try:
        yield nvml
    finally:
        nvml.nvmlShutdown()
