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
from pathlib import Path

from sftqa_core.errors import SettingsError

SETTINGS = ("auto", "cpu", "cuda")
NUMBER_FORMATS = {"cpu": "float32", "cuda": "bfloat16"}  # of a loaded model's weights, whatever its file holds
_CUDA_BUILD = re.compile(r"^cuda\b[^=\n]*=\s*['\"](\d+)", re.MULTILINE)  # in torch/version.py; None in a build without CUDA
_LATER = re.compile(r"mps|cuda:\d+")


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
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
        if nvml.nvmlInit_v2() != 0:
            return 0, 0
        try:
            failed = nvml.nvmlDeviceGetCount_v2(ctypes.byref(gpus)) or nvml.nvmlSystemGetCudaDriverVersion_v2(ctypes.byref(version))
        finally:
            nvml.nvmlShutdown()
    except (OSError, AttributeError):  # no such library, or one without these functions
        return 0, 0
    return (0, 0) if failed else (gpus.value, version.value // 1000)
